"""The first message of a unit of work: whatever an actor or a schema is called, it says what it was to say."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from units import raw
from world import World

from tenants import gate
from tenants.context import SYSTEM, Actor, Origin, tenant_scope

TEXTS = st.text() | st.sampled_from(
    [
        "'",
        "\\",
        "\\'; RESET ROLE; --",
        "';SET ROLE daybook_platform;--",
        "\x00",
        "\ud800",
        "é",
        "$$",
        "%s",
        "\u2028",
        "E'",
    ]
)


def test_no_text_of_an_actor_leaves_its_place_in_the_first_message(world: World) -> None:
    """Bound as a literal: SET knows no parameters."""
    acme = world.acme

    @hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(TEXTS, min_size=6, max_size=6))
    def check(texts: list[str]) -> None:
        kind, key, label, source, request_id, agent = texts
        party = [kind, key, label]
        actor = Actor(kind, key, label, impersonator=Actor(kind, key, label))
        origin = Origin(ip=agent, user_agent=agent, request_id=request_id, source=source)
        with tenant_scope(acme, actor=actor, origin=origin):
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_user, current_setting('daybook.context')")
                role, context = cursor.fetchone()
            assert role.endswith(acme.id.hex)
            said = {"request_id": request_id, "ip": agent, "agent": agent}
            known = {name: value for name, value in said.items() if value}
            assert json.loads(context) == {"actor": party, "source": source, "by": party, **known}

    check()


@pytest.mark.parametrize("nasty", ['a"b', "a;b", "a'b", "a b", "Ä", "a,public", "$user"])
def test_a_schemas_name_is_quoted(world: World, nasty: str) -> None:
    acme = world.acme
    odd = gate.TenantRef(acme.id, "odd", "Odd", nasty, "default", "active", "daybook_cell_1")
    with tenant_scope(odd, actor=SYSTEM), connection.cursor() as cursor:
        cursor.execute("SELECT current_schemas(true), current_user")
        schemas, role = cursor.fetchone()
    assert schemas == ["pg_catalog", "shared"]
    assert role.endswith(acme.id.hex)


def test_the_first_message_is_as_small_as_it_can_be(world: World) -> None:
    with world.scope("acme", request_id="r" * 32) as scope:
        message = scope.binding().first_message(raw().quote)
    assert len(message) < 430
    assert message.count(b";") == 9
