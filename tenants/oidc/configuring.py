"""What a tenant says of its identity provider; each change is an entry of its trail."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.db import connection

from tenants.context import current_scope
from tenants.entrance import IdentityProvider
from tenants.errors import BadInput, NotFound
from tenants.gate import ProviderRef
from tenants.oidc import fetching
from tenants.oidc.fetching import CannotFetch
from tenants.recording import record

_SET = "SELECT guard.set_identity_provider(%s, %s, %s, %s, %s::jsonb, %s)"


def current() -> IdentityProvider:
    """Return the provider of the open scope's tenant. Raises NotFound."""
    found: IdentityProvider | None = IdentityProvider.objects.first()
    if found is None:
        raise NotFound("This tenant has named no identity provider.")
    return found


def put(said: ProviderRef) -> IdentityProvider:
    """Set the provider of the open scope's tenant, and record it. Nobody is asked. Raises BadInput."""
    _check(said.issuer)
    before = IdentityProvider.objects.first()
    values: list[Any] = [
        said.issuer,
        said.audience,
        said.algorithms,
        said.role_claim,
        json.dumps(said.roles),
        said.default_role,
    ]
    with connection.cursor() as cursor:
        cursor.execute(_SET, values)
    _record("identity_provider.set", said.issuer, _changes(before, said))
    return current()


def remove() -> None:
    """Forget the provider of the open scope's tenant, and record it: its tokens are refused from now on.

    Raises NotFound.
    """
    before = current()
    with connection.cursor() as cursor:
        cursor.execute("SELECT guard.remove_identity_provider()")
    _record("identity_provider.removed", before.issuer, _changes(before, None))


def _check(issuer: str) -> None:
    try:
        wrong = f"{issuer} must have no query." if fetching.checked(issuer).query else ""
    except CannotFetch as error:
        wrong = str(error)
    if wrong:
        raise BadInput(wrong, errors=[{"pointer": "/issuer", "code": "bad_issuer", "detail": wrong}])


def _changes(before: IdentityProvider | None, after: ProviderRef | None) -> dict[str, Any]:
    """Return the fields that differ, as entries tell them."""
    new = asdict(after) if after else {}
    names = ProviderRef.__dataclass_fields__
    pairs = {name: (getattr(before, name, None), new.get(name)) for name in names}
    return {name: {"old": old, "new": value} for name, (old, value) in pairs.items() if old != value}


def _record(action: str, issuer: str, changes: dict[str, Any]) -> None:
    tenant = current_scope().tenant
    record(action, ("identity_provider", str(tenant.id if tenant else ""), issuer), changes=changes)
