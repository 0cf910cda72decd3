"""The tenant's rows of shared tables: the tenant itself, its hosts, members, keys, and what other applications keep.

What never leaves: passwords, sessions, roles of staff, where the tenant is kept (shard, login), invitations (their
tokens are signed where they were sent from). Digests of keys leave only when told to, since with them a key opens both
places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from tenants.models import ApiKey, Domain, Membership, Tenant, User
from tenants.recording import record
from tenants.transfer.manifest import BadExport

Row = dict[str, str | None]
Made = TypeVar("Made", bound=models.Model)

_LEFT_BEHIND: dict[type[models.Model], set[str]] = {
    Tenant: {"shard", "login"},
    Domain: {"tenant_id"},
    User: {"staff_role"},
    Membership: {"tenant_id"},
    ApiKey: {"tenant_id", "user_id", "digest", "replaced_by_id"},
}


class Companion(Protocol):
    """What another application keeps of a tenant in the shared schema. Both run in the owner's transaction."""

    name: str

    def pack(self, tenant: Tenant) -> Any:
        """Return what to take along, as JSON (None: nothing)."""

    def unpack(self, tenant: Tenant, packed: Any) -> None:
        """Write what was taken along for a tenant that has none of it. Raises BadInput, Conflict."""


_companions: dict[str, Companion] = {}


def register(companion: Companion) -> None:
    """Let each export take a companion along, and each import unpack it. `config` calls this."""
    _companions[companion.name] = companion


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of people and keys: those made here, those who were here before, keys that must be issued anew."""

    people_made: int
    people_linked: int
    keys_left: int


def pack(tenant: Tenant, *, with_secrets: bool) -> dict[str, Any]:
    """Return the tenant's rows of shared tables. Runs in the owner's scope."""
    memberships = list(Membership.objects.using(tenant._state.db).filter(tenant=tenant).order_by("id"))  # noqa: SLF001
    people = User.objects.using(tenant._state.db).filter(pk__in={one.user_id for one in memberships})  # noqa: SLF001
    keys = ApiKey.objects.using(tenant._state.db).filter(tenant=tenant).defer(None)  # noqa: SLF001
    packed = {name: companion.pack(tenant) for name, companion in _companions.items()}
    return {
        "tenant": plain(tenant),
        "domains": [plain(domain) for domain in tenant.domains.order_by("domain")],
        "people": [plain(person) for person in people.order_by("id")],
        "memberships": [plain(membership) for membership in memberships],
        "keys": [plain(key, *(["digest"] if with_secrets else [])) for key in keys.order_by("id")],
        "companions": {name: content for name, content in packed.items() if content is not None},
    }


def unpack(tenant: Tenant, packed: dict[str, Any], *, with_keys: bool) -> Settled:
    """Write members and keys of a tenant that was just made. Runs in the owner's scope. Raises BadExport.

    A person is who has his id here or else his address; one who is unknown is made, without password and without
    a role of staff. Keys are taken along if the export has their digests.
    """
    alias = str(tenant._state.db)  # noqa: SLF001
    people = {row["id"]: _settle(row, alias) for row in packed["people"]}
    for row in packed["memberships"]:
        if row["user_id"] not in people:
            raise BadExport("A membership is of nobody in the export.")
        kept = {**_fresh(Membership, row, alias), "user_id": people[row["user_id"]][0].pk}
        made(Membership, {**kept, "tenant_id": tenant.pk}).save(using=alias, force_insert=True)
    keys = [row for row in packed["keys"] if with_keys and row.get("digest")]
    for row in keys:
        kept = {**_fresh(ApiKey, row, alias), "tenant_id": tenant.pk}
        made(ApiKey, kept).save(using=alias, force_insert=True)
    new = sum(is_new for _, is_new in people.values())
    return Settled(new, len(people) - new, len(packed["keys"]) - len(keys))


def unpack_companions(tenant: Tenant, packed: dict[str, Any]) -> None:
    """Write what other applications took along. Raises BadExport for one that is not installed here."""
    if unknown := set(packed["companions"]) - set(_companions):
        raise BadExport(f"The export has what this release does not know: {', '.join(sorted(unknown))}. Use its own.")
    for name, content in packed["companions"].items():
        _companions[name].unpack(tenant, content)


def plain(row: models.Model, *also: str) -> Row:
    """Return a row as JSON: each field that may leave, and `also`."""
    fields = [field for field in _fields(type(row)) if field.attname not in _LEFT_BEHIND[type(row)] - set(also)]
    return {
        field.attname: None if getattr(row, field.attname) is None else field.value_to_string(row) for field in fields
    }


def values(model: type[models.Model], row: Row) -> dict[str, Any]:
    """Return the values of a row as `plain` gave them. Raises BadExport for a column that is not there."""
    fields = {field.attname: field for field in _fields(model)}
    if strange := set(row) - set(fields) | set(row) & _LEFT_BEHIND[model] - {"digest"}:
        columns = ", ".join(sorted(strange))
        raise BadExport(
            f"{model.__name__} takes no {columns} from an export: import it with the release that wrote it."
        )
    try:
        return {name: None if value is None else fields[name].to_python(value) for name, value in row.items()}
    except (ValidationError, ValueError) as error:
        raise BadExport(f"A row of {model.__name__} is none that could have been exported.") from error


def made(model: type[Made], kept: dict[str, Any]) -> Made:
    """Return a row to save, of values that may stand in it. Raises BadExport."""
    row = model(**kept)
    relations = {field.name for field in _fields(model) if field.is_relation}
    try:
        row.clean_fields(exclude=relations)
    except ValidationError as error:
        said = "; ".join(f"{name}: {' '.join(messages)}" for name, messages in error.message_dict.items())
        raise BadExport(f"A row of {model.__name__} is none that could have been exported ({said}).") from error
    return row


def _fresh(model: type[models.Model], row: Row, alias: str) -> dict[str, Any]:
    """Return the values of a row for a new one: its own id is free only if nothing of the tenant is here."""
    kept = values(model, row)
    if model._base_manager.using(alias).filter(pk=kept["id"]).exists():  # noqa: SLF001
        del kept["id"]
    return kept


def _settle(row: Row, alias: str) -> tuple[User, bool]:
    """Return the person that a row means here, and whether he was made."""
    person, key = made(User, values(User, row)), UUID(str(row["id"]))
    here: Sequence[User] = User.objects.using(alias).filter(Q(pk=key) | Q(email=row["email"]))
    known = sorted(here, key=lambda one: one.pk != key)
    if known:
        return known[0], False
    person.save(using=alias, force_insert=True)
    record("user.created", ("user", str(person.pk), person.email), changes={"staff_role": ""})
    return person, True


def _fields(model: type[models.Model]) -> Sequence[models.Field[Any, Any]]:
    return model._meta.concrete_fields  # noqa: SLF001
