"""The admin's frame: one site for each host's URLs, both named `admin`, and lists that never count.

Who may see what is decided by the caller's rights, not by Django's model permissions. Django's own log of
admin actions is neither written nor read: the trail replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.http import urlencode

from tenants import people
from tenants.callers import Caller
from tenants.middleware import outside_unit
from tenants.models import ApiKey, Membership, User
from tenants.roles import Right

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin

PAGE = 100
_LEFT_OUT = {"password_change", "password_change_done", "autocomplete", "view_on_site"}


def caller_in(request: HttpRequest) -> Caller:
    """Return the caller that the gate put on the request."""
    caller: Caller = request.caller  # type: ignore[attr-defined]
    return caller


class Site(admin.AdminSite):
    """The admin of one host, open to signed-in people who have one of the rights that its pages need."""

    site_title = "Daybook"
    site_url = None
    enable_nav_sidebar = False
    index_template = "daybook/index.html"

    def __init__(self) -> None:
        super().__init__(name="admin")
        self.disable_action("delete_selected")

    def has_permission(self, request: HttpRequest) -> bool:
        """Tell whether the caller signed in through the form and may see a page here. Keys do not open it."""
        return caller_in(request).by_session and any(
            page.has_module_permission(request) for page in self._registry.values()
        )

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the context of every page, under the name of whose trail it is."""
        tenant = caller_in(request).tenant
        return {**super().each_context(request), "site_header": tenant.name if tenant else "Platform"}

    def get_urls(self) -> list[URLResolver | URLPattern]:
        """Return the pages; signing out is open to whoever is signed in."""
        kept = [url for url in super().get_urls() if getattr(url, "name", None) not in _LEFT_OUT]
        return [path("logout/", self.logout, name="logout"), *kept]

    @outside_unit
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Lead to the one page where people sign in, which counts attempts and asks for the second factor."""
        if self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        target = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")
        return HttpResponseRedirect(f"{settings.LOGIN_URL}?{urlencode({REDIRECT_FIELD_NAME: target})}")

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show what there is to see; a single page is shown itself."""
        pages = [page["admin_url"] for app in self.get_app_list(request) for page in app["models"]]
        return HttpResponseRedirect(pages[0]) if len(pages) == 1 else super().index(request, extra_context)


