"""One server connection under two clients in turn, as a transaction pooler deals it: each reads its own rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from stock import scope
from trying_urls import labels
from units import raw, run

from tenants.backend.connection import UnitConnection
from tenants.backend.unit import Binding, tenant_role
from tenants.errors import ScopeConflict

SLUGS = ("acme", "globex")
Turn = tuple[str, list[str]]


@contextmanager
def clients(pair: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return a client (Django's side of a connection) for each tenant; all have one and the same server connection."""
    with scope(pair["acme"]):
        run("SELECT 1")
    first: Any = connections["default"]
    made = {"acme": first, "globex": first.copy()}
    made["globex"].__dict__.update(connection=first.connection, _login=first._login, autocommit=first.autocommit)
    try:
        yield made
    finally:
        made["globex"].connection = None
        connections["default"] = first


def turns(pair: dict[str, Any], order: str) -> list[Turn]:
    """Let clients read in an order ("ag": acme, then globex), each transaction on the same server connection."""
    found = []
    with clients(pair) as made:
        for letter in order:
            slug = next(slug for slug in SLUGS if slug.startswith(letter))
            connections["default"] = made[slug]
            with scope(pair[slug]):
                found.append((slug, labels()))
    return found


def test_transactions_of_two_clients_in_turn_read_their_own_rows(pair: dict[str, Any]) -> None:
    assert all(rows == [slug] for slug, rows in turns(pair, "agagaaggga"))


def test_control_settings_of_the_session_are_the_last_clients(
    pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that chooses its tenant once in its session, as if the session were its own."""
    whole, chosen = Binding.first_message, set()

    def once(binding: Binding, *how: Any) -> bytes:
        if binding.role in chosen:
            return b"BEGIN;"
        chosen.add(binding.role)
        return whole(binding, *how).replace(b"SET LOCAL", b"SET SESSION")

    monkeypatch.setattr(Binding, "first_message", once)
    # The roles' rights still stand; so the row is the other's whose role was left behind.
    assert turns(pair, "aga")[-1] == ("acme", ["globex"])


def test_a_transaction_that_is_still_open_takes_no_second_client(pair: dict[str, Any]) -> None:
    """A pooler that is set to sessions or statements: the connection comes with somebody's transaction on it."""
    with clients(pair) as made, scope(pair["acme"]):
        assert labels() == ["acme"]
        server: UnitConnection = raw()
        other, globex = made["globex"], pair["globex"]
        assert other.connection is server
        bound = Binding(role=tenant_role(globex.id), path=(globex.schema_name,), login=globex.login)
        with pytest.raises(ScopeConflict, match="one transaction, one tenant"):
            other.unit(SimpleNamespace(actor=None), bound, parent=None).__enter__()
        assert labels() == ["acme"]


def test_a_savepoint_of_a_transaction_before_is_gone(pair: dict[str, Any]) -> None:
    with scope(pair["acme"]):
        run("SELECT 1")
        kept = transaction.savepoint()
    with scope(pair["globex"]):
        run("SELECT 1")
        with pytest.raises(DatabaseError, match="savepoint"):
            connection.savepoint_rollback(kept)
        connection.set_rollback(True)
