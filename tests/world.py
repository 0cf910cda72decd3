"""The standing world of the tests: two companies, their people and keys, and the platform's staff.

alice is admin of acme, bob its auditor, olga its owner, mia a member; charlie is admin of globex; sam (admin),
sue (support) and bill (billing) are platform staff. The world is made once per worker in a template database, and
each test that asks for it gets a clone (about 30 ms), so that transactions really commit and nothing is shared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

PASSWORD = "correct horse battery staple"
PEOPLE = {
    "olga": ("acme", "owner"),
    "alice": ("acme", "admin"),
    "bob": ("acme", "auditor"),
    "mia": ("acme", "member"),
    "charlie": ("globex", "admin"),
}
STAFF = {"sam": "admin", "sue": "support", "bill": "billing"}
SCOPES = {"admin": "admin", "read": "audit:read", "write": "audit:write"}


def address(name: str) -> str:
    """Return a person's e-mail address."""
    return f"{name}@{PEOPLE[name][0]}.example" if name in PEOPLE else f"{name}@daybook.example"


def build() -> dict[str, str]:
    """Make the world in the current database; return the keys' secrets by `acme.write`, `sam`."""
    from subscriptions import lifecycle
    from subscriptions.models import Plan
    from tenants import apikeys, invitations, people, provisioning
    from tenants.context import SYSTEM, platform_scope, tenant_scope

    tenants = {
        slug: provisioning.create_tenant(slug=slug, name=slug.title(), domain=f"{slug}.localhost")
        for slug in ("acme", "globex")
    }
    secrets: dict[str, str] = {}
    with platform_scope(actor=SYSTEM):
        plans = {slug: Plan.objects.create(slug=slug, name=slug.title()) for slug in ("free", "premium")}
        for name, (slug, role) in PEOPLE.items():
            user = people.create_user(email=address(name), name=name.title())
            people.set_password(user, PASSWORD)
            people.set_role(user, tenants[slug], role)
        for name, role in STAFF.items():
            user = people.create_user(email=address(name), name=name.title(), staff_role=role)
            people.set_password(user, PASSWORD)
            secrets[name] = apikeys.issue(name=f"{name}'s token", user=user)[1]
        for slug, tenant in tenants.items():
            lifecycle.subscribe(tenant, plans["free"])
            for word, scope in SCOPES.items():
                secrets[f"{slug}.{word}"] = apikeys.issue(name=f"{slug} {word}", tenant=tenant, scopes=[scope])[1]
    for slug, tenant in tenants.items():
        with tenant_scope(tenant, actor=SYSTEM):
            invitations.invite(f"ivy@{slug}.example", "auditor", by_owner=True, base=f"http://{slug}.localhost")
    return secrets


