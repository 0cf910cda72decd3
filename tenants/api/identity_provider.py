"""A tenant's identity provider over HTTP: read, name, remove."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from drf_spectacular.utils import extend_schema
from pydantic import AwareDatetime, Field
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import ClosedView, body_of, parameters_of
from tenants.api.routes import problems
from tenants.api.wire import Answer, Written, rendered
from tenants.entrance import IdentityProvider
from tenants.gate import ProviderRef
from tenants.oidc import configuring
from tenants.roles import Right

_OURS = frozenset({Right.ADMINISTER})
Algorithm = Literal["RS256", "ES256", "EdDSA"]
GivenRole = Literal["admin", "auditor", "member"]
_Text = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]


class IdentityProviderInput(Written):
    """Whose tokens are taken on this tenant's host, and what they give."""

    issuer: Annotated[str, Field(min_length=1, max_length=500, examples=["https://login.acme.example"])]
    audience: Annotated[_Text, Field(description="What the claim `aud` must name.", examples=["daybook"])]
    algorithms: Annotated[list[Algorithm], Field(min_length=1, max_length=3)] = ["RS256", "ES256", "EdDSA"]
    role_claim: Annotated[_Text, Field(description="Its name, or its path: `realm_access.roles`.")] = "roles"
    roles: Annotated[
        dict[_Text, GivenRole], Field(max_length=100, description="Which role a value of the claim gives.")
    ] = {}
    default_role: Annotated[
        GivenRole | None, Field(description="What a bearer is whose claim gives no role; null: he is refused.")
    ] = None


class IdentityProviderAnswer(Answer):
    """A tenant's identity provider."""

    issuer: str
    audience: str
    algorithms: list[Algorithm]
    role_claim: str
    roles: dict[str, GivenRole]
    default_role: GivenRole | None
    changed_at: AwareDatetime


class IdentityProviderView(ClosedView):
    """The identity provider of this tenant."""

    http_method_names = ("get", "head", "put", "delete")
    rights: ClassVar = dict.fromkeys(("GET", "HEAD", "PUT", "DELETE"), _OURS)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse parameters: there are none here."""
        super().initial(request, *args, **kwargs)
        parameters_of(request)

    @extend_schema(
        operation_id="identity_provider_read",
        responses={200: IdentityProviderAnswer, **problems(400, 401, 403, 404)},
    )
    def get(self, _request: Request) -> Response:
        """Read whose tokens are taken here."""
        return Response(_answer(configuring.current()))

    @extend_schema(
        operation_id="identity_provider_set",
        request=IdentityProviderInput,
        responses={200: IdentityProviderAnswer, **problems(400, 401, 403, 413, 415)},
    )
    def put(self, request: Request) -> Response:
        """Name the identity provider whose tokens are taken on this tenant's host, in place of the one before.

        It is asked for its keys when the first token comes.
        """
        return Response(_answer(configuring.put(_provider(body_of(request, IdentityProviderInput)))))

    @extend_schema(
        operation_id="identity_provider_remove",
        responses={204: None, **problems(400, 401, 403, 404)},
    )
    def delete(self, _request: Request) -> Response:
        """Take no more tokens."""
        configuring.remove()
        return Response(status=status.HTTP_204_NO_CONTENT)


def _provider(said: IdentityProviderInput) -> ProviderRef:
    return ProviderRef(
        said.issuer,
        said.audience,
        sorted(set(said.algorithms)),
        said.role_claim,
        {value: str(role) for value, role in said.roles.items()},
        said.default_role or "",
    )


def _answer(provider: IdentityProvider) -> dict[str, Any]:
    names = ("issuer", "audience", "algorithms", "role_claim", "roles")
    return {
        **{name: getattr(provider, name) for name in names},
        "default_role": provider.default_role or None,
        "changed_at": rendered(provider.changed_at),
    }
