"""Which class of OCSF an entry is, with which activity, and the fields that this class has of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from audit.formats.verbs import GROUPS, PEOPLE, SIGN_INS, SIGN_OUTS, kind_of, look_up

OTHER = 99
_NO_PEOPLE = {"aws.account", "organizations.account"}
_ROLES = {"role", "permission", "privilege", "scope"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A class: its number and name, and its category's."""

    uid: int
    name: str
    category_uid: int = 3
    category_name: str = "Identity & Access Management"


@dataclass(frozen=True, slots=True)
class Event:
    """What an entry is: the class, the activity (its number and name) and the class's own fields."""

    kind: Kind
    activity_id: int
    activity_name: str
    fields: dict[str, Any]


ACCOUNT_CHANGE = Kind(3001, "Account Change")
AUTHENTICATION = Kind(3002, "Authentication")
ENTITY_MANAGEMENT = Kind(3004, "Entity Management")
USER_ACCESS = Kind(3005, "User Access Management")
GROUP_MANAGEMENT = Kind(3006, "Group Management")
API_ACTIVITY = Kind(6003, "API Activity", 6, "Application Activity")

_SIGNS = {**dict.fromkeys(SIGN_INS, 1), **dict.fromkeys(SIGN_OUTS, 2)}
_ACCOUNT = {
    **dict.fromkeys(("created", "create", "createuser", "registered", "invited"), 1),
    **dict.fromkeys(("enabled", "enable", "activated", "resumed"), 2),
    **dict.fromkeys(("password_changed", "password_change"), 3),
    **dict.fromkeys(("password_reset", "reset_password"), 4),
    **dict.fromkeys(("disabled", "disable", "deactivated", "suspended"), 5),
    **dict.fromkeys(("deleted", "delete", "deleteuser", "removed", "remove"), 6),
    **dict.fromkeys(("locked", "lock"), 9),
    **dict.fromkeys(("mfa_enabled", "mfa_added"), 10),
    **dict.fromkeys(("mfa_disabled", "mfa_removed"), 11),
    **dict.fromkeys(("unlocked", "unlock"), 12),
}
_ACCESS = {
    **dict.fromkeys(
        ("granted", "role_granted", "role_assigned", "permission_granted", "role_added", "privilege_grant"), 1
    ),
    **dict.fromkeys(("role_revoked", "role_unassigned", "permission_revoked", "role_removed", "privilege_revoke"), 2),
}
_GROUP = {
    **dict.fromkeys(("member_added", "user_added", "add_member"), 3),
    **dict.fromkeys(("member_removed", "user_removed", "remove_member"), 4),
    **dict.fromkeys(("deleted", "delete", "removed", "destroy"), 5),
    **dict.fromkeys(("created", "create"), 6),
}
_ENTITY = {
    **dict.fromkeys(("moved", "move", "transferred"), 5),
    **dict.fromkeys(("enrolled", "enroll"), 6),
    **dict.fromkeys(("unenrolled", "unenroll"), 7),
    **dict.fromkeys(("enabled", "enable"), 8),
    **dict.fromkeys(("disabled", "disable"), 9),
    **dict.fromkeys(("activated", "activate"), 10),
    **dict.fromkeys(("deactivated", "deactivate"), 11),
    **dict.fromkeys(("suspended", "suspend"), 12),
    **dict.fromkeys(("resumed", "resume"), 13),
}
_CRUD = {"create": 1, "read": 2, "update": 3, "delete": 4}
_NAMES: dict[int, dict[int, str]] = {
    3001: {1: "Create", 2: "Enable", 3: "Password Change", 4: "Password Reset", 5: "Disable", 6: "Delete", 9: "Lock",
           10: "MFA Factor Enable", 11: "MFA Factor Disable", 12: "Unlock"},
    3002: {1: "Logon", 2: "Logoff"},
    3004: {1: "Create", 2: "Read", 3: "Update", 4: "Delete", 5: "Move", 6: "Enroll", 7: "Unenroll", 8: "Enable",
           9: "Disable", 10: "Activate", 11: "Deactivate", 12: "Suspend", 13: "Resume"},
    3005: {1: "Assign Privileges", 2: "Revoke Privileges"},
    3006: {3: "Add User", 4: "Remove User", 5: "Delete", 6: "Create"},
    6003: {2: "Read"},
}  # fmt: skip
_ENTITY_TYPES = {"device": 1, "user": 2, "group": 3, "organization": 4, "policy": 5, "email": 6}


def classified(entry: dict[str, Any]) -> Event:
    """Return what an entry is. The first class that fits, and whose required fields it fills, is taken."""
    return next(found for fit in _FITS if (found := fit(entry)) is not None)


def _event(kind: Kind, activity: int, entry: dict[str, Any], fields: dict[str, Any]) -> Event:
    """Return the event; an activity that the class has no number for is called by the entry's action."""
    return Event(kind, activity, _NAMES[kind.uid].get(activity, entry["action"]), fields)


