"""The doctor of a host: what its own applications have in the database is recorded, and expected from then on."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from world import World

from tenants.doctor import expected
from tenants.doctor.examination import examine


@pytest.fixture
def recorded(world: World, tmp_path: Path) -> Iterator[Path]:
    """What the host adds, recorded and expected."""
    path, before = tmp_path / "walls.tsv", list(expected.files)
    call_command("tenants", "doctor", record=path, tenant=["acme"], stdout=io.StringIO())
    expected.files.append(path)
    expected.expected.cache_clear()
    yield path
    expected.files[:] = before
    expected.expected.cache_clear()


def test_what_a_host_adds_is_told_until_it_is_recorded(world: World) -> None:
    assert {finding.id for finding in examine().breaches} == {"table.extra", "function.extra"}


def test_what_was_recorded_is_expected_of_every_tenant(world: World, recorded: Path) -> None:
    assert examine().findings == []
    assert "hostapp_organization" in recorded.read_text(encoding="utf-8")


def test_what_differs_from_the_record_is_told(world: World, recorded: Path) -> None:
    schema = world.globex.schema_name
    world.sql(f"GRANT SELECT ON {schema}.hostapp_tag TO PUBLIC; DROP TABLE {schema}.hostapp_seat")
    found = {(finding.where, finding.id) for finding in examine().breaches if not finding.id.startswith("capture")}
    assert found == {("globex", "grant.extra"), ("globex", "table.missing")}


@pytest.mark.parametrize("slugs", [[], ["acme", "globex"]])
def test_a_record_is_of_one_tenant(world: World, tmp_path: Path, slugs: list[str]) -> None:
    with pytest.raises(CommandError, match="--tenant SLUG once"):
        call_command("tenants", "doctor", record=tmp_path / "walls.tsv", tenant=slugs)
    assert not list(tmp_path.iterdir())


def test_a_record_that_cannot_be_written_is_refused_in_a_line(world: World, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written: Is a directory"):
        call_command("tenants", "doctor", record=tmp_path, tenant=["acme"])
