"""record_usage writes how much of a metric was used, once, and refuses what has no meaning."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection
from world import World

from audit.models import UsageLog
from audit.usage import record_usage
from tenants.errors import BadInput, NoScope


def test_usage_is_written_with_actor_quantity_and_metadata(world: World) -> None:
    with world.scope("acme", "alice"):
        used = record_usage("api.calls", Decimal("2.5"), metadata={"route": "/x", "big": 2**60})
        stored = UsageLog.objects.get(pk=used.pk)
    assert (stored.metric, stored.quantity, stored.created_at) == ("api.calls", Decimal("2.5"), used.created_at)
    assert (stored.actor_type, stored.actor_id) == ("user", str(world.person("alice").pk))
    assert stored.metadata == {"route": "/x", "big": str(2**60)}
    assert str(stored) == "2.5 api.calls"


def test_usage_of_one_tenant_is_not_seen_in_another(world: World) -> None:
    with world.scope("acme"):
        record_usage("api.calls", 1)
    with world.scope("globex"):
        assert not UsageLog.objects.exists()


@pytest.mark.parametrize(
    ("metric", "quantity", "metadata"),
    [
        ("", 1, None),
        ("m" * 101, 1, None),
        ("m", Decimal("0.0000001"), None),
        ("m", Decimal("NaN"), None),
        ("m", Decimal("Infinity"), None),
        ("m", Decimal(10) ** 14, None),
        ("m", 1, {"x": float("nan")}),
    ],
)
def test_it_refuses_usage_without_meaning_and_writes_nothing(
    world: World, metric: str, quantity: Any, metadata: dict[str, Any] | None
) -> None:
    with world.scope("acme"):
        with pytest.raises(BadInput):
            record_usage(metric, quantity, metadata=metadata)
        assert not UsageLog.objects.exists()


def test_it_refuses_usage_without_a_scope() -> None:
    with pytest.raises(NoScope):
        record_usage("api.calls", 1)


@pytest.mark.parametrize("transaction", [1, 2**62])
def test_it_refuses_usage_that_claims_another_transaction(world: World, transaction: int) -> None:
    statement = (
        "INSERT INTO usage_log (transaction_id, metric, quantity, actor_type, actor_id)"
        " VALUES (%s, 'm', 1, 'user', 'x')"
    )
    with pytest.raises(DatabaseError, match="not its own"), world.scope("acme"), connection.cursor() as cursor:
        cursor.execute(statement, [transaction])
    with world.scope("acme"):
        assert not UsageLog.objects.exists()
