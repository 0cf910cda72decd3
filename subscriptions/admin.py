"""The staff's admin, on the platform's host: the platform log to look at, and people."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from audit.admin import TrailAdmin, TrailFilter
from audit.entry import EntryQuerySet, as_uuid
from subscriptions import platform_log
from subscriptions.models import PlatformLog
from tenants.admin import PeopleAdmin, Site
from tenants.models import Tenant, User
from tenants.roles import Right


class PlatformLogFilter(TrailFilter):
    """What to look for, also by the tenant that an entry is about: its slug or id."""

    tenant = forms.CharField(required=False, max_length=63)
    field_order = ("tenant",)

    def clean_tenant(self) -> Any:
        """Return the tenant's id, or None; a slug that nobody has is an error."""
        typed = self.cleaned_data["tenant"]
        if not typed or as_uuid(typed):
            return as_uuid(typed)
        found = Tenant.objects.filter(slug=typed.lower()).values_list("pk", flat=True).first()
        if found is None:
            raise forms.ValidationError("There is no tenant with this slug.")
        return found


class PlatformLogAdmin(TrailAdmin):
    """The platform's own trail, for staff."""

    right = Right.READ_PLATFORM_LOG
    filter_form = PlatformLogFilter
    list_display: Any = (*TrailAdmin.list_display[:2], "about", *TrailAdmin.list_display[2:])
    fieldsets: ClassVar[Any] = (("About", {"fields": ("about",)}), *TrailAdmin.fieldsets)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the entries with their tenants, as far as these still exist."""
        return super().get_queryset(request).select_related("tenant")

    def narrowed(self, entries: EntryQuerySet, form: TrailFilter) -> EntryQuerySet:
        """Return the entries about one tenant, if the form says one."""
        tenant = form.cleaned_data["tenant"]
        return platform_log.of_tenant(entries, tenant) if tenant else entries

    @admin.display(description="Tenant")
    def about(self, entry: PlatformLog) -> SafeString | str:
        """Return the tenant that the entry is about, as a link to all that is; a dropped one by its id."""
        if entry.tenant_id is None:
            return "-"
        name = entry.tenant.slug if entry.tenant else f"dropped ({str(entry.tenant_id)[:8]}…)"
        link = self._listed(tenant=str(entry.tenant_id))
        return format_html('<a href="{}" title="{}">{}</a>', link, entry.tenant_id, name)


site = Site()
site.register(PlatformLog, PlatformLogAdmin)
site.register(User, PeopleAdmin)
