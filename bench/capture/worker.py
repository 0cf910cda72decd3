"""A process that drives one package: orders come as JSON lines on its input, answers go out as JSON lines.

`python -m bench.capture.worker MODULE:CLASS`, in the environment whose packages the adapter needs. An order is
`{"do": name, ...}`; the answer `{"done": result}` or, when it failed, `{"failed": traceback}`.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from typing import Any, TextIO

import django
from django.conf import settings

from bench.capture.adapter import Adapter


def main(name: str) -> None:
    """Set Django up with the adapter, say which version there is, and carry out orders until there are no more."""
    # Packages print what they do; the pipe is for answers alone.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # The project's own models cannot be imported before; the peers' settings are the adapter's.
    if "DJANGO_SETTINGS_MODULE" in os.environ:
        django.setup()
    module, _, kind = name.partition(":")
    adapter: Adapter = getattr(import_module(module), kind)()
    if not settings.configured:
        adapter.configure()
        django.setup()
    from bench.capture.stage import Stage  # noqa: PLC0415 - Django is set up by now

    stage = Stage(adapter)
    _answer(answers, {"done": adapter.version})
    for line in sys.stdin:
        order = json.loads(line)
        try:
            _answer(answers, {"done": getattr(stage, order.pop("do"))(**order)})
        except Exception:  # noqa: BLE001 - the driver raises it
            _answer(answers, {"failed": traceback.format_exc()})


def _answer(answers: TextIO, what: dict[str, Any]) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
