"""How keys are learnt: once, again when they are rotated, and never by a storm."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings
from provider import Provider, bearing
from world import World

from tenants.oidc import fetching, keys
from tenants.oidc.fetching import CannotFetch

TRAIL = "/api/v1/audit-logs"
DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the keys' room, to be set."""
    now = [1000.0]

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    monkeypatch.setattr(keys, "time", Clock)
    return now


def status(world: World, token: str) -> int:
    return int(bearing(world, token).get(TRAIL).status_code)


def test_keys_are_asked_for_once(world: World, provider: Provider) -> None:
    for _ in range(5):
        assert status(world, provider.token()) == 200
    assert provider.asked == [DISCOVERY, "/keys"]


def test_a_rotated_key_is_learnt_and_the_old_one_forgotten(
    world: World, provider: Provider, clock: list[float]
) -> None:
    old = provider.token()
    assert status(world, old) == 200
    provider.keys.clear()
    provider.add("second", "ES256")
    assert status(world, provider.token("second")) == 401
    clock[0] += keys.PAUSE
    assert status(world, provider.token("second")) == 200
    assert status(world, old) == 401


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that is long enough for an answer also on a busy machine."""
    monkeypatch.setattr(keys, "_WAIT", 30)


@pytest.mark.usefixtures("patient")
def test_unknown_keys_make_no_storm(world: World, provider: Provider, clock: list[float]) -> None:
    assert status(world, provider.token()) == 200
    clock[0] += keys.PAUSE
    tokens = [provider.token(header={"kid": f"unknown-{number}"}) for number in range(30)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda token: status(world, token), tokens))
    assert set(answers) == {401}
    assert provider.asked == [DISCOVERY, "/keys"] * 2
    assert status(world, provider.token()) == 200


@pytest.mark.usefixtures("patient")
def test_the_first_of_many_asks_and_the_others_wait(world: World, provider: Provider) -> None:
    token = provider.token()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: status(world, token), range(16)))
    assert set(answers) == {200}
    assert provider.asked == [DISCOVERY, "/keys"]


class Silent:
    """A provider that does not answer until it is let; `asked` has the URLs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.answering = Event()
        self.real = fetching.document
        monkeypatch.setattr(fetching, "document", self.document)

    def document(self, url: str) -> dict[str, Any]:
        self.asked.append(url)
        assert self.answering.wait(30)
        return self.real(url)

    def wait_for(self, number: int) -> None:
        """Wait until so many have been asked."""
        end = time.monotonic() + 10
        while len(self.asked) < number:
            assert time.monotonic() < end
            time.sleep(0.005)


