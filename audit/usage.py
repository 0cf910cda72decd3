"""The only writer of UsageLog."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connections

from audit.changes import Unstorable, normalise
from audit.models import UsageLog
from tenants.context import current_scope
from tenants.errors import BadInput

_INSERT = """INSERT INTO usage_log (metric, quantity, occurred_at, actor_type, actor_id, metadata)
VALUES (%s, %s, %s, %s, %s, %s) RETURNING id, created_at, transaction_id"""
MAX_METRIC = 100
MAX_QUANTITY = Decimal(10) ** 14


def record_usage(
    metric: str, quantity: Decimal | int, *, occurred_at: datetime | None = None, metadata: dict[str, Any] | None = None
) -> UsageLog:
    """Write how much of a metric was used, in the open tenant scope's transaction, and return it.

    `quantity` is in the metric's own unit, with at most six decimals. Raises BadInput, NoScope.
    """
    scope = current_scope()
    amount = Decimal(quantity)
    if not metric or len(metric) > MAX_METRIC:
        raise BadInput(f"A metric's name has 1 to {MAX_METRIC} characters.")
    if not amount.is_finite() or abs(amount) >= MAX_QUANTITY or round(amount, 6) != amount:
        raise BadInput("A quantity has at most 14 digits before and six after the point.")
    try:
        extra = json.dumps(normalise(metadata)) if metadata else None
    except Unstorable as error:
        raise BadInput(f"metadata cannot be stored: {error}") from error
    with connections[scope.alias].cursor() as cursor:
        cursor.execute(_INSERT, [metric, amount, occurred_at, scope.actor.type, scope.actor.id, extra])
        entry_id, created_at, transaction_id = cursor.fetchone()
    return UsageLog(
        id=entry_id,
        created_at=created_at,
        transaction_id=transaction_id,
        occurred_at=occurred_at,
        metric=metric,
        quantity=amount,
        actor_type=scope.actor.type,
        actor_id=scope.actor.id,
        metadata=metadata,
    )
