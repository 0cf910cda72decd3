"""`manage.py createsuperuser`: the platform's first member of staff, and further ones."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants import people
from tenants.context import Origin, platform_scope
from tenants.management.base import PlainCommand, add_actor_argument, ask_password, check_password, find_actor
from tenants.models import User
from tenants.roles import StaffRole


class Command(PlainCommand):
    """Create a member of staff."""

    help = (
        "Create a member of the platform's staff, who signs in on the platform's host. The password is asked for, or "
        "read from the first line of standard input, or with --noinput from DJANGO_SUPERUSER_PASSWORD."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options, named as Django's own command names them."""
        parser.add_argument(
            "--email", default=os.environ.get("DJANGO_SUPERUSER_EMAIL"), help="the address to sign in with"
        )
        parser.add_argument("--name", default="", help="for people to read")
        parser.add_argument("--role", choices=StaffRole.values, default=StaffRole.ADMIN.value, help="default: admin")
        parser.add_argument("--noinput", "--no-input", action="store_false", dest="interactive", help="ask nothing")
        add_actor_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the person with the password, in one transaction."""
        email, actor = options["email"], find_actor(options["actor"])
        if not email:
            raise CommandError("Say --email ADDRESS: people sign in by it.")
        person = User(email=email, name=options["name"])
        if options["interactive"]:
            password = ask_password(person)
        else:
            password = check_password(person, os.environ.get("DJANGO_SUPERUSER_PASSWORD", ""))
        with platform_scope(actor=actor, origin=Origin()):
            user = people.create_user(email=email, name=options["name"], staff_role=options["role"])
            people.set_password(user, password)
        self.stdout.write(f"Created {user.email}, {options['role']} of the platform.")
