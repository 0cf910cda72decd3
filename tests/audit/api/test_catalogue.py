"""The catalogue over HTTP: declare types, read them, strict mode, and events that are checked by them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from declared import PAID, SCHEMA, TYPE, Catalogue, faults
from django.db import connections
from world import World

from audit import catalogue, ledger
from audit.events import Event, Party
from audit.models import AuditLog

LOOKING = {"pattern": "(?=x)"}


@pytest.fixture
def acme(world: World) -> Catalogue:
    return Catalogue(world)


# --- declaring


def test_a_type_is_declared_and_read_back(acme: Catalogue) -> None:
    answer = acme.put("invoice.paid", TYPE)
    assert answer.status_code == 201, answer.content
    assert answer.json() == {
        "name": "invoice.paid", "origin": "declared", "operation": "other", "version": 1, "versions": [1],
        "first_seen": None, "last_seen": None, **TYPE,
    }  # fmt: skip
    assert acme.get("invoice.paid", key="acme.read").json() == answer.json()
    assert [one["name"] for one in acme.get().json()["results"] if one["origin"] == "declared"] == ["invoice.paid"]


def test_the_same_schema_is_the_same_version_whatever_the_order_of_its_keys(acme: Catalogue) -> None:
    acme.put("invoice.paid", TYPE)
    turned = {**TYPE, "metadata_schema": dict(reversed([*SCHEMA.items()]))}
    turned["metadata_schema"]["properties"] = dict(reversed([*SCHEMA["properties"].items()]))
    before = acme.state()
    answer = acme.put("invoice.paid", turned)
    assert (answer.status_code, answer.json()["version"], answer.json()["versions"]) == (200, 1, [1])
    assert acme.state()[1:] == before[1:]


def test_another_schema_is_another_version_and_an_old_one_is_itself_again(acme: Catalogue) -> None:
    acme.put("invoice.paid", TYPE)
    second = acme.put("invoice.paid", {**TYPE, "metadata_schema": {"type": "object"}}).json()
    assert (second["version"], second["versions"], second["metadata_schema"]) == (2, [1, 2], {"type": "object"})
    assert acme.get("invoice.paid", version="1").json()["metadata_schema"] == SCHEMA
    assert acme.get("invoice.paid", version="1").json()["version"] == 2
    assert acme.get("invoice.paid", version="2").json()["metadata_schema"] == {"type": "object"}
    again = acme.put("invoice.paid", TYPE).json()
    assert (again["version"], again["versions"], again["metadata_schema"]) == (1, [1, 2], SCHEMA)


def test_true_and_one_are_two_schemas(acme: Catalogue) -> None:
    assert acme.put("a", {"metadata_schema": {"const": 1}}).json()["version"] == 1
    assert acme.put("a", {"metadata_schema": {"const": True}}).json()["version"] == 2
    assert acme.put("a", {"metadata_schema": {"const": 1.0}}).json()["version"] == 1


def test_a_declaration_is_an_entry_and_one_that_changes_nothing_is_none(acme: Catalogue, world: World) -> None:
    acme.put("invoice.paid", TYPE)
    acme.put("invoice.paid", TYPE)
    acme.put("invoice.paid", {**TYPE, "description": "Paid."})
    log = acme.admin.get("/api/v1/audit-logs", resource_type="event_type").json()["results"]
    assert [(one["action"], one["resource"]["id"]) for one in log] == [
        ("event_type.updated", "invoice.paid"),
        ("event_type.declared", "invoice.paid"),
    ]
    assert log[0]["changes"] == {"description": {"old": "An invoice was paid.", "new": "Paid."}}
    assert log[1]["changes"]["version"] == {"new": 1}
    assert log[0]["actor"]["label"] == "acme admin"


@pytest.mark.parametrize(
    ("body", "place", "code"),
    [
        ({"metadata_schema": {"items": {"type": "strin"}}}, "/metadata_schema/items/type", "bad_schema"),
        ({"metadata_schema": {"$ref": "http://127.0.0.1:1/x.json"}}, "/metadata_schema/$ref", "bad_schema"),
        ({"metadata_schema": {"$ref": "file:///etc/passwd"}}, "/metadata_schema/$ref", "bad_schema"),
        ({"metadata_schema": {"items": {"$ref": "#"}}}, "/metadata_schema", "bad_schema"),
        ({"metadata_schema": {"properties": {"/": LOOKING}}}, "/metadata_schema/properties/~1/pattern", "bad_schema"),
        ({"metadata_schema": []}, "/metadata_schema", "bad_schema"),
        ({"sentences": {"en": "{actor.__class__}"}}, "/sentences/en", "bad_sentence"),
        ({"sentences": {"english please": "x"}}, "/sentences/english please", "bad_language"),
        ({"personal": ["a"] * 51}, "/personal", "too_many"),
        ({"personal": [""]}, "/personal/0", "too_short"),
        ({"description": "x" * 1001}, "/description", "too_long"),
        ({"version": 3}, "/version", "unknown_field"),
    ],
)  # fmt: skip
def test_a_bad_declaration_is_refused_at_its_place_and_nothing_is_kept(
    acme: Catalogue, body: Any, place: str, code: str
) -> None:
    before = acme.state()
    answer = acme.put("invoice.paid", body)
    assert answer.status_code == 422, answer.content
    assert faults(answer).get(place) == code, answer.content
    assert acme.state() == before


@pytest.mark.parametrize("name", [".x", "-x", "a b", "a" * 101, "a\x00b", "a*", "\ud83d\ude00", "a\n"])
def test_a_name_that_no_filter_could_say_is_refused(acme: Catalogue, name: str) -> None:
    before = acme.state()
    answer = acme.put(name.encode("utf-16", "surrogatepass").decode("utf-16"), {})
    assert answer.status_code == 400, answer.content
    assert faults(answer) == {"type": "bad_name"}
    assert acme.state() == before


@pytest.mark.parametrize("name", ["a/b", "a:b", "Größe.geändert", "7.x", "a" * 100, "t_x-y"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_name_is_found_with_and_without_a_slash(acme: Catalogue, name: str, slash: str) -> None:
    path = f"/api/v1/events/{quote(name)}{slash}"
    answer = acme.admin.put(path, {})
    assert (answer.status_code, answer.json()["name"]) == (201, name)
    assert acme.admin.get(path).json()["name"] == name


@pytest.mark.parametrize("version", ["0", "-1", "x", "2", "1000", "1.0", "²"])
def test_a_version_that_is_not_there_is_not_found_or_refused(acme: Catalogue, version: str) -> None:
    acme.put("invoice.paid", TYPE)
    assert acme.get("invoice.paid", version=version).status_code == (404 if version == "2" else 400)
    assert acme.get("invoice.paid", version=["1", "1"]).status_code == 400


def test_what_is_neither_declared_nor_used_is_not_found(acme: Catalogue) -> None:
    assert acme.get("nothing.known").status_code == 404
    assert acme.get("nothing\x00known").status_code == 404


def test_there_is_an_end_to_versions_and_types(acme: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MAX_VERSIONS", 2)
    monkeypatch.setattr(catalogue, "MAX_TYPES", 2)
    for number in range(2):
        assert acme.put("a", {"metadata_schema": {"const": number}}).status_code in {200, 201}
    assert acme.put("b", {}).status_code == 201
    before = acme.state()
    assert acme.put("a", {"metadata_schema": {"const": 2}}).status_code == 409
    assert acme.put("c", {}).status_code == 409
    assert acme.state() == before


# --- reading


def test_the_catalogue_lists_what_is_used_since_when_and_until_when(acme: Catalogue) -> None:
    first = acme.post({**PAID, "action": "door.opened"}).json()
    last = acme.post({**PAID, "action": "door.opened"}).json()
    acme.put("never.used", {})
    listed = {one["name"]: one for one in acme.get().json()["results"]}
    door = listed["door.opened"]
    assert (door["origin"], door["first_seen"], door["last_seen"]) == (
        "learned",
        first["created_at"],
        last["created_at"],
    )
    assert (door["version"], door["versions"], door["metadata_schema"]) == (None, [], None)
    assert (listed["never.used"]["origin"], listed["never.used"]["first_seen"]) == ("declared", None)
    assert acme.get("door.opened").json() == door
    # What a trigger wrote of a changed row, and what the code wrote.
    assert listed["created"]["origin"] == listed["subscription.created"]["origin"] == "built_in"
    assert set(listed["subscription.created"]["sentences"]) == {"en", "de"}
    assert listed["subscription.created"]["operation"] == "create"


def test_a_built_in_type_can_be_read_before_it_is_used(acme: Catalogue) -> None:
    one = acme.get("user.sign_in_failed").json()
    assert (one["origin"], one["last_seen"]) == ("built_in", None)


def test_the_catalogue_is_read_page_by_page_in_order_and_nothing_twice(acme: Catalogue) -> None:
    names = [f"t.{number:02}" for number in range(7)]
    acme.post(*[{**PAID, "action": name} for name in names])
    for name in ("t.01b", "a.first", "z.last"):
        acme.put(name, {})
    whole = [one["name"] for one in acme.get().json()["results"]]
    assert whole == sorted(whole)
    assert set(whole) >= {*names, "t.01b", "a.first", "z.last"}
    seen, cursor = list[str](), ""
    while True:
        page = acme.get(limit="3", **({"cursor": cursor} if cursor else {})).json()
        seen += [one["name"] for one in page["results"]]
        if page["next_cursor"] is None:
            break
        assert len(page["results"]) == 3
        cursor = page["next_cursor"]
    assert seen == whole


def test_a_type_with_the_name_of_the_end_is_a_cursor_like_any_other(acme: Catalogue, world: World) -> None:
    with world.scope("acme"):
        for name in ("end", "ending"):
            AuditLog.log_action(None, name, "door", "1")
    found = acme.get(cursor="end")
    assert (found.status_code, found.json()["results"][0]["name"]) == (200, "ending")


def test_a_member_sees_the_types_of_his_own_actions_alone(acme: Catalogue, world: World) -> None:
    acme.put("secret.project", TYPE)
    acme.post({**PAID, "action": "other.done"})
    mia = world.api("acme")
    mia.sign_in("mia")
    listed = mia.get("/api/v1/events").json()
    assert [one["name"] for one in listed["results"]] == ["user.signed_in"]
    assert mia.get("/api/v1/events/user.signed_in").json()["first_seen"]
    for name in ("secret.project", "other.done", "trail.read"):
        assert mia.get(f"/api/v1/events/{name}").status_code == 404


# --- strict mode


def test_a_change_of_strict_mode_is_an_entry(acme: Catalogue) -> None:
    for strict in (False, True, True, False):
        assert acme.put("", {"strict": strict}).status_code == 200
    log = acme.admin.get("/api/v1/audit-logs", action="event_catalogue.updated").json()["results"]
    assert [one["changes"]["strict"]["new"] for one in log] == [False, True]


@pytest.mark.parametrize("body", [{}, {"strict": "yes"}, {"strict": 1}, {"strict": None}, {"strict": True, "x": 1}, []])
def test_strict_mode_is_true_or_false(acme: Catalogue, body: Any) -> None:
    before = acme.state()
    assert acme.put("", body).status_code == 422
    assert acme.state() == before


def test_an_entry_is_told_in_the_language_that_is_asked_for(acme: Catalogue) -> None:
    acme.put("invoice.paid", TYPE)
    path = f"/api/v1/audit-logs/{acme.post(PAID).json()['id']}"
    assert "sentence" not in acme.admin.get(path).json()
    assert acme.admin.get(path, language="en").json()["sentence"] == "acme write paid invoice “No 7”: 5"
    assert acme.admin.get(path, language="de").json()["sentence"] == "acme write zahlte invoice „No 7“"
    for bad in ("", "EN", "../en", "en\x00", "e", "english"):
        assert faults(acme.admin.get(path, language=bad)) == {"language": "bad_value"}, bad
    assert acme.admin.get(path, language=["en", "de"]).status_code == 400
    assert acme.admin.get(path, other="x").status_code == 400


def test_the_types_in_use_are_found_by_jumps_along_the_index(acme: Catalogue, world: World) -> None:
    """Whatever the number of entries: as many probes as there are types on the page, rare ones included."""
    with world.scope("acme"):
        for start in range(0, 4000, 1000):
            events = [Event(action="t.often", resource=Party("x", "1"))] * 999
            rare = Event(action=f"t.rare.{start}", resource=Party("x", "1"))
            ledger.append(AuditLog, [*events, rare])
    world.sql(f"ANALYZE {world.acme.schema_name}.audit_log")
    given: dict[str, Any] = {"after": "", "limit": 20, "version": None}
    with world.scope("acme") as scope, connections[scope.alias].cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {catalogue._PAGE}", given)
        plan = cursor.fetchone()[0]
    assert rows_read(json.loads(plan)[0]["Plan"] if isinstance(plan, str) else plan[0]["Plan"]) < 200
    assert {"t.often", "t.rare.0", "t.rare.3000"} < {one["name"] for one in acme.get().json()["results"]}


def rows_read(plan: dict[str, Any]) -> float:
    """Return how many entries of the trail a plan has read, those included that it read in vain."""
    here = plan.get("Relation Name", "").startswith("audit_log")
    rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    return float(here and rows * plan["Actual Loops"]) + sum(rows_read(inner) for inner in plan.get("Plans", []))


def test_two_who_declare_a_type_at_once_make_one_version_of_each_schema(acme: Catalogue) -> None:
    schemas = [{"const": number % 4} for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda schema: acme.put("a", {"metadata_schema": schema}), schemas)]
    assert {answer.status_code for answer in answers} == {200, 201}
    assert [answer.status_code for answer in answers].count(201) == 1
    assert acme.get("a").json()["versions"] == [1, 2, 3, 4]
    for schema, answer in zip(schemas, answers, strict=True):
        version = str(answer.json()["version"])
        assert acme.get("a", version=version).json()["metadata_schema"] == schema
