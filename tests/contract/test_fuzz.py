"""schemathesis asks every operation what its document allows and what it forbids, and holds each answer against it.

`make fuzz` is the long form; `DAYBOOK_FUZZ_CASES` says how many cases an operation gets from the fuzzing phase, beside
those that follow from its bounds and examples.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from running import Running
from servers import ROOT

from config.contract import shape

HERE = Path(__file__).parent
CASES = int(os.environ.get("DAYBOOK_FUZZ_CASES", "4"))
SEED = os.environ.get("DAYBOOK_FUZZ_SEED", "1")
SETTINGS = """
hooks = "fuzz_hooks.py"
continue-on-failure = true
# U+0000 stands in no entry, and so in no filter; tests/audit/api have what is answered.
[generation]
allow-x00 = false
database = "none"
[cache]
enabled = false
# 414 is the server's own, of an address that is too long to be read.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 422]
"""
# What a link, a mail or a token of its own opens; tests of their own have it.
NOT_BY_A_KEY = {
    "GET /api/v1/exports/{export_id}/file",
    "POST /api/v1/invitations/accept",
    "GET /api/v1/viewer-tokens/self",
}
THING = {"type": "fuzz", "id": "7"}


@dataclass(frozen=True)
class Run:
    """What came of a run: its report, and how often each operation answered each status."""

    status: int
    report: str
    answers: Counter[tuple[str, int]]

    def cases(self) -> int:
        """Return how many requests were answered."""
        return self.answers.total()

    def succeeded(self) -> set[str]:
        """Return the operations of which at least one request was answered by a success."""
        return {label for label, status in self.answers if status < 300}


def fuzz(server: Running, folder: Path, host: str, key: str, ids: dict[str, str], *only: str) -> Run:
    """Run schemathesis against a host's document with a key."""
    log, settings = folder / "answers", folder / "schemathesis.toml"
    settings.write_text(SETTINGS, encoding="utf-8")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(settings), "run",
         str(ROOT / "docs" / "openapi" / f"{host}.json"), "--url", server.url, "--checks", "all",
         "--header", f"Authorization: Bearer {server.keys[key]}", "--max-examples", str(CASES), "--seed", SEED, *only],
        check=False, cwd=HERE, capture_output=True, text=True, timeout=1800,
        env={**os.environ, "DAYBOOK_FUZZ": json.dumps({"log": str(log), "ids": ids}), "NO_COLOR": "1"},
    )  # fmt: skip
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    answers = Counter((label, status) for label, method, status in lines if label.startswith(f"{method} "))
    return Run(done.returncode, done.stdout + done.stderr, answers)


def ask(server: Running, key: str, path: str, body: Any = None) -> Any:
    """Send a request with a key; return the answer's JSON."""
    headers = {"Authorization": f"Bearer {server.keys[key]}"}
    method = "GET" if body is None else "POST"
    return httpx.request(method, f"{server.url}{path}", json=body, headers=headers).raise_for_status().json()


def labels(host: str, under: str) -> set[str]:
    """Return the operations of a document whose path has a word."""
    document = json.loads((ROOT / "docs" / "openapi" / f"{host}.json").read_bytes())
    return {f"{method.upper()} {path}" for path, method, _ in shape.operations(document) if under in path}


def check(run: Run, wanted: set[str], least: int) -> None:
    """Hold a run of at least so many cases to have found nothing, and to have succeeded with each operation."""
    print(f"{run.cases()} cases of {len(wanted)} operations")  # noqa: T201 - what the long form is asked
    assert run.status == 0, run.report[-20000:]
    assert wanted - run.succeeded() == set()
    assert run.cases() >= least
    refused = {status for _label, status in run.answers if status >= 500}
    assert refused == set()


def test_a_tenants_api_keeps_its_document(new_server: Running, tmp_path: Path) -> None:
    entry = ask(new_server, "acme.admin", "/api/v1/audit-logs", {"action": "fuzzed", "resource": THING})
    ids = {"entry_id": entry["id"], "actor": entry["actor"]["id"], "resource_type": "fuzz", "resource_id": "7"}
    export = ask(new_server, "acme.admin", "/api/v1/exports", {"format": "csv"})
    invited = {"email": "una@acme.example", "role": "member"}
    invitation = ask(new_server, "acme.admin", "/api/v1/members/invitations", invited)
    key = ask(new_server, "acme.admin", "/api/v1/api-keys", {"name": "fuzz", "scopes": ["audit:read"]})
    member = next(it for it in ask(new_server, "acme.admin", "/api/v1/members")["results"] if it["role"] == "member")
    made = {"export_id": export, "invitation_id": invitation, "key_id": key.get("key", key), "member_id": member}
    ids |= {name: str(one.get("id", one.get("user_id"))) for name, one in made.items()} | {
        "event_type": "user.signed_in"
    }
    run = fuzz(new_server, tmp_path, "tenant", "acme.admin", ids)
    check(run, labels("tenant", "/") - NOT_BY_A_KEY, least=2000)


def test_the_platforms_api_keeps_its_document(new_server: Running, tmp_path: Path) -> None:
    log = ask(new_server, "sam", "/api/v1/platform/platform-logs?limit=1")["results"][0]
    trail = "/api/v1/platform/tenants/{tenant}/audit-logs"
    own = ask(new_server, "sam", f"{trail.format(tenant='acme')}?limit=1&reason=fuzz")["results"][0]
    ids = {"entry_id": log["id"], f"{trail}/{{entry_id}} entry_id": own["id"], "tenant": "acme"}
    run = fuzz(new_server, tmp_path, "platform", "sam", ids, "--include-path-regex", "/platform/")
    check(run, labels("platform", "/platform/"), least=400)


@pytest.mark.parametrize("change", ["a status", "a field"])
def test_a_lie_of_the_document_would_be_found(new_server: Running, tmp_path: Path, change: str) -> None:
    """The run is worth something: a document that does not say all that is answered fails."""
    document = json.loads((ROOT / "docs" / "openapi" / "tenant.json").read_bytes())
    operation = document["paths"]["/api/v1/audit-logs"]["get"]
    if change == "a status":
        del operation["responses"]["400"]
    else:
        del document["components"]["schemas"]["AuditLogPage"]["properties"]["cold"]
    document["paths"] = {"/api/v1/audit-logs": {"get": operation}}
    operation["responses"]["200"].pop("links")
    lying = tmp_path / "lying.json"
    lying.write_text(json.dumps(document), encoding="utf-8")
    run = fuzz(new_server, tmp_path, str(lying.with_suffix("")), "acme.admin", {}, "--phases", "fuzzing")
    assert run.status == 1, run.report[-3000:]
    assert ("Undocumented status code" if change == "a status" else "'cold' was unexpected") in run.report
