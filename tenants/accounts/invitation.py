"""The page that an invitation's mail leads to: a name and a password, and whoever was invited is a member."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from tenants.accounts import acceptance
from tenants.errors import BadInput, DomainError, RateLimited
from tenants.middleware import outside_unit


class AcceptanceForm(forms.Form):
    """Who accepts. An address that has an account already is proven by that account's password."""

    name = forms.CharField(max_length=200, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    password = forms.CharField(
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="If this address has an account on Daybook already, its password. Else a new one, of 12 characters "
        "or more.",
    )


@outside_unit
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Show the form, or accept, which opens its own units of work."""
    form = AcceptanceForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return _page(request, form)
    try:
        membership = acceptance.accept(request, token, **form.cleaned_data)
    except RateLimited as error:
        return _too_often(request, error)
    except DomainError as error:
        _tell(form, error)
        return _page(request, form, error.status)
    messages.success(request, f"You are a member of {membership.tenant.name} now. Sign in.")
    return redirect("account_login")


def _too_often(request: HttpRequest, error: RateLimited) -> HttpResponse:
    answer = render(request, "429.html", status=error.status)
    for name, value in error.headers.items():
        answer[name] = value
    return answer


def _tell(form: AcceptanceForm, error: DomainError) -> None:
    """Say in the form what is wrong, at the field where it is."""
    faults: list[dict[str, Any]] = [*error.errors] if isinstance(error, BadInput) else []  # type: ignore[list-item]
    for fault in faults:
        name = str(fault.get("pointer", "")).lstrip("/")
        form.add_error(name if name in form.fields else None, str(fault.get("detail", "")))
    if not faults:
        form.add_error(None, error.detail)


def _page(request: HttpRequest, form: AcceptanceForm, status: int = 200) -> HttpResponse:
    return render(request, "account/invitation.html", {"form": form}, status=status)
