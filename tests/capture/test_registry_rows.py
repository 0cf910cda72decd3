"""Each table that is captured, as the registry has it: one UPDATE from outside, one entry where it belongs."""

from __future__ import annotations

from typing import Any

import pytest
from hostapp.models import (
    Chosen,
    Counter,
    Employment,
    Event,
    Letter,
    Member,
    Odd,
    Opening,
    Organization,
    Passport,
    Restaurant,
    Sample,
    Seat,
    Series,
    Tag,
    Ticket,
    WebhookLog,
    WebhookProvider,
    Wide,
)
from psycopg import sql
from rest_framework.authtoken.models import Token
from seen import Session, Trail, session
from world import World

from audit.capture.registry import captured_models, declared
from audit.capture.spec import Column, Kind, Spec

SPECS = {spec.table: spec for specs in declared().values() for spec in specs.values()}
# What has a meaning for the database itself, or must be as it is: another column of the table is changed.
_FIXED = {"schema_name", "login", "shard", "slug", "shout"}
# How a value of a type is made another one.
_OTHER = {
    "varchar": "left({c}, 5) || 'x'",
    "text": "{c} || 'x'",
    "boolean": "NOT {c}",
    "bytea": "{c} || '\\x00'",
    "timestamp with time zone": "{c} + interval '1 day'",
    **dict.fromkeys(("smallint", "integer", "bigint", "numeric"), "{c} + 1"),
    "bigint[]": "{c} || 1::bigint",
}


def populate(world: World) -> None:
    """Make two rows of each of the host's models, with links between them."""
    alice, olga = world.person("alice").pk, world.person("olga").pk
    with world.scope("acme"):
        for person, letter in ((alice, "a"), (olga, "b")):
            number = ord(letter)
            org = Organization.objects.create(name=letter, slug=letter)
            member = Member.objects.create(code=letter, name=letter)
            provider = WebhookProvider.objects.create(organization=org, provider_name=letter)
            event, odd = Event.objects.create(name=letter), Odd.objects.create(name=letter)
            Sample.objects.create(flag=True, small=1, text=letter)
            Series.objects.create(numbers=[1])
            for model, values in (
                (Chosen, {}),
                (Letter, {}),
                (Wide, {}),
                (Counter, {"id": number}),
                (Seat, {"row": letter, "number": number}),
                (Opening, {"moment": f"2026-01-{number - 90:02}T00:00:00Z"}),
                (Restaurant, {"name": letter}),
                (Passport, {"organization": org}),
                (WebhookLog, {"provider": provider}),
                (Ticket, {"event": event, "member": member}),
                (Employment, {"organization": org, "member": member}),
                (Token, {"user_id": person, "key": letter * 40}),
            ):
                model._default_manager.create(**values)
            org.tags.add(Tag.objects.create(name=letter))
            member.mentors.add(member)
            odd.peers.add(odd)
        first, second = Organization.objects.all()
        first.partners.add(second)


def place(spec: Spec) -> sql.Composable:
    return sql.Identifier("shared", spec.table) if spec.shared else sql.Identifier(spec.table)


def referring(psql: Session, spec: Spec) -> set[str]:
    """Return the columns of a table that refer to others."""
    rows = psql.execute(
        "SELECT a.attname FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid"
        " AND a.attnum = ANY (c.conkey) WHERE c.contype = 'f' AND c.conrelid = %s::regclass",
        [place(spec).as_string()],
    )
    return {name for (name,) in rows}


def to_change(psql: Session, spec: Spec) -> tuple[Column, sql.Composable]:
    """Return a column that may be changed by itself, and what it becomes; of a link without one, its far side."""
    fixed = _FIXED | referring(psql, spec) | {column.column for column in spec.key}
    free = [column for column in spec.columns if column.type in _OTHER and column.column not in fixed]
    free.sort(key=lambda column: (column.column != spec.label, column.type not in {"varchar", "text"}))
    if free:
        return free[0], sql.SQL(_OTHER[free[0].type]).format(c=sql.Identifier(free[0].column))
    assert spec.far, spec.table
    other = sql.SQL("(SELECT o.{c} FROM {t} AS o WHERE o.{c} <> {t}.{c} LIMIT 1)")
    return spec.columns[0], other.format(c=sql.Identifier(spec.columns[0].column), t=place(spec))


