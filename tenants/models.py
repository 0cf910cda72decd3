"""Tenants, their hosts, people, and keys: all in the shared schema, each row behind its wall."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar, NoReturn

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django_tenants.models import DomainMixin, TenantMixin

from tenants import bookkeeping as bookkeeping  # noqa: PLC0414 - Django finds the models of an application here
from tenants.entrance import Attempt, IdentityProvider  # noqa: F401 - Django looks for models here
from tenants.pinned import PinnedQuerySet
from tenants.roles import Role, StaffRole


class UUIDv7(models.Func):
    """PostgreSQL's uuidv7(): time-ordered keys made by the database."""

    function = "uuidv7"
    template = "%(function)s()"
    output_field: ClassVar[models.Field[Any, Any]] = models.UUIDField()


def random_schema_name() -> str:
    """Return a new schema name that says nothing of the customer."""
    return f"t_{secrets.token_hex(8)}"


class Tenant(TenantMixin):  # type: ignore[misc]
    """A customer: one schema, one role, one trail. Made and dropped by `provisioning` only."""

    class Status(models.TextChoices):
        """Whether the tenant's hosts and keys are served."""

        ACTIVE = "active"
        SUSPENDED = "suspended"

    id = models.UUIDField(primary_key=True, db_default=UUIDv7(), editable=False)
    schema_name = models.CharField(max_length=63, unique=True, default=random_schema_name, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.ACTIVE)
    shard = models.CharField(max_length=63, default="default", editable=False)
    # The database login that may take on this tenant's role: `tenants.logins` chooses it.
    login = models.CharField(max_length=63, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    auto_create_schema = False
    auto_drop_schema = False

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row alone: django-tenants' own save looks at session state that this backend does not have."""
        models.Model.save(self, *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the row alone; `provisioning.drop_tenant` drops schema and role as well."""
        return models.Model.delete(self, *args, **kwargs)

    def activate(self) -> NoReturn:
        """Refuse: a tenant is entered by `tenant_scope(tenant, actor=...)`."""
        raise TypeError("Use `with tenant_scope(tenant, actor=...)`: it binds role, path and transaction.")

    __enter__ = activate


class Domain(DomainMixin):  # type: ignore[misc]
    """A host name under which a tenant is served (without port, in lower case)."""

    id = models.UUIDField(primary_key=True, db_default=UUIDv7(), editable=False)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row alone: django-tenants' own save opens a transaction on the application's login."""
        models.Model.save(self, *args, **kwargs)


class UserQuerySet(PinnedQuerySet["User"]):
    """People; deleted one by one as `people.delete_user` does."""

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete each person with the pointers in all trails cleared."""
        people = list(self)
        for person in people:
            person.delete()
        return len(people), {"tenants.User": len(people)}

    delete.alters_data = True  # type: ignore[attr-defined]


class UserManager(models.Manager.from_queryset(UserQuerySet)):  # type: ignore[misc]
    """Looks people up as Django's authentication expects."""

    def get_by_natural_key(self, email: str) -> User:
        """Return the person with this e-mail address."""
        person: User = self.get(email=email.lower())
        return person


class User(AbstractBaseUser):
    """A person, once for all tenants. The password stands apart (Credential), where no tenant's role can read it.

    Made by `people.create_user` and deleted by `people.delete_user`, which clears the pointers in all trails.
    """

    id = models.UUIDField(primary_key=True, db_default=UUIDv7(), editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    staff_role = models.CharField(max_length=20, choices=StaffRole.choices, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    password = None  # type: ignore[assignment]
    last_login = None

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    # What the gate says of the caller of this request; never stored.
    password_hash: str = ""
    tenant_role: Role | None = None

    class Meta:
        ordering = ["email"]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save with the address in lower case: login compares it so."""
        self.email = self.email.lower()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the person as `people.delete_user` does."""
        from tenants import people  # noqa: PLC0415 - people needs this model

        people.delete_user(self)
        return 1, {"tenants.User": 1}

    def check_password(self, raw_password: str | None) -> bool:
        """Tell whether this is the password, of a person whom the gate has told of."""
        from django.contrib.auth.hashers import check_password  # noqa: PLC0415

        return check_password(raw_password or "", self.password_hash)

    def has_usable_password(self) -> bool:
        """Tell whether a password can be right at all, of a person whom the gate has told of."""
        return bool(self.password_hash)

    def get_session_auth_hash(self) -> str:
        """Return what ends the person's sessions when the password changes."""
        from django.utils.crypto import salted_hmac  # noqa: PLC0415

        return salted_hmac("daybook.session", self.password_hash, algorithm="sha256").hexdigest()

    def get_session_auth_fallback_hash(self) -> list[str]:
        """Return nothing: sessions are bound to the current password alone."""
        return []

    @property
    def is_staff(self) -> bool:
        """Whether this caller may enter the admin of the host he is on."""
        return bool(self.staff_role) or self.tenant_role is not None

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Django's model permissions are not used: `tenants.permissions` decides by roles."""
        return False

    def has_module_perms(self, app_label: str) -> bool:
        """Django's model permissions are not used: `tenants.permissions` decides by roles."""
        return False


class Credential(models.Model):
    """A person's password hash. No role may read it; the gate's functions do."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True)
    password = models.CharField(max_length=255)
    last_login = models.DateTimeField(null=True)


class Session(models.Model):
    """A signed-in browser. Only a digest of its key is kept; the gate's functions alone read and write it."""

    digest = models.BinaryField(primary_key=True)
    data = models.TextField()
    expires_at = models.DateTimeField(db_index=True)


class Membership(models.Model):
    """A person's role in a tenant. An ended one is kept: it says in whose trails the person may appear."""

    id = models.UUIDField(primary_key=True, db_default=UUIDv7(), editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role.choices)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = PinnedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "tenant"], condition=models.Q(ended_at=None), name="one_current_membership"
            )
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.user_id} of {self.tenant_id}"


class Made(models.Model):
    """Who made a row, copied as entries of a trail do: it says so when he is long gone."""

    created_by_type = models.CharField(max_length=20, default="", editable=False)
    created_by_id = models.CharField(max_length=255, default="", editable=False)
    created_by_label = models.CharField(max_length=255, default="", editable=False)

    class Meta:
        abstract = True


class Invitation(Made):
    """An offer to become a member, sent by e-mail. Its token is signed, and stands nowhere (`tenants.invitations`)."""

    id = models.UUIDField(primary_key=True, db_default=UUIDv7(), editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=20, choices=Role.choices)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)

    objects = PinnedQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.role} {self.email}"


class KeyManager(models.Manager.from_queryset(PinnedQuerySet)):  # type: ignore[misc]
    """Keys without their digests, which no role may read."""

    def get_queryset(self) -> PinnedQuerySet[Any]:
        """Return all keys, the digest left out."""
        keys: PinnedQuerySet[Any] = super().get_queryset().defer("digest")
        return keys


class ApiKey(Made):
    """A key of a tenant (scopes) or of a staff member (his own rights). The secret is shown once, its digest kept."""

    id = models.UUIDField(primary_key=True, db_default=UUIDv7(), editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, null=True, blank=True, related_name="api_keys")
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="api_keys")
    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=16)
    digest = models.BinaryField(unique=True)
    scopes = ArrayField(models.CharField(max_length=40), default=list)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    replaced_by = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    objects = KeyManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(tenant=None) ^ models.Q(user=None), name="key_of_tenant_or_staff")
        ]

    def __str__(self) -> str:
        return f"{self.prefix}… {self.name}"
