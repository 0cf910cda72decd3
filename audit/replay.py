"""The Idempotency-Key of a request: within 24 hours, a repeated request gets the first one's answer again.

The key is claimed in the unit of work that does what the request asks. So it is kept if that is, a refusal
frees it, and a request that comes while the first is being answered waits for it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from django.db import connections

from tenants.context import current_scope
from tenants.errors import Unprocessable, bad_parameter, parameter_fault

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

_CLAIM = """INSERT INTO audit_answer (digest, request) VALUES (%s, %s)
ON CONFLICT (digest) DO UPDATE
SET request = EXCLUDED.request, status = NULL, answer = NULL, created_at = EXCLUDED.created_at
WHERE audit_answer.created_at < now() - interval '24 hours'"""
_GIVEN = "SELECT request, status, answer FROM audit_answer WHERE digest = %s"
_KEEP = "UPDATE audit_answer SET status = %s, answer = %s WHERE digest = %s"
# Some at a time, and none that another request is at.
_FORGET = """DELETE FROM audit_answer WHERE digest IN (
SELECT digest FROM audit_answer WHERE created_at < now() - interval '24 hours' LIMIT 100 FOR UPDATE SKIP LOCKED)"""


class KeyReused(Unprocessable):
    """This Idempotency-Key was sent with another request within 24 hours. Send a new key with a new request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: the HTTP status, and the body as a JSON value."""

    status: int
    body: Any


def claim(key: str, method: str, path: str, body: Any) -> Answer | None:
    """Return the answer that this request got before; None if it is new, and then `keep` its answer.

    `body` is the parsed JSON. A key belongs to the caller who sent it. Raises BadInput, KeyReused.
    """
    if not _KEY.fullmatch(key):
        raise bad_parameter(HEADER, "The key is 1 to 255 visible ASCII characters.")
    request = hashlib.sha256(f"{method} {path} {json.dumps(body, sort_keys=True)}".encode()).digest()
    with connections[current_scope().alias].cursor() as cursor:
        cursor.execute(_CLAIM, [_digest(key), request])
        if cursor.rowcount:
            cursor.execute(_FORGET)
            return None
        cursor.execute(_GIVEN, [_digest(key)])
        given, status, answer = cursor.fetchone()
    if bytes(given) != request:
        raise KeyReused(errors=[parameter_fault(HEADER, "Sent with another request.", "key_reused")])
    return Answer(status, json.loads(answer))


def keep(key: str, answer: Answer) -> None:
    """Keep the answer to a request whose key was claimed in this unit of work."""
    with connections[current_scope().alias].cursor() as cursor:
        text = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":"))
        cursor.execute(_KEEP, [answer.status, text, _digest(key)])


def _digest(key: str) -> bytes:
    actor = current_scope().actor
    return hashlib.sha256(f"{actor.type}\x00{actor.id}\x00{key}".encode()).digest()
