"""Whether a token is good, and what it says of its bearer: who he is, in whose name he acts, which role he has."""

from __future__ import annotations

from typing import Any

import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    MissingRequiredClaimError,
    PyJWTError,
)

from tenants.context import Actor
from tenants.errors import NotAllowed, NotSignedIn
from tenants.gate import ProviderRef
from tenants.oidc import keys
from tenants.roles import Role

ALGORITHMS = ("RS256", "ES256", "EdDSA")
LEEWAY = 60
_MAX_TOKEN, _MAX_TEXT = 8000, 255
_OPTIONS: Any = {"require": ["exp", "iat", "iss", "aud", "sub"], "enforce_minimum_key_length": True}
_REASONS: dict[type[PyJWTError], str] = {
    ExpiredSignatureError: "it has expired",
    ImmatureSignatureError: "it is not valid yet",
    InvalidAudienceError: "it was made for another audience",
    InvalidIssuerError: "its issuer is another",
    MissingRequiredClaimError: "a claim is missing: exp, iat, iss, aud and sub are needed",
}
# The most a token can give comes first; nobody becomes owner by one.
_RANKS = (Role.ADMIN, Role.AUDITOR, Role.MEMBER)


class BadToken(NotSignedIn):
    """This token is not good here."""


def is_token(secret: str) -> bool:
    """Tell whether a bearer's secret is a JSON Web Token, by its form: three parts, of which the first is an object."""
    return secret.startswith("eyJ") and secret.count(".") == 2  # noqa: PLR2004


def bearer(secret: str, provider: ProviderRef) -> tuple[Actor, str]:
    """Return who bears a token, and his role. Raises BadToken, NotAllowed, ProviderUnreachable.

    Works outside any unit of work: it may ask the provider for its keys.
    """
    claims = _claims(secret, provider)
    actor = _actor(claims)
    role = _role(claims, provider)
    if not role:
        raise NotAllowed(f"Nothing in the claim {provider.role_claim!r} of your token gives a role here.")
    return actor, role


def _claims(secret: str, provider: ProviderRef) -> dict[str, Any]:
    algorithm, key_id = _header(secret, provider)
    key = keys.key_for(provider.issuer, key_id, algorithm)
    if key is None:
        raise _bad("its identity provider has no such key")
    try:
        return dict(
            jwt.decode(
                secret,
                key.key,
                [algorithm],
                _OPTIONS,
                audience=provider.audience,
                issuer=provider.issuer,
                leeway=LEEWAY,
            )
        )
    except PyJWTError as error:
        raise _bad(_REASONS.get(type(error), "its signature or a claim is wrong")) from error


def _header(secret: str, provider: ProviderRef) -> tuple[str, str | None]:
    """Return the algorithm and the key that a token names. Raises BadToken."""
    if len(secret) > _MAX_TOKEN:
        raise _bad(f"it is longer than {_MAX_TOKEN} bytes")
    try:
        header = jwt.get_unverified_header(secret)
    except (PyJWTError, ValueError, RecursionError) as error:
        raise _bad("it cannot be read") from error
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS or algorithm not in provider.algorithms:
        raise _bad(f"it must be signed by {' or '.join(provider.algorithms)}")
    if "crit" in header or not isinstance(key_id, str | None):
        raise _bad("its header says what is not understood here")
    return str(algorithm), key_id


def _actor(claims: dict[str, Any]) -> Actor:
    by = claims.get("act")
    if by is not None and not isinstance(by, dict):
        raise _bad("its claim act is no object")
    impersonator = _party(by) if by is not None else None
    return _party(claims, impersonator)


def _party(claims: dict[str, Any], impersonator: Actor | None = None) -> Actor:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= _MAX_TEXT or not _storable(subject):
        raise _bad(f"its claim sub must be a text of 1 to {_MAX_TEXT} signs")
    names = [name for name in (claims.get("email"), claims.get("name"), subject) if isinstance(name, str) and name]
    label = next(name for name in names if _storable(name))
    return Actor("user", subject, label[:_MAX_TEXT], impersonator=impersonator)


def _storable(text: str) -> bool:
    return "\x00" not in text and text.isprintable()


def _role(claims: dict[str, Any], provider: ProviderRef) -> str:
    """Return the highest role that a token's claim gives; else the default one, which may be none."""
    said = _claim(claims, provider.role_claim)
    values = said if isinstance(said, list) else [said]
    given = {provider.roles[value] for value in values if isinstance(value, str) and value in provider.roles}
    return next((role for role in _RANKS if role in given), provider.default_role)


def _claim(claims: dict[str, Any], name: str) -> Any:
    """Return a claim by its name or, where it stands in others, by its path (`realm_access.roles`)."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _bad(reason: str) -> BadToken:
    return BadToken(f"This token is refused: {reason}.")
