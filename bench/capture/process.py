"""Workers as the driver sees them: a process each, asked and answered over pipes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.capture.roster import Entrant

ROOT = Path(__file__).resolve().parents[2]


class WorkerFailed(Exception):
    """A worker could not carry out an order; the message has its traceback."""


class Worker:
    """The process of an entrant; `version` is that of its package."""

    def __init__(self, entrant: Entrant, python: Path, environment: Mapping[str, str]) -> None:
        self.entrant = entrant
        self._process = subprocess.Popen(
            [str(python), "-m", "bench.capture.worker", entrant.adapter],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def greeted(self) -> str:
        """Wait until it has started; return the version of its package. Raises WorkerFailed."""
        return str(self._answer())

    def ask(self, do: str, **order: Any) -> Any:
        """Give an order and wait for the answer. Raises WorkerFailed."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"failed": f"It ended with {self._process.wait()}."}
        if "failed" in answer:
            raise WorkerFailed(f"{self.entrant.name}: {answer['failed']}")
        return answer["done"]

    def end(self) -> None:
        """End it: it has no more orders to wait for."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
