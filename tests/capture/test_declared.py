"""What may be declared of a model, what it means for its table, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test.utils import isolate_apps
from hostapp.models import (
    Chosen,
    Diner,
    Employment,
    Event,
    Member,
    Organization,
    Passport,
    Place,
    Restaurant,
    Sample,
    Seat,
    Tag,
    Ticket,
    Untold,
    WebhookLog,
    WebhookProvider,
)
from rest_framework.authtoken.models import Token

from audit.capture import audited, register
from audit.capture.registry import (
    _declared,
    _links,
    captured_models,
    declared,
    is_captured,
    is_shared,
    resource_type_of,
    spec_of,
)
from audit.capture.spec import LINK_VERBS, VERBS, Column, Kind, Spec
from subscriptions.models import Plan, TenantSubscription
from tenants.models import ApiKey, Domain, Session, Tenant, User


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test declares is forgotten after it."""
    before = dict(_declared)
    yield
    _declared.clear()
    _declared.update(before)


def again(model: type[models.Model], **options: Any) -> Spec:
    """Declare a model anew, and return what that means for its table."""
    _declared.pop(model._meta.concrete_model or model, None)
    register(model, **options)
    return spec_of(model)


def refused(match: str, model: type[models.Model], **options: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=match):
        again(model, **options)


def kinds(spec: Spec) -> dict[str, Kind]:
    return {column.name: column.kind for column in spec.columns}


def test_a_model_is_declared_by_a_decorator_which_returns_it() -> None:
    assert audited(label="value")(Untold) is Untold
    assert is_captured(Untold)
    assert Untold in captured_models()
    spec = spec_of(Untold)
    assert (spec.table, spec.resource_type, spec.label, spec.shared) == ("hostapp_untold", "untold", "value", False)
    assert (spec.tenant, spec.person, spec.far, dict(spec.verbs)) == (None, None, None, VERBS)
    assert spec.key == (Column("id", "id", "bigint"),)
    assert spec.columns == (Column("id", "id", "bigint"), Column("value", "value", "integer"))


def test_a_model_that_is_not_declared_has_no_spec() -> None:
    assert not is_captured(Untold)
    with pytest.raises(
        ImproperlyConfigured, match=r"Untold is not captured: declare it with @audited or audit\.register"
    ):
        spec_of(Untold)


def test_a_model_is_declared_once() -> None:
    with pytest.raises(ImproperlyConfigured, match="Tag is abstract, or captured already"):
        register(Tag)
    with pytest.raises(ImproperlyConfigured, match="Diner is abstract, or captured already"):
        audited()(Diner)


@isolate_apps()
def test_an_abstract_model_is_refused() -> None:
    class Shape(models.Model):
        class Meta:
            abstract = True
            app_label = "hostapp"

    with pytest.raises(ImproperlyConfigured, match="Shape is abstract"):
        register(Shape)


@pytest.mark.parametrize(
    "options",
    [
        {"fields": ["value", "size"]},
        {"exclude": ["size"]},
        {"mask": ["size"]},
        {"personal": ["size"]},
        {"resource_id": "size"},
        {"label": "size"},
    ],
)
def test_a_field_that_is_unknown_is_refused_by_name(options: dict[str, Any]) -> None:
    refused("@audited on Untold names fields that it has not: size", Untold, **options)


def test_all_unknown_fields_are_named_in_order() -> None:
    refused("has not: a, b, c", Untold, exclude=["c", "value"], mask=["a"], label="b")


def test_the_other_side_of_a_relation_is_no_field() -> None:
    refused("has not: providers", Organization, exclude=["providers"])
    refused("has not: logs", WebhookProvider, label="logs")


def test_a_field_of_a_parents_table_is_none_of_the_childs() -> None:
    refused("Restaurant names fields that it has not: name", Restaurant, exclude=["name"])
    refused("Restaurant names fields that it has not: name", Restaurant, label="name")


def test_a_link_has_no_values_that_could_be_masked_or_name_a_row() -> None:
    for options in ({"mask": ["tags"]}, {"personal": ["tags"]}, {"label": "tags"}, {"resource_id": "tags"}):
        refused("has not: tags", Organization, **options)


def test_a_parent_that_is_not_captured_is_asked_for() -> None:
    _declared.pop(Place)
    with pytest.raises(ImproperlyConfigured, match="Fields of Restaurant stand in the table of Place: capture that"):
        spec_of(Restaurant)


def test_whose_row_it_is_says_no_model_of_a_tenant() -> None:
    for options in ({"tenant": "value"}, {"person": "value"}, {"internal": ["value"]}):
        refused("Untold is a tenant's: leave out `tenant`, `person` and `internal`", Untold, **options)


