"""`openapi-python-client` makes a client of the document that compiles, and that a program works with."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Self
from uuid import uuid4

import pytest
from running import Running
from servers import ROOT

PACKAGE = "daybook_client"
STREAM = "WARNING parsing POST /api/v1/audit-logs within audit_logs."


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the client that is made of the platform's document, which holds both APIs."""
    folder = tmp_path_factory.mktemp("python")
    scripts = str(Path(sys.executable).parent)
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--path", "docs/openapi/platform.json",
         "--meta", "none", "--output-path", str(folder / PACKAGE)],
        check=False, cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    # It knows no streams of lines, and leaves that one way to write out.
    said = {
        line.strip() for line in done.stdout.splitlines() if re.match("WARNING|ERROR|Unsupported|Unable|Cannot", line)
    }
    assert said <= {STREAM, "Unsupported content type application/x-ndjson"}, done.stdout
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def module(name: str) -> ModuleType:
    """Import a module of the client."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def test_it_has_a_function_for_each_operation_under_its_name(generated: Path) -> None:
    document = json.loads((ROOT / "docs/openapi/platform.json").read_bytes())
    wanted = {operation["operationId"] for item in document["paths"].values() for operation in item.values()}
    assert {file.stem for file in (generated / PACKAGE / "api").glob("*/*.py")} - {"__init__"} == wanted


def test_it_names_its_types_as_the_api_does(generated: Path) -> None:
    models = module("models")
    for name in ("AuditLog", "EventInput", "BatchInput", "AuditLogPage", "EventResult", "Problem", "Outcome", "Order"):
        assert hasattr(models, name), name
    invented = [name for name in models.__all__ if re.search(r"\d", name)]
    assert invented == []


def test_its_types_hold(generated: Path) -> None:
    program = generated / "program.py"
    program.write_text(
        """
from daybook_client import AuthenticatedClient
from daybook_client.api.audit_logs import audit_logs_list, audit_logs_write
from daybook_client.models import AuditLog, AuditLogPage, EventInput, ResourceInput

client = AuthenticatedClient(base_url="http://localhost", token="key")
event = EventInput(action="invoice.paid", resource=ResourceInput(type_="invoice", id="7"))
answer = audit_logs_write.sync(client=client, body=event)
page = audit_logs_list.sync(client=client, action=["invoice.*"], limit=10)
if isinstance(answer, AuditLog) and isinstance(page, AuditLogPage):
    entries: list[AuditLog] = [answer, *page.results]
    cursor: str = page.next_cursor
