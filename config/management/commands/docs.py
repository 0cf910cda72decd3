"""`manage.py docs`: the OpenAPI document of each host as a file, and a page beside it to read it without a server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.core.management.base import BaseCommand, CommandParser
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer

from config import local, openapi

HOSTS = {"tenant": "config.urls_tenant", "platform": "config.urls_platform"}
_ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
# A browser lets no page from a file fetch another file, so the document stands in the page itself.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Daybook: the API of a {name} host</title>
<link rel="icon" href="favicon-32x32.png">
<link rel="stylesheet" href="swagger-ui.css">
<div id="api"></div>
<script src="swagger-ui-bundle.js"></script>
<script id="document" type="application/json">{document}</script>
<script>
SwaggerUIBundle({{
  spec: JSON.parse(document.getElementById("document").textContent), dom_id: "#api", supportedSubmitMethods: [],
}});
</script>
</html>
"""


class Command(BaseCommand):
    """Write the API's documents."""

    help = "Write openapi-HOST.json, openapi-HOST.yaml and HOST.html for both hosts (tenant, platform) into a folder."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --folder."""
        parser.add_argument("--folder", type=Path, help="where to (default: var/docs)")

    def handle(self, *, folder: Path | None, **_options: Any) -> None:
        """Write them, and say where each is."""
        folder = folder or local.folder() / "docs"
        folder.mkdir(parents=True, exist_ok=True)
        for asset in _ASSETS:
            shutil.copyfile(_found(asset), folder / asset)
        for name, urlconf in HOSTS.items():
            for file, content in _files(name, openapi.document(urlconf)).items():
                (folder / file).write_bytes(content)
                self.stdout.write(str(folder / file))


def _found(asset: str) -> str:
    return str(finders.find(f"drf_spectacular_sidecar/swagger-ui-dist/{asset}"))


def _files(name: str, document: dict[str, Any]) -> dict[str, bytes]:
    """Return what stands in each file of a host."""
    as_json: bytes = OpenApiJsonRenderer2().render(document, renderer_context={"indent": 2})
    as_yaml: bytes = OpenApiYamlRenderer().render(document)  # type: ignore[no-untyped-call]
    page = _PAGE.format(name=name, document=as_json.decode().replace("</", "<\\/"))
    return {f"openapi-{name}.json": as_json, f"openapi-{name}.yaml": as_yaml, f"{name}.html": page.encode()}
