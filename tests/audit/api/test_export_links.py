"""Where links to files of exports lead: to a host where whoever has one is served without a key."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from world import World

from audit import exports, jobs

pytestmark = pytest.mark.usefixtures("files")


def fetched(api: Any, link: str) -> Any:
    """Fetch a link without a key, to its end."""
    parts = urlsplit(link)
    answer = api.client.get(f"{parts.path}?{parts.query}", headers={"host": parts.netloc})
    assert b"".join(answer.streaming_content)
    return answer


@pytest.mark.parametrize(
    ("asked", "base"),
    [
        ("elsewhere.localhost:8000", "http://acme.localhost:8000/"),
        ("elsewhere.localhost", "http://acme.localhost/"),
        ("ACME.localhost:8000", "http://ACME.localhost:8000/"),
        ("localhost", "http://localhost/"),
    ],
)
def test_a_link_leads_to_a_host_where_it_is_served(world: World, asked: str, base: str) -> None:
    with world.scope("acme"):
        job = exports.request("jsonl", {}, compress=False, told={})
    assert jobs.run_exports() == 1
    api = world.api(key="acme.admin")
    headers = {**api.headers, "host": asked}
    own = api.client.get(f"/api/v1/exports/{job.pk}", headers=headers).json()
    workos = api.client.get(f"/audit_logs/exports/{job.pk}", headers=headers).json()
    for link in (own["link"], workos["url"]):
        assert link.startswith(base)
        answer = fetched(api, link)
        assert (answer.status_code, answer["Content-Length"]) == (200, str(own["bytes"]))
