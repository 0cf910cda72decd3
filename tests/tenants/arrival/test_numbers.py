"""A tenant that moves to a server that has not come as far: its transactions are numbered anew, in order and groups."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from moving import NEW, Moving, answers, kept, rewrite, walked
from world import World

from tenants.transfer import arrival, import_tenant


def ahead(place: Path, by: int = 10**9) -> None:
    """Make the export one of a server that has seen many more transactions."""
    said = json.loads((place / "manifest.json").read_text())
    for file in said["files"]:
        if "transaction_id" in file["columns"]:
            column = file["columns"].index("transaction_id")
            lines = [line.split(b"\t") for line in (place / file["name"]).read_bytes().splitlines()]
            for line in lines:
                line[column] = b"%d" % (int(line[column]) + by)
            (place / file["name"]).write_bytes(b"".join(b"\t".join(line) + b"\n" for line in lines))
    rewrite(place, lambda said: said.update(next_transaction=said["next_transaction"] + by))


@pytest.fixture
def seen(world: World) -> tuple[list[str], str]:
    """What a poller had seen before the tenant moved, and his cursor."""
    return kept(world).seen


def test_the_transactions_of_a_trail_from_a_busier_server_are_numbered_anew_in_their_order_and_groups(
    world: World, moving: Moving, seen: tuple[list[str], str], place: Path
) -> None:
    schema = moving.tenant.schema_name
    ahead(place)
    imported = import_tenant(place)
    assert imported.adjusted.transactions_shifted_by > 9 * 10**8
    found, _ = walked(moving.api())
    assert found[:-NEW] == seen[0]
    schema = imported.tenant.schema_name
    groups = world.sql(f"SELECT transaction_id, count(*) FROM {schema}.audit_log GROUP BY 1 ORDER BY 1")
    # The batches of the API were one transaction each.
    assert max(count for _, count in groups) > 1
    assert world.sql(
        f"SELECT count(*) FROM {schema}.audit_log WHERE transaction_id >= pg_current_xact_id()::text::bigint"
    ) == [(0,)]
    assert answers(world, moving)["/api/v1/audit-logs"]["results"][0]["changes"]["transactions_shifted_by"] > 0


def test_a_cursor_of_the_busier_server_is_refused_rather_than_read_as_one_of_here(
    world: World, moving: Moving, seen: tuple[list[str], str], place: Path
) -> None:
    ahead(place)
    assert import_tenant(place).tenant.schema_name != moving.tenant.schema_name
    answer = moving.api().get("/api/v1/audit-logs", order="asc", limit=3, cursor=seen[1])
    assert answer.status_code == 400
    assert "Begin without one" in answer.json()["detail"]


def test_without_new_numbers_transactions_to_come_would_get_those_of_the_trail(
    world: World, moving: Moving, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: what the trail groups by a number, an action of here would join."""
    ahead(place)
    monkeypatch.setattr(arrival, "_shift", lambda *_arguments: 0)
    schema = import_tenant(place).tenant.schema_name
    numbers = f"SELECT max(transaction_id) > pg_current_xact_id()::text::bigint FROM {schema}.audit_log"
    assert world.sql(numbers) == [(True,)]


def test_transactions_that_this_server_has_seen_keep_their_numbers(world: World, moving: Moving, place: Path) -> None:
    numbers = "SELECT transaction_id FROM {}.audit_log ORDER BY id"
    column = json.loads((place / "manifest.json").read_text())["files"]
    trail = next(file for file in column if file["table"] == "audit_log")
    at = trail["columns"].index("transaction_id")
    lines = (place / "tables/audit_log.copy").read_bytes().splitlines()
    imported = import_tenant(place)
    assert imported.adjusted.transactions_shifted_by == 0
    found = [number for (number,) in world.sql(numbers.format(imported.tenant.schema_name))]
    assert found[:-NEW] == [int(line.split(b"\t")[at]) for line in lines]
