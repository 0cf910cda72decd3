"""`manage.py changepassword EMAIL`: a new password, which ends the person's sessions."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants import people
from tenants.context import Origin, platform_scope
from tenants.management.base import PlainCommand, add_actor_argument, ask_password, find_actor, find_person


class Command(PlainCommand):
    """Set a person's password."""

    help = (
        "Set a person's password, which ends his sessions. It is asked for twice, or read from the first line of "
        "standard input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the address."""
        parser.add_argument("email", help="whose password")
        add_actor_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Set the password and leave an entry in the platform log."""
        user, actor = find_person(options["email"]), find_actor(options["actor"])
        password = ask_password(user)
        with platform_scope(actor=actor, origin=Origin()):
            people.set_password(user, password)
        self.stdout.write(f"The password of {user.email} was changed; his sessions have ended.")
