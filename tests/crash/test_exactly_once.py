"""What was answered is there once, whoever is killed: a worker in a request, the web server, the database.

Processes really run and are really killed. Negative controls show that the tests would see a loss and a repetition.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from standing import LOGS, Standing

WRITERS = 6
BURST = 0.7  # seconds


# No two tests of the module write events of one name.
_numbers = count()


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {"action": "invoice.paid", "resource": {"type": "invoice", "id": name}, **fields}


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


def fresh() -> str:
    return f"n{next(_numbers)}"


def times(stand: Standing, *names: str) -> list[int]:
    """Return how many entries there are of each of these events."""
    found: dict[str, int] = dict(
        stand.sql("SELECT resource_key, count(*) FROM audit_log WHERE resource_type = 'invoice' GROUP BY 1")
    )
    return [found.get(name, 0) for name in names]


def dying(stand: Standing, body: bytes, **headers: str) -> None:
    """Send a request whose worker is killed before it has answered."""
    with pytest.raises((OSError, http.client.HTTPException)):
        stand.send("POST", LOGS, body, **headers)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_request_whose_worker_was_killed_is_done_once_when_it_is_repeated(stand: Standing, place: str) -> None:
    name = fresh()
    body = encoded({"events": [event(name), event(f"{name}b")]})
    dying(stand, body, Idempotency_Key=name, X_Die=place)
    assert times(stand, name) == [1 if place == "after" else 0]
    answers = [stand.send("POST", LOGS, body, Idempotency_Key=name) for _ in range(2)]
    assert [status for status, _, _ in answers] == [201, 201]
    assert answers[0][2] == answers[1][2]
    replayed = ["Idempotency-Replayed" in headers for _, headers, _ in answers]
    assert replayed == [place == "after", True]
    ids = [one["id"] for one in json.loads(answers[0][2])["results"]]
    assert stand.sql("SELECT resource_key FROM audit_log WHERE id = ANY (%s::uuid[]) ORDER BY 1", ids) == [
        (name,), (f"{name}b",),
    ]  # fmt: skip
    assert times(stand, name, f"{name}b") == [1, 1]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("media", ["application/json", "application/x-ndjson"])
def test_an_event_with_a_key_is_written_once_whoever_was_killed(stand: Standing, place: str, media: str) -> None:
    name = fresh()
    body = encoded(event(name, idempotency_key=name))
    dying(stand, body, X_Die=place, Content_Type=media)
    written = place == "after" or media == "application/x-ndjson"
    assert times(stand, name) == [1 if written else 0]
    status, _, answer = stand.send("POST", LOGS, body, Content_Type=media)
    assert status == (200 if written else 201), answer
    assert times(stand, name) == [1]


def test_without_a_key_a_repeated_request_is_written_twice(stand: Standing) -> None:
    """The control: it is the key that makes it one, and the worker did die between writing and answering."""
    name = fresh()
    dying(stand, encoded(event(name)), X_Die="after")
    assert stand.send("POST", LOGS, encoded(event(name)))[0] == 201
    assert times(stand, name) == [2]


@pytest.mark.parametrize("kind", ["request", "event"])
def test_eight_at_once_are_one_entry_and_one_answer(stand: Standing, kind: str) -> None:
    name = fresh()
    body = encoded(event(name, **({"idempotency_key": name} if kind == "event" else {})))
    headers = {"Idempotency_Key": name} if kind == "request" else {}
    start = threading.Barrier(8)

    def send(_: int) -> tuple[int, str, bytes]:
        start.wait()
        status, _headers, answer = stand.send("POST", LOGS, body, **headers)
        return status, json.loads(answer)["id"], answer

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert times(stand, name) == [1]
    assert len({entry for _, entry, _ in answers}) == 1
    if kind == "request":
        assert {status for status, _, _ in answers} == {201}
        assert len({answer for _, _, answer in answers}) == 1
    else:
        assert Counter(status for status, _, _ in answers) == {201: 1, 200: 7}


def test_a_stream_whose_client_goes_away_has_written_whole_lines_once(stand: Standing) -> None:
    names = [fresh() for _ in range(2000)]
    lines = [encoded(event(name, idempotency_key=name)) + b"\n" for name in names]
    client = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=20)
    client.putrequest("POST", LOGS, skip_host=True)
    for header in ("Host: acme.localhost", f"Authorization: Bearer {stand.keys['acme.write']}",
                   "Content-Type: application/x-ndjson", "Transfer-Encoding: chunked"):  # fmt: skip
        client.putheader(*header.split(": "))
    client.endheaders()
    for line in lines[:1700]:
        client.send(b"%x\r\n%b\r\n" % (len(line), line))
    client.send(b"50\r\n" + lines[1700][:50])
    client.close()
    found, deadline = [0], time.monotonic() + 20
    while (found != (found := times(stand, *names)) or not any(found)) and time.monotonic() < deadline:
        time.sleep(0.5)
    # Whole parts of 500 lines, from the first on: nothing of the part that broke off, nor of the line.
    written = sum(found)
    assert found == [1] * written + [0] * (2000 - written)
    assert written in {500, 1000, 1500}
    status, _, answer = stand.send("POST", LOGS, b"".join(lines), Content_Type="application/x-ndjson")
    assert status == 201
    assert (json.loads(answer)["created"], json.loads(answer)["duplicates"]) == (2000 - written, written)
    assert times(stand, *names) == [1] * 2000


class Writers:
    """Clients that write one batch of three after the other, until what they talk to is killed."""

    def __init__(self, stand: Standing) -> None:
        self.stand, self.going = stand, True
        self.answered: dict[str, str] = {}
        self.unanswered: list[str] = []

    def body(self, name: str) -> bytes:
        return encoded({"events": [event(name, idempotency_key=name), event(f"{name}b", idempotency_key=f"{name}b")]})

    def send(self, name: str) -> bool:
        status, answer = 0, b""
        with suppress(OSError, http.client.HTTPException):
            status, _, answer = self.stand.send("POST", LOGS, self.body(name))
        if status != 201:
            return False
        results = json.loads(answer)["results"]
        self.answered |= {name: results[0]["id"], f"{name}b": results[1]["id"]}
        return True

    def write(self) -> None:
        while self.going:
            name = fresh()
            if not self.send(name):
                self.unanswered.append(name)

    def until(self, killed: Callable[[], None]) -> None:
        """Write for a while, then kill, then come to an end."""
        with ThreadPoolExecutor(WRITERS) as pool:
            for _ in range(WRITERS):
                pool.submit(self.write)
            time.sleep(BURST)
            killed()
            self.going = False

    def lost(self) -> list[str]:
        """Return the events that were answered, and are not there under the id of the answer."""
        ids = list(self.answered.values())
        there = {
            (key, str(entry))
            for entry, key in self.stand.sql("SELECT id, resource_key FROM audit_log WHERE id = ANY (%s::uuid[])", ids)
        }
        return [name for name, entry in self.answered.items() if (name, entry) not in there]


def restart_server(stand: Standing) -> None:
    stand.serve()


def restart_database(stand: Standing) -> None:
    stand.start_database()
    stand.wait()


KILLS: dict[str, tuple[Callable[[Standing], None], Callable[[Standing], None]]] = {
    "web server": (Standing.kill_server, restart_server),
    "database": (Standing.kill_database, restart_database),
}


@pytest.fixture
def restored(stand: Standing) -> Iterator[None]:
    """Leave a web server whose connections are none of a database server that was killed."""
    yield
    stand.kill_server()
    stand.serve()


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("victim", KILLS)
def test_after_a_kill_every_id_that_was_answered_is_there_and_the_rest_is_repeated_once(
    stand: Standing, victim: str
) -> None:
    killed, restarted = KILLS[victim]
    writers = Writers(stand)
    writers.until(lambda: killed(stand))
    restarted(stand)
    assert len(writers.answered) > 20
    assert writers.lost() == []
    repeated = list(writers.unanswered)
    assert repeated
    deadline = time.monotonic() + 20
    for name in repeated:
        # A worker whose connections are gone with the database answers 503, which says to try again.
        while not writers.send(name):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert writers.lost() == []
    names = [*writers.answered, *(f"{name}b" for name in repeated)]
    assert set(times(stand, *names)) == {1}


@pytest.mark.usefixtures("restored")
def test_without_waiting_for_the_disk_answered_entries_are_lost(stand: Standing) -> None:
    """The control: with synchronous_commit off, the same test sees answers whose entries are gone."""
    kept = stand.settings
    try:
        stand.kill_database()
        stand.settings = {**kept, "synchronous_commit": "off", "wal_writer_delay": "10s", "wal_buffers": "16MB"}
        restart_database(stand)
        writers = Writers(stand)
        writers.until(stand.kill_database)
    finally:
        stand.settings = kept
        restart_database(stand)
    assert writers.lost()
