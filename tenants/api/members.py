"""The members of a tenant over HTTP: list, another role, an end; invitations by e-mail, and how one is accepted."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import invitations, members
from tenants.accounts import acceptance
from tenants.api.base import PAGING, ClosedView, body_of, id_in, page_of, parameters_of, refuse_replay
from tenants.api.representation import (
    AcceptanceAnswer,
    AcceptanceInput,
    InvitationAnswer,
    InvitationInput,
    InvitationPage,
    MemberAnswer,
    MemberPage,
    RoleInput,
    invitation_answer,
    member_answer,
)
from tenants.api.routes import problems
from tenants.context import current_scope
from tenants.errors import NotFound
from tenants.middleware import outside_unit
from tenants.permissions import caller_in
from tenants.roles import Right, Role

_OURS = frozenset({Right.ADMINISTER})
MEMBER = OpenApiParameter("member_id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The person's id.")
INVITATION = OpenApiParameter(
    "invitation_id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The invitation's id."
)


def _by_owner(request: Request) -> bool:
    """Tell whether an owner asks: a key of any scope is none."""
    caller = caller_in(request)
    return caller.view is None and getattr(caller.user, "tenant_role", None) == Role.OWNER


class MembersView(ClosedView):
    """All members."""

    rights: ClassVar = {"GET": _OURS, "HEAD": _OURS}

    @extend_schema(
        operation_id="members_list", parameters=PAGING, responses={200: MemberPage, **problems(400, 401, 403)}
    )
    def get(self, request: Request) -> Response:
        """List the members of now."""
        return Response(page_of(request, members.current(), member_answer))


class MemberView(ClosedView):
    """One member."""

    http_method_names = ("get", "head", "patch", "delete")
    rights: ClassVar = {"GET": _OURS, "HEAD": _OURS, "PATCH": _OURS, "DELETE": _OURS}

    @extend_schema(
        operation_id="members_read", parameters=[MEMBER], responses={200: MemberAnswer, **problems(400, 401, 403, 404)}
    )
    def get(self, request: Request, member_id: str) -> Response:
        """Read one member."""
        parameters_of(request)
        return Response(member_answer(members.member(id_in(member_id))))

    @extend_schema(
        operation_id="members_change",
        parameters=[MEMBER],
        request=RoleInput,
        responses={200: MemberAnswer, **problems(400, 401, 403, 404, 409, 413, 415)},
    )
    def patch(self, request: Request, member_id: str) -> Response:
        """Give a member another role. Owners alone make and unmake owners, and the last one stays."""
        parameters_of(request)
        said = body_of(request, RoleInput)
        return Response(member_answer(members.change_role(id_in(member_id), said.role, by_owner=_by_owner(request))))

    @extend_schema(
        operation_id="members_remove",
        parameters=[MEMBER],
        responses={204: None, **problems(400, 401, 403, 404, 409)},
    )
    def delete(self, request: Request, member_id: str) -> Response:
        """End a membership: the person's sessions and viewer tokens here are refused from the next request on."""
        parameters_of(request)
        members.remove(id_in(member_id), by_owner=_by_owner(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class InvitationsView(ClosedView):
    """Invitations that are open."""

    rights: ClassVar = {"GET": _OURS, "HEAD": _OURS, "POST": _OURS}

    @extend_schema(
        operation_id="invitations_list", parameters=PAGING, responses={200: InvitationPage, **problems(400, 401, 403)}
    )
    def get(self, request: Request) -> Response:
        """List the invitations that can still be accepted."""
        return Response(page_of(request, invitations.pending(), invitation_answer))

    @extend_schema(
        operation_id="invitations_create",
        request=InvitationInput,
        responses={201: InvitationAnswer, **problems(400, 401, 403, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Invite an address by e-mail, for seven days. Invited again it gets a new e-mail; the earlier one is void.

        No `Idempotency-Key` is taken.
        """
        parameters_of(request)
        refuse_replay(request, "invited again, an address gets a new e-mail, and the earlier one is void.")
        said, tenant = body_of(request, InvitationInput), current_scope().tenant
        if tenant is None:
            raise NotFound
        base = invitations.base_of(tenant.id, host=request.get_host(), secure=request.is_secure())
        made = invitations.invite(said.email, said.role, by_owner=_by_owner(request), base=base)
        return Response(invitation_answer(made), status.HTTP_201_CREATED)


class InvitationView(ClosedView):
    """One invitation."""

    http_method_names = ("delete",)
    rights: ClassVar = {"DELETE": _OURS}

    @extend_schema(
        operation_id="invitations_withdraw",
        parameters=[INVITATION],
        responses={204: None, **problems(400, 401, 403, 404)},
    )
    def delete(self, request: Request, invitation_id: str) -> Response:
        """Withdraw an invitation."""
        parameters_of(request)
        invitations.withdraw(id_in(invitation_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


@outside_unit
class AcceptanceView(ClosedView):
    """The acceptance of an invitation, by whoever was sent its token."""

    http_method_names = ("post",)
    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="invitations_accept",
        auth=[],
        request=AcceptanceInput,
        responses={201: AcceptanceAnswer, **problems(400, 401, 404, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Become a member. An address that has an account proves it by that account's password.

        Attempts are counted by invitation and by network address, together with those on the page: five and ten.
        """
        parameters_of(request)
        said = body_of(request, AcceptanceInput)
        plain = request._request  # noqa: SLF001 - django-allauth counts requests of Django
        membership = acceptance.accept(plain, said.token, name=said.name, password=said.password)
        answer = {"tenant": membership.tenant.slug, "role": membership.role}
        return Response(answer, status.HTTP_201_CREATED)
