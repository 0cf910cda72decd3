"""Plays the demo's story to the running server by HTTP, then says where everything is. Needs no Django.

`python -m config.demo.play` reads one JSON object from standard input: `document` (what `var/demo.json` says),
`people` (ids by tenant and name), `file` (its path) and `port`. A week that is in a trail already is not sent again.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from config.demo import story

PATIENCE = 30.0  # seconds, until the server answers
FIRST_PLAN = {"plan": "free", "reason": "The first plan of a new customer."}
PLAN = {"plan": "premium", "reason": "Acme has grown: order of 14 November, signed by Olga."}


class Unplayable(Exception):
    """The server refused or did not answer; the message says what and why."""


class Client:
    """Calls one host of the server by its address on this machine, so that no name has to be resolved."""

    def __init__(self, port: int, host: str, key: str = "") -> None:
        self._url, self._headers = f"http://localhost:{port}", {"Host": f"{host}:{port}", "User-Agent": "daybook-demo"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def call(self, path: str, body: Any = None, request_id: str = "") -> Any:
        """GET, or POST a body; return the answer's JSON. Raises Unplayable."""
        headers = {**self._headers, "Content-Type": "application/json"}
        if request_id:
            headers["X-Request-ID"] = request_id
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}{path}", data, headers)  # noqa: S310 - our own http address
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Unplayable(f"{path} answered {error.code}: {_detail(error)}") from error
        except OSError as error:
            raise Unplayable(f"{path} did not answer: {error}") from error


def _detail(error: urllib.error.HTTPError) -> str:
    text = error.read(2000).decode(errors="replace")
    try:
        problem = json.loads(text)
        return f"{problem['detail']} {json.dumps(problem.get('errors', []))}"
    except (ValueError, KeyError, TypeError):
        return text or HTTPStatus(error.code).phrase


def wait(port: int) -> None:
    """Wait until the server is ready. Raises Unplayable after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            Client(port, "localhost").call("/readyz")
        except Unplayable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def play(port: int, document: dict[str, Any], people: dict[str, dict[str, str]], now: datetime) -> Iterator[str]:
    """Send what is missing of the story up to `now`, oldest weeks first; yield a line for each thing done.

    Raises Unplayable.
    """
    for slug in people:
        if _subscribe(port, document, slug):
            yield f"Played a first plan: {slug} on free"
    missing = {slug: _missing(port, document, slug) for slug in people}
    for number in range(story.WEEKS):
        for slug, names in people.items():
            if number in missing[slug]:
                events = story.week(slug, names, number, now)
                _send(_client(port, document, slug, "write"), events, f"demo-{slug}-week-{number + 1}")
                yield f"Played week {number + 1} of {story.WEEKS} at {slug}: {len(events)} events sent by HTTP"
    if _change_plan(port, document):
        yield "Played a change of plan: acme from free to premium"


def _send(client: Client, events: list[story.Event], request_id: str) -> None:
    """Write a week. Raises Unplayable, also for a single event that was refused."""
    results = client.call("/api/v1/audit-logs", {"events": events}, request_id)["results"]
    if refused := [result for result in results if result["status"] != "created"]:
        raise Unplayable(f"{len(refused)} of {len(results)} events were refused; the first: {json.dumps(refused[0])}")


def _client(port: int, document: dict[str, Any], slug: str, key: str) -> Client:
    tenant = document["tenants"][slug]
    return Client(port, tenant["host"], tenant["keys"][key])


def _missing(port: int, document: dict[str, Any], slug: str) -> set[int]:
    """Return the weeks whose report is not in the trail. A week enters it whole or not at all."""
    path = f"/api/v1/audit-logs?resource_type={story.REPORT}"
    found = _client(port, document, slug, "read").call(path)["results"]
    told = {entry["resource"]["id"] for entry in found}
    return {number for number in range(story.WEEKS) if f"week-{number + 1}" not in told}


def _subscribe(port: int, document: dict[str, Any], slug: str) -> bool:
    """Give a company its first plan as staff, once; tell whether it was done now."""
    staff = Client(port, "localhost", document["platform"]["token"])
    log = staff.call(f"/api/v1/platform/platform-logs?tenant={slug}&action=subscription.created&limit=1")
    if log["results"]:
        return False
    path = f"/api/v1/platform/tenants/{slug}/subscription/change-plan"
    staff.call(path, FIRST_PLAN, f"demo-{slug}-first-plan")
    return True


def _change_plan(port: int, document: dict[str, Any]) -> bool:
    """Change acme's plan as staff, once; tell whether it was done now."""
    staff = Client(port, "localhost", document["platform"]["token"])
    log = staff.call("/api/v1/platform/platform-logs?tenant=acme&action=subscription.plan_changed&limit=1")
    if log["results"]:
        return False
    staff.call("/api/v1/platform/tenants/acme/subscription/change-plan", PLAN, "demo-acme-plan")
    return True


def block(document: dict[str, Any], file: str) -> str:
    """Return where everything is, for a person to read."""
    platform = document["platform"]
    lines = ["", "Daybook is ready. Ctrl-C stops it.", "", f"  Platform: {platform['url']}"]
    lines += [_sign_in(platform["url"], platform["staff_email"], platform["staff_password"])]
    lines += [f"    token      {platform['token']}", f"    API        {platform['url']}/api/docs"]
    for slug, tenant in document["tenants"].items():
        lines += ["", f"  {slug.title()}: {tenant['url']}"]
        lines += [_sign_in(tenant["url"], tenant["admin_email"], tenant["admin_password"])]
        lines += [f"    {word + ' key':9}  {key}" for word, key in tenant["keys"].items()]
    return "\n".join([*lines, "", f"The same stands in {file}. README.md has a tour with curl.", ""])


def _sign_in(url: str, email: str, password: str) -> str:
    return f"    sign in    {url}/admin/  {email}  {password}"


def main() -> int:
    """Play, then print the block, whatever became of the play."""
    given = json.load(sys.stdin)
    document, code = given["document"], 0
    try:
        wait(given["port"])
        for line in play(given["port"], document, given["people"], datetime.now(UTC)):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except Unplayable as error:
        sys.stdout.write(f"The demo's history could not be played: {error}\n")
        code = 1
    sys.stdout.write(block(document, given["file"]) + "\n")
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
