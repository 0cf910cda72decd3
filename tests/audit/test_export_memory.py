"""What an export holds in memory does not grow with the trail, nor with the size of its entries."""

from __future__ import annotations

import tracemalloc
from functools import partial

import pytest
from world import World

from audit import export
from audit.query import Filter
from tenants.context import SYSTEM, tenant_scope

MIB = 2**20
# As `bench/fill.py` does: by the superuser, past the check of new ids.
FILL = """
ALTER TABLE {schema}.audit_log DISABLE TRIGGER check_id;
INSERT INTO {schema}.audit_log (version, id, actor_key, resource_key, actor_type, action, operation, outcome, source,
  resource_type, salt, description)
SELECT 1, (lpad(to_hex(1700000000000 + n), 12, '0') || '70008' || substr(md5(n::text), 1, 15))::uuid, 'u', n::text,
  'user', 'filled', 'update', 'success', 'api', 'thing', '', repeat('x', {size})
FROM generate_series({first}, {last}) n;
ALTER TABLE {schema}.audit_log ENABLE ALWAYS TRIGGER check_id
"""


def fill(world: World, entries: int, *, size: int, first: int = 1) -> None:
    for statement in FILL.split(";"):
        last = first + entries - 1
        world.sql(statement.format(schema=world.acme.schema_name, first=first, last=last, size=size))


def exported(world: World, form: str, *, compress: bool = False) -> tuple[int, int, int]:
    """Return what an export has: entries, bytes, and the most that was held of memory meanwhile."""
    unit = partial(tenant_scope, world.acme, actor=SYSTEM)
    with unit():
        until = export.bound()
    entries = size = 0

    def counted(found: object) -> object:
        nonlocal entries
        for page in found:  # type: ignore[attr-defined]
            entries += len(page)
            yield page

    tracemalloc.start()
    try:
        for part in export.stream(form, counted(export.pages(unit, Filter(), until)), compress=compress):  # type: ignore[arg-type]
            size += len(part)
        return entries, size, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_four_times_the_entries_take_no_more_memory(world: World) -> None:
    fill(world, 15_000, size=300)
    entries, size, few = exported(world, "jsonl")
    fill(world, 45_000, size=300, first=15_001)
    more_entries, more_size, many = exported(world, "jsonl")
    assert more_entries == entries + 45_000
    assert more_size > 3.5 * size
    assert more_size > 30 * MIB
    assert many < few * 1.1 + MIB
    assert many < 20 * MIB


def test_large_entries_take_no_more_memory_than_small_ones(world: World) -> None:
    fill(world, 1_000, size=60_000)
    _, size, held = exported(world, "jsonl")
    assert size > 55 * MIB
    assert held < 40 * MIB


@pytest.mark.parametrize(("form", "compress"), [("csv", False), ("ocsf", True)])
def test_other_forms_hold_a_page_at_a_time_as_well(world: World, form: str, compress: bool) -> None:
    fill(world, 4_000, size=4_000)
    entries, _, held = exported(world, form, compress=compress)
    assert entries > 4_000
    assert held < 45 * MIB
