"""What a CloudTrail record is about.

`resources` says it, where AWS fills it in. Otherwise it is the name in the request (or, for what the call
has made, in the response) whose noun stands in the name of the call: `roleName` of `AttachRolePolicy`,
`instancesSet.items[].instanceId` of `RunInstances`; then `name` of the request, then its first name of
anything, then the account.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from audit.events import MAX_TYPE, Party

if TYPE_CHECKING:
    from audit.importers.leaves import Leaf, Path, Reading

_NAME = re.compile(r"(.*[a-z0-9])(?:Arn|ARN|Identifier|Id|ID|Name|Url|URL)s?|(?:[Nn]ame|[Aa]rn|ARN|[Ii]d)")
_ACCOUNTS: tuple[Path, ...] = (("recipientAccountId",), ("userIdentity", "accountId"))
_TOP = 2


class _Candidate(NamedTuple):
    """A leaf that names something: what it names (empty for a bare `name`) and where that stands in the call's name."""

    leaf: Leaf
    noun: str
    place: int

    def is_top(self) -> bool:
        return len(self.leaf.path) == _TOP


def resources_of(reading: Reading, service: str, event: str) -> list[Party]:
    """Return the resource and the further targets of a record; there is always a resource."""
    listed = [party for path in reading.items("resources") if (party := _listed(reading, path, service)) is not None]
    return listed or [_requested(reading, service, event) or _account(reading, service)]


def _listed(reading: Reading, path: Path, service: str) -> Party | None:
    arn = reading.leaf(*path, "ARN")  # or `arn`
    if arn is None:
        return None
    kind = reading.put(reading.leaf(*path, "type"), MAX_TYPE)
    return reading.party(kind or _arn_type(arn.text) or service or "aws", arn)


def _requested(reading: Reading, service: str, event: str) -> Party | None:
    asked = list(_candidates(reading, "requestParameters", event))
    answered = list(_candidates(reading, "responseElements", event))
    best = _best(asked) or _best(answered) or next((one for one in asked if one.is_top()), None)
    return None if best is None else reading.party(_type(best, service, event), best.leaf)


def _candidates(reading: Reading, root: str, event: str) -> list[_Candidate]:
    found = []
    for leaf in reading.leaves(root):
        key = next(step for step in reversed(leaf.path) if isinstance(step, str))
        match = _NAME.fullmatch(key)
        if match is not None:
            noun = match.group(1) or ""
            found.append(_Candidate(leaf, noun, event.lower().find(noun.lower()) if noun else len(event)))
    return found


def _best(candidates: list[_Candidate]) -> _Candidate | None:
    """Return the one named first in the call's name; of two, the longer noun; bare names count at the top alone."""
    named = [one for one in candidates if one.place >= 0 and (one.noun or one.is_top())]
    return min(named, key=lambda one: (one.place, -len(one.noun), len(one.leaf.path)), default=None)


def _type(candidate: _Candidate, service: str, event: str) -> str:
    noun = candidate.noun or re.sub(r"^[A-Z][a-z]+", "", event) or event
    plain = ".".join(filter(None, (service, noun[0].lower() + noun[1:])))
    return (_arn_type(candidate.leaf.text) or plain)[:MAX_TYPE]


def _arn_type(text: str) -> str:
    """Return `ecr.repository` for `arn:aws:ecr:...:repository/name`, `s3` for a bare bucket, nothing for no ARN."""
    match = re.fullmatch(r"arn:[^:]+:([^:]+):[^:]*:[^:]*:(?:([A-Za-z-]+)[:/])?.*", text, re.DOTALL)
    if match is None:
        return ""
    service, kind = match.groups()
    return (f"{service}.{kind}" if kind and service != "s3" else service)[:MAX_TYPE]


def _account(reading: Reading, service: str) -> Party:
    account = reading.first(*_ACCOUNTS)
    return Party(service[:MAX_TYPE] or "aws", "") if account is None else reading.party("aws.account", account)
