"""The doctor's rooms one by one: facts with neutral names, differences, ids, advice, attempts."""

from __future__ import annotations

import pytest
from django.conf import settings
from role_faults import ALL_FAULTS
from world import World

from tenants.doctor import expected, proofs, report
from tenants.doctor.examination import Report, examine
from tenants.doctor.expected import Attempt, parse, render
from tenants.doctor.facts import Facts, Names, restored
from tenants.doctor.findings import NOTE, Difference, Finding, compare, identify, with_partitions

TRAIL: Facts = {
    ("table", "log", ""): "partitioned table",
    ("column", "log", "id"): "uuid",
    ("index", "log", "log_pkey"): "UNIQUE USING btree (id)",
    ("constraint", "log", "log_pkey"): "PRIMARY KEY (id)",
    ("grant", "log", "{role} SELECT"): "",
    ("table", "log_default", ""): "table of {schema}.log",
    (
        "trigger",
        "log_default",
        "guard",
    ): "ALWAYS CREATE TRIGGER guard BEFORE TRUNCATE ON {schema}.log_default EXECUTE ...",
}
PARTITION: Facts = {
    ("table", "log_2099", ""): "table of {schema}.log",
    ("trigger", "log_2099", "guard"): "ALWAYS CREATE TRIGGER guard BEFORE TRUNCATE ON {schema}.log_2099 EXECUTE ...",
}

LOGIN = "SELECT DISTINCT login FROM shared.tenants_tenant"


def told(wanted: Facts, found: Facts, **options: bool) -> list[tuple[str, str, str]]:
    """Return the differences as (word, kind, subject and name)."""
    return [(each.word, each.kind, f"{each.subject} {each.name}".strip()) for each in compare(wanted, found, **options)]


def without(*keys: tuple[str, str, str]) -> Facts:
    """Return the trail's facts but for some."""
    return {key: value for key, value in TRAIL.items() if key not in keys}


def test_equal_facts_differ_in_nothing() -> None:
    assert told(TRAIL, dict(TRAIL)) == []


def test_of_a_table_that_is_missing_nothing_more_is_said() -> None:
    found = {key: value for key, value in TRAIL.items() if key[1] != "log"}
    assert told(TRAIL, found) == [("missing", "table", "log")]


def test_of_a_table_too_many_nothing_more_is_said() -> None:
    found = {**TRAIL, ("table", "notes", ""): "table", ("grant", "notes", "PUBLIC SELECT"): ""}
    assert told(TRAIL, found) == [("extra", "table", "notes")]


def test_a_constraint_that_is_missing_stands_for_its_index() -> None:
    found = without(("index", "log", "log_pkey"), ("constraint", "log", "log_pkey"))
    assert told(TRAIL, found) == [("missing", "constraint", "log log_pkey")]


def test_a_schema_on_its_way_is_compared_by_its_walls_alone() -> None:
    found = without(("column", "log", "id"), ("grant", "log", "{role} SELECT"), ("table", "log_default", ""))
    assert told(TRAIL, found, structure=False) == [("missing", "grant", "log {role} SELECT")]


def test_a_partition_is_expected_as_the_default_one_is() -> None:
    assert with_partitions(TRAIL, {**TRAIL, **PARTITION}) == {**TRAIL, **PARTITION}
    unguarded = {("table", "log_2099", ""): "table of {schema}.log"}
    assert told(TRAIL, {**TRAIL, **unguarded}) == [("missing", "trigger", "log_2099 guard")]


def test_a_table_of_another_parent_is_no_partition() -> None:
    stray = {("table", "log_2099", ""): "table of shared.log"}
    assert told(TRAIL, {**TRAIL, **stray}) == [("extra", "table", "log_2099")]


@pytest.mark.parametrize(
    ("difference", "name"),
    [
        (Difference("rls", "log", "", "off", "on"), "rls.on"),
        (Difference("force", "log", "", "off", "on"), "rls.forced"),
        (Difference("force", "log", "", "on", "off"), "rls.not_forced"),
        (Difference("trigger", "log", "guard", "ALWAYS x", "ORIGIN x"), "trigger.not_always"),
        (Difference("trigger", "log", "guard", "ALWAYS x", "REPLICA x"), "trigger.not_always"),
        (Difference("trigger", "log", "guard", "ALWAYS x", "DISABLED x"), "trigger.disabled"),
        (Difference("trigger", "log", "guard", "ALWAYS x", "DISABLED y"), "trigger.changed"),
        (Difference("trigger", "log_default", "guard", "ALWAYS x", None), "trigger.missing_on_partition"),
        (Difference("trigger", "log", "guard", "ALWAYS x", None), "trigger.missing"),
        (Difference("table", "log", "", None, "table"), "table.in_both"),
        (Difference("table", "notes", "", None, "table"), "table.extra"),
        (Difference("member", "a", "b", None, "inherits"), "membership.extra"),
        (Difference("member", "a", "b", "may become it", "inherits, may become it"), "membership.inherit"),
        (Difference("member", "a", "b", "inherits", "inherits, may become it"), "membership.changed"),
        (Difference("grant", "f(x text)", "PUBLIC EXECUTE", None, ""), "function.public"),
        (Difference("grant", "(schema)", "PUBLIC CREATE", None, ""), "schema.create"),
        (Difference("grant", "log", "PUBLIC SELECT", "", None), "grant.missing"),
        (Difference("policy", "log", "read", "a", "b"), "policy.changed"),
    ],
)
def test_a_difference_has_a_stable_id(difference: Difference, name: str) -> None:
    assert identify(difference, TRAIL, TRAIL) == name


