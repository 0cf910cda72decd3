"""`manage.py docs`: the OpenAPI document of each host as a file, and a page beside it to read it without a server.

The documents also stand in the repository, under docs/openapi/, where everybody sees what a change does to them:
`manage.py docs --commit` renews them. What the last release promised to clients stands in docs/openapi/released/.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management.base import BaseCommand, CommandParser
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer

from config import local, openapi

HOSTS = {"tenant": "config.urls_tenant", "platform": "config.urls_platform"}
COMMITTED = settings.BASE_DIR / "docs" / "openapi"
RELEASED = COMMITTED / "released"
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
        """Take --folder, --commit and --release."""
        parser.add_argument("--folder", type=Path, help="where to (default: var/docs)")
        parser.add_argument(
            "--commit", action="store_true", help="renew docs/openapi/HOST.json instead, which is under version control"
        )

        parser.add_argument(
            "--release",
            action="store_true",
            help="the same, and from now on they are what docs/openapi/released/ promises to clients",
        )

    def handle(self, *, folder: Path | None, commit: bool, release: bool, **_options: Any) -> None:
        """Write them, and say where each is."""
        if commit or release:
            for place in (COMMITTED, RELEASED)[: 1 + release]:
                place.mkdir(parents=True, exist_ok=True)
                for name in HOSTS:
                    (place / f"{name}.json").write_text(committed(name), encoding="utf-8")
                    self.stdout.write(str(place / f"{name}.json"))
            return
        folder = folder or local.folder() / "docs"
        folder.mkdir(parents=True, exist_ok=True)
        for asset in _ASSETS:
            shutil.copyfile(_found(asset), folder / asset)
        for name, urlconf in HOSTS.items():
            for file, content in _files(name, openapi.document(urlconf)).items():
                (folder / file).write_bytes(content)
                self.stdout.write(str(folder / file))


def committed(name: str) -> str:
    """Return a host's document as it stands under version control: in a stable order, a value a line."""
    return json.dumps(openapi.document(HOSTS[name]), indent=1, ensure_ascii=False) + "\n"


def _found(asset: str) -> str:
    return str(finders.find(f"drf_spectacular_sidecar/swagger-ui-dist/{asset}"))


def _files(name: str, document: dict[str, Any]) -> dict[str, bytes]:
    """Return what stands in each file of a host."""
    as_json: bytes = OpenApiJsonRenderer2().render(document, renderer_context={"indent": 2})
    as_yaml: bytes = OpenApiYamlRenderer().render(document)  # type: ignore[no-untyped-call]
    page = _PAGE.format(name=name, document=as_json.decode().replace("</", "<\\/"))
    return {f"openapi-{name}.json": as_json, f"openapi-{name}.yaml": as_yaml, f"{name}.html": page.encode()}
