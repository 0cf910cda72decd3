"""Slow and huge requests on real sockets: they hold no thread, are cut off, and others are served meanwhile."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest
from programs import SERVER, lines, serving
from servers import free_port

from config import arrival
from tenants.bodies import Overloaded

# One worker with two threads, so one stream at a time. Patience is short, and so are these tests.
PATIENCE = 3.0
HASTY = """
from config import arrival
arrival.GRACE, arrival.RATE, arrival._ANSWER, arrival._QUEUED = 3.0, 1024, 3.0, 20.0
"""
ECHO = """
def page(environ, start):
    size = 0
    try:
        while piece := environ["wsgi.input"].read(65536):
            size += len(piece)
    except TimeoutError:
        start("408 Request Timeout", [("Content-Length", "4")])
        return [b"slow"]
    if environ["PATH_INFO"] == "/much":
        start("200 OK", [("Content-Length", str(1 << 26))])
        return (bytes(1 << 16) for _ in range(1 << 10))
    if environ["PATH_INFO"] == "/refuse":
        start("413 Content Too Large", [("Content-Length", "0")])
        return []
    answer = str(size).encode()
    start("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
"""
ANSWER = re.compile(rb"HTTP/1.1 (\d+) .*?content-length: (\d+).*?\r\n\r\n(.*)", re.IGNORECASE | re.DOTALL)
PROGRAM = re.sub(r"def page\(environ, start\):\n(?: .*\n)+", ECHO, SERVER).replace(
    "\nserver.serve(", f"{HASTY}server.serve("
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server that answers how long a body was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEB_CONCURRENCY", "1")
        patch.setenv("WEB_THREADS", "2")
        with serving(PROGRAM, port := free_port()) as process:
            assert lines(process, 1) == ["ready\n"]
            yield port


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def head(length: int | str = 0, path: str = "/", *more: str) -> bytes:
    framing = f"Content-Length: {length}" if isinstance(length, int) else f"Transfer-Encoding: {length}"
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", framing, *more, "", ""]).encode()


def answer(sock: socket.socket) -> str:
    """Return the status and the body of the next answer; nothing if the connection ends."""
    said = b""
    while b"\r\n\r\n" not in said:
        if not (piece := sock.recv(65536)):
            return said.decode()
        said += piece
    top, _, body = said.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", top.lower())[1])  # type: ignore[index]
    while len(body) < length:
        body += sock.recv(65536)
    assert len(body) == length
    return f"{top.split()[1].decode()} {body.decode()}".strip()


def asked(port: int, body: bytes = b"abc") -> float:
    """Send a plain request; return the seconds it took."""
    began = time.monotonic()
    with closing(connected(port)) as sock:
        sock.sendall(head(len(body)) + body)
        assert answer(sock) == f"200 {len(body)}"
    return time.monotonic() - began


SLOW = {
    "nothing": b"",
    "half a head": head(5)[:20],
    "a head": head(5),
    "half a body": head(5000) + b"x" * 100,
    "a large body": head(4_000_000) + b"x" * 1_000_000,
    "a chunk": head("chunked") + b"5\r\nabc",
}


def test_who_sends_slowly_holds_up_nobody_and_is_cut_off(port: int) -> None:
    with ExitStack() as stack:
        slow = [(what, stack.enter_context(closing(connected(port)))) for what in [*SLOW] * 7]
        for what, sock in slow:
            sock.sendall(SLOW[what])
        time.sleep(0.1)
        assert asked(port) + asked(port, bytes(300_000)) < PATIENCE
        began = time.monotonic()
        assert {(what, answer(sock)[:3]) for what, sock in slow} == {
            (what, "408" if SLOW[what] else "") for what in SLOW
        }
        assert time.monotonic() - began < 3 * PATIENCE
    asked(port)


@pytest.mark.parametrize(("sent", "own"), [("r-1", True), ("a b", False), ("<x>", False), (None, False)])
def test_who_is_cut_off_is_told_why_as_the_application_tells_it(port: int, sent: str | None, own: bool) -> None:
    more = [] if sent is None else [f"x-request-id: {sent}"]
    with closing(connected(port)) as sock:
        sock.sendall(head(5000, "/", *more) + b"\r\nX-Request-ID: of-the-body\r\n")
        top, _, document = b"".join(iter(lambda: sock.recv(65536), b"")).decode().partition("\r\n\r\n")
    status, *fields = top.split("\r\n")
    named = dict(field.split(": ", 1) for field in fields)
    assert (status, named["Content-Type"]) == ("HTTP/1.1 408 Request Timeout", "application/problem+json")
    assert (named["Connection"], named["Content-Length"]) == ("close", str(len(document)))
    assert (json.loads(document)["code"], json.loads(document)["status"]) == ("too_slow", 408)
    assert re.fullmatch("r-1" if own else "[0-9a-f]{32}", named["X-Request-ID"])


def test_who_finds_no_room_is_told_when_to_come_back() -> None:
    arriving = arrival.Arriving(None, head(5, "/", "X-Request-ID: r-2"))
    with closing(arriving.kept):
        top, _, document = arriving.refusal(Overloaded()).decode().partition("\r\n\r\n")
    assert top.startswith("HTTP/1.1 503 Service Unavailable\r\n")
    assert {"Retry-After: 5", "X-Request-ID: r-2"} <= set(top.split("\r\n"))
    assert json.loads(document)["code"] == "overloaded"


def test_who_sends_a_byte_now_and_then_is_cut_off_too(port: int) -> None:
    with closing(connected(port)) as sock:
        began = time.monotonic()
        with suppress(OSError):
            for byte in head(50) + b"x" * 1000:
                sock.sendall(bytes([byte]))
                time.sleep(0.1)
        assert time.monotonic() - began < 4 * PATIENCE


def test_who_sends_slowly_but_fast_enough_is_answered(port: int) -> None:
    with closing(connected(port)) as sock:
        for piece in [head(6000), *[b"x" * 600] * 10]:
            sock.sendall(piece)
            time.sleep(0.3)
        assert answer(sock) == "200 6000"


@pytest.mark.parametrize("start", [head("chunked") + b"20000\r\n", head(50_000_000)])
def test_streams_that_stall_leave_threads_to_others_and_are_told(port: int, start: bytes) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(closing(connected(port))) for _ in range(2)]
        for sock in streams:
            sock.sendall(start + b"x" * 70_000)
        time.sleep(0.2)
        assert asked(port) < PATIENCE
        assert {answer(sock) for sock in streams} == {"408 slow"}
    asked(port)


def test_streams_take_turns_and_each_is_read_to_its_end(port: int) -> None:
    size = 12_000_000

    def stream(_: int) -> str:
        with closing(connected(port)) as sock:
            sock.sendall(head(size))
            for _ in range(12):
                sock.sendall(bytes(size // 12))
            return answer(sock)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(stream, range(4))) == [f"200 {size}"] * 4


def test_a_chunked_body_is_read_to_its_end(port: int) -> None:
    for count in (1, 3, 400):
        with closing(connected(port)) as sock:
            for piece in [head("chunked"), *[b"400\r\n%b\r\n" % bytes(1024)] * count, b"0\r\n\r\n"]:
                sock.sendall(piece)
            assert answer(sock) == f"200 {1024 * count}"


def test_one_connection_carries_many_requests_one_after_the_other_and_all_at_once(port: int) -> None:
    with closing(connected(port)) as sock:
        for size in (3, 0, 200_000, 5):
            sock.sendall(head(size) + bytes(size))
            assert answer(sock) == f"200 {size}"
    with closing(connected(port)) as sock:
        sock.sendall(b"".join(head(size) + bytes(size) for size in (3, 7, 100_000)) + head(9))
        assert [pipelined(sock) for _ in range(3)] == ["200 3", "200 7", "200 100000"]
        sock.sendall(bytes(9))
        assert pipelined(sock) == "200 9"


def pipelined(sock: socket.socket) -> str:
    """Return the next answer, and read nothing of the one after it."""
    said = b""
    while not (found := ANSWER.fullmatch(said)) or len(found[3]) < int(found[2]):
        if not (byte := sock.recv(1)):
            return said.decode()
        said += byte
    return f"{found[1].decode()} {found[3].decode()}"


def test_who_expects_to_be_told_to_go_on_is_told(port: int) -> None:
    with closing(connected(port)) as sock:
        sock.sendall(head(5, "/", "Expect: 100-continue"))
        assert sock.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        sock.sendall(b"hello")
        rest = b""
        while not rest.endswith(b"\r\n\r\n5"):
            rest += sock.recv(100)
        assert b"200 OK" in rest


def test_who_does_not_read_the_answer_holds_up_nobody_for_long(port: int) -> None:
    with ExitStack() as stack:
        deaf = [stack.enter_context(closing(connected(port))) for _ in range(2)]
        for sock in deaf:
            sock.sendall(head(0, "/much"))
        time.sleep(0.3)
        assert asked(port) < 4 * PATIENCE
    asked(port)


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(port: int) -> None:
    for begun in SLOW.values():
        with closing(connected(port)) as sock:
            sock.sendall(begun)
    threads = [threading.Thread(target=asked, args=(port,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked(port)


def test_a_head_that_is_too_long_is_refused(port: int) -> None:
    with closing(connected(port)) as sock:
        sock.sendall(head(0, "/", f"X: {'x' * 100_000}"))
        assert answer(sock).startswith("431")
    asked(port)


def test_gunicorns_own_worker_is_held_up_by_as_many_as_it_has_threads() -> None:
    """The control: the same server, whose connections get a thread with their first byte."""
    own = "from gunicorn.workers.gthread import ThreadWorker\n"
    for name in ("enqueue_req", "finish_request", "handle_request"):
        own += f"arrival.PatientWorker.{name} = ThreadWorker.{name}\n"
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("WEB_CONCURRENCY", "1")
        patch.setenv("WEB_THREADS", "2")
        process = stack.enter_context(
            serving(PROGRAM.replace("server.serve(", f"{own}server.serve("), port := free_port())
        )
        assert lines(process, 1) == ["ready\n"]
        for _ in range(2):
            stack.enter_context(closing(connected(port))).sendall(SLOW["half a body"])
        time.sleep(0.3)
        sock = stack.enter_context(closing(connected(port)))
        sock.settimeout(2 * PATIENCE)
        sock.sendall(head(0))
        with pytest.raises(TimeoutError):
            answer(sock)


WHO = """
import os, time
def page(environ, start):
    end = time.monotonic() + 8 * (environ["PATH_INFO"] == "/busy")
    while time.monotonic() < end:
        pass
    answer = str(os.getpid()).encode()
    start("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
"""


@contextmanager
def two_workers(more: str = "") -> Iterator[int]:
    """A server of two workers of four threads, which answers which one it is."""
    program = PROGRAM.replace(ECHO.strip(), WHO.strip()).replace("server.serve(", f"{more}server.serve(")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEB_CONCURRENCY", "2")
        patch.setenv("WEB_THREADS", "4")
        with serving(program, port := free_port()) as process:
            assert lines(process, 1) == ["ready\n"]
            time.sleep(0.5)
            yield port


def test_a_worker_that_has_a_connection_leaves_the_next_one_to_a_worker_that_has_none() -> None:
    # A way so long that no busy machine is late.
    with two_workers("arrival._WAY = arrival._LONGEST_WAY = 0.2\n") as port:
        for _ in range(10):
            workers = set()
            with ExitStack() as stack:
                for _ in range(2):
                    sock = stack.enter_context(closing(connected(port)))
                    sock.sendall(head())
                    workers.add(answer(sock))
            assert len(workers) == 2
            time.sleep(0.2)


def test_workers_whose_threads_are_busy_take_connections_all_the_same() -> None:
    with two_workers() as port, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(closing(connected(port))).sendall(head(0, "/busy"))
            time.sleep(0.1)
        # Their threads are busy for eight seconds.
        began = time.monotonic()
        for _ in range(4):
            with closing(connected(port)) as sock:
                sock.sendall(head())
                assert answer(sock).startswith("200")
        assert time.monotonic() - began < 5


def test_connections_that_come_just_before_the_end_are_answered() -> None:
    """A worker that gives way when it is told to end takes what came."""
    program = PROGRAM.replace("server.serve(", "arrival._WAY = arrival._LONGEST_WAY = 1.5\nserver.serve(")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("WEB_CONCURRENCY", "2")
        process = stack.enter_context(serving(program, port := free_port()))
        assert lines(process, 1) == ["ready\n"]
        time.sleep(0.5)
        for _ in range(2):
            # Each worker has one, so both give way to the other.
            sock = stack.enter_context(closing(connected(port)))
            sock.sendall(head())
            answer(sock)
        late = [stack.enter_context(closing(connected(port))) for _ in range(5)]
        for sock in late:
            sock.sendall(head(3) + b"abc")
        time.sleep(0.2)
        process.terminate()
        assert [answer(sock) for sock in late] == ["200 3"] * 5