def test_every_finding_has_advice_of_its_own() -> None:
    names = {name for fault in ALL_FAULTS.values() for _, name, _ in fault.findings}
    general = Finding("acme", "unheard.of", "x").advice
    assert [name for name in sorted(names) if Finding("acme", name, "x").advice == general] == []


def test_names_of_installation_and_tenant_become_placeholders_and_back() -> None:
    role, schema = "daybook_t_" + "0a" * 16, "t_" + "0b" * 8
    rows = [
        ("grant", f"{schema}.log", f"{role} SELECT", ""),
        ("owner", "log", "", "daybook_owner"),
        ("member", role, "daybook_cell_1", "may become it"),
        ("member", role, "daybook_cell_10", "may become it"),
        ("owner", "f", "", "postgres"),
        ("function", "g()", "", "invoker\n'daybook_t_' || x"),
    ]
    facts = Names(["postgres"]).neutral(rows, {role: "{role}", schema: "{schema}"}, "daybook_cell_1")
    assert list(facts)[:4] == [
        ("grant", "{schema}.log", "{role} SELECT"),
        ("owner", "log", ""),
        ("member", "{role}", "{cell}"),
        ("member", "{role}", "{prefix}_cell_10"),
    ]
    assert facts["owner", "log", ""] == "{owner}"
    assert facts["owner", "f", ""] == "{superuser}"
    assert restored("{role} {cell} {prefix}_cell_10", {"role": role, "cell": "daybook_cell_1"}) == (
        f"{role} daybook_cell_1 daybook_cell_10"
    )


def test_of_a_function_the_hash_of_its_body_is_kept() -> None:
    def body(text: str) -> str:
        return Names([]).neutral([("function", "f()", "", f"function sql\n{text}")])["function", "f()", ""]

    assert body("SELECT 1") == body("SELECT 1") != body("SELECT 2")
    assert body("SELECT 1").startswith("function sql body ")
    assert body("SELECT 'daybook_platform'") == body("SELECT '{platform}'")


def test_facts_are_kept_in_an_order_of_their_own() -> None:
    facts = {"tenant": TRAIL, "shared": PARTITION}
    turned = {"shared": dict(reversed(PARTITION.items())), "tenant": dict(reversed(TRAIL.items()))}
    assert render(facts) == render(turned)
    assert parse(render(facts)) == facts


def test_a_long_finding_is_cut_in_the_table_and_whole_in_json() -> None:
    found = Report(1, [Finding("acme", "policy.changed", "log", "x" * 300, "acme", NOTE)])
    assert "x" * 100 not in (line := report.table(found).splitlines()[1]).replace("x" * 99, "")
    assert line.startswith("(policy.changed)")
    assert "…" in line
    assert "x" * 300 in report.as_json(found)


def test_an_attempt_that_fails_of_something_else_than_a_wall_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "attempts", [Attempt("division", "SELECT 1 / 0")])
    found = examine().findings
    assert {(each.where, each.id, each.object) for each in found} == {
        (slug, "proof.unclear", "division") for slug in ("acme", "globex")
    }


def test_an_attempt_that_gets_through_is_told_and_rolled_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = world.sql(f"SELECT count(*) FROM {world.acme.schema_name}.audit_key")
    statement = "INSERT INTO {schema}.audit_key (digest, entry_id) VALUES ('x', uuidv7())"
    monkeypatch.setattr(proofs, "attempts", [Attempt("key", statement)])
    assert {each.id for each in examine().findings} == {"proof.key"}
    assert world.sql(f"SELECT count(*) FROM {world.acme.schema_name}.audit_key") == before


def test_an_attempt_that_waits_too_long_is_told_and_the_next_one_is_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Attempt("slow", "SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)", role="platform")
    monkeypatch.setattr(proofs, "attempts", [slow, Attempt("open", "SELECT 1", role="platform")])
    assert [(each.where, each.id, each.object) for each in examine().findings] == [
        ("shared", "proof.open", "daybook_platform"),
        ("shared", "proof.unclear", "slow"),
    ]


def test_an_application_that_cannot_sign_in_is_a_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "PASSWORD", "another")
    found = {(each.where, each.id) for each in examine().findings}
    assert found == {("daybook_app", "login.refused"), (world.sql(LOGIN)[0][0], "login.refused")}


def test_each_trail_is_tried(world: World) -> None:
    names = {attempt.name for attempt in expected.attempts}
    tables = ("audit_log", "usage_log", "audit_user_agent", "platform_log")
    assert names >= {f"{verb}_{table}" for verb in ("update", "delete", "truncate") for table in tables}
    assert len(names) == len(expected.attempts)
