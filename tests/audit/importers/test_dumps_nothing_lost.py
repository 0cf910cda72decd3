"""No leaf of a dump's line is lost, of those that the packages wrote and of generated ones."""

from __future__ import annotations

import string
from typing import Any

import pytest
from dumped import DUMPED, dumped_lines, entry_of, found_in, missing_beside, missing_dumped
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from audit.importers.reader import Joined, Mapped

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TRICKY = st.sampled_from(
    ["", " padded ", "None", "null", "x" * 300, "192.0.2.7", "06.237.252.245", "2001:DB8::1", "::ffff:192.0.2.1",
     "0F8FAD5B-D9CB-469F-A165-70867728950E", "0f8fad5b-d9cb-469f-a165-70867728950e", "2026-01-01T00:00:00Z"]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | TRICKY
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
NAMES = st.text(string.ascii_letters + "_.é", min_size=1, max_size=8) | st.sampled_from(["new", "old", "user", "model"])
KEYS = st.integers(-(2**70), 2**70) | TRICKY.filter(bool)
TIMES = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.001+02:00", "2026-01-02 00:00:00,123456789"])
COLUMNS = st.dictionaries(NAMES, JSON, max_size=4)
CHANGES = st.dictionaries(NAMES, st.lists(JSON, min_size=2, max_size=2) | JSON, max_size=4)
FIELDS: dict[str, Any] = {
    "django-auditlog": st.fixed_dictionaries(
        {
            "content_type": st.just(["shop", "order"]),
            "object_pk": KEYS,
            "action": st.integers(0, 3),
            "timestamp": TIMES,
            "changes": CHANGES | JSON,
        },
        optional={
            **dict.fromkeys(("object_repr", "actor", "actor_email", "cid", "remote_addr", "changes_text"), SCALARS),
            "serialized_data": JSON,
            "additional_data": JSON,
        },
    ),
    "simple-history": st.fixed_dictionaries(
        {"id": KEYS, "history_date": TIMES, "history_type": st.sampled_from(["+", "~", "-"])},
        optional=dict.fromkeys(("history_user", "history_user_id", "history_change_reason"), SCALARS),
    ),
    "pghistory": st.fixed_dictionaries(
        {
            "pgh_created_at": TIMES,
            "pgh_label": st.sampled_from(["insert", "update", "delete", "before_update", "order.paid", "x" * 120]),
            "pgh_obj": KEYS,
        },
        optional={
            "id": SCALARS,
            "pgh_context": st.none()
            | st.dictionaries(st.sampled_from(["user", "ip", "user_agent", "request_id", "url"]), SCALARS | JSON),
        },
    ),
}
ROWS = {"django-auditlog": st.just({}), "simple-history": COLUMNS, "pghistory": COLUMNS}


def line_of(vendor: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return lines of one object's history."""
    fields = st.builds(lambda own, columns: {**columns, **own}, FIELDS[vendor], ROWS[vendor])
    return st.fixed_dictionaries({"model": st.just("shop.historicalorder"), "pk": KEYS, "fields": fields})


@pytest.mark.parametrize("vendor", DUMPED)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_leaf_of_a_generated_line_is_lost(vendor: str, data: st.DataObject) -> None:
    lines = data.draw(st.lists(line_of(vendor), min_size=1, max_size=4))
    found = found_in(vendor, lines)
    assert sorted(one.number for one in found) == list(range(1, len(lines) + 1))
    events = [one for one in found if isinstance(one, Mapped)]
    assume(events)
    for one in events:
        assert missing_dumped(one.line, entry_of(one.event), vendor) == []  # as it was read: floats may be texts


@pytest.mark.parametrize("vendor", DUMPED)
def test_no_leaf_of_the_lines_of_the_packages_is_lost(vendor: str) -> None:
    lines = dumped_lines(DUMPED[vendor])
    found = found_in(vendor, lines)
    assert sorted(one.number for one in found) == list(range(1, len(lines) + 1))
    events = [one for one in found if isinstance(one, Mapped)]
    assert len(events) + sum(isinstance(one, Joined) for one in found) == len(lines)
    assert [one.line for one in events] == [lines[one.number - 1] for one in events]  # what a repetition is known by
    lost = [leaf for one in events for leaf in missing_dumped(lines[one.number - 1], entry_of(one.event), vendor)]
    assert lost == []


@pytest.mark.parametrize(
    ("vendor", "key", "refers"),
    [
        ("django-auditlog", "content_type", lambda line, beside: line["fields"]["content_type"] == beside["pk"]),
        ("pghistory", "context", lambda line, beside: line["fields"]["pgh_context"] == beside["pk"]),
        (
            "simple-history",
            "m2m",
            lambda line, beside: (
                line["model"] == "shop.historicalwebhookprovider" and line["pk"] == beside["fields"]["history"]
            ),
        ),
    ],
)
def test_each_entry_has_the_lines_that_it_refers_to_whole(vendor: str, key: str, refers: Any) -> None:
    lines = dumped_lines(DUMPED[vendor])
    found = found_in(vendor, lines)
    beside = [lines[one.number - 1] for one in found if isinstance(one, Joined)]
    pairs = [(one, row) for one in found if isinstance(one, Mapped) for row in beside if refers(one.line, row)]
    assert len(pairs) >= len(beside) - 17  # of the content types three have entries
    assert [leaf for one, row in pairs for leaf in missing_beside(row, entry_of(one.event), vendor, key)] == []


def test_the_oracle_notices_what_is_lost() -> None:
    (one,) = [found for found in found_in("simple-history", dumped_lines("simple_history")) if found.number == 4]
    assert isinstance(one, Mapped)
    entry, columns = entry_of(one.event), one.line["fields"]
    for field, wrong in (("retries", 6), ("retries", 5.0), ("name", "Strip"), ("owner", None)):
        line = {**one.line, "fields": {**columns, field: wrong}}
        assert missing_dumped(line, entry, "simple-history") == [(("fields", field), wrong)]


def test_the_oracle_notices_what_is_lost_of_a_pair_and_beside() -> None:
    lines = dumped_lines("auditlog")
    one = next(found for found in found_in("django-auditlog", lines) if isinstance(found, Mapped))
    entry = entry_of(one.event)
    fields = one.line["fields"]
    line = {**one.line, "fields": {**fields, "changes": {**fields["changes"], "name": ["Non", 7]}}}
    path = ("fields", "changes", "name")
    assert missing_dumped(line, entry, "django-auditlog") == [((*path, 0), "Non"), ((*path, 1), 7)]
    beside = {"model": "contenttypes.contenttype", "pk": 99}
    assert missing_beside(beside, entry, "django-auditlog", "content_type") == [(("pk",), 99)]
