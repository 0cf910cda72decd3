"""What Prometheus reads: who may read it, that nothing in it names a tenant, and that workers' figures add up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import connections
from django.test import RequestFactory
from prometheus_client.parser import text_string_to_metric_families
from servers import ROOT
from world import World

from audit.models import AuditLog
from config import metrics
from tenants.context import SYSTEM, platform_scope, roll_back, tenant_scope

TOKEN = "a token for the watcher"
EVENT = {"action": "invoice.approved", "resource": {"type": "invoice", "id": "in-1"}}
# All that a label may say; routes are those of the two URL configurations.
VALUES = {
    "method": {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"},
    "login": {"app", "cell", "sealed"},
    "state": {"idle", "used"},
    "realm": {"tenant", "platform", "gate"},
    "outcome": {"committed", "rolled_back"},
}
FREE = {"route", "status", "code", "le"}
# Two processes that each count a request, as forked workers do; then one of them ends.
WORKERS = """
import os, sys
sys.path.insert(0, sys.argv[1])
import config.typing_settings
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django; django.setup()
from config import metrics
def worker():
    metrics.refused("not_found")
    metrics.measure_pools()
    metrics.meters().connections.labels("app", "used").set(3)
    os._exit(0)
with metrics.shared_by_workers():
    children = []
    for _ in range(2):
        if not (pid := os.fork()):
            worker()
        os.waitpid(pid, 0)
        children.append(pid)
    metrics.forget_worker(children[0])
    print(metrics.text().decode())
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    assert os.listdir(folder)
assert not os.path.exists(folder)
assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
"""
Sample = tuple[str, tuple[tuple[str, str], ...]]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No figures of other tests."""
    metrics.meters.cache_clear()
    yield
    metrics.meters.cache_clear()


def samples(text: str | None = None) -> dict[Sample, float]:
    """Return the figures of this process by name and labels."""
    families = text_string_to_metric_families(text or metrics.text().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def figure(name: str, text: str | None = None, **labels: str) -> float:
    """Return one figure; 0 where it was never counted."""
    return samples(text).get((f"daybook_{name}", tuple(sorted(labels.items()))), 0)


# --- who may read


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1"])
def test_this_machine_reads_the_figures_without_a_token(world: World, address: str) -> None:
    api = world.api("platform")
    for path in ("/metrics", "/metrics/"):
        answer = api.client.get(path, REMOTE_ADDR=address)
        assert answer.status_code == 200
        assert answer["Content-Type"].startswith("text/plain; version=")
        assert b"# TYPE daybook_requests_total counter" in answer.content


@pytest.mark.parametrize("address", ["10.0.0.7", "192.0.2.1", "2001:db8::1", "", "unix:"])
def test_another_machine_does_not(world: World, address: str) -> None:
    answer = world.api("platform").client.get("/metrics", REMOTE_ADDR=address)
    assert (answer.status_code, answer.json()["code"]) == (401, "metrics_are_closed")
    assert "METRICS_TOKEN" in answer.json()["detail"]
    assert b"daybook_requests" not in answer.content


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Forwarded-Proto", "X-FORWARDED-HOST", "Forwarded", "Via", "X-Real-IP"]
)
def test_what_a_proxy_of_this_machine_passes_on_is_from_elsewhere(
    world: World, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    client = world.api("platform").client
    answer = client.get("/metrics", headers={header: "127.0.0.1"})
    assert (answer.status_code, answer.json()["code"]) == (401, "metrics_are_closed")
    assert b"daybook_requests" not in answer.content
    monkeypatch.setattr(settings, "METRICS_TOKEN", TOKEN)
    sent = {header: "127.0.0.1", "Authorization": f"Bearer {TOKEN}"}
    assert client.get("/metrics", headers=sent).status_code == 200


def test_behind_a_proxy_that_says_nothing_of_itself_they_are_closed_without_a_token(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = world.api("platform").client
    assert client.get("/metrics").status_code == 200
    monkeypatch.setattr(settings, "TRUSTED_PROXIES", 1)
    answer = client.get("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (401, "metrics_are_closed")
    assert b"daybook_requests" not in answer.content


def test_a_token_is_asked_of_everyone_once_it_is_set(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "METRICS_TOKEN", TOKEN)
    client = world.api("platform").client
    for sent in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer "}):
        assert client.get("/metrics", headers=sent).status_code == 401
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, REMOTE_ADDR="192.0.2.1")
    assert answer.status_code == 200


def test_no_key_and_no_session_opens_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "METRICS_TOKEN", TOKEN)
    for key in ("acme.admin", "sam"):
        assert world.api("platform", key).get("/metrics").status_code == 401
    signed_in = world.api("platform")
    signed_in.sign_in("sam")
    assert signed_in.get("/metrics").status_code == 401


def test_a_tenants_host_does_not_have_them(world: World) -> None:
    for host in ("acme", "unknown"):
        answer = world.api(host).get("/metrics")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_they_are_read_while_the_database_is_down(world: World) -> None:
    world.sql("DROP SCHEMA gate CASCADE")
    assert world.api("platform").get("/readyz").status_code == 503
    assert world.api("platform").get("/metrics").status_code == 200


# --- what they say


def test_requests_are_counted_by_route_method_and_status(world: World) -> None:
    entry = world.api("acme", "acme.write").post("/api/v1/audit-logs", EVENT).json()
    for path in (entry["id"], f"{entry['id']}/", "none"):
        world.api("acme", "acme.read").get(f"/api/v1/audit-logs/{path}")
    listed, one = "/api/v1/audit-logs", "/api/v1/audit-logs/<str:entry_id>"
    assert figure("requests_total", route=listed, method="POST", status="201") == 1
    assert figure("requests_total", route=one, method="GET", status="200") == 2
    assert figure("requests_total", route=one, method="GET", status="404") == 1
    assert figure("request_seconds_count", route=one, method="GET") == 3
    assert 0 < figure("request_seconds_sum", route=one, method="GET") < 60


def test_errors_and_refusals_are_counted_by_code_in_views_and_before_them(world: World) -> None:
    world.api("acme", "acme.read").post("/api/v1/audit-logs", EVENT)
    world.api("acme", "globex.read").get("/api/v1/audit-logs")
    world.api("unknown").get("/api/v1/audit-logs")
    codes = {"not_allowed": 1, "foreign_key_host": 1, "unknown_host": 1}
    assert {code: figure("problems_total", code=code) for code in codes} == codes
    # Of what the gate refuses no route is known.
    assert figure("requests_total", route="none", method="GET", status="403") == 1


def test_no_label_names_a_tenant_a_host_or_an_id_and_strangers_add_no_series(world: World) -> None:
    def visit(word: str) -> None:
        for host, key in (("acme", "acme.admin"), ("globex", "globex.admin"), ("platform", "sam"), ("acme", None)):
            api = world.api(host, key)
            api.post("/api/v1/audit-logs", {**EVENT, "action": word})
            for path in (f"audit-logs/{word}", f"resources/{word}/{word}/history", f"actors/{word}/activity", word):
                api.get(f"/api/v1/{path}", q=word)
            api.get(f"/{word}")
            api.get(f"/admin/{word}/")
        world.api(word).get("/")
        world.api("platform").client.generic(word.upper(), "/healthz")
        world.api("platform").get("/api/v1/platform/tenants/acme", word=word)
        metrics.measure_pools()

    visit("wombat")
    before = set(samples())
    visit("numbat")
    assert set(samples()) == before
    text = metrics.text().decode()
    acme = world.acme
    for word in ("acme", "globex", "alice", "bat", "localhost", str(acme.id), acme.schema_name):
        assert word not in text
    for _name, labels in before:
        for label, value in labels:
            assert label in FREE or value in VALUES[label], (label, value)


def test_a_connection_that_comes_back_says_how_many_tenants_it_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "CONNECTION_MAX_TENANTS", 2)
    acme, globex = world.acme, world.globex
    assert acme.login == globex.login
    connections["default"].close()
    with metrics.shared_by_workers():
        for tenants in ([acme], [acme], [acme, globex], [globex]):
            for tenant in tenants:
                with tenant_scope(tenant, actor=SYSTEM):
                    AuditLog.objects.exists()
            connections["default"].close()
        text = metrics.text().decode()
    # The third time it has served both and is ended; the next one is new.
    assert [figure("connection_tenants_bucket", text, le=le) for le in ("1.0", "2.0", "+Inf")] == [3, 4, 4]
    assert figure("connections_recycled_total", text) == 1