class KeysetList(ChangeList):
    """A page of rows in the order of one unique field, found from where the last one ended, never counted."""

    request: HttpRequest
    newer: str | None = None
    older: str | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """Return the rows that the page's own filter leaves."""
        self.filter_specs, self.has_filters, self.has_active_filters = [], False, False
        self.clear_all_filters_qs = "?"
        narrowed: QuerySet[Any] = self.model_admin.narrow(request, self.root_queryset)  # type: ignore[attr-defined]
        return narrowed

    def get_results(self, request: HttpRequest) -> None:
        """Fetch one page, and whether there is more on either side of it."""
        keyset: KeysetAdmin = self.model_admin  # type: ignore[assignment]
        rows, before, after = keyset.page(request, self.queryset)
        self.result_list = rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = self.can_show_all = self.multi_page = self.show_admin_actions = False
        self.newer = self._link("after", after) if after else None
        self.older = self._link("before", before) if before else None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Return nothing: `page` orders by the key."""
        return []

    def _link(self, name: str, key: str) -> str:
        kept = {word: value for word, value in self.params.items() if word not in {"before", "after"} and value}
        return f"?{urlencode({**kept, name: key})}"


class KeysetAdmin(_ModelAdmin):
    """A list and its rows to look at: nothing is added or changed, and no action works on many rows.

    `right` is what a caller needs to see it; `key` the unique field that orders the list, `-` for descending.
    """

    right: Right
    key = "-id"
    actions = None
    list_per_page = PAGE
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    change_list_template = "daybook/change_list.html"
    change_form_template = "daybook/change_form.html"

    def narrow(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that the request's filter leaves."""
        return queryset

    def page(self, request: HttpRequest, queryset: QuerySet[Any]) -> tuple[list[Any], str | None, str | None]:
        """Return the rows of a page, and the keys from which the pages before and after it are found.

        `?before=KEY` is the page that follows KEY in the list's order, `?after=KEY` the one that leads to it.
        """
        name = self.key.lstrip("-")
        back, before = (request.GET.get(word, "").replace("\x00", "") for word in ("after", "before"))
        anchor = back or before
        descending = self.key.startswith("-") != bool(back)
        if anchor:
            queryset = queryset.filter(**{f"{name}__{'lt' if descending else 'gt'}": anchor})
        rows = list(queryset.order_by(f"-{name}" if descending else name)[: PAGE + 1])
        more, rows = len(rows) > PAGE, rows[:PAGE]
        if back:
            rows.reverse()
        first, last = (str(getattr(rows[end], name)) if rows else None for end in (0, -1))
        return rows, last if more or back else None, first if (more if back else anchor) else None

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show a page of the list."""
        title = str(self.opts.verbose_name_plural).capitalize()
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def get_changelist(self, request: HttpRequest, **_kwargs: Any) -> type[ChangeList]:
        """Return the list that does not count."""
        return KeysetList

    def get_urls(self) -> list[URLPattern]:
        """Return the pages without Django's own history of an object, which nobody writes here."""
        return [url for url in super().get_urls() if not (url.name or "").endswith(("_add", "_history"))]

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Tell whether the caller has the right that this page needs."""
        return self.right in caller_in(request).rights

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Tell whether the caller has the right that this page needs."""
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: nothing is added here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse: nothing is changed here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse: nothing is deleted here."""
        return False


class PeopleAdmin(KeysetAdmin):
    """People of all tenants, for the platform's administrators: look, and delete one."""

    right = Right.ADMINISTER_PEOPLE
    key = "email"
    list_display = ("email", "name", "staff_role", "is_active", "since")
    fields = readonly_fields = ("email", "name", "staff_role", "is_active", "since", "belongs_to")
    delete_confirmation_template = "daybook/delete_confirmation.html"

    def narrow(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the people whose address begins with what was typed; the index on addresses finds them."""
        typed = request.GET.get("q", "").strip().replace("\x00", "").lower()
        return queryset.filter(email__startswith=typed) if typed else queryset

    @admin.display(description="Since")
    def since(self, person: User) -> str:
        """Return the day on which the person was entered."""
        return f"{person.created_at:%Y-%m-%d}"

    @admin.display(description="Tenants")
    def belongs_to(self, person: User) -> str:
        """Return where the person is or was a member."""
        return "\n".join(_memberships(person)) or "none"

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Tell whether the caller may delete a person: anyone but himself."""
        return self.has_module_permission(request) and (obj is None or obj.pk != caller_in(request).actor.user_id)

    def get_deleted_objects(
        self, objs: QuerySet[Any] | Sequence[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Return what goes with a person. Django's own way would look for his entries in every tenant's schema."""
        person = objs[0]
        memberships = _memberships(person)
        keys = [str(key) for key in ApiKey.objects.filter(user=person)]
        going = [str(person), [*(f"membership: {text}" for text in memberships), *(f"key: {key}" for key in keys)]]
        return going, {"people": 1, "memberships": len(memberships), "keys": len(keys)}, set(), []

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Delete the person as `people.delete_user` does: pointers cleared, labels kept, an entry in each trail."""
        people.delete_user(obj)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """Write nothing: `people.delete_user` writes the entries."""
        return []


def _memberships(person: User) -> list[str]:
    found = Membership.objects.filter(user=person).select_related("tenant").order_by("tenant__slug", "created_at")
    return [
        f"{one.tenant.name}, {one.role}{' until ' + f'{one.ended_at:%Y-%m-%d}' if one.ended_at else ''}"
        for one in found
    ]
