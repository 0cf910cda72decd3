"""What the probe of the walls asks of each endpoint: by foreign ids, filters and bodies, one way for each route."""

from __future__ import annotations

from typing import Any

from probing import (
    HOSTS,
    Actor,
    Ask,
    Endpoint,
    Plant,
    Probe,
    endpoints,
    simple,
)
from world import STAFF

from tenants.roles import RIGHTS_OF_STAFF, Right


def plain(_plant: Plant, _actor: Actor) -> list[Ask]:
    """Ask for what takes no parameters."""
    return [Ask(foreign=False)]


def counts(planted: Plant, _actor: Actor) -> list[Ask]:
    """Count by filters that name something foreign."""
    ids = planted.ids
    filters = [
        {"actor": ids["actor"]},
        {"resource_type": ids["type"], "resource_id": ids["thing"]},
        {"q": ids["thing"]},
    ]
    return [Ask(foreign=False), *(Ask(query=one, foreign=False) for one in filters)]


def lists(**in_path: str) -> Probe:
    """Ask for a list: as it is, and by each filter that could name something foreign."""

    def asks(planted: Plant, _actor: Actor) -> list[Ask]:
        ids = planted.ids
        filled = {name: ids[kind] for name, kind in in_path.items()}
        filters: list[dict[str, str]] = [
            {"actor": ids["actor"]}, {"resource_type": ids["type"], "resource_id": ids["thing"]},
            {"action": "planted", "order": "asc"}, {"cursor": ids["cursor"]}, {"tenant": ids["tenant"]},
        ]  # fmt: skip
        return [Ask(filled, foreign=False)] + [Ask(filled, one, foreign="action" not in one) for one in filters]

    return asks


def by_ids(name: str, *kinds: str) -> Probe:
    """Ask for something by each of several ids in the path."""
    return lambda planted, _actor: [Ask({name: planted.ids[kind]}) for kind in kinds]


def written(planted: Plant, _actor: Actor) -> list[Ask]:
    """Write what names foreign things, under a foreign key, and one that claims to be of another tenant."""
    event = simple(planted.ids["thing"])
    return [
        Ask(body={**event, "idempotency_key": planted.ids["key"]}, foreign=False),
        Ask(body={"events": [{**event, "actor": {"type": "user", "id": planted.ids["user"]}}]}, foreign=False),
        Ask(body={**event, "tenant": {"id": planted.ids["tenant"]}}),
        Ask(body={**event, "id": planted.ids["entry"]}),
    ]


def strict(_plant: Plant, _actor: Actor) -> list[Ask]:
    """Set the strict mode of one's own catalogue to what it is."""
    return [Ask(body={"strict": False}, foreign=False)]


def declared(planted: Plant, _actor: Actor) -> list[Ask]:
    """Declare a type of a foreign name, which is one's own then, and one that claims to be of another tenant."""
    name = {"event_type": planted.ids["event_type"]}
    return [Ask(name, body={}, foreign=False), Ask(name, body={"tenant": planted.ids["tenant"]})]


def exported(planted: Plant, _actor: Actor) -> list[Ask]:
    """Export in each form, as it is and by filters that name something foreign."""
    ids, forms = planted.ids, ("csv", "jsonl", "parquet", "ocsf", "cloudevents", "ecs")
    filters = [{"actor": ids["actor"]}, {"resource_type": ids["type"], "resource_id": ids["thing"]}]
    asks = [Ask(query={"format": form}, foreign=False) for form in forms]
    return asks + [Ask(query={"format": "jsonl", **one}, foreign=False) for one in filters]


def asked_for(planted: Plant, _actor: Actor) -> list[Ask]:
    """Ask for an export of what is foreign: of one's own trail, that is nothing."""
    filters = [{"actor": planted.ids["actor"]}, {"resource_id": planted.ids["thing"], "tenant": planted.ids["tenant"]}]
    return [Ask(body={"format": "csv", "filter": one}, foreign=False) for one in filters]


def unsigned(planted: Plant, _actor: Actor) -> list[Ask]:
    """Fetch a foreign file without a link, and with what is none."""
    return [Ask({"export_id": planted.ids["export"]}, query) for query in ({}, {"link": planted.ids["export"]})]


