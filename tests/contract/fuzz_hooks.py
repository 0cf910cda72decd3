"""What schemathesis is told of this API beyond its document. It runs in schemathesis' process, which loads it by path.

`DAYBOOK_FUZZ` is `{"log": path, "ids": {parameter: id}}`: where to write a line for each answer, and ids that exist; an
id for one path alone is there under `PATH PARAMETER`.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

TOLD = json.loads(os.environ["DAYBOOK_FUZZ"])
VALIDATORS: dict[str, Draft202012Validator | None] = {}
LOG = Path(TOLD["log"]).open("a", encoding="utf-8")  # noqa: SIM115 - open as long as the process lives
# Rules over several parameters, over requests, over what exists or over JSON itself: no schema can say them. (A schema
# takes 1.0 for an integer, which is refused here.)
IN_WORDS = {
    "bad_cursor", "bad_email", "bad_issuer", "bad_language", "bad_name", "bad_schema", "bad_sentence", "bad_value",
    "half_a_resource", "in_the_past", "int_type", "key_reused", "not_for_streams", "repeated", "required", "schema",
    "too_deep", "too_large", "undeclared_type", "unknown_parameter", "unknown_plan", "unknown_tenant",
    "unknown_version", "unsafe_number",
}  # fmt: skip
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 30))  # noqa: DTZ001 - said as UTC below
FORMATS = {
    "date-time": MOMENTS.map(lambda moment: f"{moment.isoformat()}Z"),
    "ip": st.ip_addresses().map(str),
}
for name, strategy in FORMATS.items():
    schemathesis.openapi.format(name, strategy)


@schemathesis.hook
def before_add_examples(context: Any, examples: list[Any]) -> None:
    """Ask each operation once for what exists."""
    names, ids = {it.name for it in context.operation.path_parameters}, TOLD["ids"]
    if names and names <= ids.keys():
        found = {name: ids.get(f"{context.operation.path} {name}", ids[name]) for name in names}
        needed = {it.name: it.definition["example"] for it in context.operation.query if it.is_required}
        bodies = [{"body": it.body, "media_type": it.media_type} for it in examples[:1] if it.method != "GET"]
        examples.append(context.operation.Case(path_parameters=found, query=needed, **(bodies[0] if bodies else {})))


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Let pass that something was refused by a rule that is said in words alone, and by nothing else."""
    if "positive_data_acceptance" not in getattr(failure, "checks", ()):
        return True
    codes = {fault.get("code") for fault in response.json().get("errors", [])}
    return not codes or not codes <= IN_WORDS


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> bytes:
    """Send a stream of one line."""
    return json.dumps(value).encode() + b"\n"


@schemathesis.check
def every_field_is_documented(_context: Any, response: Any, case: Any) -> None:
    """Hold an answer against its schema to the letter: schemathesis lets pass what a closed object has besides."""
    document = case.operation.schema.raw_schema
    kind = response.headers.get("content-type", [""])[0].partition(";")[0]
    place = [case.operation.path, case.method.lower(), str(response.status_code), kind]
    validator = _validator(json.dumps(place), document) if kind.endswith("json") else None
    if validator is not None and response.content:
        faults = [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(response.json())]
        assert not faults, "; ".join(faults)


def _validator(place: str, document: dict[str, Any]) -> Draft202012Validator | None:
    if place not in VALIDATORS:
        path, method, status, kind = json.loads(place)
        answer = document["paths"][path].get(method, {}).get("responses", {}).get(status, {})
        if "$ref" in answer:
            answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        schema = answer.get("content", {}).get(kind, {}).get("schema")
        schema = None if schema and schema.get("format") == "binary" else schema
        VALIDATORS[place] = schema and Draft202012Validator({**schema, "components": document["components"]})
    return VALIDATORS[place]


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Write down what was asked and answered."""
    LOG.write(json.dumps([case.operation.label, case.method, response.status_code]) + "\n")
    LOG.flush()