def _authentication(entry: dict[str, Any]) -> Event | None:
    """A sign-in or sign-out, at the tenant that it was told to."""
    activity, person, tenant = look_up(_SIGNS, entry["action"]), _person(entry), entry["tenant"]
    if activity is None or person is None or tenant is None:
        return None
    service = {"uid": tenant["id"], "name": tenant["slug"]}
    return _event(AUTHENTICATION, activity, entry, {"user": person, "service": service})


def _person(entry: dict[str, Any]) -> dict[str, Any] | None:
    """Return whom an action is about: its resource if that is somebody, else the person who acted."""
    party = entry["resource"] if _is_person(entry["resource"]) else entry["actor"]
    return _named(party) if _is_person(party) or party["type"] == "staff" else None


def _is_person(party: dict[str, str]) -> bool:
    # An account of a cloud is no person's.
    return kind_of(party["type"]) in PEOPLE and party["type"] not in _NO_PEOPLE


def _named(party: dict[str, str]) -> dict[str, Any]:
    return {"uid": party["id"], **({"name": party["label"]} if party["label"] else {})}


def _user_access(entry: dict[str, Any]) -> Event | None:
    """A role that was given to somebody, or taken: the entry says which one."""
    activity, privileges = look_up(_ACCESS, entry["action"]), list(_privileges(entry))
    if activity is None or not _is_person(entry["resource"]) or not privileges:
        return None
    return _event(USER_ACCESS, activity, entry, {"user": _named(entry["resource"]), "privileges": privileges})


def _privileges(entry: dict[str, Any]) -> Iterator[str]:
    """Yield the roles and permissions that an entry names: as targets, in its metadata, or as a change."""
    for target in entry["targets"]:
        if kind_of(target["type"]) in _ROLES:
            yield target["label"] or target["id"]
    for place in (entry["metadata"], entry["changes"] or {}):
        for name in sorted(_ROLES & place.keys()):
            value = place[name]
            said = [value.get("new"), value.get("old")] if isinstance(value, dict) else [value]
            yield from [word for word in said if isinstance(word, str) and word][:1]


def _account_change(entry: dict[str, Any]) -> Event | None:
    """Something that was done to an account. One that was only looked at was not changed."""
    if not _is_person(entry["resource"]) or entry["operation"] == "read":
        return None
    activity = look_up(_ACCOUNT, entry["action"]) or OTHER
    return _event(ACCOUNT_CHANGE, activity, entry, {"user": _named(entry["resource"])})


def _group_management(entry: dict[str, Any]) -> Event | None:
    """Something that was done to a group, with the first person among the targets."""
    if kind_of(entry["resource"]["type"]) not in GROUPS or entry["operation"] == "read":
        return None
    people = [_named(target) for target in entry["targets"] if _is_person(target)]
    fields = {"group": _named(entry["resource"]), **({"user": people[0]} if people else {})}
    return _event(GROUP_MANAGEMENT, look_up(_GROUP, entry["action"]) or OTHER, entry, fields)


def _api_activity(entry: dict[str, Any]) -> Event | None:
    """A read by the API, from an address that is known: the class requires it."""
    context = entry["context"]
    if entry["operation"] != "read" or context["source"] != "api" or not context["ip"]:
        return None
    resource = {**_named(entry["resource"]), "type": entry["resource"]["type"]}
    return _event(API_ACTIVITY, _CRUD["read"], entry, {"api": {"operation": entry["action"]}, "resources": [resource]})


def _entity_management(entry: dict[str, Any]) -> Event | None:
    """Whatever was done to whatever it was."""
    resource = entry["resource"]
    activity = look_up(_ENTITY, entry["action"]) or _CRUD.get(entry["operation"], OTHER)
    entity = {
        **_named(resource),
        "type": resource["type"],
        "type_id": _ENTITY_TYPES.get(kind_of(resource["type"]), OTHER),
    }
    fields: dict[str, Any] = {"entity": entity}
    old, new = _sides(entry["changes"] or {})
    if old:
        fields["entity"] = {**entity, "data": old}
    if new:
        fields["entity_result"] = {**entity, "data": new}
    return _event(ENTITY_MANAGEMENT, activity, entry, fields)


def _sides(changes: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the old and the new values of `{field: {"old", "new"}}`; changes of another form have neither."""
    if not all(isinstance(change, dict) and change.keys() <= {"old", "new"} for change in changes.values()):
        return {}, {}
    old = {name: change["old"] for name, change in changes.items() if "old" in change}
    return old, {name: change["new"] for name, change in changes.items() if "new" in change}


_FITS: tuple[Callable[[dict[str, Any]], Event | None], ...] = (
    _authentication,
    _user_access,
    _account_change,
    _group_management,
    _api_activity,
    _entity_management,
)
