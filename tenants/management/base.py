"""What commands share: refusals in one line, and units of work chosen by `--tenant`, `--platform`, `--actor`."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError, ProgrammingError
from psycopg import errors
from psycopg_pool import PoolTimeout

from tenants import gate
from tenants.context import SYSTEM, Actor, Origin, Scope, platform_scope, program, tenant_scope
from tenants.errors import DomainError
from tenants.migrator import UNMIGRATED
from tenants.models import User

# What a statement of this release says in a database of none, or of an older one.
_UNMIGRATED = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction, errors.InvalidSchemaName)


class PlainCommand(BaseCommand):
    """A command whose refusals are one line that says what to do, and exit status 1."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; a DomainError or a database that is away becomes a CommandError."""
        name = type(self).__module__.rpartition(".")[2]
        running = program.set(" ".join(["manage.py", name, *filter(None, [options.get("verb")])]))
        try:
            with one_line(), self.surroundings(options):
                return super().execute(*args, **options)
        finally:
            program.reset(running)

    def surroundings(self, options: dict[str, Any]) -> AbstractContextManager[object]:
        """Return what the command runs in: nothing here."""
        return nullcontext()


class ScopedCommand(PlainCommand):
    """A command that runs in one unit of work, which `--tenant SLUG` or `--platform` names."""

    scope_required: ClassVar[bool] = True
    # What the trail says of where its changes came from.
    source: ClassVar[str] = "command"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options that choose the scope."""
        super().add_arguments(parser)
        add_scope_arguments(parser)

    def surroundings(self, options: dict[str, Any]) -> AbstractContextManager[object]:
        """Open the unit of work."""
        chosen = choose(options)
        if chosen is None and self.scope_required:
            raise CommandError("Say where: --tenant SLUG for a tenant's data, or --platform for the shared tables.")
        return chosen.open(source=self.source) if chosen else nullcontext()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tenant (None: the platform) and the actor that a command's options name."""

    tenant: gate.TenantRef | None
    actor: Actor

    def open(self, *, source: str = "command") -> AbstractContextManager[Scope]:
        """Open a unit of work there; each call is a transaction of its own."""
        origin = Origin(source=source)
        if self.tenant:
            return tenant_scope(self.tenant, actor=self.actor, origin=origin)
        return platform_scope(actor=self.actor, origin=origin)


def add_scope_arguments(parser: CommandParser) -> None:
    """Add `--tenant`, `--platform` and `--actor`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--tenant", metavar="SLUG", help="work in this tenant, behind its wall")
    where.add_argument("--platform", action="store_true", help="work in the shared tables, as the platform")
    add_actor_argument(parser)


def add_actor_argument(parser: CommandParser) -> None:
    """Add `--actor`."""
    parser.add_argument(
        "--actor", metavar="EMAIL", help="the person who acts, as the trail will say (default: the system)"
    )


def choose(options: dict[str, Any]) -> Chosen | None:
    """Return what the options name, or None if they name neither tenant nor platform. Raises CommandError."""
    if not options.get("tenant") and not options.get("platform"):
        return None
    tenant = find_tenant(options["tenant"]) if options.get("tenant") else None
    return Chosen(tenant, find_actor(options.get("actor"), tenant))


def find_tenant(slug: str) -> gate.TenantRef:
    """Return a tenant by its slug. Raises CommandError."""
    tenant = gate.tenant(slug)
    if tenant is None:
        raise CommandError(f"There is no tenant {slug!r}; `manage.py tenants list` shows them all.")
    return tenant


def find_person(email: str, tenant: gate.TenantRef | None = None) -> User:
    """Return a person by address, with his role in the tenant. Raises CommandError."""
    user = gate.person(email=email, tenant_id=tenant.id if tenant else None)
    if user is None:
        raise CommandError(f"There is no person with the address {email!r}.")
    return user


def find_actor(email: str | None, tenant: gate.TenantRef | None = None) -> Actor:
    """Return who acts: a current member of the tenant, or staff; the system without an address. Raises CommandError."""
    if email is None:
        return SYSTEM
    user = find_person(email, tenant)
    if not user.is_active:
        raise CommandError(f"{user.email} is not active, and so cannot act.")
    if user.tenant_role is not None:
        return Actor("user", str(user.pk), user.email, user.pk)
    if user.staff_role:
        return Actor("staff", str(user.pk), user.email, user.pk)
    where = f"is neither a member of {tenant.slug} nor" if tenant else "is not"
    raise CommandError(f"{user.email} {where} platform staff; name another --actor.")


def ask_password(user: User) -> str:
    """Return a new password: typed twice at a terminal, else the first line of standard input. Raises CommandError."""
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Password (again): "):
            raise CommandError("The two passwords differ; nothing was changed.")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    return check_password(user, password)


def check_password(user: User, password: str) -> str:
    """Return the password if it may be one. Raises CommandError."""
    if not password:
        raise CommandError("The password is empty: type one, or send it as the first line of standard input.")
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    return password


@contextmanager
def one_line() -> Iterator[None]:
    """Turn refusals, and a database that is away or not migrated, into a CommandError."""
    try:
        yield
    except DomainError as error:
        raise CommandError(error.detail) from error
    except (ProgrammingError, *_UNMIGRATED) as error:
        if not isinstance(error, _UNMIGRATED) and not isinstance(error.__cause__, _UNMIGRATED):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise CommandError(f"{UNMIGRATED} ({reason})") from error
    except (OperationalError, InterfaceError, PoolTimeout, errors.OperationalError, errors.InterfaceError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CommandError(
            f"The database did not answer: {reason}. Is it running, and is DATABASE_URL right?"
        ) from error
