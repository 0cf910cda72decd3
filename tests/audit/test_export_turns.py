"""Exports of several tenants, and several of one: who asks for many is waited for by nobody, and has not too many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from world import World

from audit import exports, jobs
from audit.models import AuditExport
from tenants.context import tenant_scope

pytestmark = pytest.mark.usefixtures("files")


def ask(world: World, slug: str = "acme") -> AuditExport:
    with world.scope(slug):
        return exports.request("jsonl", {}, compress=False, told={})


def test_tenants_take_turns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [ask(world) for _ in range(3)]
    other = ask(world, "globex")
    order, attempted = list[Any](), jobs._attempted

    def noted(unit: Any, job: AuditExport) -> bool:
        order.append(job.pk)
        return attempted(unit, job)

    monkeypatch.setattr(jobs, "_attempted", noted)
    assert jobs.run_exports() == 4
    assert order == [first[0].pk, other.pk, first[1].pk, first[2].pk]


def test_those_that_are_asked_for_at_once_are_counted_one_after_the_other(world: World) -> None:
    wanted, tenant, actor = exports.MOST_OPEN + 6, world.acme, world.actor("olga")

    def asking(_number: int) -> bool:
        try:
            with tenant_scope(tenant, actor=actor):
                exports.request("jsonl", {}, compress=False, told={})
        except exports.ExportsBusy:
            return False
        else:
            return True
        finally:
            connections.close_all()

    with ThreadPoolExecutor(wanted) as pool:
        assert sum(pool.map(asking, range(wanted))) == exports.MOST_OPEN
    with world.scope("acme"):
        assert AuditExport.objects.count() == exports.MOST_OPEN
