"""Requests take a thread once they are there: whoever sends slowly holds a buffer, and not for long.

Gunicorn gives a connection a thread with its first byte, and waits in that thread for the rest, for ever. Here the
worker's loop collects a request first: its head, and its body up to the size that a view would read. What is longer, or
does not say how long it is, is a stream: it gets a thread when its beginning is there, one of half of them at most,
and is read in that thread. In either case the client has ten seconds, and a second more for each KiB that comes, but
never more than ten at a time. To read an answer it has half a minute for each piece of it.

A connection goes to a worker that has few: one that has some gives way for a moment before it takes another.
"""

from __future__ import annotations

import json
import re
import selectors
import tempfile
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.http import get_parser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import ThreadWorker

from tenants.bodies import MAX_BYTES, Overloaded, TooSlow
from tenants.errors import DomainError

GRACE = 10.0  # seconds
RATE = 1024  # bytes a second
_ANSWER = 30.0  # seconds
_QUEUED = 30.0  # seconds that a stream waits for a thread
_WAY, _LONGEST_WAY = 0.001, 0.003  # seconds for each connection that a worker has, and at most
_PIECE = 64 * 1024
_IN_MEMORY = 1024 * 1024  # of one request; the rest of it is kept on disk
_MAX_HELD = 256 * 1024 * 1024  # of all requests that arrive at a worker
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_FRAMING = re.compile(rb"\r\n(?:content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*([!-~]{1,128})[ \t]*\r\n", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"


class Arriving:
    """A request that arrives on a connection. It is there when `ready`; a `stream` is then only at its beginning."""

    def __init__(self, conn: Any, begun: bytes) -> None:
        self.conn = conn
        self.ready = self.stream = False
        self.since = time.monotonic()
        self.deadline = self.since + GRACE
        self.size = 0
        self.kept = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by whoever reads it
        self._head: bytearray | None = bytearray()
        self._tail = b""
        self._wanted: int | None = None
        self._take(begun)

    def receive(self) -> bool:
        """Take what has come; False if the client is gone."""
        try:
            piece: bytes = self.conn.sock.recv(_PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.deadline = min(time.monotonic() + GRACE, self.deadline + len(piece) / RATE)
        self._take(piece)
        return bool(piece)

    def _take(self, piece: bytes) -> None:
        self.kept.write(piece)
        self.size += len(piece)
        self._tail = (self._tail + piece)[-len(_LAST_CHUNK) :]
        if self._head is not None:
            self._head += piece
            self._look()
        if self._wanted is not None:
            self.ready = self.size >= self._wanted
        elif self.stream:
            self.ready = self.ready or self.size >= _PIECE or self._tail == _LAST_CHUNK

    def _look(self) -> None:
        """See from the head, once it is there, how much is to come."""
        head = bytes(self._head or b"")
        end = head.find(b"\r\n\r\n")
        if end < 0:
            # A head that is too long is for gunicorn to refuse.
            self.ready = len(head) >= _PIECE
            return
        fields, self._head = head[: end + 2], None
        length = _LENGTH.search(fields)
        body = int(length[1]) if length else 0
        if len(_FRAMING.findall(fields)) > 1:
            self.ready = True  # two ways to say where it ends: gunicorn refuses it
        elif _CHUNKED.search(fields):
            self.stream = True
        elif body > MAX_BYTES:
            # Whether it is refused or read, it is not to be waited for.
            self.stream = self.ready = True
        else:
            self._wanted = end + 4 + body
        if self.size == end + 4 and not self.ready and _EXPECTS.search(fields):
            with suppress(OSError):
                self.conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def refusal(self, error: DomainError) -> bytes:
        """Return the answer that refuses the request, as the application answers refusals, and ends the connection."""
        from config import middleware, problems  # noqa: PLC0415 - Django is started by now

        self.kept.seek(0)
        sent = _REQUEST_ID.search(self.kept.read(_PIECE).partition(b"\r\n\r\n")[0] + b"\r\n")
        document = json.dumps(problems.body(error), separators=(",", ":"))
        fields = {
            "Content-Type": "application/problem+json",
            "Content-Length": len(document),
            "Connection": "close",
            "X-Request-ID": middleware.request_id(sent[1].decode() if sent else ""),
            **error.headers,
        }
        top = [f"HTTP/1.1 {error.status} {problems.title(error.status)}", *(f"{k}: {v}" for k, v in fields.items())]
        return "\r\n".join([*top, "", document]).encode()

    def hand_over(self, cfg: Any) -> None:
        """Let gunicorn read the request from what was kept, and then from the socket."""
        self.kept.seek(0)
        if self.conn.parser is None:
            self.conn.parser = get_parser(cfg, self.conn.sock, self.conn.client)
            self.conn.parser.unreader = _Kept(self.conn.sock)
        self.conn.parser.unreader.follow(self.kept)
        self.conn.data_ready = True


class _Kept(SocketUnreader):  # type: ignore[misc]
    """What was kept of a request, and what comes on the socket after it, for as long as patience lasts."""

    _patience = GRACE
    _kept: Any = None

    def follow(self, kept: Any) -> None:
        """Read from here first."""
        self._kept, self._patience = kept, GRACE

    def left(self) -> bytes:
        """Return what was read or kept beyond the last request: the beginning of the next."""
        rest: bytes = self.take_buffered()
        if self._kept is not None:
            rest += self._kept.read()
            self._kept.close()
            self._kept = None
        return rest

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes. Raises TimeoutError."""
        size = min(max(size_hint or 0, self.mxchunk), self.max_body_chunk)
        kept: bytes = self._kept.read(size) if self._kept is not None else b""
        if kept:
            return kept
        began = time.monotonic()
        self.sock.settimeout(max(self._patience, 0.001))
        try:
            piece: bytes = self.sock.recv(size)
        finally:
            self.sock.settimeout(_ANSWER)
        waited = time.monotonic() - began
        self._patience = min(GRACE, self._patience - waited + len(piece) / RATE)
        return piece


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """Serves with threads, and lets requests arrive in its loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: set[Arriving] = set()
        self._queued: deque[Arriving] = deque()
        self._served: dict[Any, Arriving] = {}
        self._gives_way_until = 0.0
        self._has_given_way = False

    def accept(self, listener: Any) -> None:
        """Take a connection, after giving way to workers that have fewer: a kept one stays where it was taken."""
        if self.nr_conns and not self._has_given_way and self.cfg.workers > 1:
            self._gives_way_until = time.monotonic() + min(_LONGEST_WAY, self.nr_conns * _WAY)
            super().set_accept_enabled(False)
        else:
            super().accept(listener)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Listen, or do not; gunicorn asks for it in each turn of the loop."""
        if self._gives_way_until and enabled:
            if time.monotonic() < self._gives_way_until:
                return
            # However late the loop comes to it: it takes a connection in this turn.
            self._has_given_way = True
        elif self._gives_way_until and not self.alive:
            self._take_the_rest()
        self._gives_way_until = 0.0
        super().set_accept_enabled(enabled)

    def _take_the_rest(self) -> None:
        """Take the connections to which way was given when the end came."""
        for listener in self.sockets:
            before = -1
            while before < self.nr_conns < self.worker_connections:
                before = self.nr_conns
                with suppress(OSError):
                    super().accept(listener)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait, for as long as way is given at most."""
        if self._gives_way_until:
            timeout = max(0.0, min(timeout, self._gives_way_until - time.monotonic()))
        super().wait_for_and_dispatch_events(0.0 if self._has_given_way else timeout)
        self._has_given_way = False

    def enqueue_req(self, conn: Any) -> None:
        """Wait for the request that comes on a connection, then give it a thread."""
        arriving = Arriving(conn, conn.parser.unreader.left() if conn.parser else b"")
        if arriving.ready:
            self._begin(arriving)
            return
        conn.sock.setblocking(False)
        self._arriving.add(arriving)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_arrival, arriving))

    def _on_arrival(self, arriving: Arriving, _sock: Any) -> None:
        if not arriving.receive():
            self._cut(arriving)
        elif arriving.ready:
            self._forget(arriving)
            self._begin(arriving)
        elif sum(one.size for one in self._arriving) > _MAX_HELD:
            self._cut(max(self._arriving, key=lambda one: one.size), Overloaded())

    def _begin(self, arriving: Arriving) -> None:
        """Give a request a thread; a stream only if others are left for those that are not."""
        streams = sum(one.stream for one in self._served.values())
        if arriving.stream and streams >= max(1, self.cfg.threads // 2):
            self._queued.append(arriving)
            return
        arriving.hand_over(self.cfg)
        self._served[arriving.conn] = arriving
        super().enqueue_req(arriving.conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request; a client that does not read the answer is given up."""
        conn.sock.settimeout(_ANSWER)
        return super().handle_request(req, conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Go on with the connection, and with a stream that waits for the thread."""
        self._served.pop(conn, None)
        # Gunicorn looks there for the beginning of the next request.
        conn.parser.unreader.unread(conn.parser.unreader.left())
        super().finish_request(conn, fs)
        if self._queued:
            self._begin(self._queued.popleft())

    def murder_pending(self) -> None:
        """Cut off what has not come in time, beside what gunicorn does."""
        super().murder_pending()
        now = time.monotonic()
        for arriving in [one for one in self._arriving if one.deadline < now]:
            self._cut(arriving, TooSlow())
        while self._queued and self._queued[0].since + _QUEUED < now:
            self._cut(self._queued.popleft(), Overloaded())

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for arriving in self._arriving:
            arriving.deadline = min(arriving.deadline, deadline)

    def _cut(self, arriving: Arriving, error: DomainError | None = None) -> None:
        """Close a connection, with an answer if the client has begun to say something."""
        self._forget(arriving)
        if error and arriving.size:
            with suppress(OSError):
                arriving.conn.sock.send(arriving.refusal(error))
        arriving.kept.close()
        self.nr_conns -= 1
        arriving.conn.close()

    def _forget(self, arriving: Arriving) -> None:
        """Wait for it no longer."""
        if arriving in self._arriving:
            self._arriving.discard(arriving)
            self.poller.unregister(arriving.conn.sock)