""",
        encoding="utf-8",
    )
    # The generator's own frame, the same for every document, passes on what `with` gives it untyped.
    strict = "[mypy]\nstrict = True\n[mypy-daybook_client.client]\ndisable_error_code = arg-type\n"
    (generated / "mypy.ini").write_text(strict, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache", "program.py", PACKAGE],
        check=False, cwd=generated, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


class Client:
    """The generated client as a program holds it: a key, and its functions by name."""

    def __init__(self, server: Running, token: str) -> None:
        self.client = module("client").AuthenticatedClient(base_url=server.url, token=token)
        self.models = module("models")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.get_httpx_client().close()

    def call(self, name: str, **arguments: Any) -> Any:
        """Call an operation; return its answer, whose body is `parsed`."""
        tag = "platform" if name.startswith("platform") else "audit_logs"
        return module(f"api.{tag}.{name}").sync_detailed(client=self.client, **arguments)

    def event(self, action: str, thing: str, **more: Any) -> Any:
        """Return an event."""
        resource = self.models.ResourceInput(type_="invoice", id=thing)
        return self.models.EventInput(action=action, resource=resource, **more)


@pytest.fixture
def writer(generated: Path, server: Running) -> Iterator[Client]:
    with Client(server, server.keys["acme.write"]) as client:
        yield client


@pytest.fixture
def reader(generated: Path, server: Running) -> Iterator[Client]:
    with Client(server, server.keys["acme.read"]) as client:
        yield client


def test_an_event_written_is_read_back(writer: Client, reader: Client) -> None:
    made, models = uuid4().hex, writer.models
    metadata = models.JsonObject.from_dict({"department": "finance", "net": "10.00"})
    changes = models.JsonObject.from_dict({"status": {"old": "draft", "new": "paid"}})
    actor = models.ActorInput(type_=models.ActorType.USER, id="u-42", label="dana@acme.example")
    event = writer.event("invoice.paid", made, actor=actor, metadata=metadata, changes=changes)
    written = writer.call("audit_logs_write", body=event)
    assert (written.status_code, type(written.parsed)) == (201, models.AuditLog)
    found = reader.call("audit_logs_read", entry_id=written.parsed.id).parsed
    # Its position is told once it is sequenced.
    assert found.to_dict() | {"position": None} == written.parsed.to_dict() | {"position": None}
    assert (found.metadata.to_dict(), found.changes.to_dict()) == (metadata.to_dict(), changes.to_dict())
    assert (found.actor.to_dict(), found.outcome) == (actor.to_dict(), models.Outcome.SUCCESS)
    assert found.created_at.utcoffset().total_seconds() == 0


def test_each_event_of_a_batch_has_its_result(writer: Client) -> None:
    made, models = uuid4().hex, writer.models
    events = [writer.event("invoice.paid", made), writer.event("x" * 101, made), writer.event("invoice.sent", made)]
    results = writer.call("audit_logs_write", body=models.BatchInput(events=events)).parsed.results
    assert [str(one.status) for one in results] == ["created", "rejected", "created"]
    assert [fault.pointer for fault in results[1].errors] == ["/events/1/action"]
    assert results[1].id is None


def test_a_retry_writes_nothing_more(writer: Client, reader: Client) -> None:
    made = uuid4().hex
    event, key = writer.event("invoice.paid", made), uuid4().hex
    first, again = (writer.call("audit_logs_write", body=event, idempotency_key=key) for _ in range(2))
    assert first.parsed == again.parsed
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(reader.call("audit_logs_list", resource_id=[made]).parsed.results) == 1
    once = writer.event("invoice.paid", made, idempotency_key=key)
    created, duplicate = (writer.call("audit_logs_write", body=once).parsed for _ in range(2))
    assert (str(duplicate.status), duplicate.id) == ("duplicate", created.id)


def test_pages_lead_through_all_entries(writer: Client, reader: Client) -> None:
    made, models = uuid4().hex, writer.models
    events = [writer.event(f"step.{number}", made) for number in range(7)]
    writer.call("audit_logs_write", body=models.BatchInput(events=events))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = reader.call("audit_logs_list", resource_id=[made], limit=3, **cursor).parsed
        seen += [entry.action for entry in page.results]
        if page.next_ is None:
            break
        cursor = {"cursor": page.next_cursor}
    assert seen == [f"step.{number}" for number in reversed(range(7))]


def test_a_poller_sees_each_new_entry_once(writer: Client, reader: Client) -> None:
    made, asc = uuid4().hex, writer.models.Order.ASC
    cursor = reader.call("audit_logs_list", resource_id=[made], order=asc, cursor="end").parsed.next_cursor
    seen: list[str] = []
    for number in range(3):
        writer.call("audit_logs_write", body=writer.event(f"step.{number}", made))
        cursor = _poll(reader, made, cursor, seen, number + 1)
    assert seen == ["step.0", "step.1", "step.2"]


def _poll(reader: Client, made: str, cursor: str, seen: list[str], wanted: int) -> str:
    """Poll until so many entries were seen; they are shown once they are settled."""
    for _ in range(100):
        page = reader.call("audit_logs_list", resource_id=[made], order=reader.models.Order.ASC, cursor=cursor).parsed
        seen += [entry.action for entry in page.results]
        cursor = page.next_cursor
        if len(seen) >= wanted:
            break
    return cursor


def test_an_error_is_a_problem_that_names_the_place(writer: Client, reader: Client, server: Running) -> None:
    refused = reader.call("audit_logs_list", limit=5000)
    assert (refused.status_code, type(refused.parsed)) == (400, reader.models.Problem)
    assert [(fault.parameter, fault.code) for fault in refused.parsed.errors] == [("limit", "bad_value")]
    unprocessable = writer.call("audit_logs_write", body=writer.event("", "7")).parsed
    assert (unprocessable.status, unprocessable.errors[0].pointer) == (422, "/action")
    assert reader.call("audit_logs_read", entry_id=str(uuid4())).parsed.code == "not_found"
    assert reader.call("audit_logs_write", body=reader.event("a", "7")).parsed.code == "not_allowed"
    with Client(server, "dbk_none") as stranger:
        assert stranger.call("audit_logs_list").parsed.code == "bad_key"


def test_staff_read_the_platform_by_the_same_client(generated: Path, server: Running) -> None:
    with Client(server, server.keys["sam"]) as staff:
        tenants = staff.call("platform_tenants").parsed.results
        assert [(tenant.slug, str(tenant.status)) for tenant in tenants] == [("acme", "active"), ("globex", "active")]
        change = staff.models.ChangePlanInput(plan="premium", reason="They asked for it.")
        changed = staff.call("platform_change_plan", tenant="globex", body=change).parsed
        assert changed.plan.slug == "premium"
