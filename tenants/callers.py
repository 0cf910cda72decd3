"""Who a request's caller is: host, key and session made into a Caller, or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.utils.crypto import constant_time_compare

from tenants import gate, recording, viewing
from tenants.apikeys import KEY_PREFIX
from tenants.context import ANONYMOUS, Actor, Origin, Scope, platform_scope, tenant_scope
from tenants.errors import BadKey, ForeignKeyHost, NotAllowed, NotSignedIn, Refused, TenantSuspended, UnknownHost
from tenants.models import Membership, User
from tenants.oidc.tokens import BadToken, bearer, is_token
from tenants.roles import RIGHTS_OF_ROLE, RIGHTS_OF_SCOPE, RIGHTS_OF_STAFF, Right
from tenants.viewing import View

REALM_SESSION_KEY = "daybook_realm"
SLUG_SESSION_KEY = "daybook_tenant"
_MAX_LABEL = 255


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: on which side of the walls (a tenant, or None for the platform), as whom, with which rights."""

    tenant: gate.TenantRef | None
    actor: Actor
    rights: frozenset[Right]
    user: User | AnonymousUser
    origin: Origin
    by_session: bool = False
    # What a viewer token restricts its bearer to.
    view: View | None = None

    @property
    def known(self) -> bool:
        """Whether the caller proved who he is."""
        return self.actor.type != ANONYMOUS.type

    @contextmanager
    def scope(self, late: Callable[[], Actor | None] | None = None) -> Iterator[Scope]:
        """Open this caller's unit of work; `late` says who he is once that is known."""
        if self.tenant:
            with tenant_scope(self.tenant, actor=self.actor, origin=self.origin, late=late) as scope:
                yield scope
        else:
            with platform_scope(actor=self.actor, origin=self.origin) as scope:
                yield scope

    def record_refusal(self, action: str, reason: str) -> None:
        """Write a refusal into the caller's trail, in a unit of work of its own."""
        with self.scope():
            resource = (self.actor.type, self.actor.id, self.actor.label)
            recording.record(action, resource, outcome="denied", description=reason)


def caller_of(request: HttpRequest, origin: Origin, *, own: Callable[[], bool] = lambda: False) -> Caller:
    """Return the caller of a request; an unproven one is anonymous. Raises UnknownHost and Refused.

    `own` tells whether the view authenticates its callers itself: what is no key of ours is left to it.
    """
    secret, name = _bearer(request), host_name(request)
    place = None if name in settings.PLATFORM_HOSTS else name
    key = None
    if secret.startswith(KEY_PREFIX):
        tenant, key = gate.host_and_key(place, secret)
    else:
        tenant = gate.host(place) if place else None
    unknown = tenant is None and place is not None
    if secret and (secret.startswith((KEY_PREFIX, viewing.PREFIX)) or not own()):
        caller = _by_key(key, tenant, origin) if key else _by_bearer(request, secret, tenant, origin)
        # A tenant's key says itself where it belongs; a staff member's works on the platform's host alone.
        if unknown and caller.tenant is None:
            raise UnknownHost
        return caller
    if unknown:
        raise UnknownHost
    caller = _by_session(request, tenant, origin)
    if tenant and tenant.suspended:
        raise _refusal(caller, TenantSuspended())
    return caller


def decided_by_view(request: HttpRequest, given: object) -> Actor | None:
    """Return whom a view that authenticates its callers itself has found to call; None: nobody, so far.

    `given` is the user that the gate put on the request. It counts only once the view has looked: DRF then sets
    `request.auth`, another view its own `request.user`. Works in the unit of work of the view's tenant. Raises
    NotSignedIn for somebody who belongs to the tenant no longer, though his old tokens may still be good.
    """
    user: Any = getattr(request, "user", None)
    if (user is given and not hasattr(request, "auth")) or not getattr(user, "is_authenticated", False):
        return None
    person = user if isinstance(user, User) else _person_with(user.pk)
    if person is None:
        # Somebody whom the host knows by another directory.
        return Actor("user", str(user.pk), str(user)[:_MAX_LABEL])
    if not person.is_active or not Membership.objects.filter(user_id=person.pk, ended_at=None).exists():
        raise NotSignedIn("This person belongs to this tenant no longer.")
    return Actor("user", str(person.pk), person.email, person.pk)


def _person_with(key: object) -> User | None:
    try:
        found: User | None = User.objects.filter(pk=UUID(str(key))).first()
    except ValueError:
        return None
    return found


def host_name(request: HttpRequest) -> str:
    """Return the host that the request names, in lower case and without its port."""
    return split_domain_port(request.get_host())[0]


def _bearer(request: HttpRequest) -> str:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def _by_token(secret: str, tenant: gate.TenantRef | None, origin: Origin) -> Caller:
    """Return the bearer of a token of a tenant's own identity provider, on that tenant's host. Raises Refused."""
    provider = gate.identity_provider(tenant.id) if tenant else None
    if tenant is None or provider is None:
        raise BadToken("Tokens are taken on the host of a tenant that has named its identity provider.")
    actor, role = bearer(secret, provider)
    caller = Caller(tenant, actor, RIGHTS_OF_ROLE[role], AnonymousUser(), origin)
    if tenant.suspended:
        raise _refusal(caller, TenantSuspended())
    return caller


def _by_bearer(request: HttpRequest, secret: str, host_tenant: gate.TenantRef | None, origin: Origin) -> Caller:
    """Return whose secret this is that is no key, by what it begins with. Raises Refused."""
    if secret.startswith(viewing.PREFIX):
        return _by_viewer_token(secret, host_tenant, origin, page=request.headers.get("Origin"))
    if is_token(secret):
        return _by_token(secret, host_tenant, origin)
    raise BadKey