def for_a_reason(query: dict[str, str], **in_path: str) -> Probe:
    """Ask for a part of a foreign trail without a reason, and with one: but for staff who are shown it then."""

    def asks(planted: Plant, actor: Actor) -> list[Ask]:
        name = actor.name.removeprefix("key ")
        reasons: list[dict[str, str]] = [{}, {"reason": " "}, {"reason": "a probe"}]
        if Right.READ_TENANT_TRAIL in RIGHTS_OF_STAFF.get(STAFF.get(name, ""), ()):
            reasons.pop()
        more = {name: planted.ids[kind] for name, kind in in_path.items()}
        return [
            Ask({"tenant": planted.ids[kind], **more}, {**query, **reason})
            for kind in ("slug", "tenant") for reason in reasons
        ]  # fmt: skip

    return asks


def change_plan(planted: Plant, _actor: Actor) -> list[Ask]:
    """Change a foreign tenant's plan: for staff to the one it has, which changes nothing."""
    plan = "free" if _actor.side == "platform" else "premium"
    return [Ask({"tenant": planted.ids[kind]}, body={"plan": plan, "reason": "a probe"}) for kind in ("slug", "tenant")]


def change_rates(planted: Plant, _actor: Actor) -> list[Ask]:
    """Change what a plan allows: for staff to what it allows already."""
    rates = (60_000, 30_000) if _actor.side == "platform" else (None, None)
    names = ("requests_per_minute", "requests_per_minute_of_one")
    body = {**dict(zip(names, rates, strict=True)), "reason": "a probe"}
    return [Ask({"plan": plan}, body=body) for plan in ("free", planted.ids["tenant"])]


def deleted(planted: Plant, actor: Actor) -> list[Ask]:
    """Delete by the admin's form: staff only look at its question, since they may."""
    body = {} if actor.side == "platform" else {"post": "yes"}
    return [Ask({"object_id": planted.ids[kind]}, body=body) for kind in ("entry", "user")]


def form(planted: Plant, _actor: Actor) -> list[Ask]:
    """Send a page of the admin a form that would change things."""
    ids = planted.ids
    body = {"_selected_action": ids["entry"], "action": "delete_selected", "post": "yes", "email": "x@example.com"}
    return [Ask({name: ids[kind] for name, kind in (("object_id", "entry"), ("url", "entry"))} | APP, body=body)]


def looked(planted: Plant, _actor: Actor) -> list[Ask]:
    """Look at the admin's list under its filters."""
    ids = planted.ids
    filters: list[dict[str, str]] = [
        {}, {"actor": ids["actor"]}, {"resource_type": ids["type"], "resource_id": ids["thing"]},
        {"before": ids["entry"]}, {"q": ids["email"][:3]}, {"tenant": ids["slug"]},
    ]  # fmt: skip
    return [Ask(query=one) for one in filters]


def account(planted: Plant, _actor: Actor) -> list[Ask]:
    """Look at a page of accounts, or send it all that its forms take, of somebody else."""
    email = planted.ids["email"]
    words = {"login": email, "email": email, "action_add": "", "action_primary": "", "action_remove": "", "code": "1"}
    return [Ask(body={**words, "password": "wrong", "oldpassword": "wrong", "password1": "x" * 20}, foreign=False)]


def reset_link(planted: Plant, _actor: Actor) -> list[Ask]:
    """Set somebody else's password by a link that was never sent."""
    person = planted.ids["user"].replace("-", "")
    return [Ask({"uidb36": person, "key": "set-password"}, body={"password1": "x" * 20}, foreign=False)]


def never_sent(name: str) -> Probe:
    """Follow a link that was never sent: to confirm an address, to accept an invitation."""
    body = {"name": "x", "password": "x" * 20}
    return lambda planted, _actor: [Ask({name: planted.ids["user"]}, body=body, foreign=False)]


def trusted(planted: Plant, _actor: Actor) -> list[Ask]:
    """Name a provider, also for somebody else's tenant."""
    said = {"issuer": "https://login.evil.example", "audience": "x", "roles": {"x": "admin"}}
    return [Ask(body=said, foreign=False), Ask(body={**said, "tenant": planted.ids["tenant"]})]


def probe_of_account(endpoint: Endpoint, method: str) -> Probe:
    """Return the probe of one of django-allauth's pages: what they take is told by their names."""
    if endpoint.route == "accounts/logout":
        # It ends the actor's own session: its form is sent to no one's.
        return plain if method == "GET" else lambda _plant, _actor: []
    if "uidb36" in endpoint.parameters:
        return reset_link
    return never_sent(endpoint.parameters[0]) if endpoint.parameters else account


def by_cursor(kind: str) -> Probe:
    """Ask for a list of one's own: as it is, and from a foreign row on."""
    return lambda planted, _actor: [Ask(foreign=False), Ask(query={"cursor": planted.ids[kind]}, foreign=False)]