def test_what_is_told_to_the_platform_alone_is_neither_masked_nor_personal() -> None:
    for options in ({"mask": ["name"]}, {"personal": ["name"]}):
        refused("Plan: name can be `internal`, or masked or personal", Plan, internal=["name"], **options)
    assert kinds(again(Plan, internal=["name"]))["name"] is Kind.INTERNAL


def test_verbs_for_what_is_no_operation_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"verbs of Untold: \['removed'\] is none of create, update, delete"):
        register(Untold, verbs={"removed": "x"})
    assert not is_captured(Untold)


def test_verbs_that_are_not_said_are_the_usual_ones() -> None:
    assert dict(again(Untold, verbs={"delete": "gone"}).verbs) == {**VERBS, "delete": "gone"}


def test_a_key_or_a_label_that_is_masked_is_refused() -> None:
    refused("Token.key is masked, and would stand in each entry: choose another", Token, mask=["key"])
    refused("Untold.value is masked", Untold, mask=["value"], label="value")
    refused("WebhookProvider.api_token is masked", WebhookProvider, label="api_token")
    # Whoever asks for it by name gets it.
    assert again(Chosen, fields=["password"], label="password").label == "password"


def test_a_field_that_may_be_null_is_no_resource_id() -> None:
    refused("WebhookLog.replayed_by may be null: it cannot be the `resource_id`", WebhookLog, resource_id="replayed_by")


def test_another_field_than_the_primary_key_may_name_the_resource() -> None:
    spec = spec_of(Token)
    assert spec.key == (Column("user", "user_id", "uuid"),)
    assert kinds(spec) == {"key": Kind.MASKED, "user": Kind.PLAIN, "created": Kind.PLAIN}
    assert declared()["hostapp"]["authtoken_token"] == spec
    assert "authtoken" not in declared()


def test_what_is_named_like_a_secret_is_masked_unless_it_is_asked_for() -> None:
    assert kinds(spec_of(WebhookProvider)) == {
        **dict.fromkeys(("id", "organization", "provider_name", "is_active", "plan"), Kind.PLAIN),
        **dict.fromkeys(("signing_key", "api_token"), Kind.MASKED),
    }
    assert kinds(spec_of(Chosen)) == dict.fromkeys(("id", "visible", "password"), Kind.PLAIN)
    assert kinds(again(Chosen))["password"] is Kind.MASKED
    assert kinds(again(Chosen, personal=["password"]))["password"] is Kind.PERSONAL
    assert kinds(again(Chosen, fields=["password"], mask=["password"]))["password"] is Kind.MASKED


@isolate_apps()
def test_names_of_secrets_are_known_and_those_that_only_sound_so_are_not() -> None:
    secret = ["password", "old_password", "password_hash", "passwd", "passphrase", "secret", "client_secret", "token"]
    secret += [
        "access_token",
        "tokens",
        "digest",
        "token_hash",
        "private_key",
        "ssh_private_key",
        "api_key",
        "key_hash",
    ]
    secret += [
        "secret_key",
        "signing_key",
        "access_key",
        "pin",
        "card_pin",
        "otp",
        "pwd",
        "recovery_codes",
        "passwords",
    ]
    plain = [
        "passwords_left",
        "secretary",
        "digests",
        "keyboard",
        "key",
        "public_key",
        "tokenized",
        "reset_password_at",
    ]
    plain += ["pinned", "option", "api_keys", "hash", "foreign_key", "mypassword"]
    fields = {name: models.TextField() for name in (*secret, *plain)}
    meta = type("Meta", (), {"app_label": "hostapp"})
    model: Any = type("Vault", (models.Model,), {"__module__": __name__, "Meta": meta, **fields})
    told = kinds(again(model))
    assert {name for name, kind in told.items() if kind is Kind.MASKED} == set(secret)


def test_chosen_fields_always_include_the_key() -> None:
    assert kinds(again(Organization, fields=["name"])).keys() == {"id", "name"}
    assert list(_links(Organization, _declared[Organization])) == []
    links = (again(Organization, fields=["tags"]), [*_links(Organization, _declared[Organization])])[1]
    assert [link.table for link in links] == ["hostapp_organization_tags"]
    again(Organization, exclude=["tags", "partners"])
    assert [link.table for link in _links(Organization, _declared[Organization])] == ["hostapp_employment"]


def test_what_is_excluded_is_not_told() -> None:
    assert kinds(spec_of(Organization)).keys() == {"id", "name", "slug", "plan", "contact", "seats"}
    assert kinds(again(Organization, exclude=["id", "contact", "seats", "slug"])).keys() == {"name", "plan", "seen_at"}


def test_types_are_told_without_their_lengths() -> None:
    types = {column.name: column.type for column in spec_of(Sample).columns}
    assert types == {
        "id": "bigint",
        "flag": "boolean",
        "small": "smallint",
        "big": "bigint",
        "real": "double precision",
        "price": "numeric",
        "text": "text",
        "size": "varchar",
        "day": "date",
        "moment": "timestamp with time zone",
        "clock": "time",
        "span": "interval",
        "bytes": "bytea",
        "file": "varchar",
        "key": "uuid",
        "data": "jsonb",
        "ip": "inet",
        "words": "varchar[]",
        "amounts": "numeric[]",
        "shout": "text",
    }