def _by_viewer_token(secret: str, host_tenant: gate.TenantRef | None, origin: Origin, *, page: str | None) -> Caller:
    """Return the bearer of a viewer token, who acts in its maker's name for as long as that one may read the trail.

    `page` is the origin that a browser says. Raises BadKey, Refused.
    """
    view = viewing.read(secret)
    maker = gate.maker(view.tenant, view.maker_type, view.maker_id) if view else None
    if view is None or maker is None or Right.READ_TRAIL not in maker.rights:
        raise BadKey
    holder = Actor(ANONYMOUS.type, str(view.id), "viewer token")
    person_id = view.maker_id if view.maker_type == "user" else None
    actor = Actor(view.maker_type, str(view.maker_id), maker.label, person_id, impersonator=holder)
    caller = Caller(maker.tenant, actor, frozenset({Right.READ_VIEW}), AnonymousUser(), origin, view=view)
    _check_host(caller, host_tenant)
    if view.origin and page not in {None, view.origin}:
        raise _refusal(caller, NotAllowed("This viewer token is for pages of another origin."))
    return caller


def _by_key(key: gate.KeyRef, host_tenant: gate.TenantRef | None, origin: Origin) -> Caller:
    caller = _staff_caller(key, origin) if key.user else _key_caller(key, origin)
    if not key.valid:
        raise _refusal(caller, BadKey())
    _check_host(caller, host_tenant)
    return caller


def _check_host(caller: Caller, host_tenant: gate.TenantRef | None) -> None:
    """Refuse a bearer whose tenant is suspended, or whose secret does not belong on this host. Raises Refused."""
    if caller.tenant and caller.tenant.suspended:
        raise _refusal(caller, TenantSuspended())
    if host_tenant and caller.tenant is None:
        raise _refusal(caller, NotAllowed("A staff key is used on the platform's host alone."))
    if host_tenant and caller.tenant and host_tenant.id != caller.tenant.id:
        raise _refusal(caller, ForeignKeyHost())


def _key_caller(key: gate.KeyRef, origin: Origin) -> Caller:
    rights = frozenset[Right]().union(*(RIGHTS_OF_SCOPE.get(scope, frozenset()) for scope in key.scopes))
    return Caller(key.tenant, Actor("api_key", str(key.id), key.name), rights, AnonymousUser(), origin)


def _staff_caller(key: gate.KeyRef, origin: Origin) -> Caller:
    assert key.user is not None  # noqa: S101 - the caller of this function looked
    return person(key.user, None, origin)


def _by_session(request: HttpRequest, tenant: gate.TenantRef | None, origin: Origin) -> Caller:
    """Return the person whose session this is, if it was begun on this side of the walls and still holds."""
    session, anonymous = request.session, Caller(tenant, ANONYMOUS, frozenset(), AnonymousUser(), origin)
    user_id = session.get(SESSION_KEY)
    if not user_id:
        return anonymous
    if session.get(REALM_SESSION_KEY) != realm_of(tenant):
        _record_strayed(request, origin)
        return anonymous
    user = gate.person(user_id=user_id, tenant_id=tenant.id if tenant else None)
    if (
        user is None
        or not may_enter(user, tenant)
        or session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS
    ):
        return anonymous
    if not constant_time_compare(session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        return anonymous
    return person(user, tenant, origin, by_session=True)


def _record_strayed(request: HttpRequest, origin: Origin) -> None:
    """Record on the session's own side that it was sent to another: browsers do not, so somebody carried it there."""
    slug = request.session.get(SLUG_SESSION_KEY)
    home = gate.tenant(slug) if slug else None
    if request.session.get(REALM_SESSION_KEY) == realm_of(home):
        caller = _by_session(request, home, origin)
        if caller.known:
            caller.record_refusal("access.denied", f"The session was sent to {host_name(request)}.")


def person(user: User, tenant: gate.TenantRef | None, origin: Origin, *, by_session: bool = False) -> Caller:
    """Return a person as a caller of a tenant's host, or of the platform's as staff."""
    if tenant:
        rights = RIGHTS_OF_ROLE.get(user.tenant_role or "", frozenset())
        return Caller(tenant, Actor("user", str(user.pk), user.email, user.pk), rights, user, origin, by_session)
    rights = RIGHTS_OF_STAFF.get(user.staff_role, frozenset())
    return Caller(None, Actor("staff", str(user.pk), user.email, user.pk), rights, user, origin, by_session)


def realm_of(tenant: gate.TenantRef | None) -> str:
    """Return what a session says of where it was begun."""
    return str(tenant.id) if tenant else "platform"


def may_enter(user: User, tenant: gate.TenantRef | None) -> bool:
    """Tell whether a person is a current member of the tenant, or staff on the platform's host."""
    return user.is_active and (user.tenant_role is not None if tenant else bool(user.staff_role))


def _refusal(caller: Caller, error: Refused) -> Refused:
    """Return the error, after an entry in the trail of whoever was refused (if that is known)."""
    if caller.known:
        caller.record_refusal("access.denied", error.detail)
    return error


def client_ip(request: HttpRequest) -> str | None:
    """Return the caller's address: the right-most hop that is not one of ours; None where it is no address."""
    hops = request.headers.get("X-Forwarded-For", "").split(",") if settings.TRUSTED_PROXIES else []
    chain = [hop.strip() for hop in hops] + [request.META.get("REMOTE_ADDR", "")]
    text = chain[-min(len(chain), settings.TRUSTED_PROXIES + 1)]
    try:
        # A zone (`%eth0`) means something on one machine only, and no inet column takes it.
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return None
