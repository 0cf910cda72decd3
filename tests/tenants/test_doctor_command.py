"""`manage.py tenants doctor`, as an operator and a program read it, and what it says where no superuser has been."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from psycopg.conninfo import make_conninfo
from world import World

from tenants import hardening, provisioning
from tenants.doctor import examination
from tenants.doctor.examination import examine
from tenants.doctor.findings import BREACH, NOTE

UNGUARDED = "DROP TRIGGER refuse_truncate ON {}.audit_log_default"


def doctor(*arguments: str) -> tuple[str, int]:
    """Run the command; return what it wrote and its exit status."""
    out = io.StringIO()
    try:
        call_command("tenants", "doctor", *arguments, stdout=out)
    except CommandError as error:
        return out.getvalue(), error.returncode
    return out.getvalue(), 0


def breach(world: World, slug: str = "acme") -> None:
    """Take the guard off a partition of a tenant."""
    world.sql(UNGUARDED.format(world.tenant(slug).schema_name))


def test_it_says_in_one_line_that_nothing_was_found_and_succeeds(world: World) -> None:
    assert doctor() == ("Examined the shared part and 2 tenants: no breaches.\n", 0)


def test_a_breach_is_a_line_of_a_table_and_exit_status_1(world: World) -> None:
    breach(world)
    out, status = doctor()
    heading, line, summary = out.splitlines()
    assert status == 1
    assert heading.split("  ")[0] == "CHECK"
    assert [word.strip() for word in line.split("  ") if word] == [
        "trigger.missing_on_partition",
        "acme",
        "audit_log_default refuse_truncate: missing",
        "CALL guard.protect or guard.protect_truncate for the table; verify what was written meanwhile.",
    ]
    assert summary == "Examined the shared part and 2 tenants: 1 breach."


def test_the_error_counts_the_findings(world: World) -> None:
    breach(world)
    breach(world, "globex")
    with pytest.raises(CommandError, match=r"^The walls are breached in 2 places\.$"):
        call_command("tenants", "doctor", stdout=io.StringIO())


def test_programs_read_json_of_a_sound_database(world: World) -> None:
    out, status = doctor("--json")
    assert (json.loads(out), status) == ({"ok": True, "tenants": 2, "findings": []}, 0)


def test_programs_read_each_finding_with_id_level_tenant_object_and_advice(world: World) -> None:
    breach(world)
    out, status = doctor("--json")
    document = json.loads(out)
    assert (document["ok"], document["tenants"], status) == (False, 2, 1)
    assert document["findings"] == [
        {
            "id": "trigger.missing_on_partition",
            "level": "breach",
            "tenant": "acme",
            "where": "acme",
            "object": "audit_log_default refuse_truncate",
            "finding": "missing",
            "advice": "CALL guard.protect or guard.protect_truncate for the table; verify what was written meanwhile.",
        }
    ]


def test_it_examines_the_tenants_that_are_named_and_always_the_shared_part(world: World) -> None:
    breach(world)
    assert doctor("--tenant", "globex")[1] == 0
    assert doctor("--tenant", "globex", "--tenant", "acme")[1] == 1
    world.sql("ALTER TABLE shared.tenants_apikey DISABLE ROW LEVEL SECURITY")
    out, status = doctor("--tenant", "globex", "--json")
    assert [each["id"] for each in json.loads(out)["findings"]] == ["rls.off"]
    assert status == 1


def test_one_connection_finds_what_several_find(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "BATCH", 1)
    breach(world)
    breach(world, "globex")
    assert doctor("--json", "--jobs", "1") == doctor("--json", "--jobs", "3")
    assert len(examine(jobs=2).breaches) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("--tenant", "nobody"), "There is no tenant 'nobody'"), (("--jobs", "0"), "--jobs is 1 or more")],
)
def test_a_wrong_argument_is_one_line(world: World, arguments: tuple[str, ...], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        call_command("tenants", "doctor", *arguments, stdout=io.StringIO())


def test_without_the_owners_login_it_says_which_setting_is_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "OWNER", "nobody")
    with pytest.raises(CommandError, match="MIGRATION_DATABASE_URL"):
        call_command("tenants", "doctor", stdout=io.StringIO())


def test_it_changes_nothing(world: World) -> None:
    def state() -> list[Any]:
        return [world.entries("acme"), *world.sql("SELECT count(*), max(oid::text) FROM pg_class")]

    before = state()
    doctor()
    assert state() == before


def test_a_login_of_too_many_tenants_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "TENANTS_PER_LOGIN", 1)
    (found,) = examine().breaches
    assert (found.id, found.object) == ("login.too_many_tenants", world.acme.login)
    assert found.found == "2 tenants, not 1 at most"


def test_a_partition_made_ahead_is_no_finding(world: World) -> None:
    world.sql(f"CALL guard.add_partition('{world.acme.schema_name}.audit_log', '2099-01-01')")
    world.sql("CALL guard.add_partition('shared.platform_log', '2099-01-01')")
    assert examine().findings == []


def test_a_sealed_tenant_is_no_finding(world: World) -> None:
    from tenants import sealing

    tenant = provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost")
    sealing.seal_tenant(world.tenant("initech"))
    assert examine().findings == []
    provisioning.drop_tenant(tenant)
    assert examine().findings == []


def test_a_relaxed_database_is_a_breach_until_it_is_hardened_again(world: World) -> None:
    superuser = make_conninfo(world.superuser, dbname=world.database)
    hardening.relax(superuser, reason="a migration of trails")
    relaxed = examine().findings
    hardening.harden(superuser)
    assert {(each.id, each.object, each.level) for each in relaxed} == {
        ("hardening.event_trigger", name, BREACH) for name in ("daybook_start", "daybook_commands", "daybook_drops")
    }
    assert examine().findings == []


def test_a_database_hardened_by_another_version_is_told(world: World) -> None:
    world.sql("COMMENT ON EVENT TRIGGER daybook_commands IS 'another'")
    assert [(each.id, each.level) for each in examine().findings] == [("hardening.old", BREACH)]


def test_where_nobody_is_superuser_it_notes_what_remains_possible_and_succeeds(world: World) -> None:
    superuser = make_conninfo(world.superuser, dbname=world.database)
    hardening.relax(superuser, reason="as if there were no superuser")
    world.sql(
        "GRANT EXECUTE ON FUNCTION pg_catalog.set_config, pg_catalog.query_to_xml, pg_catalog.ts_stat(text),"
        " pg_catalog.lo_create, pg_catalog.pg_advisory_lock(bigint) TO PUBLIC;"
        "GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC; GRANT SELECT ON pg_catalog.pg_namespace TO PUBLIC;"
        "GRANT SELECT, UPDATE ON pg_catalog.pg_settings TO PUBLIC"
    )
    report = examine()
    out, status = doctor()
    hardening.harden(superuser)
    assert {each.id for each in report.findings} >= {"hardening.set_config", "hardening.do", "hardening.catalogs"}
    assert {(each.level, each.id.partition(".")[0], bool(each.found)) for each in report.findings} == {
        (NOTE, "hardening", True)
    }
    assert report.breaches == []
    assert status == 0
    assert "an injected SELECT can change its role to another tenant's of the same login" in out
    assert out.endswith("Examined the shared part and 2 tenants: no breaches, 11 notes.\n")
    assert examine().findings == []
