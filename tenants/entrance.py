"""What is kept for those who come in, beside people and keys: attempts to sign in, tenants' identity providers."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from tenants.pinned import PinnedQuerySet


class Attempt(models.Model):
    """What the pages of accounts remember for a while in all processes: attempts to sign in, codes that were used.

    Unlogged, for it may be lost in a crash. `tenants.accounts.cache` alone reads and writes it.
    """

    key = models.TextField(primary_key=True)
    value = models.JSONField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key


class IdentityProvider(models.Model):
    """Who vouches for the bearers of a tenant's tokens, for whom they must be made, and which role their claims give.

    A tenant changes its own by `guard.set_identity_provider` alone.
    """

    tenant = models.OneToOneField("tenants.Tenant", on_delete=models.CASCADE, primary_key=True, related_name="+")
    issuer = models.CharField(max_length=500)
    audience = models.CharField(max_length=255)
    algorithms = ArrayField(models.CharField(max_length=10))
    role_claim = models.CharField(max_length=255)
    # {value of the claim: role}
    roles = models.JSONField(default=dict)
    # What a bearer is without any of them; empty: he is refused.
    default_role = models.CharField(max_length=20, blank=True)
    changed_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = PinnedQuerySet.as_manager()

    def __str__(self) -> str:
        return self.issuer
