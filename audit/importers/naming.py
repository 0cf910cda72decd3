"""What a dump calls a model, and what the project does.

Django's dumps write names in lower case (`shop.historicalwebhookprovider`), and say neither whose history a
model keeps nor which field is the key. Only the project knows: docs/moving-in.md has the command that prints it,
as `{"shop.historicalwebhookprovider": ["shop.WebhookProvider", "id"]}`. Where it is not told, the dump's name
stands, and the key is `id`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from audit.events import MAX_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DEFAULT_KEY = "id"


class Model(NamedTuple):
    """A model of the project: `app.Class`, and the name of the field that is its primary key."""

    label: str
    key: str

    @property
    def type(self) -> str:
        """Return the type of its resources: the class in snake case (`webhook_provider`)."""
        return _WORD.sub("_", self.label.rpartition(".")[2]).lower()[:MAX_TYPE]


Names = dict[str, Model]


def model_of(names: Mapping[str, Model], dumped: str, default: str) -> Model:
    """Return the model whose rows a dump calls `dumped`; untold, it is `default`."""
    return names.get(dumped) or Model(default, _DEFAULT_KEY)


def read_names(text: str | bytes) -> Names:
    """Return the names that a project tells. Raises ValueError, for people to read, for anything else."""
    told = json.loads(text)
    if not isinstance(told, dict) or not all(_is_model(value) for value in told.values()):
        raise ValueError('it must be one object like {"shop.historicalorder": ["shop.Order", "id"]}')
    return {dumped: Model(*value) for dumped, value in told.items()}


def _is_model(value: Any) -> bool:
    is_pair = isinstance(value, list) and [type(word) for word in value] == [str, str]
    return is_pair and all(value) and not value[0].endswith(".")
