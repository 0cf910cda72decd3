"""Pages of other origins: they read with a bearer token, and never with a session."""

from __future__ import annotations

from typing import Any

import pytest
from world import World

TRAIL = "/api/v1/audit-logs"
ORIGIN = "https://app.example"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization",
}


def allowed(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("Access-Control-")}


@pytest.mark.parametrize("host", ["acme", "platform", "nobodys"])
def test_a_preflight_of_a_read_is_answered_without_asking_who_comes(world: World, host: str) -> None:
    answer = world.api(host).client.options(TRAIL, headers=PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert allowed(answer)["Access-Control-Allow-Origin"] == "*"
    assert "Authorization" in allowed(answer)["Access-Control-Allow-Headers"]
    assert allowed(answer)["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert "Access-Control-Allow-Credentials" not in allowed(answer)
    assert answer["X-Request-ID"]


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "PUT", ""])
def test_a_preflight_of_anything_else_is_not(world: World, method: str) -> None:
    headers = {**PREFLIGHT, "Access-Control-Request-Method": method}
    answer = world.api().client.options(TRAIL, headers=headers)
    assert (answer.status_code, allowed(answer)) == (405, {})


@pytest.mark.parametrize("path", ["/admin/login/", "/api/schema", "/healthz"])
def test_outside_the_api_nothing_crosses(world: World, path: str) -> None:
    for answer in (
        world.api().client.options(path, headers=PREFLIGHT),
        world.api("acme", "acme.read").client.get(path, headers={"Origin": ORIGIN}),
    ):
        assert allowed(answer) == {}


def test_a_read_with_a_key_is_shown_to_any_page_and_never_with_credentials(world: World) -> None:
    api = world.api("acme", "acme.read")
    answer = api.client.get(TRAIL, headers={**api.headers, "Origin": ORIGIN})
    assert answer.status_code == 200
    assert allowed(answer)["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in allowed(answer)
    assert "X-Request-ID" in allowed(answer)["Access-Control-Expose-Headers"]


def test_a_refusal_can_be_read_by_the_page_that_sent_the_token(world: World) -> None:
    answer = world.api().client.get(TRAIL, headers={"Authorization": "Bearer dbv_old", "Origin": ORIGIN})
    assert (answer.status_code, allowed(answer)["Access-Control-Allow-Origin"]) == (401, "*")


def test_what_a_session_reads_is_shown_to_no_other_page(world: World) -> None:
    alice = world.api()
    alice.sign_in("alice")
    answer = alice.client.get(TRAIL, headers={"Origin": ORIGIN})
    assert (answer.status_code, allowed(answer)) == (200, {})


def test_a_write_with_a_key_is_answered_as_ever_and_not_shown(world: World) -> None:
    api = world.api("acme", "acme.write")
    answer = api.post(TRAIL, {"action": "x", "resource": {"type": "note"}}, Origin=ORIGIN)
    assert (answer.status_code, allowed(answer)) == (201, {})


def test_within_one_origin_nothing_is_added(world: World) -> None:
    assert allowed(world.api("acme", "acme.read").get(TRAIL)) == {}
