"""A small HTTP client for addresses that tenants name: https alone, no redirects, bounded in time and in size.

A name is resolved once, and the address that was judged is the one that is connected to, so that no second answer
leads elsewhere. Addresses that are not of the open Internet are refused but for OIDC_ALLOWED_NETWORKS.
"""

from __future__ import annotations

import json
import socket
import ssl
from concurrent.futures import Future
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from threading import Lock, Thread, Timer
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

SECONDS = 5.0
MAX_BYTES = 256 * 1024
_OK = 200
# Addresses of the open Internet by name, which a gateway translates to others.
_TRANSLATED = [
    ip_network("64:ff9b::/96"),
    ip_network("64:ff9b:1::/48"),
    ip_network("2002::/16"),
    ip_network("2001::/32"),
]
Address = IPv4Address | IPv6Address


class CannotFetch(Exception):
    """Why a document could not be had."""


def document(url: str) -> dict[str, Any]:
    """Return the JSON object at a URL. Raises CannotFetch."""
    parts, end = checked(url), monotonic() + SECONDS
    connection = _Connection(parts, _address_of(parts), end)
    # However slowly it is sent: at the end of the time the line is cut.
    cut = Timer(_left(end), connection.cut)
    cut.daemon = True
    cut.start()
    try:
        return _read(connection, parts)
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        raise CannotFetch(f"{url} could not be read: {error or type(error).__name__}.") from error
    finally:
        cut.cancel()
        connection.close()


def checked(url: str) -> SplitResult:
    """Return a URL in parts. Raises CannotFetch for one that may not be asked, whatever its name resolves to."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise CannotFetch(f"{url} is no URL.") from error
    if not parts.hostname or parts.username is not None or parts.password is not None or parts.fragment:
        raise CannotFetch(f"{url} must name a host, no person and no fragment.")
    if not url.isascii() or any(ord(sign) <= ord(" ") for sign in url):
        raise CannotFetch(f"{url} has signs that no URL has.")
    if parts.scheme != "https" and not (parts.scheme == "http" and settings.OIDC_ALLOWED_NETWORKS):
        raise CannotFetch(f"{url} must begin with https://.")
    return parts


def _left(end: float) -> float:
    """Return how many seconds are left. A timeout of 0 would be none to a socket."""
    return max(end - monotonic(), 0.001)


def _address_of(parts: SplitResult) -> Address:
    """Return an address of the host that may be asked. Raises CannotFetch."""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = _resolved(str(parts.hostname), port)
    except (OSError, UnicodeError) as error:
        raise CannotFetch(f"{parts.hostname} has no address.") from error
    addresses = [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    if not addresses or not all(_may_be_asked(address, parts.scheme) for address in addresses):
        raise CannotFetch(f"{parts.hostname} is not a host of the open Internet.")
    return addresses[0]


def _resolved(host: str, port: int) -> list[Any]:
    """Return the places of a name. Raises OSError, also after the time, which the system's resolver does not know."""
    answer: Future[list[Any]] = Future()

    def ask() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    return answer.result(SECONDS)


def _may_be_asked(address: Address, scheme: str) -> bool:
    plain = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
    allowed = any(plain in ip_network(network) for network in settings.OIDC_ALLOWED_NETWORKS)
    if scheme == "http":
        return allowed and plain.is_loopback
    translated = any(plain in network for network in _TRANSLATED)
    return allowed or (plain.is_global and not plain.is_multicast and not translated)


class _Connection(HTTPConnection):
    """A connection to one address, under the name that was asked for, until a time (monotonic seconds)."""

    def __init__(self, parts: SplitResult, address: Address, end: float) -> None:
        secure = parts.scheme == "https"
        super().__init__(str(parts.hostname), parts.port or (443 if secure else 80))
        self._address, self._secure, self._end = str(address), secure, end
        # Kept besides `sock`, which is given up while an answer that ends with its line is still being read.
        self._line: socket.socket | None = None
        self._is_cut, self._turn = False, Lock()

    def connect(self) -> None:
        """Connect to the address, and let the host prove its name. Raises OSError."""
        self._hold(socket.create_connection((self._address, self.port), _left(self._end)))
        if self._secure:
            context = ssl.create_default_context()
            # The wrapped socket takes the line over: it must be held before anything is waited for.
            line = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self._hold(line)
            line.do_handshake()

    def _hold(self, line: socket.socket) -> None:
        with self._turn:
            self.sock = self._line = line
            if self._is_cut:
                raise TimeoutError("it took too long")

    def cut(self) -> None:
        """End whatever is under way or would begin, from another thread."""
        with self._turn:
            self._is_cut = True
            if self._line is not None:
                with suppress(OSError):
                    # Not SSLSocket's own, which would go on in the clear.
                    socket.socket.shutdown(self._line, socket.SHUT_RDWR)


def _read(connection: _Connection, parts: SplitResult) -> dict[str, Any]:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("GET", target, headers={"Accept": "application/json", "User-Agent": "Daybook"})
    answer = connection.getresponse()
    if answer.status != _OK:
        raise ValueError(f"the answer is {answer.status}")
    body = answer.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - of the document, not of a call
    return found
