"""The OpenAPI document of each host is valid, complete and for anyone; its page needs nothing from elsewhere."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver
from openapi_spec_validator import OpenAPIV31SpecValidator
from world import World

from config import openapi
from config.management.commands import docs

HOSTS = {"acme": "config.urls_tenant", "platform": "config.urls_platform"}
EVENT = {"action": "invoice.paid", "resource": {"type": "invoice", "id": "7"}}


def routes(patterns: list[Any], prefix: str = "") -> list[str]:
    """Return every route of a URL resolver as a path of the document."""
    found: list[str] = []
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            found.append("/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route))
    return found


@pytest.mark.parametrize("host", [*HOSTS])
def test_anyone_gets_the_valid_document_of_the_host(world: World, host: str) -> None:
    answer = world.api(host).get("/api/schema")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    assert document == openapi.document(HOSTS[host])


@pytest.mark.parametrize("host", [*HOSTS])
def test_every_path_of_the_host_is_in_its_document_and_no_other(world: World, host: str) -> None:
    offered = {path for path in routes(get_resolver(HOSTS[host]).url_patterns) if path.startswith("/api/v1/")}
    assert set(openapi.document(HOSTS[host])["paths"]) == {path for path in offered if not path.endswith("/")}
    assert "/api/v1/audit-logs" in offered
    assert {f"{path}/" for path in offered if not path.endswith("/")} <= offered


@pytest.mark.parametrize("host", [*HOSTS])
@pytest.mark.parametrize("path", ["/api/schema", "/api/schema/", "/api/docs", "/api/docs/"])
def test_document_and_page_answer_with_and_without_a_slash(world: World, host: str, path: str) -> None:
    assert world.api(host).get(path).status_code == 200


def test_the_document_comes_as_yaml_to_who_asks_for_it(world: World) -> None:
    answer = world.api().client.get("/api/schema", headers={"accept": "application/vnd.oai.openapi"})
    assert answer.content.startswith(b"openapi: 3.1")


@pytest.mark.parametrize("host", [*HOSTS])
def test_the_pages_assets_are_served_from_here(world: World, host: str) -> None:
    api = world.api(host)
    page = api.get("/api/docs").content.decode()
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(assets) >= 3
    assert "/api/schema" in page
    for asset in assets:
        assert asset.startswith("/static/"), asset
        answer = api.client.get(asset)
        assert answer.status_code == 200, asset
        assert b"".join(answer)
    assert not re.findall(r'https?://(?!www\.w3\.org)[^"\s]+', page)


def test_what_is_answered_fits_the_document(world: World) -> None:
    from audit.api.representation import AuditLogAnswer, AuditLogPage, EventResults
    from tenants.api.routes import Problem

    api = world.api(key="acme.admin")
    full = {**EVENT, "impersonator": {"type": "staff", "id": "1"}, "changes": {"a": 1}, "targets": [{"type": "t"}]}
    AuditLogAnswer.model_validate(api.post("/api/v1/audit-logs", full).json())
    EventResults.model_validate(api.post("/api/v1/audit-logs", {"events": [EVENT, {}]}).json())
    AuditLogPage.model_validate(api.get("/api/v1/audit-logs").json())
    Problem.model_validate(api.get("/api/v1/audit-logs", limit="0").json())
    Problem.model_validate(api.post("/api/v1/audit-logs", {}).json())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make docs` writes."""
    folder = tmp_path_factory.mktemp("docs") / "new"
    out = io.StringIO()
    call_command("docs", folder=folder, stdout=out)
    assert {Path(line).name for line in out.getvalue().splitlines()} <= {file.name for file in folder.iterdir()}
    return folder


@pytest.mark.parametrize(("name", "host"), [("tenant", "acme"), ("platform", "platform")])
def test_the_written_documents_are_those_that_the_host_serves(
    world: World, written: Path, name: str, host: str
) -> None:
    served = world.api(host)
    assert json.loads((written / f"openapi-{name}.json").read_bytes()) == served.get("/api/schema").json()
    as_yaml = served.client.get("/api/schema", headers={"accept": "application/vnd.oai.openapi"}).content
    assert (written / f"openapi-{name}.yaml").read_bytes() == as_yaml


@pytest.mark.parametrize("name", ["tenant", "platform"])
def test_the_written_page_holds_its_document_and_needs_nothing_from_elsewhere(written: Path, name: str) -> None:
    page = (written / f"{name}.html").read_text(encoding="utf-8")
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert "swagger-ui-bundle.js" in assets
    for asset in assets:
        assert (written / asset).stat().st_size
    holds = re.findall(r'<script id="document" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert [json.loads(held) for held in holds] == [json.loads((written / f"openapi-{name}.json").read_bytes())]
    assert page.count("</script>") == 3


def test_a_text_of_the_document_cannot_end_the_page_s_script() -> None:
    page = docs._files("tenant", {"info": {"description": "</script><script>alert(1)</script>"}})["tenant.html"]
    assert page.count(b"</script>") == 3
