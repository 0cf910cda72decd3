"""The vocabulary of built-in types holds each action that the code writes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World

from audit.events import Operation, Outcome, operation_of
from audit.vocabulary import BUILT_IN
from tenants.recording import record

ROOT = Path(__file__).resolve().parents[2]
# Functions that are told an action: the recorder's, the ledger's, and the helpers that hand one on to them.
WRITERS = {"record", "_record", "record_refusal", "log_action", "_log", "_move", "_set_status", "_run", "Event"}
# Formats of others, and a history that is made up.
ELSEWHERE = ("audit/importers/", "config/demo/", "config/contract/", "tenants/doctor/")


def sources() -> Iterator[Path]:
    for app in ("tenants", "audit", "subscriptions", "config"):
        for path in sorted((ROOT / app).rglob("*.py")):
            if not path.relative_to(ROOT).as_posix().startswith(ELSEWHERE) and "migrations" not in path.parts:
                yield path


# What ends an event's name: whatever function it is handed to, such a text is one.
HAPPENED = re.compile(r"(?!wsgi)[a-z_]+\.([a-z]+_)*([a-z]+ed|(re)?set|read|in|out)")


def actions(source: str) -> Iterator[str]:
    """Yield what a source says as an event's name, or hands to a writer; of one that is composed, its beginning."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Constant) and isinstance(call.value, str) and HAPPENED.fullmatch(call.value):
            yield call.value
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in WRITERS:
            for given in [*call.args, *(word.value for word in call.keywords if word.arg == "action")]:
                yield from _said(given)


def _said(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _said(node.body)
        yield from _said(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _dotted(node.value):
        yield node.value
    elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        text = str(node.values[0].value)
        if text.endswith("."):
            yield text


def _dotted(text: str) -> bool:
    first, dot, rest = text.partition(".")
    return bool(dot) and all(part.replace("_", "a").isalpha() and part.islower() for part in (first, *rest.split(".")))


def unknown(source: str) -> list[str]:
    """Return the actions of a source that the vocabulary lacks."""
    return [
        action
        for action in actions(source)
        if not (any(name.startswith(action) for name in BUILT_IN) if action.endswith(".") else action in BUILT_IN)
    ]


@pytest.mark.parametrize("path", [*sources()], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_action_that_the_code_writes_has_its_line(path: Path) -> None:
    assert unknown(path.read_text(encoding="utf-8")) == []


def test_an_action_without_a_line_is_found() -> None:
    assert set(unknown('record("user.teleported", resource)')) == {"user.teleported"}
    assert unknown('notes.tell(anything, "user.teleported")') == ["user.teleported"]
    assert unknown('record("cat.at_home", resource)') == ["cat.at_home"]
    assert set(unknown('Event(action="cat.sat", resource=r)')) == {"cat.sat"}
    assert set(unknown('self.x.log_action(None, "cat.sat" if a else "user.deleted", "cat")')) == {"cat.sat"}
    assert unknown('Event(action=f"cat.{kind}", resource=r)') == ["cat."]
    assert unknown('record("user.deleted", r); Event(action=f"trail.{kind}", resource=r)') == []


def test_each_line_is_written_somewhere() -> None:
    written = {action for path in sources() for action in actions(path.read_text(encoding="utf-8"))}
    prefixes = tuple(action for action in written if action.endswith("."))
    verbs = {"created", "updated", "deleted"}
    assert {name for name in BUILT_IN if name not in written | verbs and not name.startswith(prefixes)} == set()


def test_a_types_operation_is_not_another_than_its_name_says() -> None:
    for name, one in BUILT_IN.items():
        assert one.name == name
        assert one.operation == operation_of(name) or operation_of(name) is Operation.OTHER, name
        assert one.outcome in {Outcome.SUCCESS, Outcome.DENIED, Outcome.FAILURE}


def test_what_is_personal_of_a_built_in_type_stands_where_it_can_be_erased(world: World) -> None:
    changes = {"email": {"old": "a@acme.example", "new": "b@acme.example"}, "other": {"new": 1}}
    with world.scope("acme", "alice"):
        key = record("user.email_changed", ("user", "1", ""), changes=changes)
    schema = world.acme.schema_name
    row = world.sql(f"SELECT changes, personal FROM {schema}.audit_log WHERE id = %s", key)[0]
    assert row == ({"other": {"new": 1}}, {"email": changes["email"]})
