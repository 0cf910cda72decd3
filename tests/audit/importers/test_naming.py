"""What a project tells of its models."""

from __future__ import annotations

import json

import pytest
from dumped import NAMES, PEERS

from audit.importers import DUMPS
from audit.importers.naming import Model, model_of, read_names


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("shop.WebhookProvider", "webhook_provider"),
        ("shop.Order", "order"),
        ("api.HTTPLog", "http_log"),
        ("api.OAuth2Token", "o_auth2_token"),
        ("shop.Tax_Zone", "tax_zone"),
        ("shop.webhookprovider", "webhookprovider"),
        ("Order", "order"),
    ],
)
def test_a_type_is_the_class_in_snake_case(label: str, expected: str) -> None:
    assert Model(label, "id").type == expected


def test_a_type_is_cut_where_no_entry_could_hold_it() -> None:
    assert Model(f"shop.{'X' * 300}", "id").type == "x" * 100


def test_what_a_project_printed_is_read() -> None:
    assert NAMES["shop.historicalwebhookprovider"] == Model("shop.WebhookProvider", "id")
    assert NAMES["shop.taxzonenamerateevent"] == Model("shop.TaxZone", "code")


def test_an_untold_model_has_the_name_that_it_is_given_and_an_id() -> None:
    assert model_of({}, "shop.historicalorder", "shop.order") == Model("shop.order", "id")
    assert model_of(NAMES, "shop.historicalorder", "shop.order") == Model("shop.Order", "id")


@pytest.mark.parametrize(
    "told",
    [
        [],
        "shop.Order",
        {"shop.order": "shop.Order"},
        {"shop.order": ["shop.Order"]},
        {"shop.order": ["shop.Order", 1]},
        {"shop.order": ["shop.Order", ""]},
        {"shop.order": ["", "id"]},
        {"shop.order": ["shop.", "id"]},
        {"shop.order": ["shop.Order", "id", "more"]},
    ],
)
def test_anything_else_is_refused(told: object) -> None:
    with pytest.raises(ValueError, match="it must be one object like"):
        read_names(json.dumps(told))


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        read_names(b"nonsense")


def test_what_the_documentation_lets_a_project_print_is_what_made_these_names() -> None:
    told = (PEERS.parents[3] / "docs" / "moving-in.md").read_text(encoding="utf-8")
    made = (PEERS / "generate.py").read_text(encoding="utf-8")
    for line in (
        'return getattr(model, "pgh_tracked_model", None) or getattr(model, "instance_type", None) or model',
        "{m._meta.label_lower: [tracked(m)._meta.label, tracked(m)._meta.pk.name] for m in apps.get_models()}",
    ):
        assert line in told
        assert line in made


def test_the_documentation_has_a_command_for_each_format() -> None:
    told = (PEERS.parents[3] / "docs" / "moving-in.md").read_text(encoding="utf-8")
    assert all(f"audit import --format {vendor} --models models.json --tenant" in told for vendor in DUMPS)
