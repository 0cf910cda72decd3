"""Members of acme and invitations to it over HTTP, for the tests of both."""

from __future__ import annotations

import re
from typing import Any

from django.core import mail
from world import World

from audit.models import AuditLog
from tenants import mail as outgoing

INVITATIONS = "/api/v1/members/invitations"
ACCEPT = "/api/v1/invitations/accept"
ROWS = "SELECT (tenant_id, user_id, role, ended_at)::text FROM shared.tenants_membership ORDER BY id"
OPEN = "SELECT count(*) FROM shared.tenants_invitation WHERE accepted_at IS NULL AND withdrawn_at IS NULL"
NEW = "n3w and long enough"


def of(world: World, name: str) -> Any:
    """Return the browser of somebody of acme, or a client with one of its keys."""
    if "." in name:
        return world.api("acme", name)
    api = world.api()
    assert api.sign_in(name).status_code == 302
    return api


def role(world: World, name: str) -> str | None:
    query = "SELECT role FROM shared.tenants_membership WHERE user_id = %s AND ended_at IS NULL"
    found = world.sql(query, world.person(name).pk)
    return found[0][0] if found else None


def said(world: World, action: str) -> list[Any]:
    with world.scope("acme"):
        return list(AuditLog.objects.of_action(action).filter(captured=False))


def invited(world: World, email: str, as_role: str = "auditor", by: str = "alice") -> Any:
    mail.outbox.clear()
    answer = of(world, by).send("POST", INVITATIONS, {"email": email, "role": as_role})
    outgoing.wait()
    return answer


def token() -> str:
    """Return the token of the e-mail that was sent last."""
    found = re.search(r"/accounts/invitation/(\S+)", str(mail.outbox[-1].body))
    assert found
    return found[1].replace("%3A", ":")


def accepted(world: World, secret: str, password: str = NEW, host: str = "acme", **more: str) -> Any:
    return world.api(host).post(ACCEPT, {"token": secret, "password": password, **more})
