"""Attempts to sign in count across the processes of a real server."""

from __future__ import annotations

import re
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
from clones import unchanged
from running import running
from world import address

PAGE, TEMPLATE = "/accounts/login/", "world"


def page(port: int, method: str = "GET", body: str = "", cookie: str = "") -> tuple[str, str]:
    """Ask over a connection of its own, which any process may take; return the cookie and the page."""
    headers = {"Host": f"acme.localhost:{port}", "Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    line = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        line.request(method, PAGE, body, headers)
        answer = line.getresponse()
        return (answer.getheader("Set-Cookie") or "").partition(";")[0], answer.read().decode()
    finally:
        line.close()


def test_five_wrong_passwords_are_five_for_both_processes(
    superuser: psycopg.Connection[Any], standing: list[str], tmp_path: Path
) -> None:
    with unchanged(superuser, standing), running(superuser, TEMPLATE, tmp_path / "log", WEB_CONCURRENCY="2") as server:
        cookie, form = page(server.port)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert token, form
        words = {"login": address("alice"), "password": "wrong wrong wrong", "csrfmiddlewaretoken": token[1]}
        said = [page(server.port, "POST", urlencode(words), cookie)[1] for _ in range(9)]
    assert ["are not correct" in text for text in said] == [True] * 5 + [False] * 4
    assert all("Too many failed login attempts" in text for text in said[5:])
