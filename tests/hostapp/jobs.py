"""The host's jobs, run by Celery."""

from __future__ import annotations

from celery import Celery

from hostapp.models import Organization
from tenants import gate
from tenants.context import current_scope, scope_or_none, tenant_scope
from tenants.contrib.celery import BEAT

app = Celery("hostapp", task_cls="tenants.contrib.celery:UnitTask", broker="memory://", backend="cache+memory://")
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=False)


@app.task
def rename(key: str, name: str) -> str:
    """Rename an organization, in the name of whoever asked for it."""
    found = Organization.objects.get(pk=key)
    found.name = name
    found.save()
    return current_scope().actor.label


@app.task
def fail(key: str) -> None:
    """Write, then fail."""
    Organization.objects.filter(pk=key).update(name="never")
    raise ValueError("on purpose")


@app.task
def whose() -> str | None:
    """Tell who acts here: nobody, without an enqueuer."""
    scope = scope_or_none()
    return scope.actor.label if scope else None


@app.task
def nightly(slug: str) -> None:
    """Do what the schedule asks for."""
    tenant = gate.tenant(slug)
    assert tenant
    with tenant_scope(tenant, actor=BEAT):
        Organization.objects.create(name="nightly", slug="nightly")