def test_a_key_of_two_parts_and_one_of_another_row_are_their_columns() -> None:
    assert [column.column for column in spec_of(Seat).key] == ["row", "number"]
    assert spec_of(Passport).key == (Column("organization", "organization_id", "uuid"),)
    assert spec_of(Restaurant).key == (Column("place_ptr", "place_ptr_id", "bigint"),)
    assert spec_of(Diner) == spec_of(Restaurant)


def test_links_tell_of_the_near_side_and_name_the_far_one() -> None:
    found = {spec.table: spec for spec in _links(Organization, _declared[Organization])}
    tags, employment = found["hostapp_organization_tags"], found["hostapp_employment"]
    assert (tags.resource_type, tags.far, dict(tags.verbs)) == ("organization", ("tag", "tag_id"), LINK_VERBS)
    assert tags.key == (Column("organization", "organization_id", "uuid"),)
    assert tags.columns == (Column("tags", "tag_id", "bigint"),)
    assert employment.columns == (Column("members", "member_id", "varchar"), Column("title", "title", "varchar"))
    assert found["hostapp_organization_partners"].far == ("organization", "to_organization_id")


def test_a_link_whose_model_is_captured_itself_tells_for_itself() -> None:
    assert list(_links(Event, _declared[Event])) == []
    assert spec_of(Ticket).far is None
    register(Employment)
    tables = [spec.table for spec in _links(Organization, _declared[Organization])]
    assert tables == ["hostapp_organization_tags", "hostapp_organization_partners"]


@isolate_apps()
def test_a_link_that_may_lead_nowhere_must_be_captured_itself() -> None:
    class Meta:
        app_label = "hostapp"

    space = {"__module__": __name__, "Meta": Meta}
    club: Any = type("Club", (models.Model,), {
        **space, "people": models.ManyToManyField("hostapp.Guest", through="hostapp.Seating")})  # fmt: skip
    guest: Any = type("Guest", (models.Model,), dict(space))
    seating: Any = type("Seating", (models.Model,), {
        **space, "club": models.ForeignKey(club, models.CASCADE),
        "guest": models.ForeignKey(guest, models.SET_NULL, null=True)})  # fmt: skip
    register(club)
    with pytest.raises(ImproperlyConfigured, match="A Seating may link to nothing: declare it with @audited, or excl"):
        list(_links(club, _declared[club]))
    register(seating)
    assert list(_links(club, _declared[club])) == []


def test_the_type_of_a_resource_is_the_name_of_its_model_unless_it_is_said() -> None:
    assert [resource_type_of(model) for model in (Organization, WebhookLog, Diner, Untold, ApiKey, Token)] == [
        "organization",
        "webhook_log",
        "restaurant",
        "untold",
        "api_key",
        "token",
    ]
    assert resource_type_of(TenantSubscription) == "subscription"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("HTTPServer", "http_server"),
        ("PDF", "pdf"),
        ("Oauth2Client", "oauth2_client"),
        ("X", "x"),
        ("ABTest", "ab_test"),
    ],
)
@isolate_apps()
def test_abbreviations_in_a_name_stay_together(name: str, told: str) -> None:
    meta = type("Meta", (), {"app_label": "hostapp"})
    model: Any = type(name, (models.Model,), {"__module__": __name__, "Meta": meta})
    assert resource_type_of(model) == told


def test_what_is_shared_stands_in_the_shared_applications() -> None:
    shared: list[type[models.Model]] = [User, Plan, Tenant, Domain, Session]
    own: list[type[models.Model]] = [Organization, Member, Token]
    assert [is_shared(model) for model in (*shared, *own)] == [True] * 5 + [False] * 3
    spec = spec_of(TenantSubscription)
    assert (spec.shared, spec.tenant, spec.person) == (True, "tenant_id", None)
    assert (spec_of(User).tenant, spec_of(User).person) == (None, "id")


@isolate_apps()
def test_a_model_of_no_application_is_shared() -> None:
    """Nothing says that it is a tenant's."""
    meta = type("Meta", (), {"app_label": "nowhere"})
    model: Any = type("Stray", (models.Model,), {"__module__": __name__, "Meta": meta})
    assert is_shared(model)


def test_each_declaration_is_held_by_the_migrations_of_one_application() -> None:
    found = declared()
    assert found.keys() == {"hostapp", "subscriptions"}
    assert found["subscriptions"].keys() == {
        "subscriptions_plan",
        "subscriptions_tenantsubscription",
        *(
            f"tenants_{name}"
            for name in ("apikey", "credential", "domain", "invitation", "membership", "tenant", "user")
        ),
    }