def update(psql: Session, spec: Spec, whose: str | None, value: Any) -> Column:
    """Change one row of a table: one that has a value in the column that says whose it is, if there is such a one."""
    column, new = to_change(psql, spec)
    condition = sql.SQL("{} = {}").format(sql.Identifier(whose), value) if whose else sql.SQL("true")
    statement = sql.SQL("UPDATE {t} SET {c} = {new} WHERE ctid = (SELECT ctid FROM {t} WHERE {condition} LIMIT 1)")
    named = {"t": place(spec), "c": sql.Identifier(column.column), "new": new, "condition": condition}
    assert psql.execute(statement.format(**named)).rowcount == 1
    return column


@pytest.fixture
def populated(world: World) -> World:
    """The world with two rows of each model."""
    populate(world)
    world.sql(
        "INSERT INTO shared.tenants_invitation (tenant_id, email, role, expires_at, created_by_type, created_by_id, "
        "created_by_label) SELECT %s, name || '@new.example', 'member', now() + interval '1 day', 'system', 'x', '' "
        "FROM unnest(ARRAY['a', 'b']) AS name",
        world.acme.id,
    )
    return world


def test_every_captured_model_is_in_the_list(populated: World) -> None:
    """None is left out below, and of each there are rows."""
    tables = {model._meta.db_table for model in captured_models()}
    assert tables <= SPECS.keys()
    assert SPECS.keys() - tables == {
        "hostapp_employment",
        "hostapp_member_mentors",
        "hostapp_organization_partners",
        "hostapp_organization_tags",
        "Peers of odd's",
    }
    assert {spec.table for spec in SPECS.values() if spec.shared} == {
        "subscriptions_plan",
        "subscriptions_tenantsubscription",
        "tenants_apikey",
        "tenants_credential",
        "tenants_domain",
        "tenants_invitation",
        "tenants_membership",
        "tenants_tenant",
        "tenants_user",
    }
    with session(populated, "superuser") as psql:
        for spec in SPECS.values():
            row = psql.execute(sql.SQL("SELECT count(*) FROM {}").format(place(spec))).fetchone()
            assert row
            assert row[0] >= 2, spec.table


def test_one_update_from_outside_of_each_table_is_one_entry_in_the_trail_that_it_belongs_to(
    populated: World, subtests: pytest.Subtests
) -> None:
    acme_id, alice = populated.acme.id, populated.person("alice").pk
    platform, acme, globex = (Trail(populated, slug) for slug in (None, "acme", "globex"))
    for spec in SPECS.values():
        whose, value = (spec.tenant, acme_id) if spec.tenant else (spec.person, alice) if spec.person else (None, None)
        with subtests.test(spec.table), session(populated, "superuser") as psql:
            column = update(psql, spec, whose, value)
            own, copies = (platform.rows(), acme.rows()) if spec.shared else (acme.rows(), platform.rows())
            assert globex.rows() == []
            assert len(own) == 1
            assert len(copies) == (1 if whose else 0)
            for row in (*own, *copies):
                assert (row["captured"], row["resource_type"], row["source"]) == (True, spec.resource_type, "database")
                assert (row["operation"], row["action"]) == ("update", spec.verbs["update"])
                assert row["actor_key"] == "postgres"
                told = {**(row["changes"] or {}), **(row["personal"] or {})}
                # A generated column follows.
                assert told.keys() - {"shout"} == {column.name}
                masked = told[column.name] == {"old": "[masked]", "new": "[masked]"}
                assert masked == (column.kind is Kind.MASKED)


def test_an_update_that_changes_no_value_leaves_nothing_in_any_table(populated: World) -> None:
    trails = [Trail(populated, slug) for slug in (None, "acme", "globex")]
    with session(populated, "superuser") as psql:
        for spec in SPECS.values():
            column = sql.Identifier(spec.columns[0].column)
            psql.execute(sql.SQL("UPDATE {t} SET {c} = {c}").format(t=place(spec), c=column))
    assert [trail.rows() for trail in trails] == [[], [], []]


def test_each_row_that_is_deleted_from_outside_is_an_entry_in_each_table(populated: World) -> None:
    acme = Trail(populated)
    with session(populated, "superuser") as psql:
        psql.execute("SET session_replication_role = replica")
        for spec in SPECS.values():
            if spec.shared:
                continue
            count = psql.execute(sql.SQL("DELETE FROM {}").format(place(spec))).rowcount
            rows = acme.rows()
            assert (len(rows), {row["action"] for row in rows}) == (count, {spec.verbs["delete"]})
