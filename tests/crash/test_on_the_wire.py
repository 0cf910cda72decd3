"""Bodies as strangers send them, on real sockets to the real server: chunked, cut short, far too long, slow."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from servers import processes
from standing import LOGS, Standing

EVENT = json.dumps({"action": "wire.sent", "resource": {"type": "t"}}).encode()


def count(stand: Standing) -> int:
    return int(stand.sql("SELECT count(*) FROM audit_log WHERE action = 'wire.sent'")[0][0])


def head(stand: Standing, *more: str) -> bytes:
    lines = [
        f"POST {LOGS} HTTP/1.1",
        "Host: acme.localhost",
        f"Authorization: Bearer {stand.keys['acme.write']}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def exchange(stand: Standing, *pieces: bytes, pause: float = 0, end: bool = False) -> tuple[int, bytes]:
    """Send pieces on a connection of its own; return the status (0: none) and the body of the first answer."""
    with closing(socket.create_connection(("127.0.0.1", stand.port), timeout=30)) as sock:
        with suppress(ConnectionError):
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(pause)
            if end:
                sock.shutdown(socket.SHUT_WR)
        try:
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""


def chunks(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("more", [("Content-Type: application/json",), (), ("Content-Encoding: gzip",)])
def test_a_chunked_body_is_written(stand: Standing, size: int, more: tuple[str, ...]) -> None:
    before = count(stand)
    body = gzip.compress(EVENT) if "Content-Encoding: gzip" in more else EVENT
    status, answer = exchange(stand, head(stand, CHUNKED, *more) + chunks(body, size))
    assert (status, count(stand) - before) == (201, 1), answer


@pytest.mark.parametrize(
    "cut",
    [b"5\r\nabc", b"ffffffff\r\nabc", b"xyz\r\n", b"-5\r\nabc", chunks(EVENT, 10)[:-5], chunks(EVENT, 10)[:-1]],
)
@pytest.mark.parametrize("media", ["application/json", "application/x-ndjson"])
def test_a_chunked_body_without_its_end_writes_nothing(stand: Standing, cut: bytes, media: str) -> None:
    before = count(stand)
    status, _ = exchange(stand, head(stand, CHUNKED, f"Content-Type: {media}") + cut, end=True)
    assert (status in {0, 400}, count(stand) - before) == (True, 0)


def test_a_body_that_is_shorter_than_it_says_writes_nothing(stand: Standing) -> None:
    before = count(stand)
    for media in ("application/json", "application/x-ndjson"):
        said = head(stand, f"Content-Length: {len(EVENT) + 1}", f"Content-Type: {media}")
        assert exchange(stand, said + EVENT, end=True)[0] in {0, 400}
    assert count(stand) == before


def test_a_body_that_is_longer_than_it_says_is_one_event_and_no_second_request(stand: Standing) -> None:
    before = count(stand)
    smuggled = head(stand, f"Content-Length: {len(EVENT)}", "X: " + "x" * 20).replace(b"POST", b"PoST") + EVENT
    assert exchange(stand, head(stand, f"Content-Length: {len(EVENT)}") + EVENT + smuggled)[0] == 201
    assert count(stand) - before == 1


def test_two_lengths_are_refused(stand: Standing) -> None:
    before = count(stand)
    for more in ((f"Content-Length: {len(EVENT)}", "Content-Length: 1"), (f"Content-Length: {len(EVENT)}", CHUNKED)):
        assert exchange(stand, head(stand, *more) + EVENT)[0] == 400
    assert count(stand) == before


def test_a_hundred_megabytes_are_413_and_take_no_memory(stand: Standing) -> None:
    before, memory = count(stand), resident(stand)
    piece = b"x" * (1 << 20)
    for more in (f"Content-Length: {100 << 20}", CHUNKED):
        pieces = [piece] * 100 if more != CHUNKED else [chunks(piece, 1 << 20)[:-5]] * 100
        status, answer = exchange(stand, head(stand, more), *pieces)
        # A client that goes on sending may lose the answer with the connection.
        assert status in {413, 0}, answer
    packed = gzip.compress(bytes(100 << 20))
    status, answer = exchange(stand, head(stand, f"Content-Length: {len(packed)}", "Content-Encoding: gzip") + packed)
    assert (status, json.loads(answer)["code"]) == (413, "too_large")
    expects = head(stand, f"Content-Length: {100 << 20}", "Expect: 100-continue")
    assert exchange(stand, expects)[0] == 413
    assert count(stand) == before
    assert resident(stand) - memory < 60 << 20


def resident(stand: Standing) -> int:
    """Return the memory of the web server's processes, in bytes."""
    found = 0
    for process in processes(f"PORT={stand.port}"):
        with suppress(OSError):
            found += int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * 4096
    return found


def test_a_long_stream_takes_no_memory(stand: Standing) -> None:
    before, memory = count(stand), resident(stand)
    line = json.dumps({**json.loads(EVENT), "description": "x" * 900}).encode() + b"\n"
    body = line * 20_000
    said = head(stand, f"Content-Length: {len(body)}", "Content-Type: application/x-ndjson")
    status, answer = exchange(stand, said, body)
    assert (status, json.loads(answer)["created"]) == (201, 20_000)
    assert count(stand) - before == 20_000
    assert resident(stand) - memory < 60 << 20
