"""The same crossings twice: behind the walls no foreign row is seen, on django-tenants as it comes one is.

Each crossing is a way in which a scope is forgotten, mixed up or outlived: the table of fail-open behaviours, and
views, threads, tasks, jobs and signals in which nobody opened a scope.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.signals import request_finished
from django.db import connection, connections, transaction
from django.http import StreamingHttpResponse
from django.test import override_settings
from django_tenants.models import TenantMixin
from django_tenants.utils import tenant_context
from stock import REFUSALS, Enter, Witness, as_middleware, no_walls, scope
from trying_urls import labels, things
from world import World

from tenants.context import SYSTEM, tenant_scope


class Shared:
    """A tenant object in django-tenants' sense: its memory of the tenant before is one list for all threads."""

    _previous_tenant: list[Any] = []
    activate, __enter__, __exit__ = TenantMixin.activate, TenantMixin.__enter__, TenantMixin.__exit__

    def __init__(self, tenant: Any) -> None:
        self.schema_name = tenant.schema_name


@dataclass(frozen=True)
class Ways:
    """How a tenant is chosen: by a block, by a decorator, by a tenant itself, by a middleware."""

    block: Enter
    decorator: Callable[[Any], ContextDecorator]
    tenant: Enter
    middleware: Enter


WALLED = Ways(scope, lambda tenant: tenant_scope(tenant, actor=SYSTEM), scope, scope)
STOCK = Ways(tenant_context, tenant_context, Shared, as_middleware)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Start a thread that ends quietly when it is refused, and leaves no connection."""

    def run() -> None:
        try:
            with suppress(*REFUSALS):
                work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


Crossing = Callable[[Ways, dict[str, Any], Witness], None]
CROSSINGS: dict[str, Crossing] = {}


def crossing(probe: Crossing) -> Crossing:
    """Add a probe to those that run on both sides."""
    CROSSINGS[probe.__name__.replace("_", " ")] = probe
    return probe


# --- a, b: what several threads share


def cross_in_two_threads(enter: Enter, base: Enter, pair: dict[str, Any], witness: Witness, inner: str) -> None:
    """Of two threads, each in its tenant, the first leaves an inner block while the second is in one (of `inner`)."""
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with base(pair["acme"]):
            with enter(pair["acme"]):
                first_in.set()
                second_in.wait(10)
            witness.read("acme")
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        try:
            with base(pair["globex"]), enter(pair["globex"]):
                second_in.set()
                first_out.wait(10)
                witness.read(inner)
        finally:
            second_in.set()

    for thread in [in_thread(first), in_thread(second)]:
        thread.join()


@crossing
def tenants_themselves_as_blocks_in_two_threads(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    cross_in_two_threads(ways.tenant, ways.middleware, pair, witness, "globex")


@crossing
def one_decorator_in_two_threads(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    """The second thread is in globex, and calls a function that was decorated for acme."""
    one: Any = ways.decorator(pair["acme"])

    @contextmanager
    def through(_tenant: Any) -> Iterator[None]:
        with one if ways is STOCK else one._recreate_cm():
            yield

    cross_in_two_threads(through, ways.middleware, pair, witness, "acme")


@crossing
def a_decorated_function_that_calls_itself(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    @ways.decorator(pair["acme"])
    def descend(depth: int) -> None:
        witness.read("acme")
        if depth:
            descend(depth - 1)

    descend(1)
    witness.read(None)


# --- e: a schema that is not there


@crossing
def a_tenant_whose_schema_is_not_there(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    """Dropped, or a typing error: what the next schema of the path holds is taken for the tenant's."""
    with suppress(*REFUSALS), ways.block(replace(pair["acme"], schema_name="t_typing_error")):
        witness.read("acme")


# --- f, g: threads and tasks


