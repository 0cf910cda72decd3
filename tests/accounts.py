"""What tests of accounts share: pages as a browser has them, second factors, mails, entries."""

from __future__ import annotations

import re
import time
from typing import Any

from world import PASSWORD, World, address

from audit.models import AuditLog
from subscriptions.models import PlatformLog

LOGIN = "/accounts/login/"
SECRET = re.compile(
    r'id="authenticator_secret"[^>]*value="([A-Z2-7]+)"|value="([A-Z2-7]+)"[^>]*id="authenticator_secret"'
)
CODE = re.compile(r"\b\d{8}\b")


def browser(world: World, host: str = "acme", name: str | None = None, agent: str = "Firefox") -> Any:
    """Return a client of a host, signed in as a person if one is named."""
    client = world.api(host).client
    client.defaults["HTTP_USER_AGENT"] = agent
    if name:
        answer = sign_in(client, name)
        assert (answer.status_code, answer["Location"]) == (302, "/admin/"), answer.content
    return client


def sign_in(client: Any, name: str, password: str = PASSWORD, **headers: str) -> Any:
    """Send the form of the sign-in page."""
    return client.post(LOGIN, {"login": address(name), "password": password}, headers=headers)


def reauthenticate(client: Any, password: str = PASSWORD) -> Any:
    """Prove anew who one is, as pages that change an account ask."""
    return client.post("/accounts/reauthenticate/", {"password": password})


def code_of(secret: str, at: float | None = None) -> str:
    """Return what an authenticator app shows."""
    from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

    return str(format_hotp_value(hotp_value(secret, int(at or time.time()) // 30)))


def enrol(client: Any) -> tuple[str, list[str]]:
    """Add a second factor; return its secret and the recovery codes."""
    reauthenticate(client)
    page = client.get("/accounts/2fa/totp/activate/")
    assert page.status_code == 200, page.get("Location")
    found = SECRET.search(page.content.decode())
    assert found, page.content.decode()
    secret = found[1] or found[2]
    # A code of the step before, so that the one of now is left to sign in with.
    answer = client.post("/accounts/2fa/totp/activate/", {"code": code_of(secret, time.time() - 30)})
    assert answer.status_code == 302, answer.content.decode()
    return secret, CODE.findall(client.get(answer["Location"]).content.decode())


def told(world: World, slug: str | None = "acme", begins: str = "user.") -> list[Any]:
    """Return what code said in a trail of people (captured rows left out), oldest first."""
    with world.scope(slug) if slug else world.platform():
        trail: Any = AuditLog if slug else PlatformLog
        return list(trail.objects.filter(action__startswith=begins, captured=False).order_by("id"))


def actions(world: World, slug: str | None = "acme") -> list[str]:
    """Return the actions of what code said of people in a trail since the world was made."""
    made = {"user.created", "user.password_set"}
    return [entry.action for entry in told(world, slug) if entry.action not in made]
