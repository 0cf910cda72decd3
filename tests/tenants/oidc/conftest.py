"""A provider on loopback that acme trusts, and nothing learnt before the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from provider import Provider, serving, trust
from world import World

from tenants.oidc import keys


@pytest.fixture
def provider(world: World, settings_of_loopback: None) -> Iterator[Provider]:
    """The provider of acme."""
    with serving() as provider:
        trust(world, provider)
        yield provider


@pytest.fixture
def settings_of_loopback() -> Iterator[None]:
    """Providers may stand on loopback."""
    from django.test import override_settings

    keys.forget()
    with override_settings(OIDC_ALLOWED_NETWORKS=["127.0.0.0/8"]):
        yield
    keys.forget()
