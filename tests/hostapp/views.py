"""The host's own pages: each makes an organization, and differs in how it knows who asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication

from hostapp.models import Organization
from tenants.context import Actor, act_as, current_scope
from tenants.middleware import authenticates_itself


class _Make(APIView):
    permission_classes = [IsAuthenticated]

    def post(self, request: Request) -> Response:
        data: Any = request.data
        made = Organization.objects.create(name=str(data["name"]), slug="made")
        return Response({"id": str(made.pk)}, status=201)


@authenticates_itself
class ByToken(_Make):
    """By a token of DRF's, which is looked up in the tenant's schema."""

    authentication_classes = [TokenAuthentication]


@authenticates_itself
class ByJwt(_Make):
    """By a JSON Web Token."""

    authentication_classes = [JWTAuthentication]


@authenticates_itself
class ByNobody(_Make):
    """By anybody."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]


class Unmarked(_Make):
    """By anybody too, but it does not say so: then it has no unit of work."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]


def by_session(request: HttpRequest) -> HttpResponseBase:
    """By the session that the gate knows; what it asks for is missing, or breaks, on demand."""
    Organization.objects.create(name=request.GET.get("name", "by session"), slug="made")
    match request.GET.get("end"):
        case "missing":
            return HttpResponse(status=404)
        case "broken":
            raise ValueError("on demand")
        case "streaming":
            return StreamingHttpResponse(_parts())
    return JsonResponse({}, status=201)


def _parts() -> Iterator[bytes]:
    yield b"a"
    yield b"b"


def impersonating(request: HttpRequest) -> HttpResponse:
    """By somebody who acts under another's name."""
    own = current_scope().actor
    act_as(Actor("user", request.GET["as"], "under another name", impersonator=own))
    Organization.objects.create(name="impersonated", slug="made")
    return JsonResponse({}, status=201)


async def asynchronously(request: HttpRequest) -> HttpResponse:
    """By a view that awaits: the ORM's own asynchronous calls, and one in a thread."""
    made = Organization(name=request.GET["name"], slug="made")
    await made.asave()
    made.plan = "premium"
    await sync_to_async(made.save)()
    await Organization.objects.abulk_create([Organization(name=f"{request.GET['name']} {n}", slug="n") for n in (1, 2)])
    return JsonResponse({"id": str(made.pk)}, status=201)