def test_one_thread_at_most_waits_for_an_issuer_that_does_not_answer(
    world: World, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, token = Silent(monkeypatch), provider.token()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(status, world, token)
        silent.wait_for(1)
        garbage = [provider.token(header={"kid": f"unknown-{number}"}) for number in range(24)]
        began = time.monotonic()
        answers = list(pool.map(lambda token: bearing(world, token).get(TRAIL), garbage))
        assert time.monotonic() - began < 8
        # All were answered while the first still waits.
        assert (first.done(), len(silent.asked)) == (False, 1)
        silent.answering.set()
        assert first.result() == 200
    assert {(it.status_code, it.json()["code"], it["Retry-After"]) for it in answers} == {
        (503, "provider_unreachable", "5")
    }


def test_a_key_that_is_known_serves_while_its_issuer_is_asked_anew(
    world: World, provider: Provider, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = provider.token()
    assert status(world, token) == 200
    clock[0] += keys.FRESH + 1
    silent = Silent(monkeypatch)
    monkeypatch.setattr(keys, "_WAIT", 30)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(status, world, token)
        silent.wait_for(1)
        assert [status(world, token) for _ in range(3)] == [200] * 3
        assert not first.done()
        silent.answering.set()
        assert first.result() == 200


def test_two_issuers_at_most_are_asked_at_a_time(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Silent(monkeypatch)
    with ThreadPoolExecutor(2) as pool, override_settings(OIDC_ALLOWED_NETWORKS=["127.0.0.0/8"]):
        for number in (1, 2):
            pool.submit(keys.key_for, f"http://127.0.0.1:1/{number}", None, "ES256")
        silent.wait_for(2)
        with pytest.raises(keys.ProviderUnreachable):
            keys.key_for(provider.issuer, "first", "ES256")
        assert len(silent.asked) == 2
        silent.answering.set()
    with override_settings(OIDC_ALLOWED_NETWORKS=["127.0.0.0/8"]):
        # It was not asked, so it may be at once.
        assert keys.key_for(provider.issuer, "first", "ES256") is not None


def test_keys_are_learnt_anew_after_an_hour_and_hold_for_a_day_without_the_provider(
    world: World, provider: Provider, clock: list[float]
) -> None:
    assert status(world, provider.token()) == 200
    clock[0] += keys.FRESH + 1
    assert status(world, provider.token()) == 200
    assert len(provider.asked) == 4
    provider.answers[DISCOVERY] = b"gone"
    clock[0] += keys.FRESH + 1
    assert status(world, provider.token()) == 200
    clock[0] += keys.STALE
    answer = bearing(world, provider.token()).get(TRAIL)
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "provider_unreachable", "60")


@pytest.mark.parametrize(
    "answers",
    [
        {DISCOVERY: b"no json"},
        {DISCOVERY: [1]},
        {DISCOVERY: {"issuer": "https://evil.example", "jwks_uri": "http://127.0.0.1/keys"}},
        {DISCOVERY: "http://127.0.0.1:1/"},
        {"/keys": {"keys": "none"}},
        {"/keys": b" " * (fetching.MAX_BYTES + 1)},
        {"/keys": b'{"keys": ' + b"[" * 100000 + b"]" * 100000 + b"}"},
    ],
)
def test_a_provider_that_says_nonsense_is_not_reached_and_not_asked_again_at_once(
    world: World, provider: Provider, answers: dict[str, Any]
) -> None:
    provider.answers.update(answers)
    assert [status(world, provider.token()) for _ in range(3)] == [503] * 3
    assert len(provider.asked) <= 2


def test_a_discovery_document_of_another_issuer_teaches_nothing(world: World, provider: Provider) -> None:
    for issuer in ("https://evil.example", f"{provider.issuer}/", None):
        keys.forget()
        provider.asked.clear()
        provider.answers[DISCOVERY] = {"issuer": issuer, "jwks_uri": f"{provider.issuer}/keys"}
        assert status(world, provider.token()) == 503
        assert provider.asked == [DISCOVERY]


@contextmanager
def dripping(first: bytes, then: bytes) -> Iterator[int]:
    """Listen on a port of loopback; answer whoever comes with something, then byte by byte for five seconds."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

        def drip() -> None:
            line, _ = listening.accept()
            with line, suppress(OSError):
                line.sendall(first)
                for _ in range(100):
                    line.sendall(then)
                    time.sleep(0.05)

        pool.submit(drip)
        yield int(listening.getsockname()[1])


# Of a TLS record of 16 KiB that holds a handshake message: the client waits for the rest of it.
HANDSHAKE = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"


@pytest.mark.parametrize(
    ("scheme", "first", "then"),
    [
        ("http", b"", b"H"),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" "),
        # An answer that ends with its line, which http.client has given up by then.
        ("http", b"HTTP/1.0 200 OK\r\n\r\n", b" "),
        ("https", HANDSHAKE, b"\x00"),
    ],
)
def test_whoever_answers_slowly_is_cut_off(
    scheme: str, first: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 0.3)
    with dripping(first, then) as port, override_settings(OIDC_ALLOWED_NETWORKS=["127.0.0.0/8"]):
        began = time.monotonic()
        with pytest.raises(CannotFetch):
            fetching.document(f"{scheme}://127.0.0.1:{port}/x")
        assert time.monotonic() - began < 2


def test_a_handshake_has_what_connecting_has_left_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 2)
    real = socket.create_connection

    def slowly(*place: Any) -> socket.socket:
        time.sleep(1.5)
        return real(*place)

    with dripping(HANDSHAKE, b"\x00") as port, override_settings(OIDC_ALLOWED_NETWORKS=["127.0.0.0/8"]):
        monkeypatch.setattr(socket, "create_connection", slowly)
        began = time.monotonic()
        with pytest.raises(CannotFetch):
            fetching.document(f"https://127.0.0.1:{port}/x")
        assert 1.9 < time.monotonic() - began < 3


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 0.2)
    answering = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: answering.wait(10) and [])
    began = time.monotonic()
    with pytest.raises(CannotFetch, match="has no address"):
        fetching.document("https://innocent.example/")
    assert time.monotonic() - began < 2
    answering.set()


def test_a_line_that_is_made_after_the_time_is_not_used(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 0.1)
    real = socket.create_connection

    def slowly(*place: Any) -> socket.socket:
        time.sleep(0.4)
        return real(*place)

    monkeypatch.setattr(socket, "create_connection", slowly)
    with override_settings(OIDC_ALLOWED_NETWORKS=["127.0.0.0/8"]), pytest.raises(CannotFetch, match="too long"):
        fetching.document(f"{provider.issuer}/keys")
    assert provider.asked == []


def test_no_connection_of_a_pool_is_held_meanwhile(
    world: World, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []
    real = fetching.document

    def watch(url: str) -> dict[str, Any]:
        held.append(any(connection.connection is not None for connection in connections.all(initialized_only=True)))
        return real(url)

    monkeypatch.setattr(fetching, "document", watch)
    assert status(world, provider.token()) == 200
    assert held == [False, False]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://user:pass@example.com/",
        "https://example.com/#x",
        "https://",
        "https://exa mple.com/",
        "https://example.com/\r\nX: y",
        "https://example.com:port/",
    ],
)
def test_a_url_of_another_form_is_refused_before_anybody_is_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: pytest.fail("it was resolved"))
    with pytest.raises(CannotFetch):
        fetching.document(url)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0",  # noqa: S104
     "100.64.0.1", "224.0.0.1",
     "::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"],
)  # fmt: skip
def test_an_address_that_is_not_of_the_open_internet_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: [(0, 0, 0, "", (address, 443))])
    monkeypatch.setattr(socket, "create_connection", lambda *_a, **_k: pytest.fail("it was asked"))
    with pytest.raises(CannotFetch, match="open Internet"):
        fetching.document("https://innocent.example/")


def test_one_bad_address_among_good_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [(0, 0, 0, "", (address, 443)) for address in ("93.184.216.34", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: places)
    with pytest.raises(CannotFetch, match="open Internet"):
        fetching.document("https://innocent.example/")


def test_the_address_that_was_judged_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second answer of the name server, which leads elsewhere, is never asked for."""
    asked: list[str] = []
    to: list[Any] = []

    def resolve(host: str, *_a: Any, **_k: Any) -> Any:
        asked.append(host)
        return [(0, 0, 0, "", ("93.184.216.34", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    def connect(place: Any, *_a: Any, **_k: Any) -> None:
        to.append(place)
        raise OSError("not in a test")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(CannotFetch):
        fetching.document("https://innocent.example/")
    assert (asked, to) == (["innocent.example"], [("93.184.216.34", 443)])


def test_a_private_network_may_be_allowed_and_http_on_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: [(0, 0, 0, "", ("10.0.0.5", 443))])
    monkeypatch.setattr(socket, "create_connection", lambda *_a, **_k: (_ for _ in ()).throw(OSError("asked")))
    with override_settings(OIDC_ALLOWED_NETWORKS=["10.0.0.0/8"]):
        with pytest.raises(CannotFetch, match="asked"):
            fetching.document("https://inside.example/")
        with pytest.raises(CannotFetch, match="open Internet"):
            fetching.document("http://inside.example/")
