"""What is kept for those who come in, beside people and keys: attempts to sign in, tenants' identity providers."""

from __future__ import annotations

from django.db import models


class Attempt(models.Model):
    """What the pages of accounts remember for a while in all processes: attempts to sign in, codes that were used.

    Unlogged, for it may be lost in a crash. `tenants.accounts.cache` alone reads and writes it.
    """

    key = models.TextField(primary_key=True)
    value = models.JSONField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key
