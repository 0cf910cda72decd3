"""To change rows without an entry for each: a backfill, say. That it was done, and why, is an entry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tenants.context import current_scope, without_capture
from tenants.errors import BadInput
from tenants.recording import record

MAX_REASON = 1000


@contextmanager
def capture_paused(*, reason: str) -> Iterator[None]:
    """Capture no row changes of the block, in this thread or task alone; the trail says so, and why.

    On the platform's side it is the platform log that is spared; tenants are told what concerns them as ever.

    Opens a savepoint of the open unit of work. What else is written (`log_action`) is written as ever. The database
    believes no pause that this transaction has not recorded in the same trail. Raises NoScope, also in a migration,
    which runs outside any scope; BadInput.
    """
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise BadInput(f"Say why changes are not captured, in 1 to {MAX_REASON} characters.")
    scope = current_scope()
    place = ("tenant", str(scope.tenant.id), scope.tenant.slug) if scope.tenant else ("platform", "platform", "")
    entry = record("capture.paused", place, description=reason)
    with without_capture(entry):
        yield
