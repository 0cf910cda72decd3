"""The trail to look at, on a tenant's host. `TrailAdmin` shows any trail; nothing here can change one."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.validators import MaxValueValidator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from audit import access, query
from audit.entry import EntryQuerySet, LogEntry, as_uuid
from audit.events import Operation, Outcome
from audit.models import AuditLog
from tenants.admin import PAGE, KeysetAdmin, Site
from tenants.context import current_scope
from tenants.models import User
from tenants.roles import Right

# How many entries a page looks at, at most, for what no index finds alone; the next page goes on from there.
# How many of the newest entries lend their words to the filter as suggestions.
RECENT = 1_000
_LINE, _SHORT, _PREFIX = 60, 13, 8
_COLOURED = {Operation.CREATE, Operation.UPDATE, Operation.DELETE}
_MOST_ROWS = 100
_PEOPLE = {"user", "staff"}
_UNSEEN = ("personal", "metadata", "targets", "salt")


class TrailFilter(forms.Form):
    """What to look for. A person is named by address or id; days are UTC's, the last one included."""

    action = forms.CharField(required=False, max_length=100)
    resource_type = forms.CharField(required=False, max_length=100)
    resource_id = forms.CharField(required=False, max_length=255, label="Resource id")
    actor = forms.CharField(required=False, max_length=255, label="User")
    outcome = forms.ChoiceField(required=False, choices=[("", "any"), *((word, word) for word in Outcome)])
    since = forms.DateField(required=False, label="From day", validators=[MaxValueValidator(date(9000, 1, 1))])
    until = forms.DateField(required=False, label="To day", validators=[MaxValueValidator(date(9000, 1, 1))])

    def __init__(self, said: Any) -> None:
        super().__init__(said, label_suffix="")
        for name in ("action", "resource_type", "actor"):
            self.fields[name].widget.attrs["list"] = f"recent_{name}"
        for name in ("since", "until"):
            self.fields[name].widget = forms.DateInput({"type": "date"}, format="%Y-%m-%d")

    def wanted(self) -> query.Filter:
        """Return the filter that a valid form says."""
        said = self.cleaned_data
        since, until = (said[name] and datetime.combine(said[name], time(), UTC) for name in ("since", "until"))
        return query.Filter(
            action=_values(said["action"]),
            actor=_values(query.literally(_actor_id(said["actor"]))),
            resource_type=_values(query.literally(said["resource_type"])),
            resource_id=_values(query.literally(said["resource_id"])),
            outcome=_values(said["outcome"]),
            since=since,
            until=until + timedelta(days=1) if until else None,
        )


def _values(said: str) -> tuple[str, ...]:
    return (said,) if said else ()


def _actor_id(typed: str) -> str:
    """Return the id of the person with this address; what is no known address is an id itself."""
    person = User.objects.filter(email=typed.lower()).values_list("pk", flat=True).first() if "@" in typed else None
    return str(person) if person else typed


