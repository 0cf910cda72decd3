"""Links to set a new password."""

from __future__ import annotations

from django.contrib.auth.tokens import PasswordResetTokenGenerator

from tenants import gate
from tenants.models import User


class ResetTokens(PasswordResetTokenGenerator):
    """Links that hold for one reset: until the password, which the gate alone knows, or the address is another."""

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        known = gate.person(user_id=str(user.pk))
        return f"{user.pk}{timestamp}{known.email}{known.password_hash}" if known else ""
