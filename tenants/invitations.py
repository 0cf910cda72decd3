"""Invitations by e-mail: made in a tenant's unit of work, good for a week, accepted by `people.accept_invitation`.

The token in the e-mail is the invitation's id, signed with SECRET_KEY. No database holds it, so whoever may run
statements as a tenant can invite, but not accept in the name of an address that is not his.
"""

from __future__ import annotations

from urllib.parse import quote
from uuid import UUID

from django.core import signing
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.utils import timezone

from tenants.context import fetch
from tenants.errors import BadInput, Conflict, NotFound
from tenants.mail import send_after_commit
from tenants.members import OwnersOnly, current
from tenants.models import Invitation, Tenant
from tenants.recording import record
from tenants.roles import Role

# The page on the tenant's host that the e-mail leads to (`tenants.accounts.invitation`); the token is the last part.
ACCEPT_PATH = "/accounts/invitation/"
_SALT = "daybook.invitation"
_TEXT = """{inviter} invites you to {tenant} on Daybook, as {role}.

Accept within seven days, on this page:

{link}

If you did not expect this, ignore it: nothing happens without you.
"""


class AlreadyMember(Conflict):
    """The person with this address is a member already. Change the role instead."""


def pending() -> QuerySet[Invitation]:
    """Return the invitations that can still be accepted."""
    found: QuerySet[Invitation] = Invitation.objects.filter(
        accepted_at=None, withdrawn_at=None, expires_at__gt=timezone.now()
    )
    return found


def invite(email: str, role: str, *, by_owner: bool, base: str) -> Invitation:
    """Invite an address, and send it the e-mail once this unit of work is committed; an earlier invitation ends.

    `base` is where the tenant is reached, as in `https://acme.example.com`. Whether the address has an account
    elsewhere makes no difference that could be seen. Raises BadInput, AlreadyMember, OwnersOnly.
    """
    address = normalised(email)
    if role == Role.OWNER and not by_owner:
        raise OwnersOnly
    if current().filter(user__email=address).exists():
        raise AlreadyMember
    (made,) = fetch("SELECT guard.invite(%s, %s)", address, role)
    invitation = Invitation.objects.select_related("tenant").get(pk=made)
    record("invitation.created", _resource(invitation), changes={"role": role})
    send_after_commit(_message(invitation, base))
    return invitation


def withdraw(key: UUID) -> None:
    """Withdraw an invitation that is still open. Raises NotFound."""
    invitation = pending().filter(pk=key).first()
    if invitation is None or not fetch("SELECT guard.withdraw_invitation(%s)", key)[0]:
        raise NotFound
    record("invitation.withdrawn", _resource(invitation), changes={"role": invitation.role})


def normalised(email: str) -> str:
    """Return an address as people are known by it: in lower case. Raises BadInput."""
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError as error:
        detail = "This is no e-mail address."
        raise BadInput(detail, errors=[{"pointer": "/email", "code": "bad_email", "detail": detail}]) from error
    return address


def token_of(invitation: Invitation) -> str:
    """Return the secret that accepts an invitation."""
    return signing.dumps(invitation.pk.hex, salt=_SALT)


def invited_by(token: str) -> UUID | None:
    """Return the id of the invitation that a token is for; None for one that was not made here."""
    try:
        return UUID(signing.loads(token, salt=_SALT))
    except signing.BadSignature:
        return None


def base_of(tenant_id: UUID, *, host: str, secure: bool) -> str:
    """Return where a tenant is reached by browsers, under its primary host: with the port that a request came to."""
    tenant = Tenant.objects.get(pk=tenant_id)
    domain = tenant.domains.order_by("-is_primary", "domain").values_list("domain", flat=True).first()
    port = host.rpartition(":")[2]
    return f"{'https' if secure else 'http'}://{domain}{f':{port}' if port.isdecimal() else ''}"


def _message(invitation: Invitation, base: str) -> EmailMessage:
    tenant = " ".join(invitation.tenant.name.split())
    link = f"{base}{ACCEPT_PATH}{quote(token_of(invitation))}"
    inviter = " ".join(invitation.created_by_label.split()) or "Somebody"
    text = _TEXT.format(inviter=inviter, tenant=tenant, role=invitation.role, link=link)
    return EmailMessage(f"Invitation to {tenant}", text, to=[invitation.email])


def _resource(invitation: Invitation) -> tuple[str, str, str]:
    return "invitation", str(invitation.pk), invitation.email
