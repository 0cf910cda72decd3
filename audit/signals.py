"""`audit_logged`: sent after an entry was written by this process, within its transaction."""

from __future__ import annotations

from django.dispatch import Signal

# Receivers get `sender` (AuditLog or PlatformLog) and `entry`. They run in the transaction of the entry: one that
# raises takes the change and its entry back, so nothing is lost in silence. Entries of changed rows are written by
# the database, which sends no signals.
audit_logged = Signal()
