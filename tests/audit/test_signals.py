"""`audit_logged`: extensions hear of each entry, in its transaction, and cannot lose one in silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from world import World

from audit.models import AuditLog
from audit.signals import audit_logged
from subscriptions import platform_log
from subscriptions.models import PlatformLog


@contextmanager
def hearing(receiver: Any) -> Iterator[None]:
    audit_logged.connect(receiver)
    try:
        yield
    finally:
        audit_logged.disconnect(receiver)


def test_a_receiver_hears_of_each_entry_with_its_trail(world: World) -> None:
    heard: list[tuple[Any, str]] = []

    def hear(sender: Any, entry: Any, **_more: Any) -> None:
        heard.append((sender, entry.action))

    with hearing(hear):
        with world.scope("acme"):
            AuditLog.log_action(None, "one", "thing", "1")
            AuditLog.log_action(None, "two", "thing", "1")
        with world.platform():
            platform_log.log_action("three", "thing", "1")
    assert heard == [(AuditLog, "one"), (AuditLog, "two"), (PlatformLog, "three")]


def test_a_receiver_that_raises_takes_the_change_back(world: World) -> None:
    def refuse(**_said: Any) -> None:
        raise ValueError("no")

    before = world.entries("acme")
    with hearing(refuse), pytest.raises(ValueError, match="no"), world.scope("acme"):
        AuditLog.log_action(None, "one", "thing", "1")
    assert world.entries("acme") == before


def test_what_a_receiver_writes_is_in_the_same_transaction(world: World) -> None:
    def echo(entry: Any, **_more: Any) -> None:
        if entry.action == "one":
            AuditLog.log_action(None, "echo", "thing", entry.resource_id)

    with hearing(echo), world.scope("acme"):
        AuditLog.log_action(None, "one", "thing", "1")
    with world.scope("acme"):
        echoed, told = AuditLog.get_resource_history("thing", "1")
        assert (echoed.action, told.action) == ("echo", "one")
        assert echoed.transaction_id == told.transaction_id
