"""The WSGI server: gunicorn in this process, with the application loaded before its workers are forked.

WEB_CONCURRENCY (workers, default 2) and WEB_THREADS (threads of each, default 8) size it. Each worker has a pool
of at most POOL_MAX connections, so workers times POOL_MAX must fit into PostgreSQL's max_connections; `check` says
so before the server starts. Log lines are JSON like all others, one for each request (`middleware.RequestLog`).
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from django.db import connections
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from config import env, local, metrics
from config.arrival import PatientWorker

LOOPBACK = ("127.0.0.1", "::1")
_BACKLOG = 2048
_COLLECT_AFTER = 20_000  # new objects that are still there
_SPARE = 10  # connections left for migrations, psql and the server's own
_STOPS = {signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}


def port() -> int:
    """Return PORT. Raises BadSetting."""
    return env.whole("PORT", 8000, least=1, most=65535)


def bind(number: int, hosts: tuple[str, ...] = LOOPBACK) -> list[socket.socket]:
    """Take the port on each of these addresses that this machine has; callers wait from now on. Raises BadSetting."""
    taken = [made for host in hosts if (made := _bound(host, number))]
    if not taken:
        raise env.BadSetting(f"This machine has none of the addresses {', '.join(hosts)}: set HOST to one of its own.")
    return taken


def _bound(host: str, number: int) -> socket.socket | None:
    try:
        family = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0][0]
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        made.bind((host, number))
        made.listen(_BACKLOG)  # only this takes it: two sockets that do not listen may be bound to one port
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None
        reason = "in use" if error.errno == errno.EADDRINUSE else f"refused ({error.strerror})"
        raise env.BadSetting(
            f"Port {number} of {host} is {reason}: stop what uses it, or set PORT to another one."
        ) from error
    return made


def check() -> None:
    """Connect to the database, and see that the pools of all workers fit it. Raises OperationalError, BadSetting."""
    with _connected() as connection:
        row = connection.execute("SHOW max_connections").fetchone()
    allowed = int(row[0]) if row else 0
    wanted = workers() * connections["default"].settings_dict["OPTIONS"]["pool"]["max_size"]
    if wanted + _SPARE > allowed:
        raise env.BadSetting(
            f"WEB_CONCURRENCY times POOL_MAX is {wanted} connections, but PostgreSQL allows {allowed} "
            f"(and {_SPARE} should be left): lower WEB_CONCURRENCY or POOL_MAX, or raise max_connections."
        )


def _connected() -> psycopg.Connection[tuple[Any, ...]]:
    """Return a connection of the application's login, outside the pool, whose errors would be those of its threads."""
    database = connections["default"].settings_dict
    options = {name: value for name, value in database["OPTIONS"].items() if name != "pool"}
    where = {"dbname": database["NAME"], "user": database["USER"], "password": database["PASSWORD"]}
    try:
        return psycopg.connect(**where, host=database["HOST"] or None, port=database["PORT"] or None, **options)
    except psycopg.ProgrammingError as error:
        raise env.BadSetting(f"DATABASE_URL has an option that PostgreSQL does not know: {error}.") from error


def workers() -> int:
    """Return how many processes serve."""
    return env.whole("WEB_CONCURRENCY", 2, least=1)


def serve(sockets: list[socket.socket], ready: Callable[[], None] = lambda: None) -> None:
    """Serve the application on bound sockets until SIGINT, SIGTERM or SIGHUP; call `ready` once it listens.

    Returns when all workers have ended. Database connections of this process are closed first, since workers must
    not inherit them, and the logins that they do not need are forgotten.
    """
    local.forget_rights()
    for alias in connections:
        connections[alias].close()
    with suppress(KeyError):
        connections["default"].close_pool()  # type: ignore[attr-defined]
    process = os.getpid()
    with metrics.shared_by_workers():
        try:
            _Server(sockets, ready).run()
        except SystemExit as ended:
            if os.getpid() != process:  # a worker, whose way out must not go through what the caller still has to do
                os._exit(int(ended.code or 0))
            if ended.code:
                raise


class _Server(BaseApplication):  # type: ignore[misc]
    """Gunicorn with our settings; its own files and command line are not read."""

    def __init__(self, sockets: list[socket.socket], ready: Callable[[], None]) -> None:
        self._settings: dict[str, Any] = {
            "bind": [f"fd://{made.detach()}" for made in sockets],
            "workers": workers(),
            "threads": env.whole("WEB_THREADS", 8, least=1),
            "worker_class": _Worker,
            "preload_app": True,
            "keepalive": 5,
            "graceful_timeout": 10,
            "limit_request_line": 8190,
            "forwarded_allow_ips": "",  # settings.TRUSTED_PROXIES decides what is believed
            "control_socket_disable": True,
            "logger_class": _Log,
            "loglevel": "warning",
            "post_fork": _begin_jobs,
            "worker_exit": lambda _arbiter, _worker: _end_jobs(),
            "when_ready": lambda _arbiter: _begin(ready),
            "child_exit": lambda _arbiter, worker: metrics.forget_worker(worker.pid),
        }
        super().__init__()

    def load_config(self) -> None:
        """Set our settings."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the application."""
        from config.wsgi import application  # noqa: PLC0415 - builds the middleware

        return application

    def run(self) -> None:
        """Serve."""
        _Arbiter(self).run()


_engines: list[Any] = []


def _begin_jobs(_arbiter: Any, _worker: Any) -> None:
    """Run the background jobs in this worker, unless BACKGROUND_JOBS is off.

    Signals are still kept for later (`spawn_worker`): one that came now would leave half of the threads unstarted. The
    threads never get any.
    """
    from config import jobs  # noqa: PLC0415 - Django is started by now

    if env.flag("BACKGROUND_JOBS", default=True):
        _engines.append(jobs.Engine(jobs.schedule()))
        _engines[-1].start()


def _end_jobs() -> None:
    """End them. Gunicorn calls this in its own process, too, where there are none, of workers that are gone already."""
    if _engines:
        # The worker ends: a second signal, as all of its group get, must not break this off.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        _engines.pop().stop()


def _begin(ready: Callable[[], None]) -> None:
    """Leave what is loaded by now to no collector, and tell that the server listens. Workers are forked after this.

    A batch makes 100,000 objects that are gone with it: by default a third of its time went into looking, again and
    again, for cycles among them and all of Django.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)
    ready()


class _Arbiter(Arbiter):  # type: ignore[misc]
    """Ends when its terminal is closed, where gunicorn would reload and live on unseen."""

    handle_hup = Arbiter.handle_int

    def spawn_worker(self) -> Any:
        """Fork a worker that hears what stops it from its first moment on: until it listens, signals are kept for it.

        It would take them for its parent's and lose them, or die of one that it has no handler for.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            return super().spawn_worker()
        finally:
            if os.getpid() == self.pid:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


class _Worker(PatientWorker):
    """Serves with threads, and is stopped by a signal at any time of its life."""

    def init_signals(self) -> None:
        """Listen, first to what came meanwhile."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """End at once. Gunicorn's own closes the pool of threads first, by a lock that the loop may just be holding."""
        Worker.handle_quit(self, sig, frame)


class _Log(Logger):  # type: ignore[misc]
    """Gunicorn's messages as lines of our own log."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers to settings.LOGGING."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