def sent(name: str, body: Any, *kinds: str) -> Probe:
    """Send a body to something by each of several ids in the path."""
    return lambda planted, _actor: [Ask({name: planted.ids[kind]}, body=body) for kind in kinds]


def key_for_another(planted: Plant, _actor: Actor) -> list[Ask]:
    """Make a key that claims to be of another tenant, or of another person."""
    key = {"name": "probe", "scopes": ["admin"]}
    return [Ask(body={**key, "tenant_id": planted.ids["tenant"]}), Ask(body={**key, "user_id": planted.ids["user"]})]


def invited(planted: Plant, _actor: Actor) -> list[Ask]:
    """Invite somebody who has an account elsewhere, and into another tenant."""
    invitation = {"email": planted.ids["email"], "role": "member"}
    return [Ask(body=invitation, foreign=False), Ask(body={**invitation, "tenant": planted.ids["tenant"]})]


def accepted(planted: Plant, _actor: Actor) -> list[Ask]:
    """Accept a foreign invitation by its id."""
    return [Ask(body={"token": planted.ids["invitation"], "password": "long enough for it"})]


def embedded(planted: Plant, _actor: Actor) -> list[Ask]:
    """Make a viewer token that is bound to what is foreign: it shows nothing."""
    ids = planted.ids
    bound = {"resource_type": ids["type"], "resource_id": ids["thing"], "actor": ids["actor"]}
    return [Ask(body=bound, foreign=False), Ask(body={"tenant": ids["tenant"]})]


def signed_in(planted: Plant, _actor: Actor) -> list[Ask]:
    """Sign in with a foreign address and a wrong password."""
    return [Ask(body={"username": planted.ids["email"], "password": "wrong"}, foreign=False)]


def told(planted: Plant, _actor: Actor) -> list[Ask]:
    """Write and export as WorkOS' clients do, of an organization that is not one's own, and of foreign actors."""
    ids = planted.ids
    event = {
        "action": "planted", "occurred_at": "2026-01-01T00:00:00Z", "actor": {"type": "user", "id": ids["user"]},
        "targets": [{"type": "thing", "id": ids["thing"]}], "context": {"location": ids["thing"]},
    }  # fmt: skip
    period = {"range_start": "2026-01-01T00:00:00Z", "range_end": "2030-01-01T00:00:00Z", "actor_ids": [ids["actor"]]}
    bodies: list[dict[str, Any]] = [{"event": event}, period]
    return [
        Ask(body={"organization_id": ids[kind], **body}, foreign=ids[kind] != _actor.side)
        for kind in ("slug", "tenant") for body in bodies
    ]  # fmt: skip


def action_schema(planted: Plant, _actor: Actor) -> list[Ask]:
    """Put a schema of an action of a foreign name, which is one's own then."""
    return [Ask({"action": planted.ids["event_type"]}, body={"targets": [{"type": "thing"}]}, foreign=False)]


def label(app: str) -> Probe:
    """Ask for the admin's page of an application."""
    return lambda _plant, _actor: [Ask({"app_label": app}, foreign=False)]


