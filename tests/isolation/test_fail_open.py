"""The ways in which schema-per-tenant libraries fail open. Here each is an error, or the right rows."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from asgi import ask_at_once
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, connection, connections
from django.test import override_settings
from trying_urls import THING, labels, read, things
from world import World

from audit.models import AuditLog
from tenants import provisioning
from tenants.backend.connection import UnitConnection
from tenants.context import SYSTEM, current_scope, gate_scope, scope_or_none, tenant_scope
from tenants.errors import NoScope, ScopeConflict
from tenants.models import Tenant


def in_threads(*works: Callable[[], object]) -> None:
    """Run each in a thread of its own; what one raises, this raises."""

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(run, work) for work in works]:
            future.result()


# --- a, b: one object of a tenant or a decorator, used by several threads, and by itself


def test_scopes_of_two_threads_do_not_disturb_each_other(pair: dict[str, Any]) -> None:
    """In the worst order: both open, the first closes, the second goes on."""
    meet, found = threading.Barrier(2, timeout=10), {}

    def work(slug: str, *, last: bool) -> None:
        with tenant_scope(pair[slug], actor=SYSTEM):
            meet.wait()
            found[slug, "together"] = labels()
            meet.wait()
            if last:
                meet.wait()
                found[slug, "alone"] = labels()
        if not last:
            meet.wait()
        assert scope_or_none() is None

    in_threads(lambda: work("acme", last=True), lambda: work("globex", last=False))
    assert found == {
        ("acme", "together"): ["acme"], ("globex", "together"): ["globex"], ("acme", "alone"): ["acme"],
    }  # fmt: skip


def test_a_decorator_serves_two_threads_and_its_own_recursion(pair: dict[str, Any]) -> None:
    meet = threading.Barrier(2, timeout=10)

    @tenant_scope(pair["acme"], actor=SYSTEM)
    def descend(depth: int) -> list[str]:
        if depth == 3:
            meet.wait()
        below = descend(depth - 1) if depth else []
        return labels() + below

    found: list[list[str]] = []
    in_threads(*[lambda: found.append(descend(3))] * 2)
    assert found == [["acme"] * 4] * 2
    assert scope_or_none() is None


def test_a_decorated_function_of_another_tenant_is_refused(pair: dict[str, Any]) -> None:
    decorated = tenant_scope(pair["globex"], actor=SYSTEM)(labels)
    with tenant_scope(pair["acme"], actor=SYSTEM):
        with pytest.raises(ScopeConflict):
            decorated()
        assert labels() == ["acme"]
    assert decorated() == ["globex"]


def test_a_tenant_itself_is_no_context(pair: dict[str, Any]) -> None:
    tenant = Tenant(id=pair["acme"].id, schema_name=pair["acme"].schema_name)
    with pytest.raises(TypeError, match="tenant_scope"), tenant:
        labels()
    with pytest.raises(TypeError, match="tenant_scope"):
        tenant.activate()


# --- e: a schema that is not there


def test_a_dropped_tenant_is_refused_and_nothing_lands_elsewhere(world: World) -> None:
    dropped = provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost")
    assert read(dropped) == []
    provisioning.drop_tenant(dropped)
    before = [world.entries("acme"), world.entries("globex"), world.sql("SELECT count(*) FROM shared.platform_log")]
    with pytest.raises(DatabaseError), tenant_scope(dropped, actor=SYSTEM):
        AuditLog.log_action(None, "waved", THING, "lost")
    with pytest.raises(DatabaseError):
        read(dropped)
    assert before == [
        world.entries("acme"), world.entries("globex"), world.sql("SELECT count(*) FROM shared.platform_log"),
    ]  # fmt: skip
    assert world.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


@pytest.mark.parametrize("schema", ["t_typing_error", "public", "shared", "of the other", "pg_catalog", ""])
def test_a_wrong_schema_is_refused_and_nothing_lands_elsewhere(world: World, pair: dict[str, Any], schema: str) -> None:
    name = pair["globex"].schema_name if schema == "of the other" else schema
    wrong = replace(pair["acme"], schema_name=name)
    before = world.entries("acme"), world.entries("globex")
    with pytest.raises(DatabaseError), tenant_scope(wrong, actor=SYSTEM):
        AuditLog.log_action(None, "waved", THING, "lost")
    with pytest.raises(DatabaseError), tenant_scope(wrong, actor=SYSTEM):
        labels()
    assert (world.entries("acme"), world.entries("globex")) == before


def test_a_wrong_role_sees_nothing_of_the_schema(world: World, pair: dict[str, Any]) -> None:
    wrong = replace(pair["globex"], schema_name=pair["acme"].schema_name)
    with pytest.raises(DatabaseError), tenant_scope(wrong, actor=SYSTEM):
        labels()


# --- f: threads and tasks that begin inside a scope


def test_a_thread_begun_in_a_scope_has_none(pair: dict[str, Any]) -> None:
    def work() -> None:
        with pytest.raises(NoScope):
            labels()

    with tenant_scope(pair["acme"], actor=SYSTEM):
        in_threads(work)


def test_a_thread_with_a_copied_context_sends_nothing(pair: dict[str, Any]) -> None:
    """Its connection is another one, on which nobody opened a unit."""

    def work() -> None:
        assert scope_or_none() is not None
        with pytest.raises(NoScope):
            labels()
        with pytest.raises(ScopeConflict), tenant_scope(pair["acme"], actor=SYSTEM):
            labels()

    with tenant_scope(pair["acme"], actor=SYSTEM):
        context = contextvars.copy_context()
        in_threads(lambda: context.run(work))
        assert labels() == ["acme"]


def test_sync_to_async_in_another_thread_sends_nothing(pair: dict[str, Any]) -> None:
    def closing() -> None:
        try:
            labels()
        finally:
            connections.close_all()

    async def main() -> None:
        with pytest.raises(NoScope):
            await sync_to_async(closing, thread_sensitive=False)()

    with tenant_scope(pair["acme"], actor=SYSTEM):
        async_to_sync(main)()
        assert labels() == ["acme"]


# --- g: coroutines of two tenants on one thread


def test_coroutines_that_open_their_own_units_read_their_own_rows(pair: dict[str, Any]) -> None:
    async def main() -> list[list[str]]:
        return await asyncio.gather(*(sync_to_async(read)(pair[slug]) for slug in ("acme", "globex") * 10))

    assert async_to_sync(main)() == [["acme"], ["globex"]] * 10


def test_a_scope_opened_in_a_coroutine_itself_is_refused(pair: dict[str, Any]) -> None:
    async def reader(tenant: Any) -> list[str]:
        with tenant_scope(tenant, actor=SYSTEM):
            await asyncio.sleep(0)
            return [entry.resource_id async for entry in things()]

    async def main() -> Any:
        return await asyncio.gather(reader(pair["acme"]), reader(pair["globex"]), return_exceptions=True)

    assert [type(result) for result in asyncio.run(main())] == [SynchronousOnlyOperation] * 2
    assert scope_or_none() is None


def test_of_two_coroutines_that_share_a_thread_the_second_is_refused(pair: dict[str, Any]) -> None:
    """The scope is opened and closed in calls of their own, with the other coroutine in between."""
    opened, refused = asyncio.Event(), asyncio.Event()

    async def first() -> list[str]:
        scope = tenant_scope(pair["acme"], actor=SYSTEM)
        await sync_to_async(scope.__enter__)()
        opened.set()
        await refused.wait()
        rows = [entry.resource_id async for entry in things()]
        await sync_to_async(scope.__exit__)(None, None, None)
        return rows

    async def second() -> None:
        await opened.wait()
        try:
            with pytest.raises(ScopeConflict):
                await things().acount()
            with pytest.raises(ScopeConflict):
                await sync_to_async(read)(pair["globex"])
        finally:
            refused.set()

    async def main() -> Any:
        return await asyncio.gather(first(), second())

    assert async_to_sync(main)() == [["acme"], None]
    assert read(pair["globex"]) == ["globex"]


def test_coroutines_of_one_open_scope_stay_in_it(pair: dict[str, Any]) -> None:
    async def main() -> Any:
        return await asyncio.gather(
            things().acount(), sync_to_async(labels)(), sync_to_async(read)(pair["globex"]), return_exceptions=True
        )

    with tenant_scope(pair["acme"], actor=SYSTEM):
        count, rows, refused = async_to_sync(main)()
    assert (count, rows, type(refused)) == (1, ["acme"], ScopeConflict)


def test_a_task_that_outlives_its_scope_sends_nothing(pair: dict[str, Any]) -> None:
    with tenant_scope(pair["acme"], actor=SYSTEM):
        late = contextvars.copy_context()
    with pytest.raises(NoScope):
        late.run(labels)
    with tenant_scope(pair["globex"], actor=SYSTEM):
        with pytest.raises(ScopeConflict):
            late.run(labels)
        assert labels() == ["globex"]


def test_async_views_of_two_tenants_at_once_read_their_own_rows(world: World, pair: dict[str, Any]) -> None:
    callers = [
        {"host": f"{slug}.localhost", "authorization": f"Bearer {world.keys[f'{slug}.read']}"}
        for slug in ("acme", "globex") * 4
    ]
    with override_settings(TENANT_URLCONF="trying_urls"):
        answers = ask_at_once("/slow", callers)
    expected = [(200, {"tenant": slug, "first": [slug], "second": [slug], "count": 1}) for slug in ("acme", "globex")]
    assert answers == expected * 4


# --- i: somebody else sets the path


def test_a_foreign_path_shows_nothing_and_does_not_stay(
    world: World, pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = pair["globex"].schema_name
    with tenant_scope(pair["acme"], actor=SYSTEM):
        assert set_path_and_read(f"SET search_path = {schema}, shared") == ["acme"]
    with monkeypatch.context() as patch:
        # Nor where the path stays: the role has no rights there.
        patch.setattr(UnitConnection, "restore", lambda _connection, _tag=None: None)
        with pytest.raises(DatabaseError), tenant_scope(pair["acme"], actor=SYSTEM):
            set_path_and_read(f"SET search_path = {schema}, shared")
    for statement in (f"SET search_path = {schema}", "SET search_path = public", "RESET search_path"):
        with tenant_scope(pair["acme"], actor=SYSTEM), connection.cursor() as cursor:
            cursor.execute(statement)
        assert read(pair["acme"]) == ["acme"]
        assert read(pair["globex"]) == ["globex"]


def set_path_and_read(statement: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
    return labels()


@pytest.mark.parametrize("table", ["audit_log", "audit_log_default", "usage_log", "audit_user_agent", "audit_key"])
def test_a_qualified_name_reaches_no_other_tenant(world: World, pair: dict[str, Any], table: str) -> None:
    for opened in (tenant_scope(pair["acme"], actor=SYSTEM), world.platform(), gate_scope()):
        with pytest.raises(DatabaseError, match="permission denied"), opened, connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {pair['globex'].schema_name}.{table}")


# --- and all of it at once


def test_many_threads_through_the_pool_read_no_wrong_row(pair: dict[str, Any]) -> None:
    """Each gives its connection back now and then, so that connections change hands between tenants."""
    wrong: list[Any] = []

    def work(number: int) -> None:
        for turn in range(150):
            slug = ("acme", "globex")[(number + turn // 3) % 2]
            with tenant_scope(pair[slug], actor=SYSTEM):
                assert current_scope().tenant is pair[slug]
                rows = labels()
            if rows != [slug]:
                wrong.append((number, turn, slug, rows))
            if turn % 5 == 0:
                connections.close_all()

    in_threads(*[lambda number=number: work(number) for number in range(4)])
    assert wrong == []
