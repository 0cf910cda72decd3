"""The routes of WorkOS: events, exports, actions with their schemas, retention, configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from audit import declared, exports, ingest, replay
from audit.api import asking
from audit.api.exporting import EXPORTING
from audit.api.exports import link_to
from audit.api.views import READING, TrailView
from audit.api.workos import answers, schemas, wire
from audit.api.workos.errors import OrganizationNotFound, ValidationFailed
from audit.entry import as_uuid
from audit.models import AuditExport, ExportState
from audit.replay import Answer
from tenants.context import TenantLike
from tenants.errors import BadInput, NotFound
from tenants.roles import Right

_ADMINISTER = frozenset({Right.ADMINISTER})
_READ = {method: frozenset({Right.READ_TRAIL}) for method in READING}


class _View(TrailView):
    """What the routes share: the organisation is the key's tenant, and what is posted is safe to send again."""

    def organization(self, name: str) -> TenantLike:
        """Return the tenant, which is named by its id or slug. Raises OrganizationNotFound for any other."""
        tenant = self.tenant()
        if name.lower() not in {str(tenant.id), tenant.slug}:
            raise OrganizationNotFound(f"Organization not found: '{name}'.")
        return tenant

    def once(self, request: Request, work: Callable[[Any], Answer]) -> Response:
        """Do what is posted and answer it; one that was sent before by the same key gets its answer again.

        The SDKs send a key with each POST, of any characters, and the same one with each retry.
        """
        key, sent = request.headers.get(replay.HEADER), request.data
        if not key:
            answer = work(sent)
            return Response(answer.body, answer.status)
        digest = hashlib.sha256(f"workos\x00{key}".encode(errors="surrogateescape")).hexdigest()
        given = replay.claim(digest, "POST", request.path, sent)
        if given is not None:
            return Response(given.body, given.status, headers={"Idempotency-Replayed": "true"})
        answer = work(sent)
        replay.keep(digest, answer)
        return Response(answer.body, answer.status)


class EventsView(_View):
    """Events, which are written."""

    http_method_names = ("post",)
    rights: ClassVar[dict[str, frozenset[Right]]] = {"POST": frozenset({Right.WRITE_EVENTS})}

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        """Write an event into the trail."""
        return self.once(request, self._write)

    def _write(self, sent: Any) -> Answer:
        said = wire.read(wire.EventBody, sent)
        tenant = self.organization(said.organization_id)
        ingest.write([(None, wire.event_of(said.event, tenant))], keep_for=ingest.API_KEYS_KEPT)
        return Answer(status.HTTP_200_OK, {"success": True})


class ExportsView(_View):
    """Exports, which are asked for."""

    http_method_names = ("post",)
    rights: ClassVar[dict[str, frozenset[Right]]] = {"POST": EXPORTING}

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        """Ask for a CSV file of a range of time."""
        return self.once(request, self._ask)

    def _ask(self, sent: Any) -> Answer:
        said = wire.read(wire.ExportBody, sent)
        self.organization(said.organization_id)
        try:
            asked = asking.read(asking.parameters(wire.filter_of(said), "csv", compress=False))
        except BadInput as error:
            raise ValidationFailed(errors=error.errors) from error
        job = exports.request(asked.form, asked.said, compress=False, told=asked.told())
        return Answer(status.HTTP_201_CREATED, answers.export(job, None))


class ExportView(_View):
    """One export."""

    http_method_names = ("get", "head")
    rights: ClassVar[dict[str, frozenset[Right]]] = dict.fromkeys(READING, EXPORTING)

    @extend_schema(exclude=True)
    def get(self, request: Request, export_id: str) -> Response:
        """Read how far an export is; when it is ready, with a new address of its file, which holds for ten minutes."""
        key = as_uuid(export_id)
        job = AuditExport.objects.filter(pk=key).first() if key else None
        if job is None:
            raise NotFound(f"Audit Log Export not found: '{export_id}'.")
        return Response(answers.export(job, link_to(request, job) if job.state == ExportState.READY else None))


class ActionsView(_View):
    """The actions that have a schema: the declared event types."""

    http_method_names = ("get", "head")
    rights: ClassVar[dict[str, frozenset[Right]]] = _READ

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """List the actions."""
        part = answers.asked(dict(request.query_params.lists()))
        return Response(answers.page(declared.types(), part, lambda one: one.name, answers.action))


class SchemasView(_View):
    """The versions of an action's schema."""

    rights: ClassVar[dict[str, frozenset[Right]]] = {**_READ, "POST": _ADMINISTER}

    @extend_schema(exclude=True)
    def get(self, request: Request, action: str) -> Response:
        """List the versions."""
        part = answers.asked(dict(request.query_params.lists()))
        found = declared.versions(action.replace("\x00", ""))
        return Response(answers.page(found, part, lambda one: str(one.number), answers.schema))

    @extend_schema(exclude=True)
    def post(self, request: Request, action: str) -> Response:
        """Put a schema; an action that is not there is made."""

        def work(sent: Any) -> Answer:
            said = wire.read(schemas.SchemaBody, sent)
            return Answer(status.HTTP_201_CREATED, answers.schema(schemas.put(action, said)))

        return self.once(request, work)


class RetentionView(_View):
    """How long entries are kept: for ever, as nothing removes any yet."""

    http_method_names = ("get", "head", "put")
    rights: ClassVar[dict[str, frozenset[Right]]] = {**_READ, "PUT": _ADMINISTER}

    @extend_schema(exclude=True)
    def get(self, _request: Request, organization: str) -> Response:
        """Answer the period: null, which is without end."""
        self.organization(organization)
        return Response({"retention_period_in_days": None})

    @extend_schema(exclude=True)
    def put(self, _request: Request, organization: str) -> Response:
        """Refuse to set what nothing would keep to."""
        self.organization(organization)
        raise ValidationFailed(
            "Retention cannot be set yet: entries are kept for ever.",
            errors=[{"pointer": "/retention_period_in_days", "code": "not_available", "detail": "Nothing is removed."}],
        )


class ConfigurationView(_View):
    """The audit log of an organisation."""

    http_method_names = ("get", "head")
    rights: ClassVar[dict[str, frozenset[Right]]] = _READ

    @extend_schema(exclude=True)
    def get(self, _request: Request, organization: str) -> Response:
        """Answer that it is on, and keeps entries without end. Streams are not built."""
        tenant = self.organization(organization)
        return Response({"organization_id": str(tenant.id), "retention_period_in_days": None, "state": "active"})