@crossing
def a_thread_begun_in_a_tenant(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    with ways.block(pair["acme"]):
        in_thread(lambda: witness.read("acme")).join()


@crossing
def a_thread_with_a_copied_context(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    with ways.block(pair["acme"]):
        context = contextvars.copy_context()
        in_thread(lambda: context.run(witness.read, "acme")).join()


@crossing
def sync_to_async_in_another_thread(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    def work() -> None:
        witness.read("acme")
        connections.close_all()

    async def main() -> None:
        await sync_to_async(work, thread_sensitive=False)()

    with ways.block(pair["acme"]):
        async_to_sync(main)()


@crossing
def coroutines_of_two_tenants_on_one_thread(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    async def reader(slug: str, mine: asyncio.Event, other: asyncio.Event) -> None:
        block = ways.block(pair[slug])
        try:
            await sync_to_async(block.__enter__)()
        except REFUSALS as error:
            witness.refused.append(type(error))
            return
        finally:
            mine.set()
        await other.wait()
        await sync_to_async(witness.read)(slug)
        await sync_to_async(block.__exit__)(None, None, None)

    async def main() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        await asyncio.gather(reader("acme", first, second), reader("globex", second, first))

    async_to_sync(main)()


@crossing
def a_task_that_outlives_its_tenant(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    with ways.block(pair["acme"]):
        late = contextvars.copy_context()
    with ways.block(pair["globex"]):
        late.run(witness.read, "acme")


# --- h: what is evaluated later


@crossing
def a_lazy_queryset(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    with ways.block(pair["acme"]):
        rows = things().values_list("resource_id", flat=True)
    with ways.block(pair["globex"]):
        witness.read("acme", lambda: list(rows))


@crossing
def a_generator_that_is_read_on_in_another_tenant(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    def names() -> Iterator[str]:
        yield from ()
        yield from labels()

    with ways.block(pair["acme"]):
        found = names()
    with ways.block(pair["globex"]):
        # A generator has no tenant of its own: it is whoever's reads it. Its maker's name must not be on it.
        witness.read("globex", lambda: list(found))
    witness.read(None, lambda: list(names()))


@crossing
def a_streamed_answer(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    """The server reads it after the middleware has ended."""
    with ways.middleware(pair["acme"]):
        rows = things().values_list("resource_id", flat=True)
        answer: Any = StreamingHttpResponse(f"{name}\n" for name in rows.iterator())
    with ways.middleware(pair["globex"]):
        pass
    witness.read("acme", lambda: b"".join(answer.streaming_content).decode().split())


# --- i: somebody else sets the path


@crossing
def a_path_that_a_library_sets(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    def library(slug: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET search_path = {pair[slug].schema_name}, shared")

    with ways.block(pair["acme"]):
        labels()
        library("globex")
        witness.read("acme")
    with ways.block(pair["acme"]):
        witness.read("acme")


# --- nobody opened a scope


def after_a_request(ways: Ways, pair: dict[str, Any]) -> None:
    with ways.middleware(pair["acme"]):
        labels()


@crossing
def a_view_that_forgot_its_scope(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    after_a_request(ways, pair)
    witness.read(None)


@crossing
def a_job_that_forgot_its_scope(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    """A worker's thread runs one job after the other."""

    def worker() -> None:
        after_a_request(ways, pair)
        witness.read(None)

    in_thread(worker).join()


@crossing
def an_async_task_that_forgot_its_scope(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    async def main() -> None:
        await sync_to_async(after_a_request)(ways, pair)
        await asyncio.gather(sync_to_async(witness.read)(None), sync_to_async(witness.read)(None))

    async_to_sync(main)()


@crossing
def a_receiver_of_a_signal_that_forgot_its_scope(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    def receiver(**_signal: object) -> None:
        witness.read(None)

    request_finished.connect(receiver)
    try:
        after_a_request(ways, pair)
        request_finished.send(None)
    finally:
        request_finished.disconnect(receiver)


@crossing
def a_hook_that_waits_for_the_commit(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    with ways.middleware(pair["acme"]), transaction.atomic():
        transaction.on_commit(lambda: witness.read(None))


# --- nested and crossed


@crossing
def blocks_that_end_in_the_wrong_order(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    outer, inner = ways.block(pair["acme"]), ways.block(pair["globex"])
    outer.__enter__()
    with suppress(*REFUSALS):
        inner.__enter__()
        outer.__exit__(None, None, None)
        witness.read("globex")
        outer = inner
    outer.__exit__(None, None, None)
    witness.read(None)


@crossing
def an_inner_block_of_another_tenant(ways: Ways, pair: dict[str, Any], witness: Witness) -> None:
    """Whoever calls such a function believes that all it reads is of his own tenant."""

    def helper() -> list[str]:
        with ways.block(pair["globex"]):
            return labels()

    with ways.block(pair["acme"]):
        witness.read("acme", helper)


# --- both sides


@pytest.fixture
def doubled(world: World, pair: dict[str, Any]) -> dict[str, Any]:
    """The pair, and a trail in the shared schema as an application in both lists of settings would make one."""
    own = f"{pair['acme'].schema_name}.audit_log"
    columns = (
        "id, transaction_id, action, outcome, operation, source, actor_type, actor_key, resource_type, salt, version"
    )
    world.sql(f"""CREATE TABLE shared.audit_log (LIKE {own} INCLUDING ALL);
        INSERT INTO shared.audit_log ({columns}, resource_key)
        SELECT {columns}, 'shared' FROM {own} WHERE resource_key = 'acme'""")
    assert world.sql("SELECT resource_id FROM shared.audit_log") == [("shared",)]
    return pair


@pytest.mark.parametrize("name", CROSSINGS)
def test_behind_the_walls_it_is_refused_or_reads_its_own(doubled: dict[str, Any], name: str) -> None:
    witness = Witness()
    CROSSINGS[name](WALLED, doubled, witness)
    assert witness.strays == []
    assert witness.refused or witness.right


@pytest.mark.parametrize("name", CROSSINGS)
def test_control_without_the_walls_it_reads_a_foreign_row(world: World, doubled: dict[str, Any], name: str) -> None:
    witness = Witness()
    with no_walls(world), override_settings(TENANT_LIMIT_SET_CALLS="path" in name):
        CROSSINGS[name](STOCK, doubled, witness)
    assert witness.strays != [], witness
