"""The probe of all by all: every endpoint of both URL resolvers, as every actor, with everybody else's ids.

Each tenant's data, and the platform's, bear strings that stand nowhere else (canaries). No answer may hold one
that its reader may not see, unless the reader sent it himself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv6Address
from secrets import randbits, token_hex
from typing import Any

from django.urls import URLPattern, get_resolver
from django.views.generic import RedirectView
from world import PEOPLE, STAFF, Api, World, address

from audit import catalogue
from audit.events import Event, Party, RequestContext
from audit.models import AuditLog
from subscriptions import platform_log
from tenants import gate, viewing
from tenants.context import Actor as MadeBy

HOSTS = {"acme": "config.urls_tenant", "globex": "config.urls_tenant", "platform": "config.urls_platform"}
READERS = ("olga", "alice", "bob", "charlie", "admin", "read")
# Methods that a view offers by itself, and that carry no data in or out beyond what GET does.
_IMPLIED = {"head", "options"}
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
# Each kind of foreign id is asked for in the place of every other.
CROSSED = ("entry", "first", "tenant", "user", "api_key", "invitation", "subscription", "slug", "export")
STRANGE = ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@dataclass(frozen=True)
class Endpoint:
    """One route of one host, without regard to a trailing slash, and the methods that it offers."""

    route: str
    methods: frozenset[str]

    def path(self, parameters: Mapping[str, str]) -> str:
        """Return the path with its parameters filled in. Raises KeyError for one that is not given."""
        return "/" + _PARAMETER.sub(lambda match: parameters[match[1]], self._plain)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of what must be filled in and may be an id; an application's name is a word of the route."""
        return tuple(name for name in _PARAMETER.findall(self._plain) if name != "app_label")

    @property
    def _plain(self) -> str:
        plain = self.route.replace("^", "").replace("$", "")
        return re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", plain)


def endpoints(urlconf: str) -> list[Endpoint]:
    """Return all endpoints that a resolver knows."""
    found: dict[str, set[str]] = {}
    for route, pattern in _patterns(get_resolver(urlconf).url_patterns):
        found.setdefault(route.removesuffix("/") or "/", set()).update(_methods(pattern.callback))
    return [Endpoint(route, frozenset(methods)) for route, methods in sorted(found.items())]


