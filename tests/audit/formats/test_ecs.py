"""ECS, by a checked-in list of its fields and types: no validator of documents was found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from entries import corpus, made, party

from audit.formats import render

LINES = (Path(__file__).parent / "ecs_fields.tsv").read_text(encoding="utf-8").splitlines()
FIELDS = dict(line.split("\t") for line in LINES if not line.startswith("#"))
# Which types ECS expects in which category, of those that are used here.
EXPECTED = {
    "authentication": {"start", "end", "info"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
}


def leaves(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each field of a document with its value; `labels` is one."""
    for name, value in node.items():
        place = f"{path}{name}"
        if isinstance(value, dict) and FIELDS.get(place) != "object":
            yield from leaves(value, f"{place}.")
        else:
            yield place, value


def is_of(kind: str, value: Any) -> bool:
    """Tell whether a value is of a type of ECS."""
    if kind.endswith("*"):
        return isinstance(value, list) and all(is_of(kind[:-1], each) for each in value)
    if kind == "object":
        return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
    if kind == "long":
        return isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, str):
        return False
    if kind == "date":
        return datetime.fromisoformat(value).tzinfo is not None
    return kind != "ip" or bool(ip_address(value))


def check(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry's document after each of its fields was found to be one, of its type, with the entry's value."""
    document = render("ecs", entry)
    own = {name: value for name, value in document.items() if name != "daybook"}
    wrong = [(place, value) for place, value in leaves(own) if not is_of(FIELDS.get(place, "long*"), value)]
    assert wrong == []
    event, context = document["event"], entry["context"]
    assert (event["id"], event["action"], event.get("sequence")) == (entry["id"], entry["action"], entry["position"])
    assert event["outcome"] == ("failure" if entry["outcome"] == "denied" else entry["outcome"])
    assert document["@timestamp"] == (entry["occurred_at"] or entry["created_at"])
    assert event["created"] == entry["created_at"]
    assert document.get("organization", {}).get("id") == (entry["tenant"] or {}).get("id")
    assert document.get("source", {}).get("ip") == context["ip"]
    assert document.get("user_agent", {}).get("original") == context["user_agent"]
    assert document.get("http", {}).get("request", {}).get("id") == context["request_id"]
    assert document["user"].get("effective", document["user"])["id"] == entry["actor"]["id"]
    assert document.get("message", "") == entry["description"]
    for name in ("resource", "operation", "outcome", "version", "captured"):
        assert document["daybook"][name] == entry[name]
    for name in ("targets", "changes", "metadata"):
        assert document["daybook"].get(name) == (entry[name] or None)
    (category,) = event["category"]
    assert set(event["type"]) <= EXPECTED[category]
    return document


def test_it_says_what_the_entry_says() -> None:
    document = check(made())
    assert document["ecs"] == {"version": "8.17.0"}
    assert document["labels"] == {"team": "sales", "seats": "5"}
    assert document["related"] == {
        "user": ["019a0000-0000-7000-8000-0000000a11ce", "alice@acme.example"],
        "ip": ["203.0.113.7"],
    }
    assert document["user"] == {"id": "019a0000-0000-7000-8000-0000000a11ce", "email": "alice@acme.example"}


@pytest.mark.parametrize(
    ("action", "resource", "category", "types"),
    [
        ("user.signed_in", "user", "authentication", ["start"]),
        ("user.signed_out", "user", "authentication", ["end"]),
        ("user.created", "user", "iam", ["user", "creation"]),
        ("group.viewed", "group", "iam", ["group", "info"]),
        ("plan.changed", "plan", "configuration", ["change"]),
        ("document.viewed", "document", "configuration", ["access"]),
        ("waved", "flag", "configuration", ["info"]),
    ],
)
def test_an_entry_is_of_the_category_that_fits_it(action: str, resource: str, category: str, types: list[str]) -> None:
    event = check(made(action, resource=party(resource, "1")))["event"]
    assert (event["category"], event["type"]) == ([category], types)


def test_whoever_acts_under_anothers_name_is_the_user_and_the_other_the_effective_one() -> None:
    document = check(made(impersonator=party("staff", "s-1", "sam@daybook.example")))
    assert document["user"]["email"] == "sam@daybook.example"
    assert document["user"]["effective"]["email"] == "alice@acme.example"
    assert document["daybook"]["impersonator"] == {"type": "staff"}


def test_plain_metadata_are_labels_and_no_name_makes_an_object() -> None:
    metadata = {"a.b": True, "n": 1.5, "deep": {"x": 1}, "list": [1], "none": None, "": "empty"}
    assert check(made(metadata=metadata))["labels"] == {"a_b": "true", "n": "1.5"}


def test_names_that_become_the_same_lose_no_value() -> None:
    for metadata in ({"a.b": 1, "a_b": 2, "a..b": 3, "a_.b": 4}, {"a_.b": 4, "a..b": 3, "a_b": 2, "a.b": 1}):
        labels = check(made(metadata=metadata))["labels"]
        assert labels["a_b"] == "2"
        assert labels["a_b_"] == "1"
        assert sorted(labels.values()) == ["1", "2", "3", "4"]


def test_every_event_of_the_corpus_has_only_fields_of_ecs() -> None:
    assert sum(bool(check(entry)) for entry in corpus()) > 500


def test_an_entry_that_says_as_little_as_it_may_has_no_empty_field() -> None:
    context = {"ip": None, "user_agent": None, "request_id": None, "source": "database", "transaction_id": "1"}
    document = check(made("x", position=None, tenant=None, description="", context=context, metadata={}, changes=None))
    assert not {"organization", "source", "user_agent", "http", "message", "labels"} & document.keys()
    assert "sequence" not in document["event"]
