"""What a process keeps between requests carries nothing to another tenant: caches, content types, memory itself."""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.cache import caches
from django.test import override_settings
from stock import scope
from units import run
from world import World

from audit import history
from audit.models import AuditLog
from tenants.errors import NoScope

OURS = ("config", "subscriptions", "audit", "tenants")


# --- Django's cache


def remembered(mine: str) -> list[str]:
    """Return what a view remembers under a name that is the same for all tenants."""
    found: Any = caches["default"].get_or_set("newest", lambda: [mine])
    return list(found)


@pytest.fixture
def _emptied() -> Iterator[None]:
    yield
    caches["default"].clear()


@pytest.mark.usefixtures("_emptied")
def test_what_one_tenant_has_cached_no_other_side_finds(world: World, pair: dict[str, Any]) -> None:
    for slug, tenant in pair.items():
        with scope(tenant):
            assert (remembered(slug), remembered("again")) == ([slug], [slug])
    with world.platform():
        assert remembered("platform") == ["platform"]
    with pytest.raises(NoScope):
        remembered("nobody")


@pytest.mark.parametrize("made", ["django_tenants.cache.make_key", "django.core.cache.backends.base.default_key_func"])
def test_control_with_other_keys_a_tenant_finds_what_another_cached(pair: dict[str, Any], made: str) -> None:
    backend = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": made, "KEY_FUNCTION": made}
    with override_settings(CACHES={"default": backend}):
        for tenant in pair.values():
            with scope(tenant):
                found = remembered(tenant.slug)
    assert found == ["acme"]


# --- content types


def believed_and_true(tenant: Any) -> tuple[int, int]:
    """Return a content type's number as the process remembers it, and as the tenant's path finds it."""
    with scope(tenant):
        remembers = ContentType.objects.get_for_model(AuditLog).pk
        return remembers, run("SELECT id FROM django_content_type WHERE model = 'auditlog'")


@pytest.fixture
def _forgotten() -> Iterator[None]:
    ContentType.objects.clear_cache()
    yield
    ContentType.objects.clear_cache()


@pytest.mark.usefixtures("_forgotten")
def test_a_content_type_is_the_same_for_all_tenants(world: World, pair: dict[str, Any]) -> None:
    numbers = {number for tenant in pair.values() for number in believed_and_true(tenant)}
    assert len(numbers) == 1
    assert world.sql("SELECT schemaname FROM pg_tables WHERE tablename = 'django_content_type'") == [("shared",)]


@pytest.mark.usefixtures("_forgotten")
def test_control_were_they_each_tenants_own_the_process_would_remember_anothers(
    world: World, pair: dict[str, Any]
) -> None:
    globex = pair["globex"]
    world.sql(f"""CREATE TABLE {globex.schema_name}.django_content_type (LIKE shared.django_content_type);
        INSERT INTO {globex.schema_name}.django_content_type VALUES (9999, 'audit', 'auditlog');
        GRANT SELECT ON {globex.schema_name}.django_content_type TO daybook_t_{globex.id.hex}""")
    believed_and_true(pair["acme"])
    remembers, true = believed_and_true(globex)
    assert (remembers != true, true) == (True, 9999)


# --- all that a process can still reach


def referents(thing: Any) -> list[Any]:
    """Return what a thing keeps alive; a function's module is looked at by itself."""
    if isinstance(thing, types.FunctionType):
        return [thing.__closure__, thing.__defaults__, thing.__kwdefaults__, thing.__dict__]
    if isinstance(thing, types.ModuleType | types.FrameType):
        return []
    return gc.get_referents(thing)


def kept(*texts: str) -> set[str]:
    """Return those of some texts that stand in anything that our modules can reach."""
    ahead: list[Any] = [vars(module) for name, module in [*sys.modules.items()] if name.partition(".")[0] in OURS]
    seen, found = set(), set()
    while ahead:
        thing = ahead.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, str | bytes):
            found |= {text for text in texts if (text if isinstance(thing, str) else text.encode()) in thing}  # type: ignore[operator]
        elif gc.is_tracked(thing) or isinstance(thing, dict | tuple):
            ahead += referents(thing)
    return found


def secrets_of_a_day(world: World) -> list[str]:
    """Let acme write, read, and be refused; return texts that came and went."""
    texts = [f"canary-{kind}-of-acme" for kind in ("thing", "label", "text", "agent", "request")]
    thing, label, text, agent, request = texts
    event = {"action": "planted", "resource": {"type": "x", "id": thing, "label": label}, "description": text}
    headers = {"user-agent": agent, "x-request-id": request, "idempotency-key": "canary-key-of-acme"}
    writer, reader = world.api("acme", "acme.write"), world.api("acme", "acme.read")
    assert writer.post("/api/v1/audit-logs", event, **headers).status_code == 201
    assert thing in reader.get("/api/v1/audit-logs", resource_id=thing).content.decode()
    assert world.api("globex", "acme.read").get("/api/v1/audit-logs").status_code == 403
    signed_in = world.api("acme")
    assert signed_in.sign_in("alice").status_code == 302
    assert thing in signed_in.get("/admin/audit/auditlog/").content.decode()
    return [*texts, "canary-key-of-acme", world.keys["acme.read"], world.acme.schema_name[2:]]


def test_after_a_tenants_requests_the_process_remembers_nothing_of_them(world: World) -> None:
    """But its schema's name, in the prepared settings of its units of work."""
    texts = secrets_of_a_day(world)
    world.api("globex", "globex.read").get("/api/v1/audit-logs")
    gc.collect()
    assert kept(*texts) == {texts[-1]}


def test_control_a_function_that_remembers_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    @lru_cache
    def own(text: str) -> list[str]:
        return [text]

    monkeypatch.setattr(history, "own", own, raising=False)
    own("canary of acme")
    assert kept("canary of acme", "canary of globex") == {"canary of acme"}