def _patterns(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield route, pattern
        else:
            yield from _patterns(pattern.url_patterns, route)


def _methods(view: Any) -> set[str]:
    """Return the methods of a class-based view; a function may be sent a form, a redirect looks at no method."""
    cls = getattr(view, "cls", getattr(view, "view_class", None))
    if cls is None:
        return {"GET", "POST"}
    if issubclass(cls, RedirectView):
        return {"GET"}
    return {name.upper() for name in cls.http_method_names if hasattr(cls, name) and name not in _IMPLIED}


@dataclass(frozen=True)
class Plant:
    """What a tenant (or the platform) has that others must not see, by group, and ids to ask for it with."""

    slug: str
    ids: dict[str, str]
    canaries: dict[str, list[str]]


@dataclass(frozen=True)
class Actor:
    """One who asks: a person's session, a key, a token, or nobody."""

    name: str
    side: str | None
    sees: frozenset[str]
    api: Callable[[str], Api]
    own: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Ask:
    """One request: what fills the route, the query and the body.

    `foreign`: it names what is not the actor's. `crossed`: all parameters are filled with an id of any kind.
    """

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    foreign: bool = True
    crossed: bool = False


Probe = Callable[[Plant, Actor], list[Ask]]


@dataclass(frozen=True)
class Finding:
    """What the probe found: who, where, and what came through."""

    actor: str
    host: str
    request: str
    status: int
    what: str


def sign(slug: str, kind: str) -> str:
    """Return a canary: a string that stands nowhere else."""
    return f"canary-{slug}-{kind}-{token_hex(6)}"


def plant(world: World, slug: str) -> Plant:
    """Put canaries into a tenant's trail, in each field that the API or the admin shows."""
    kinds = ("type", "thing", "label", "actor", "who", "text", "value", "key", "agent", "request")
    names = {kind: sign(slug, kind) for kind in kinds} | {"ip": str(IPv6Address((0x20010DB8 << 96) + randbits(64)))}
    with world.scope(slug, "alice" if slug == "acme" else "charlie", request_id=names["request"]):
        entry = write(names)
    tenant = world.tenant(slug)
    subscription = str(
        world.sql("SELECT id FROM shared.subscriptions_tenantsubscription WHERE tenant_id = %s", tenant.id)[0][0]
    )
    people = world.sql(
        "SELECT u.id::text, u.email FROM shared.tenants_user u JOIN shared.tenants_membership m ON m.user_id = u.id"
        " WHERE m.tenant_id = %s",
        tenant.id,
    )
    keys = world.sql("SELECT id::text FROM shared.tenants_apikey WHERE tenant_id = %s", tenant.id)
    invitations = world.sql("SELECT id::text, email FROM shared.tenants_invitation WHERE tenant_id = %s", tenant.id)
    first = world.sql(f"SELECT id::text FROM {tenant.schema_name}.audit_log ORDER BY id LIMIT 1")[0][0]
    admin = world.api(slug, f"{slug}.admin")
    admin.post("/api/v1/audit-logs", {**simple(names["thing"]), "idempotency_key": names["key"]})
    names["event_type"] = kind = sign(slug, "event")
    with world.scope(slug):
        catalogue.declare(kind, description=sign(slug, "words"), schema={}, personal=[], told={"en": kind})
    asked = {"format": "jsonl", "filter": {"actor": names["actor"]}}
    export = admin.post("/api/v1/exports", asked).json()["id"]
    ids = {
        "export": export, "entry": entry, "first": first,
        "tenant": str(tenant.id), "slug": slug, "subscription": subscription,
        "user": people[0][0], "email": people[0][1], "api_key": keys[0][0], "invitation": invitations[0][0],
        "cursor": admin.get("/api/v1/audit-logs", limit="1").json()["next_cursor"], **names,
    }  # fmt: skip
    canaries = {
        f"{slug}.trail": [entry, export, *names.values()],
        f"{slug}.people": [text for row in people for text in row],
        f"{slug}.keys": [row[0] for row in keys],
        f"{slug}.invitations": [text for row in invitations for text in row],
        f"{slug}.subscription": [subscription],
        f"{slug}.self": [str(tenant.id)],
        "schemas": [tenant.schema_name],
    }
    return Plant(slug, ids, canaries)


def plant_platform(world: World) -> Plant:
    """Put canaries into the platform log."""
    names = {kind: sign("platform", kind) for kind in ("thing", "label", "text", "value")}
    with world.platform("sam"):
        entry = platform_log.log_action(
            "planted", "thing", names["thing"], {"field": {"new": names["value"]}}, description=names["text"],
            resource_label=names["label"],
        )  # fmt: skip
    people = world.sql("SELECT id::text, email FROM shared.tenants_user WHERE staff_role <> ''")
    tokens = world.sql("SELECT id::text FROM shared.tenants_apikey WHERE tenant_id IS NULL")
    ids = {
        "entry": str(entry.pk),
        "first": str(entry.pk),
        "tenant": "acme",
        "slug": "acme",
        "user": people[0][0],
        **names,
    }
    ids |= {
        "export": "none",
        "type": "thing",
        "actor": people[0][0],
        "email": people[0][1],
        "key": "none",
        "cursor": "none",
        "event_type": names["thing"],
    }
    # The platform invites nobody.
    ids |= {"api_key": tokens[0][0], "invitation": str(entry.pk)}
    canaries = {
        "platform.trail": [str(entry.pk), *names.values()],
        "platform.people": [it for row in people for it in row],
    }
    return Plant("platform", ids, canaries)


def write(names: Mapping[str, str]) -> str:
    """Write one entry of which each shown field is a canary; return its id."""
    from audit import ledger

    event = Event(
        action="planted", resource=Party(names["type"], names["thing"], names["label"]),
        actor=Party("user", names["actor"], names["who"]), targets=(Party("target", names["thing"], names["label"]),),
        changes={"field": {"old": None, "new": names["value"]}, "secret": names["value"]}, description=names["text"],
        metadata={names["value"]: names["text"]}, personal=frozenset({"secret"}),
        context=RequestContext(user_agent=names["agent"], ip=names["ip"]),
    )  # fmt: skip
    return str(ledger.append(AuditLog, [event])[0].pk)


def simple(thing: str) -> dict[str, Any]:
    """Return an event as the API takes it."""
    return {"action": "updated", "resource": {"type": "thing", "id": thing}}


def actors(world: World) -> list[Actor]:
    """Return everybody who can ask; signs people in on their own side."""
    found = [Actor("nobody", None, frozenset(), world.api)]
    for name in (*PEOPLE, *STAFF):
        side = PEOPLE[name][0] if name in PEOPLE else "platform"
        own = frozenset({address(name), str(world.person(name).pk)})
        found.append(Actor(name, side, _sees(side, name), _session(world, side, name), own))
    for name, secret in world.keys.items():
        side = name.partition(".")[0] if "." in name else "platform"
        key = gate.key(secret)
        own = frozenset({str(key.id)}) if key else frozenset()
        api = partial(world.api, key=name)
        found.append(Actor(f"key {name}", side, _sees(side, name.rpartition(".")[2]), api, own))
    for slug in ("acme", "globex"):
        key_id = world.sql("SELECT id FROM shared.tenants_apikey WHERE name = %s", f"{slug} read")[0][0]
        tenant, maker = world.tenant(slug), MadeBy("api_key", str(key_id))
        with world.scope(slug):
            token = viewing.issue(tenant, maker, lifetime=viewing.LONGEST)[1]
        found.append(Actor(f"view {slug}", slug, _sees(slug, "read"), partial(_bearing, world, token)))
    return found


def _bearing(world: World, token: str, host: str) -> Api:
    return world.api(host).bearing(token)


def _sees(side: str, name: str) -> frozenset[str]:
    """Return the groups of canaries that an actor may see."""
    if side == "platform":
        own = {"platform.trail", "platform.people", "schemas"}
        everywhere = ("self", "people", "keys", "invitations", "subscription")
        return frozenset(own | {f"{slug}.{kind}" for slug in ("acme", "globex") for kind in everywhere})
    kinds = {"self", "trail", "people", "keys", "invitations", "subscription"} if name in READERS else {"self"}
    return frozenset(f"{side}.{kind}" for kind in kinds)


def _session(world: World, side: str, name: str) -> Callable[[str], Api]:
    signed_in = world.api(side)
    assert signed_in.sign_in(name).status_code == 302

    def api(host: str) -> Api:
        """Return a client of any host that carries the same cookies."""
        there = world.api(host)
        there.client.cookies.update(signed_in.client.cookies)
        return there

    return api


def send(api: Api, method: str, path: str, ask: Ask) -> Any:
    """Send a request; forms for pages, JSON for everything else."""
    if method == "GET":
        return api.client.get(path, ask.query, headers=api.headers)
    if path.startswith(("/admin", "/accounts")) and method == "POST":
        return api.client.post(path, ask.body or {}, headers=api.headers)
    data = json.dumps(ask.body or {})
    return api.client.generic(method, path, data, content_type="application/json", headers=api.headers)


def said(answer: Any) -> str:
    """Return all that an answer says: headers, cookies, body."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return f"{answer.status_code}\n{dict(answer.headers)}\n{answer.cookies}\n{body.decode(errors='replace')}"


def run(actor: Actor, plants: list[Plant], probes: Mapping[str, Probe], *, under: str = "") -> list[Finding]:
    """Ask everything (whose route begins with `under`) as one actor; return what came through that should not.

    All reading comes before any writing. What an actor has sent may come back to him later: from his own trail.
    """
    groups = [group for one in plants for group in one.canaries.items() if group[0] not in actor.sees]
    hidden = {text for _name, texts in groups for text in texts} - actor.own
    findings: list[Finding] = []
    places = [(host, it) for host, conf in HOSTS.items() for it in endpoints(conf) if it.route.startswith(under)]
    requests = [(host, *it) for host, endpoint in places for it in _requests(endpoint, actor, plants, probes)]
    # What was sent is not looked for any more, so each id is first asked for where it belongs.
    for host, method, path, ask in sorted(requests, key=lambda request: (request[1] != "GET", request[3].crossed)):
        sent = f"{method} {path} {ask.query} {ask.body}"
        hidden -= {text for text in hidden if text in sent}
        answer = send(actor.api(host), method, path, ask)
        findings += [Finding(str(actor), host, sent, answer.status_code, what) for what in _wrong(answer, hidden)]
        if ask.foreign and actor.side != "platform" and _is_full(answer):
            findings.append(Finding(str(actor), host, sent, answer.status_code, "finds something"))
    return findings


def _requests(
    endpoint: Endpoint, actor: Actor, plants: list[Plant], probes: Mapping[str, Probe]
) -> Iterator[tuple[str, str, Ask]]:
    """Yield method, path and what is asked of an endpoint, by the ids of everybody else; nothing twice."""
    said: set[str] = set()
    others = [one for one in plants if one.slug != actor.side] or plants
    for method in sorted(endpoint.methods):
        for one in others:
            for ask in [*probes[f"{method} {endpoint.route}"](one, actor), *_crossed(endpoint, method, one)]:
                # The platform's plant names acme, whose own people may ask for it.
                ask = replace(ask, foreign=ask.foreign and actor.side not in ask.path.values())  # noqa: PLW2901
                path = endpoint.path(ask.path)
                if (request := f"{method} {path} {replace(ask, crossed=False)}") not in said:
                    yield method, path, ask
                said.add(request)


def _crossed(endpoint: Endpoint, method: str, one: Plant) -> Iterator[Ask]:
    """Yield what reads an endpoint by each kind of id, in all of its parameters."""
    if method == "GET" and endpoint.parameters:
        for kind in CROSSED:
            if kind in one.ids:
                yield Ask(dict.fromkeys(endpoint.parameters, one.ids[kind]), crossed=True)


def _wrong(answer: Any, hidden: set[str]) -> list[str]:
    """Return what an answer must not show but does, and whether it breaks."""
    text = said(answer)
    wrong = [f"shows {canary}" for canary in sorted(hidden) if canary in text]
    return [*wrong, "breaks"] if answer.status_code >= 500 else wrong


def _is_full(answer: Any) -> bool:
    """Tell whether a request for what is somebody else's was answered with something."""
    if answer.status_code != 200:
        return bool(answer.status_code < 300)
    if "json" not in answer.get("Content-Type", ""):
        return False
    body = answer.json()
    return bool(body.get("results", True))


def contents(world: World, *sides: str) -> dict[str, str]:
    """Return a hash of what stands in the trails of these sides, and in the shared tables."""
    schemas = dict(world.sql("SELECT slug::text, schema_name::text FROM shared.tenants_tenant"))
    ids = dict(world.sql("SELECT slug::text, id::text FROM shared.tenants_tenant"))
    own = " OR ".join(f"tenant_id = '{ids[side]}'" for side in sides if side in ids) or "false"
    tables = {side: f"{schemas[side]}.audit_log" for side in sides if side in schemas}
    # The platform is told of what a tenant changes of its own.
    if "platform" in sides:
        tables["platform"] = f"(SELECT * FROM shared.platform_log WHERE {own} OR tenant_id IS NULL)"
    shared = ("tenants_tenant", "tenants_domain", "tenants_user", "tenants_membership", "subscriptions_plan",
              "subscriptions_tenantsubscription")  # fmt: skip
    tables |= {name: f"shared.{name}" for name in shared}
    # Of these each side has its own, which it may change; the last use of a key is none.
    columns = "tenant_id, user_id, name, digest, scopes, expires_at, revoked_at, replaced_by_id"
    tables["keys"] = f"(SELECT {columns} FROM shared.tenants_apikey WHERE {own} OR tenant_id IS NULL)"
    tables["invitations"] = f"(SELECT * FROM shared.tenants_invitation WHERE {own})"
    query = "SELECT t::text FROM {} t ORDER BY 1"
    return {
        name: hashlib.sha256(repr(world.sql(query.format(table))).encode()).hexdigest()
        for name, table in tables.items()
    }
