"""What the names of actions and of types of resources say, in the words of many products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Found = TypeVar("Found")

SIGN_INS = frozenset({
    "signed_in", "sign_in", "sign_in_failed", "logged_in", "login", "login_failed", "logon", "session_start",
    "consolelogin",
})  # fmt: skip
SIGN_OUTS = frozenset({"signed_out", "sign_out", "logged_out", "logout", "logoff", "session_end"})
PEOPLE = frozenset({"user", "account", "member", "membership", "person"})
GROUPS = frozenset({"group", "team"})


def look_up(table: Mapping[str, Found], action: str) -> Found | None:
    """Return what a table says of the end of an action's name: its last two words, else its last one."""
    words = action.lower().split(".")
    found = table.get("_".join(words[-2:]))
    return table.get(words[-1]) if found is None else found


def kind_of(resource_type: str) -> str:
    """Return what a type of resources is called, in one word: `iam.User` is a `user`."""
    return resource_type.rpartition(".")[2].lower()
