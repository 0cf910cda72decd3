"""CloudEvents 1.0, as the CloudEvents project's own library has it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent
from entries import TENANT, corpus, made, party

from audit.formats import render

# RFC 3986: what a URI may hold.
URI = re.compile(r"[a-z][a-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")


def check(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry's event after the library took it, with values that are the entry's."""
    event = render("cloudevents", entry)
    attributes = {name: value for name, value in event.items() if name != "data"}
    taken = CloudEvent({**attributes, "time": datetime.fromisoformat(event["time"])}, event["data"])
    assert taken.get_id() == entry["id"]
    assert taken.get_time() == datetime.fromisoformat(entry["occurred_at"] or entry["created_at"])
    assert taken.get_data() == entry
    assert URI.fullmatch(event["source"])
    assert URI.fullmatch(event["dataschema"])
    assert all(isinstance(value, str) for value in attributes.values())
    assert not re.search("[\x00-\x1f\x7f-\x9f]", "".join(attributes.values()))
    return event


def test_it_says_what_the_entry_says() -> None:
    event = check(made())
    assert (event["type"], event["subject"]) == ("updated", "organization/o-1")
    assert event["source"] == f"urn:uuid:{TENANT['id']}"
    assert (event["tenant"], event["sequence"]) == ("acme", "0000000000000001841")
    assert event["dataschema"] == "urn:daybook:event:updated:1"


def test_the_texts_of_sequences_are_in_the_order_of_positions() -> None:
    texts = [render("cloudevents", made(position=position))["sequence"] for position in (9, 10, 2**63 - 1)]
    assert texts == sorted(texts)


def test_every_event_of_the_corpus_is_taken() -> None:
    assert sum(check(entry)["type"] == entry["action"] for entry in corpus()) > 500


@pytest.mark.parametrize("text", ["a\nb", "\x7f", "\x85", "ü😀", "100%_done", "a b", "/", "\ufffe"])
def test_texts_that_an_attribute_may_not_hold_are_encoded_there_and_kept_in_the_data(text: str) -> None:
    event = check(made(text, resource=party(text, text)))
    assert event["data"]["action"] == text


def test_an_entry_that_is_not_sequenced_has_no_sequence_and_the_platforms_no_tenant() -> None:
    event = check(made(position=None, tenant=None, occurred_at=None))
    assert not {"sequence", "tenant"} & event.keys()
    assert event["source"] == "urn:daybook:platform"


def test_control_the_library_refuses_an_empty_source_and_a_bad_name() -> None:
    for wrong in ({"source": ""}, {"Bad-Attr": "1"}):
        with pytest.raises(CloudEventValidationError):
            CloudEvent({"id": "1", "source": "/a", "type": "t", **wrong})