@dataclass(frozen=True)
class World:
    """A test's own copy of the world. Tenants and people are read afresh; nothing is cached between tests."""

    database: str
    superuser: str
    keys: dict[str, str] = field(repr=False)

    def tenant(self, slug: str) -> Any:
        """Return what the gate tells of a tenant."""
        from tenants import gate

        return gate.tenant(slug)

    @property
    def acme(self) -> Any:
        """The tenant acme."""
        return self.tenant("acme")

    @property
    def globex(self) -> Any:
        """The tenant globex."""
        return self.tenant("globex")

    def person(self, name: str) -> Any:
        """Return a person of the world by first name."""
        from tenants import gate

        return gate.person(email=address(name))

    def actor(self, name: str) -> Any:
        """Return a person as a scope's actor."""
        from tenants.context import Actor

        person = self.person(name)
        return Actor("staff" if name in STAFF else "user", str(person.pk), person.email, person.pk)

    def scope(self, slug: str, name: str | None = None, **origin: Any) -> Any:
        """Open a unit of work in a tenant as a person (the system without one)."""
        from tenants.context import SYSTEM, Origin, tenant_scope

        return tenant_scope(self.tenant(slug), actor=self.actor(name) if name else SYSTEM, origin=Origin(**origin))

    def platform(self, name: str = "sam") -> Any:
        """Open a unit of work of the platform as a member of staff."""
        from tenants.context import platform_scope

        return platform_scope(actor=self.actor(name))

    def api(self, host: str = "acme", key: str | None = None) -> Api:
        """Return a client of a host (a tenant's slug, or `platform`), with one of the world's keys."""
        return Api("localhost" if host == "platform" else f"{host}.localhost", self.keys[key] if key else None)

    @staticmethod
    def sequence() -> None:
        """Give positions to all entries that are committed, and index their words, as the schedule does."""
        from audit.integrity import sequencer

        while sequencer.sequence() or sequencer.index_words():
            pass

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement as superuser: what a test needs to know beyond all walls."""
        import psycopg

        with psycopg.connect(self.superuser, dbname=self.database, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def dsn(self, slug: str | None = None) -> dict[str, Any]:
        """Return how to connect as the login of a tenant; without one, as the application's own."""
        from django.conf import settings

        from tenants.backend.pool import password_of

        database = settings.DATABASES["default"]
        login, password = str(database["USER"]), str(database["PASSWORD"])
        if slug:
            login = self.tenant(slug).login
            password = password_of(login, password)
        place = {"host": database["HOST"], "port": database["PORT"], "dbname": self.database}
        return {**place, "user": login, "password": password}

    def environment(self) -> dict[str, str]:
        """Return what a process needs in its environment to work with this world as the application does."""
        from urllib.parse import quote

        from django.conf import settings

        said = {name: quote(str(value), safe="") for name, value in self.dsn().items()}
        place = f"postgresql://{said['user']}:{said['password']}@/{said['dbname']}"
        return {
            "DATABASE_URL": f"{place}?host={said['host']}&port={said['port']}",
            "SECRET_KEY": settings.SECRET_KEY,
            "ALLOWED_HOSTS": "localhost,127.0.0.1,.localhost",
        }

    def entries(self, slug: str) -> int:
        """Return how many entries a tenant's trail has, counted beyond all walls."""
        schema = self.sql("SELECT schema_name FROM shared.tenants_tenant WHERE slug = %s", slug)[0][0]
        return int(self.sql(f"SELECT count(*) FROM {schema}.audit_log")[0][0])


@cache
def handler() -> Any:
    """Return the one handler of all clients: each would load the middleware anew, which takes 80 ms."""
    from django.test.client import ClientHandler

    return ClientHandler(enforce_csrf_checks=False)


class Api:
    """A client that sends JSON to one host, signed in by key or (after `sign_in`) by session."""

    def __init__(self, host: str, secret: str | None = None) -> None:
        from django.test import Client

        self.host = host
        self.client = Client(raise_request_exception=False, headers={"host": host})
        self.client.handler = handler()
        self.headers = {"authorization": f"Bearer {secret}"} if secret else {}

    def get(self, path: str, **parameters: Any) -> Any:
        """GET a path of the API with query parameters."""
        return self.client.get(path, parameters, headers=self.headers)

    def put(self, path: str, body: Any, **headers: str) -> Any:
        """PUT a body as JSON."""
        return self.client.put(path, body, content_type="application/json", headers={**self.headers, **headers})

    def post(self, path: str, body: Any, **headers: str) -> Any:
        """POST a body: JSON if it is no bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, data, content_type="application/json", headers={**self.headers, **headers})

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send JSON by any method, with the token of its own form where it is signed in."""
        data = b"" if body is None else json.dumps(body).encode()
        kind = "application/json" if data else "application/octet-stream"
        return self.client.generic(method, path, data, content_type=kind, headers={**self.headers, **headers})

    def bearing(self, secret: str) -> Api:
        """Return a client of the same host with another secret."""
        return Api(self.host, secret)

    def sign_in(self, name: str, password: str = PASSWORD) -> Any:
        """Sign in as a person through the form; return the answer."""
        form = {"login": address(name), "password": password, "next": "/admin/"}
        return self.client.post("/accounts/login/", form)


def uuid_of(entry: Any) -> UUID:
    """Return an entry's id as the API shows it."""
    return UUID(entry["id"])