def test_units_of_work_are_counted_by_realm_and_by_how_they_ended(world: World) -> None:
    acme = world.acme
    actor = world.actor("sam")
    with metrics.shared_by_workers():
        with tenant_scope(acme, actor=SYSTEM), tenant_scope(acme, actor=SYSTEM):
            AuditLog.objects.exists()
        with tenant_scope(acme, actor=SYSTEM):
            roll_back()
        with suppress(ZeroDivisionError), platform_scope(actor=actor):
            raise ZeroDivisionError
        world.acme  # noqa: B018 - asks the gate
        text = metrics.text().decode()
    ends = ("committed", "rolled_back")
    found = {
        realm: [figure("units_total", text, realm=realm, outcome=end) for end in ends] for realm in VALUES["realm"]
    }
    assert found == {"tenant": [1, 1], "platform": [0, 1], "gate": [1, 0]}


def test_pools_are_summed_by_kind_of_login(monkeypatch: pytest.MonkeyPatch) -> None:
    def pool(size: int, available: int, waiting: int) -> SimpleNamespace:
        stats = {"pool_size": size, "pool_available": available, "requests_waiting": waiting, "usage_ms": 5}
        return SimpleNamespace(get_stats=lambda: stats)

    prefix = settings.DATABASE_ROLE_PREFIX
    pools = {
        ("default", None): pool(4, 1, 0),
        ("default", f"{prefix}_cell_1"): pool(2, 2, 1),
        ("default", f"{prefix}_cell_2"): pool(3, 1, 2),
        ("default", f"{prefix}_sealed_{'0' * 32}"): pool(1, 0, 0),
    }
    monkeypatch.setattr(type(connections["default"]), "_connection_pools", pools)
    metrics.measure_pools()
    found = {
        kind: (
            figure("pool_connections", login=kind, state="idle"),
            figure("pool_connections", login=kind, state="used"),
            figure("pool_waiting", login=kind),
        )
        for kind in ("app", "cell", "sealed")
    }
    assert found == {"app": (1, 3, 0), "cell": (3, 2, 3), "sealed": (0, 1, 0)}


# --- where they are kept


def test_figures_of_all_workers_are_added_up_and_those_of_the_moment_end_with_a_worker() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, str(ROOT)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert figure("problems_total", done.stdout, code="not_found") == 2
    assert figure("pool_connections", done.stdout, login="app", state="used") == 3


def test_without_workers_they_stay_in_memory() -> None:
    metrics.answered(RequestFactory().get("/"), 200, 0.5)
    metrics.forget_worker(1)
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
    assert figure("requests_total", route="none", method="GET", status="200") == 1


def test_the_shared_folder_is_for_this_user_alone_and_gone_afterwards() -> None:
    with metrics.shared_by_workers():
        folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        assert folder.stat().st_mode & 0o777 == 0o700
        metrics.refused("inside")
        assert figure("problems_total", code="inside") == 1
    assert not folder.exists()
    assert figure("problems_total", code="inside") == 0
