"""What the tests of capture share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import override_settings


@pytest.fixture
def settings_of() -> Iterator[Callable[..., None]]:
    """Change settings for the time of the test."""
    opened: list[Any] = []

    def change(**settings: Any) -> None:
        override = override_settings(**settings)
        override.enable()
        opened.append(override)

    yield change
    for override in opened:
        override.disable()
