"""`manage.py tenants`: what operators do with tenants, one verb each (`tenants.management.verbs`)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.management.base import PlainCommand
from tenants.management.verbs import (
    Verb,
    create,
    doctor,
    drop,
    export_,
    harden,
    import_,
    key,
    list,  # noqa: A004 - named as the verb
    migrate,
    rekey,
    relax,
    resume,
    seal,
    suspend,
    unseal,
)

VERBS: dict[str, Verb] = {
    "create": create,
    "list": list,
    "key": key,
    "suspend": suspend,
    "resume": resume,
    "seal": seal,
    "unseal": unseal,
    "rekey": rekey,
    "export": export_,
    "import": import_,
    "drop": drop,
    "doctor": doctor,
    "harden": harden,
    "relax": relax,
    "migrate": migrate,
}


class Command(PlainCommand):
    """Tenants, from the command line."""

    help = "Create, list, suspend, resume, migrate, check, move and drop tenants."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the verbs, each with its own arguments."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs")
        for name, verb in VERBS.items():
            verb.add_arguments(verbs.add_parser(name, help=verb.help))

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one verb."""
        VERBS[options["verb"]].run(self, options)
