"""django-partitioned-audit: triggers; the new row as JSON in a partitioned table, without any context."""

from __future__ import annotations

from typing import ClassVar

from django.core.management import call_command

from bench.capture.peers.plain import Plain


class Partitioned(Plain):
    """Its models are named in the application's configuration."""

    distribution: ClassVar[str] = "django-partitioned-audit"
    applications: ClassVar[tuple[str, ...]] = ("django_partitioned_audit",)
    tables: ClassVar[tuple[str, ...]] = ("audit_simple",)

    def install(self) -> None:
        """Make partitions: without one for today every write would fail."""
        with open("/dev/null", "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device
            call_command("manage_partition_tables", "create", "--extra-days=60", stdout=nowhere)
