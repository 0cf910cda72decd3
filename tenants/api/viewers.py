"""Viewer tokens over HTTP: make one for a page in which the trail is embedded; what a token may see."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import viewing
from tenants.api.base import ClosedView, body_of, parameters_of, refuse_replay
from tenants.api.representation import NewViewAnswer, ViewAnswer, ViewInput, view_answer
from tenants.api.routes import problems
from tenants.context import current_scope
from tenants.errors import NotAllowed
from tenants.permissions import caller_in
from tenants.roles import Right

_MAKING = frozenset({Right.READ_TRAIL})
_VIEWING = frozenset({Right.READ_VIEW})


class ViewerTokensView(ClosedView):
    """Viewer tokens."""

    http_method_names = ("post",)
    rights: ClassVar = {"POST": _MAKING}

    @extend_schema(
        operation_id="viewer_tokens_create",
        request=ViewInput,
        responses={201: NewViewAnswer, **problems(400, 401, 403, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Make a token that reads the trail, or a part of it, for ten minutes at most. It makes no other tokens.

        It is in this answer alone, so no `Idempotency-Key` is taken.
        """
        parameters_of(request)
        refuse_replay(request, "a token is shown once, and kept nowhere. Make another.")
        said, scope = body_of(request, ViewInput), current_scope()
        if scope.tenant is None:
            raise NotAllowed
        view, token = viewing.issue(
            scope.tenant,
            scope.actor,
            lifetime=timedelta(seconds=said.seconds),
            resource=said.resource,
            actor=said.actor,
            origin=said.origin,
        )
        answer = {**view_answer(view), "token": token}
        return Response(answer, status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})


class ViewerTokenView(ClosedView):
    """The viewer token of the request."""

    http_method_names = ("get", "head")
    rights: ClassVar = {"GET": _VIEWING, "HEAD": _VIEWING}

    @extend_schema(operation_id="viewer_tokens_self", responses={200: ViewAnswer, **problems(400, 401, 403)})
    def get(self, request: Request) -> Response:
        """Read what this token shows, and until when."""
        parameters_of(request)
        view = caller_in(request).view
        if view is None:
            raise NotAllowed("This is for viewer tokens.")
        return Response(view_answer(view))
