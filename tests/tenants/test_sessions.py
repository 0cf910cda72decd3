"""Sessions through the gate: written after the unit of work, found by a digest alone, ended for good."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from browser import Browser
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.core.management import call_command
from django.utils import timezone
from world import World

from tenants import gate
from tenants.errors import ScopeConflict
from tenants.sessions import SessionStore


def stored(world: World) -> int:
    """Return how many sessions there are, counted beyond all walls."""
    return int(world.sql("SELECT count(*) FROM shared.tenants_session")[0][0])


def begun(**data: str) -> SessionStore:
    """Return a session that was begun and written."""
    session = SessionStore()
    session.create()
    session.update(data)
    session.save()
    return session


def test_the_settings_name_this_store() -> None:
    assert import_module(settings.SESSION_ENGINE).SessionStore is SessionStore


def test_a_session_is_read_back_by_its_key(world: World) -> None:
    session = begun(colour="green")
    again = SessionStore(session.session_key)
    assert (again["colour"], again.session_key, stored(world)) == ("green", session.session_key, 1)


def test_the_key_itself_is_stored_nowhere(world: World) -> None:
    key = str(begun().session_key)
    (row,) = world.sql("SELECT digest, data FROM shared.tenants_session")
    assert bytes(row[0]) == gate.digest(key)
    assert key not in row[1]
    assert key.encode() not in bytes(row[0])


def test_an_unknown_key_begins_a_session_of_another_key(world: World) -> None:
    """A key that somebody planted in the browser is not taken over."""
    session = SessionStore("planted" * 5)
    assert dict(session.items()) == {}
    session["colour"] = "red"
    session.save()
    assert session.session_key != "planted" * 5
    assert gate.load_session("planted" * 5) is None
    assert stored(world) == 1


def test_nothing_is_written_before_the_session_is_saved(world: World) -> None:
    session = SessionStore()
    session.create()
    session["colour"] = "green"
    assert stored(world) == 0


def test_a_new_key_ends_the_one_before_and_keeps_the_data(world: World) -> None:
    session = begun(colour="green")
    old = str(session.session_key)
    session.cycle_key()
    session.save()
    session.end_noted()
    assert session.session_key != old
    assert gate.load_session(old) is None
    assert SessionStore(session.session_key)["colour"] == "green"
    assert stored(world) == 1


def test_a_flushed_session_is_ended_and_empty(world: World) -> None:
    session = begun(colour="green")
    old = str(session.session_key)
    session.flush()
    assert session.is_empty()
    assert gate.load_session(old) is not None
    session.end_noted()
    assert gate.load_session(old) is None
    assert stored(world) == 0


def test_an_expired_session_is_not_read_and_is_cleared_away(world: World) -> None:
    key = str(begun(colour="green").session_key)
    kept = str(begun(colour="blue").session_key)
    past = timezone.now() - timedelta(seconds=1)
    assert gate.save_session(key, SessionStore().encode({"colour": "green"}), past, fresh=False)
    assert gate.load_session(key) is None
    assert dict(SessionStore(key).items()) == {}
    call_command("clearsessions")
    assert stored(world) == 1
    assert gate.load_session(kept) is not None


def test_a_session_that_was_ended_meanwhile_does_not_come_back(world: World) -> None:
    """A slow request that changes the session writes it after the person has signed out in another window."""
    key = str(begun(colour="green").session_key)
    slow = SessionStore(key)
    slow["colour"] = "red"
    gate.end_session(key)
    with pytest.raises(UpdateError):
        slow.save()
    assert stored(world) == 0


def test_a_flushed_session_that_is_used_again_has_a_new_key(world: World) -> None:
    session = begun(colour="green")
    old = session.session_key
    session.flush()
    session["colour"] = "blue"
    session.save()
    session.end_noted()
    assert session.session_key != old
    assert SessionStore(session.session_key)["colour"] == "blue"
    assert stored(world) == 1


def test_inside_a_unit_of_work_the_gate_is_closed(world: World) -> None:
    session = begun(colour="green")
    with world.scope("acme", "alice"), pytest.raises(ScopeConflict):
        session.save()
    with world.platform(), pytest.raises(ScopeConflict):
        SessionStore(session.session_key).load()


def test_data_that_was_altered_is_not_believed(world: World) -> None:
    """The data are signed: a row that somebody wrote into the table signs nobody in."""
    session = begun(colour="green")
    world.sql("UPDATE shared.tenants_session SET data = data || 'x'")
    assert dict(SessionStore(session.session_key).items()) == {}


def test_signing_in_replaces_the_session_of_a_stranger(world: World) -> None:
    """A key known before the sign-in is worth nothing after it."""
    planted = begun(colour="green")
    stranger = str(planted.secret)
    client = world.api("acme").client
    client.cookies[settings.SESSION_COOKIE_NAME] = stranger
    browser = Browser(world, "acme")
    browser.client = client
    form = {"login": "alice@acme.example", "password": "correct horse battery staple", "next": "/admin/"}
    assert browser.post("/accounts/login/", **form).status_code == 302
    mine = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert mine != stranger
    assert gate.load_session(str(planted.session_key)) is None
    assert SessionStore.of(mine).load()["_auth_user_id"] == str(world.person("alice").pk)
