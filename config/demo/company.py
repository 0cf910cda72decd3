"""The demo's tenants, people, plans and keys. Whatever is there already is used again; keys are in `var/demo.json`."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from subscriptions.models import Plan
from tenants import apikeys, gate, people, provisioning
from tenants.context import SYSTEM, Origin, platform_scope
from tenants.models import ApiKey, Membership, Tenant, User

HOST = "localhost"
TENANTS = {"acme": "Acme", "globex": "Globex"}
PEOPLE = {
    "olga": ("acme", "owner"),
    "alice": ("acme", "admin"),
    "bob": ("acme", "auditor"),
    "mia": ("acme", "member"),
    "charlie": ("globex", "admin"),
    "gina": ("globex", "auditor"),
}
ADMINS = {"acme": "alice", "globex": "charlie"}
STAFF = "sam@daybook.example"
PLANS = {"free": "Free", "premium": "Premium", "enterprise": "Enterprise"}
SCOPES = {"admin": "admin", "read": "audit:read", "write": "audit:write"}

Document = dict[str, Any]
_SET_UP = Origin(source="command", request_id="demo-set-up")


def install(path: Path, port: int) -> Document:
    """Make what is missing and return what the file at `path` says then (its form is part of the public contract).

    Needs the owner's login (MIGRATION_DATABASE_URL) where a tenant is missing. Keys and passwords of a file that
    is lost, or belongs to another database, are made anew, and the old keys are revoked.
    """
    for slug, name in TENANTS.items():
        if gate.tenant(slug) is None:
            provisioning.create_tenant(slug=slug, name=name, domain=f"{slug}.{HOST}")
    with platform_scope(actor=SYSTEM, origin=_SET_UP):
        _plans_and_people()
    document = _read(path)
    if document is None:
        with platform_scope(actor=SYSTEM, origin=_SET_UP):
            document = _issue()
    _address(document, port)
    _write(path, document)
    return document


def persons() -> dict[str, dict[str, str]]:
    """Return the id of each person by tenant and name: those who act in the story."""
    with platform_scope(actor=SYSTEM):
        members = Membership.objects.filter(ended_at=None, tenant__slug__in=TENANTS).select_related("user", "tenant")
        found: dict[str, dict[str, str]] = {slug: {} for slug in TENANTS}
        for member in members:
            found[member.tenant.slug][member.user.email.partition("@")[0]] = str(member.user_id)
    return found


def _address_of(name: str) -> str:
    return f"{name}@{PEOPLE[name][0]}.example"


def _plans_and_people() -> None:
    """Make plans, people and memberships that are missing. Runs in a platform scope."""
    tenants = {tenant.slug: tenant for tenant in Tenant.objects.filter(slug__in=TENANTS)}
    for slug, name in PLANS.items():
        Plan.objects.get_or_create(slug=slug, defaults={"name": name})
    known = set(User.objects.values_list("email", flat=True).filter(email__in=[STAFF, *map(_address_of, PEOPLE)]))
    if STAFF not in known:
        people.create_user(email=STAFF, name="Sam", staff_role="admin")
    for name, (slug, role) in PEOPLE.items():
        if _address_of(name) not in known:
            person = people.create_user(email=_address_of(name), name=name.title())
            people.set_role(person, tenants[slug], role)


def _issue() -> Document:
    """Issue all keys and passwords anew and revoke the former keys. Runs in a platform scope."""
    document: Document = {"platform": {"staff_email": STAFF}, "tenants": {}}
    sam = User.objects.get(email=STAFF)
    document["platform"] |= {"staff_password": _password(sam), "token": _key("Demo token of Sam", user=sam)}
    for slug in TENANTS:
        tenant, password = Tenant.objects.get(slug=slug), ""
        for name in [name for name, (company, _) in PEOPLE.items() if company == slug]:
            password = _password(User.objects.get(email=_address_of(name)), password)
        document["tenants"][slug] = {
            "admin_email": _address_of(ADMINS[slug]),
            "admin_password": password,
            "keys": {word: _key(f"Demo {word}", tenant=tenant, scopes=[scope]) for word, scope in SCOPES.items()},
        }
    return document


def _password(person: User, password: str = "") -> str:
    """Set a person's password, a new random one by default, and return it. A company's people share one."""
    password = password or secrets.token_hex(8)
    people.set_password(person, password)
    return password


def _key(name: str, **owner: Any) -> str:
    """Issue a key in place of the former one of this name; return its secret."""
    whose = {word: value for word, value in owner.items() if word in {"tenant", "user"}}
    for former in ApiKey.objects.filter(name=name, revoked_at=None, **whose):
        apikeys.revoke(former)
    return apikeys.issue(name=name, **owner)[1]


def _read(path: Path) -> Document | None:
    """Return the file, if it is whole and all its keys are valid in this database."""
    try:
        document: Document = json.loads(path.read_text(encoding="utf-8"))
        keys = {slug: document["tenants"][slug]["keys"] for slug in TENANTS}
        fits = _valid(document["platform"]["token"], None) and bool(document["platform"]["staff_password"])
        for slug in TENANTS:
            fits = fits and bool(document["tenants"][slug]["admin_password"])
            fits = fits and all(_valid(keys[slug][word], slug) for word in SCOPES)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return document if fits else None


def _valid(secret: str, slug: str | None) -> bool:
    key = gate.key(secret)
    return key is not None and key.valid and (key.tenant.slug if key.tenant else None) == slug


def _address(document: Document, port: int) -> None:
    """Say under which addresses everything is served now."""
    document["platform"]["url"] = f"http://{HOST}:{port}"
    for slug in TENANTS:
        document["tenants"][slug] |= {"url": f"http://{slug}.{HOST}:{port}", "host": f"{slug}.{HOST}"}


def _write(path: Path, document: Document) -> None:
    """Write the file, readable by its owner alone, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(json.dumps(document, indent=2) + "\n")
    part.replace(path)