APP = {"app_label": "audit"}
OBJECT = by_ids("object_id", "entry", "user")
ACCOUNTS = {
    f"{method} {it.route}": probe_of_account(it, method)
    for it in endpoints(HOSTS["acme"])
    if it.route.startswith("accounts/")
    for method in it.methods
}
# One line for each method of each route of both hosts; the test that compares fails without it.
PROBES: dict[str, Probe] = {
    "GET healthz": plain, "POST healthz": plain, "GET readyz": plain, "POST readyz": plain,
    "GET metrics": plain, "POST metrics": plain,
    "GET api/schema": plain, "GET api/docs": plain,
    "GET api/v1/audit-logs": lists(), "POST api/v1/audit-logs": written,
    "GET api/v1/audit-logs/export": exported,
    "GET api/v1/audit-logs/stats": counts,
    "GET api/v1/audit-logs/<str:entry_id>": by_ids("entry_id", "entry", "first", "tenant"),
    "GET api/v1/events": plain, "PUT api/v1/events": strict,
    "GET api/v1/events/<name:event_type>": by_ids("event_type", "event_type", "thing"),
    "PUT api/v1/events/<name:event_type>": declared,
    "GET api/v1/exports": plain, "POST api/v1/exports": asked_for,
    "GET api/v1/exports/<str:export_id>": by_ids("export_id", "export", "entry"),
    "GET api/v1/exports/<str:export_id>/file": unsigned,
    "GET api/v1/resources/<str:resource_type>/<anytext:resource_id>/history": lists(
        resource_type="type", resource_id="thing"
    ),
    "GET api/v1/actors/<anytext:actor>/activity": lists(actor="actor"),
    "GET api/v1/subscription": plain,
    "GET api/v1/identity-provider": plain, "PUT api/v1/identity-provider": trusted,
    "DELETE api/v1/identity-provider": plain,
    "GET api/v1/api-keys": by_cursor("api_key"), "POST api/v1/api-keys": key_for_another,
    "GET api/v1/api-keys/<str:key_id>": by_ids("key_id", "api_key", "tenant"),
    "DELETE api/v1/api-keys/<str:key_id>": by_ids("key_id", "api_key", "tenant"),
    "POST api/v1/api-keys/<str:key_id>/rotate": sent("key_id", {}, "api_key", "tenant"),
    "GET api/v1/members": by_cursor("user"),
    "GET api/v1/members/<str:member_id>": by_ids("member_id", "user", "tenant"),
    "PATCH api/v1/members/<str:member_id>": sent("member_id", {"role": "admin"}, "user", "tenant"),
    "DELETE api/v1/members/<str:member_id>": by_ids("member_id", "user", "tenant"),
    "GET api/v1/members/invitations": by_cursor("invitation"), "POST api/v1/members/invitations": invited,
    "DELETE api/v1/members/invitations/<str:invitation_id>": by_ids("invitation_id", "invitation", "user"),
    "POST api/v1/invitations/accept": accepted,
    "POST api/v1/viewer-tokens": embedded, "GET api/v1/viewer-tokens/self": plain,
    "GET api/v1/platform/plans": plain,
    "POST api/v1/platform/plans/<str:plan>/change-rates": change_rates,
    "GET api/v1/platform/tenants": lists(),
    "GET api/v1/platform/tenants/<str:tenant>/subscription": by_ids("tenant", "slug", "tenant"),
    "POST api/v1/platform/tenants/<str:tenant>/subscription/change-plan": change_plan,
    "GET api/v1/platform/tenants/<str:tenant>/audit-logs": for_a_reason({}),
    "GET api/v1/platform/tenants/<str:tenant>/audit-logs/stats": for_a_reason({}),
    "GET api/v1/platform/tenants/<str:tenant>/audit-logs/export": for_a_reason({"format": "jsonl"}),
    "GET api/v1/platform/tenants/<str:tenant>/audit-logs/<str:entry_id>": for_a_reason({}, entry_id="entry"),
    "GET api/v1/platform/platform-logs": lists(),
    "GET api/v1/platform/platform-logs/<str:entry_id>": by_ids("entry_id", "entry", "first"),
    "POST audit_logs/events": told, "POST audit_logs/exports": told,
    "GET audit_logs/exports/<str:export_id>": by_ids("export_id", "export", "entry"),
    "GET audit_logs/actions": plain,
    "GET audit_logs/actions/<anytext:action>/schemas": by_ids("action", "event_type", "thing"),
    "POST audit_logs/actions/<anytext:action>/schemas": action_schema,
    **{
        f"{method} organizations/<str:organization>/{what}": by_ids("organization", "slug", "tenant")
        for method, what in (
            ("GET", "audit_logs_retention"), ("PUT", "audit_logs_retention"), ("GET", "audit_log_configuration")
        )
    },
    "GET admin": plain, "POST admin": plain,
    "GET admin/login": plain, "POST admin/login": plain,
    **ACCOUNTS,
    # Signing out ends the actor's own session: its form is sent to no one's.
    "GET admin/logout": plain, "POST admin/logout": lambda _plant, _actor: [],
    "GET admin/jsi18n": plain, "POST admin/jsi18n": plain,
    **{f"GET admin/{page}": looked for page in ("audit/auditlog", "subscriptions/platformlog", "tenants/user")},
    **{f"POST admin/{page}": form for page in ("audit/auditlog", "subscriptions/platformlog", "tenants/user")},
    **{
        f"{method} admin/{page}/<path:object_id>{action}": probe
        for page in ("audit/auditlog", "subscriptions/platformlog", "tenants/user")
        for method, action, probe in (
            ("GET", "/change", OBJECT), ("POST", "/change", form),
            ("GET", "/delete", OBJECT), ("POST", "/delete", deleted),
            ("GET", "", OBJECT),
        )
    },
    **{
        f"{method} admin/^(?P<app_label>{labels})/$": label(labels.partition("|")[0])
        for method in ("GET", "POST") for labels in ("audit", "subscriptions|tenants")
    },
    "GET admin/(?P<url>.*)$": by_ids("url", "entry", "tenant"), "POST admin/(?P<url>.*)$": form,
}  # fmt: skip
