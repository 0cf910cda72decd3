"""The OpenAPI document is what generators of clients need: names, words, examples, errors; and it is committed."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import audit
import config
import subscriptions
import tenants
from config import openapi
from config.contract import shape, words
from config.contract.samples import UNKNOWN
from config.management.commands import docs
from tenants.errors import DomainError

HOSTS = [*docs.HOSTS]
# Errors of commands and of code in the process, and the roots of the tree: no answer of the API has their codes.
NEVER_ANSWERED = {
    "domain_error", "no_scope", "scope_conflict", "no_owner", "no_superuser", "unreplayable", "bad_export", "busy",
    "framework_refusal", "metrics_are_closed", "stream_stopped",
    # Answered by the routes of WorkOS, whose errors are no problems.
    "invalid_audit_log_event", "validation_failed", "organization_not_found",
}  # fmt: skip


def document(host: str) -> dict[str, Any]:
    return openapi.document(docs.HOSTS[host])


def operations(host: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, method, operation in shape.operations(document(host)):
        yield f"{method.upper()} {path}", operation


def resolved(host: str, node: dict[str, Any]) -> dict[str, Any]:
    found: Any = node
    while "$ref" in found:
        place: Any = document(host)
        for part in found["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        found = place
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("host", HOSTS)
def test_the_committed_document_is_the_one_that_is_served(host: str) -> None:
    committed = (docs.COMMITTED / f"{host}.json").read_text(encoding="utf-8")
    assert committed == docs.committed(host), "Renew docs/openapi/: make docs ARGS=--commit"


@pytest.mark.parametrize("host", HOSTS)
def test_each_operation_has_a_name_of_its_own_and_says_what_it_does(host: str) -> None:
    names = Counter(operation["operationId"] for _where, operation in operations(host))
    assert [name for name, times in names.items() if times > 1 or not re.fullmatch(r"[a-z][a-z0-9_]+", name)] == []
    for where, operation in operations(host):
        assert 5 < len(operation["summary"]) <= 80, where
        assert not operation["summary"].endswith("."), where
        assert operation["description"].endswith("."), where


@pytest.mark.parametrize("host", HOSTS)
def test_each_operation_stands_under_one_tag_that_is_described(host: str) -> None:
    described = [tag["name"] for tag in document(host)["tags"]]
    for where, operation in operations(host):
        assert len(operation["tags"]) == 1, where
        assert operation["tags"][0] in described, where
    assert set(described) == {operation["tags"][0] for _where, operation in operations(host)}


@pytest.mark.parametrize("host", HOSTS)
def test_a_key_or_a_session_will_do(host: str) -> None:
    for where, operation in operations(host):
        # Who has a link, or was invited, needs neither.
        assert operation.get("security", []) in ([{"key": []}, {"session": []}], []), where
    assert document(host)["paths"]["/api/v1/audit-logs"]["get"]["security"]
    assert {*document(host)["components"]["securitySchemes"]} == {"key", "session"}


@pytest.mark.parametrize("host", HOSTS)
def test_each_parameter_is_described_and_bounded(host: str) -> None:
    for where, operation in operations(host):
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (where, parameter["name"])
            if parameter["in"] == "path":
                assert parameter["example"] not in {"", UNKNOWN}, (where, parameter["name"])


@pytest.mark.parametrize("host", HOSTS)
def test_no_type_is_left_to_the_generators_imagination(host: str) -> None:
    """An enum, a free-form object and each part of a union have a name, but for null."""
    for name, schema in document(host)["components"]["schemas"].items():
        assert not re.search(r"\d$|Enum$|Answer$|Request$", name)
        assert schema.get("description") or "enum" in schema, name
        for node in shape.nodes(schema.get("properties", {})):
            assert len(node.get("enum", ())) < 2, name
            assert not isinstance(node.get("title"), str), name
            assert node.get("additionalProperties") is not True, name
        for part in shape.nodes(schema):
            for union in ("anyOf", "oneOf"):
                plain = [it for it in part.get(union, ()) if "$ref" not in it]
                assert all("properties" not in it for it in plain), (name, part)
    for where, operation in operations(host):
        for node in shape.nodes(operation.get("parameters", [])):
            assert len(node.get("enum", ())) < 2, where


@pytest.mark.parametrize("host", HOSTS)
def test_what_is_sent_and_answered_is_shown_and_fits(host: str) -> None:
    shown = 0
    for where, operation in operations(host):
        bodies = [("sent", operation["requestBody"])] if "requestBody" in operation else []
        for kind, body in [*bodies, *((status, resolved(host, it)) for status, it in operation["responses"].items())]:
            for media_type, media in body.get("content", {}).items():
                if media_type.endswith("json") and media["schema"].get("format") != "binary":
                    _check_example(host, f"{where} {kind}", media)
                    shown += 1
    assert shown > 20


def _check_example(host: str, where: str, media: dict[str, Any]) -> None:
    examples = [it["value"] for it in media["examples"].values()] if "examples" in media else [media["example"]]
    schema = {**media["schema"], "components": document(host)["components"]}
    for example in examples:
        assert UNKNOWN not in str(example), f"{where}: say in config/contract/samples.py what an example of it is"
        faults = [f"{fault.json_path}: {fault.message}" for fault in Draft202012Validator(schema).iter_errors(example)]
        assert faults == [], where


@pytest.mark.parametrize("host", HOSTS)
def test_every_answer_has_the_request_id_and_every_refusal_is_a_problem(host: str) -> None:
    for where, operation in operations(host):
        answers = {status: resolved(host, it) for status, it in operation["responses"].items()}
        assert any(status.startswith("2") for status in answers), where
        assert {*map(str, words.COMMON)} <= {*answers}, where
        for status, answer in answers.items():
            if int(status) in words.SERVERS_OWN:
                continue
            assert "X-Request-ID" in answer["headers"], (where, status)
            assert answer["description"], (where, status)
            if status >= "4" and "/audit_logs" not in where:
                assert [*answer["content"]] == ["application/problem+json"], (where, status)
        assert "Retry-After" in answers["503"]["headers"], where


@pytest.mark.parametrize("host", HOSTS)
def test_a_list_with_a_cursor_answers_where_to_go_on(host: str) -> None:
    lists = [it for it in operations(host) if any(p["name"] == "cursor" for p in it[1].get("parameters", ()))]
    assert len(lists) >= 3
    for where, operation in lists:
        page = resolved(host, operation["responses"]["200"]["content"]["application/json"]["schema"])
        assert {"results", "next_cursor"} <= {*page["required"]}, where


def test_a_retried_post_says_so_in_its_answer() -> None:
    written = document("tenant")["paths"]["/api/v1/audit-logs"]["post"]
    assert [it["name"] for it in written["parameters"]] == ["Idempotency-Key"]
    assert "Idempotency-Replayed" in written["responses"]["201"]["headers"]


def _errors() -> set[type[DomainError]]:
    """Return every class of error in the four applications."""
    for package in (config, tenants, audit, subscriptions):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not re.search(r"\.(migrations|management|wsgi|typing_settings)\b", found.name):
                importlib.import_module(found.name)
    found_errors: set[type[DomainError]] = set()
    left: list[type[DomainError]] = [DomainError]
    while left:
        error = left.pop()
        left += error.__subclasses__()
        found_errors.add(error)
    return {
        it for it in found_errors if it.__module__.partition(".")[0] in {"config", "tenants", "audit", "subscriptions"}
    }


def test_the_introduction_has_the_code_of_each_error() -> None:
    said = words.introduction()
    for error in _errors():
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", error.__name__).lower()
        if name not in NEVER_ANSWERED:
            assert f"| {error.status} | `{name}` |" in said, f"Say in config/contract/words.py that {name} is answered"


def test_two_schemas_of_one_name_are_refused() -> None:
    twice: dict[str, Any] = {"paths": {}, "components": {"schemas": {"ThingAnswer": {}, "Thing": {"type": "object"}}}}
    with pytest.raises(ValueError, match="the same name: Thing"):
        shape.shape(twice)