class TrailAdmin(KeysetAdmin):
    """Any trail, newest first: filtered by the indexes that it has, never counted, never read as a whole."""

    filter_form: type[TrailFilter] = TrailFilter
    list_display: Any = (
        "when", "user_display", "action_colored", "resource_type", "resource_id_short", "outcome_shown", "summary",
    )  # fmt: skip
    list_display_links = ("when",)
    fieldsets: ClassVar[Any] = (
        ("What happened", {"fields": ("when", "user_display", "action_colored", "resource", "outcome_shown", "said")}),
        ("Changes", {"fields": ("changes_table", "changes_pretty", "row_changes")}),
        ("From where", {"fields": ("address", "user_agent", "request_id", "source", "impersonator")}),
        ("More", {"fields": ("id", "occurred", "targets_pretty", "metadata_pretty", "transaction_id", "version")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Return all that is shown: nothing can be written."""
        return [str(name) for _title, options in self.fieldsets for name in options["fields"]]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show a page of the trail under its filter."""
        self._note()
        context = {"filter_form": self.filter_form(request.GET), "recent": self._recent(request)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show one entry."""
        self._note()
        return super().change_view(request, *args, **kwargs)

    @staticmethod
    def _note() -> None:
        """Tell a tenant's trail that somebody looks at it."""
        if current_scope().tenant:
            access.note("read")

    def narrowed(self, entries: EntryQuerySet, form: TrailFilter) -> EntryQuerySet:
        """Return the entries among which the filter of a valid form looks."""
        return entries

    def page(self, request: HttpRequest, queryset: Any) -> tuple[list[Any], str | None, str | None]:
        """Return a page of entries, and the ids from which those that follow and those that precede are found."""
        form = self.filter_form(request.GET)
        if not form.is_valid():
            return [], None, None
        anchor, back = self._anchor(request)
        entries = self.narrowed(queryset.defer(*_UNSEEN), form)
        place = query.Place(">" if back else "<", anchor)
        found = query.page(entries, form.wanted(), query.Order.DESC, place, PAGE)
        older = found.following.id if found.following else None
        newer = found.preceding.id if found.preceding else None
        return list(found.entries), str(older) if older else None, str(newer) if newer else None

    @staticmethod
    def _anchor(request: HttpRequest) -> tuple[UUID | None, bool]:
        """Return the entry beside which the page begins, and whether the walk goes back to newer ones."""
        after, before = (as_uuid(request.GET.get(name, "")) for name in ("after", "before"))
        return (after, True) if after else (before, False)

    def _recent(self, request: HttpRequest) -> dict[str, list[tuple[str, str]]]:
        """Return the words of the newest entries, with what they stand for, as suggestions for the filter."""
        newest = self.get_queryset(request).order_by("-id")[:RECENT]
        rows = list(newest.values_list("action", "resource_type", "actor_type", "actor_id", "actor_label"))
        return {
            "action": sorted({(row[0], "") for row in rows}),
            "resource_type": sorted({(row[1], "") for row in rows}),
            "actor": sorted(
                (label, "") if kind in _PEOPLE and label else (key, label or kind)
                for kind, key, label in {row[2:] for row in rows}
            ),
        }

    def _listed(self, **said: str) -> str:
        """Return the address of the list under a filter."""
        return f"{reverse(f'admin:{self.opts.app_label}_{self.opts.model_name}_changelist')}?{urlencode(said)}"

    @admin.display(description="Time (UTC)")
    def when(self, entry: LogEntry) -> str:
        """Return when the entry was written."""
        return f"{entry.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"

    @admin.display(description="User")
    def user_display(self, entry: LogEntry) -> SafeString:
        """Return who acted, by the label copied into the entry, as a link to all he did."""
        label = entry.actor_label or ("(Deleted User)" if entry.actor_type in _PEOPLE else entry.actor_type)
        link = self._listed(actor=entry.actor_id)
        return format_html('<a href="{}" title="{} {}">{}</a>', link, entry.actor_type, entry.actor_id, label)

    @admin.display(description="Action")
    def action_colored(self, entry: LogEntry) -> SafeString:
        """Return the action, in the colour of what it does."""
        colour = entry.operation if entry.operation in _COLOURED else "other"
        return format_html('<span class="action action-{}">{}</span>', colour, entry.action)

    @admin.display(description="Resource")
    def resource_id_short(self, entry: LogEntry) -> SafeString:
        """Return the resource's label and its id, shortened, as a link to its history."""
        key = entry.resource_id
        short = key if len(key) <= _SHORT else f"{key[:_PREFIX]}…"
        link = self._listed(resource_type=entry.resource_type, resource_id=key)
        words = (entry.resource_label or "", link, key, short)
        return format_html('{} <a href="{}" title="{}"><code>{}</code></a>', *words)

    @admin.display(description="Outcome")
    def outcome_shown(self, entry: LogEntry) -> SafeString:
        """Return how the action ended; what did not succeed stands out."""
        return format_html('<span class="outcome outcome-{}">{}</span>', entry.outcome, entry.outcome)

    @admin.display(description="What changed")
    def summary(self, entry: LogEntry) -> str:
        """Return the names of the fields that changed or, without any, the description; one line."""
        text = ", ".join(entry.changes or ()) or entry.description or ""
        return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"

    @admin.display(description="Resource")
    def resource(self, entry: LogEntry) -> SafeString:
        """Return type, label and full id of the resource, as a link to its history."""
        link = self._listed(resource_type=entry.resource_type, resource_id=entry.resource_id)
        words = (entry.resource_type, entry.resource_label or "", link, entry.resource_id)
        return format_html('{} {} <a href="{}"><code>{}</code></a>', *words)

    @admin.display(description="Description")
    def said(self, entry: LogEntry) -> str:
        """Return the description."""
        return entry.description or "-"

    @admin.display(description="Before and after")
    def changes_table(self, entry: LogEntry) -> SafeString | str:
        """Return the old and the new value of each field, where the changes say so."""
        changes = entry.all_changes or {}
        fields = {
            name: it for name, it in changes.items() if isinstance(it, dict) and it and it.keys() <= {"old", "new"}
        }
        if not fields:
            return "-"
        rows = ((name, _value(it, "old"), _value(it, "new")) for name, it in fields.items())
        row = '<tr><th scope="row">{}</th><td class="old">{}</td><td class="new">{}</td></tr>'
        head = "<tr><th>Field</th><th>Before</th><th>After</th></tr>"
        return format_html('<table class="changes">{}{}</table>', SafeString(head), format_html_join("", row, rows))

    @admin.display(description="As JSON")
    def changes_pretty(self, entry: LogEntry) -> SafeString | str:
        """Return the changes as JSON."""
        return _pretty(entry.all_changes) or "No changes recorded"

    @admin.display(description="Row changes of the same action")
    def row_changes(self, entry: LogEntry) -> SafeString | str:
        """Return what the transaction changed of rows, beneath what was said of the action."""
        rows = [] if entry.captured else list(entry.row_changes()[:_MOST_ROWS])
        told = ((row.action, f"{row.resource_type} {row.resource_id}", self.changes_table(row)) for row in rows)
        return format_html_join("", "<p>{} {}</p>{}", told) or "-"

    @admin.display(description="Metadata")
    def metadata_pretty(self, entry: LogEntry) -> SafeString | str:
        """Return the metadata as JSON."""
        return _pretty(entry.metadata) or "-"

    @admin.display(description="Targets")
    def targets_pretty(self, entry: LogEntry) -> SafeString | str:
        """Return the targets as JSON."""
        return _pretty(entry.targets) or "-"

    @admin.display(description="Occurred (as the client says)")
    def occurred(self, entry: LogEntry) -> str:
        """Return when the action happened, by the client's own clock."""
        return entry.occurred_at.astimezone(UTC).isoformat(sep=" ") if entry.occurred_at else "-"

    @admin.display(description="IP address")
    def address(self, entry: LogEntry) -> str:
        """Return the address that the request came from."""
        return entry.ip or "-"

    @admin.display(description="User agent")
    def user_agent(self, entry: Any) -> str:
        """Return the text of the user agent."""
        return entry.agent.user_agent if entry.agent else "-"

    @admin.display(description="Impersonated by")
    def impersonator(self, entry: LogEntry) -> str:
        """Return who acted under this name."""
        who = (entry.impersonator_type, entry.impersonator_label, entry.impersonator_id)
        return " ".join(word for word in who if word) or "-"


def _value(change: dict[str, Any], side: str) -> str:
    """Return one side of a change as a line; nothing where it has no such side."""
    if side not in change:
        return ""
    value = change[side]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pretty(value: Any) -> SafeString | None:
    """Return JSON for people to read, escaped."""
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False)) if value else None


class AuditLogAdmin(TrailAdmin):
    """A tenant's trail, for those of its people who may read it."""

    right = Right.READ_TRAIL


site = Site()
site.register(AuditLog, AuditLogAdmin)
