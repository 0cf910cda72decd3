"""The keys of a tenant over HTTP: list, make, rotate, revoke."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import apikeys
from tenants.api.base import PAGING, ClosedView, body_of, id_in, page_of, parameters_of, refuse_replay
from tenants.api.representation import KeyAnswer, KeyInput, KeyPage, NewKeyAnswer, RotationInput, key_answer
from tenants.api.routes import problems
from tenants.errors import NotFound
from tenants.models import ApiKey
from tenants.permissions import caller_in
from tenants.roles import Right

_KEPT_NOWHERE = "a secret is shown once, and kept nowhere. Revoke a key whose answer was lost."
_OURS = frozenset({Right.ADMINISTER})
KEY = OpenApiParameter("key_id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The key's id.")


class KeysView(ClosedView):
    """All keys."""

    rights: ClassVar = {"GET": _OURS, "HEAD": _OURS, "POST": _OURS}

    @extend_schema(operation_id="api_keys_list", parameters=PAGING, responses={200: KeyPage, **problems(400, 401, 403)})
    def get(self, request: Request) -> Response:
        """List the keys of this tenant, also those that were revoked or have expired."""
        return Response(page_of(request, ApiKey.objects.all(), key_answer))

    @extend_schema(
        operation_id="api_keys_create",
        request=KeyInput,
        responses={201: NewKeyAnswer, **problems(400, 401, 403, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Make a key. Its secret is in this answer alone: nothing keeps it, so no `Idempotency-Key` is taken."""
        parameters_of(request)
        refuse_replay(request, _KEPT_NOWHERE)
        said, rights = body_of(request, KeyInput), caller_in(request).rights
        made = apikeys.make(name=said.name, scopes=said.scopes, expires_at=said.expires_at, rights=rights)
        return _shown_once(*made)


class KeyView(ClosedView):
    """One key."""

    http_method_names = ("get", "head", "delete")
    rights: ClassVar = {"GET": _OURS, "HEAD": _OURS, "DELETE": _OURS}

    @extend_schema(
        operation_id="api_keys_read", parameters=[KEY], responses={200: KeyAnswer, **problems(400, 401, 403, 404)}
    )
    def get(self, request: Request, key_id: str) -> Response:
        """Read one key."""
        parameters_of(request)
        return Response(key_answer(_key(key_id)))

    @extend_schema(
        operation_id="api_keys_revoke", parameters=[KEY], responses={204: None, **problems(400, 401, 403, 404)}
    )
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key: it is refused from the next request on. One that was revoked stays so."""
        parameters_of(request)
        apikeys.retire(_key(key_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class KeyRotationView(ClosedView):
    """The replacement of a key."""

    http_method_names = ("post",)
    rights: ClassVar = {"POST": _OURS}

    @extend_schema(
        operation_id="api_keys_rotate",
        parameters=[KEY],
        request=RotationInput,
        responses={201: NewKeyAnswer, **problems(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """Replace a key by a new one of the same name and scopes. Until the overlap ends, both work."""
        parameters_of(request)
        refuse_replay(request, _KEPT_NOWHERE)
        said = body_of(request, RotationInput)
        overlap = timedelta(hours=said.overlap_hours)
        return _shown_once(*apikeys.rotate(_key(key_id), overlap=overlap, expires_at=said.expires_at))


def _key(key_id: str) -> ApiKey:
    """Return a key of the open scope's tenant. Raises NotFound: also for keys of other tenants."""
    key: ApiKey | None = ApiKey.objects.filter(pk=id_in(key_id)).first()
    if key is None:
        raise NotFound
    return key


def _shown_once(key: ApiKey, secret: str) -> Response:
    answer = {**key_answer(key), "secret": secret}
    return Response(answer, status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})
