"""`openapi-typescript` makes types of the document that compile strictly; a program in Node works with them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from running import Running
from servers import ROOT

SOURCES = Path(__file__).parent / "typescript"
# What npm says when it cannot reach a registry: then there is nothing to test with.
_OFFLINE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT|E40[137]")
_NODE = 20


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder."""
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=180)


def node_is_there() -> bool:
    """Tell whether Node and npm are installed, in a version that the tools run on."""
    if not shutil.which("node") or not shutil.which("npm"):
        return False
    version = run(SOURCES, "node", "--version").stdout
    return int(version.removeprefix("v").partition(".")[0] or 0) >= _NODE


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sources, the pinned packages and the types made of the document."""
    if not node_is_there():
        pytest.skip(f"Node {_NODE} and npm are not installed: the TypeScript client is not tested here")
    folder = tmp_path_factory.mktemp("typescript") / "project"
    shutil.copytree(SOURCES, folder)
    installed = run(folder, "npm", "ci", "--prefer-offline", "--no-progress", "--ignore-scripts")
    if installed.returncode and _OFFLINE.search(installed.stderr):
        pytest.skip("npm reaches no registry: the TypeScript client is not tested here")
    assert installed.returncode == 0, installed.stderr
    document = str(ROOT / "docs" / "openapi" / "tenant.json")
    made = run(folder, "node_modules/.bin/openapi-typescript", document, "--output", "daybook.d.ts")
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


def test_the_lock_file_names_no_registry_and_pins_every_package() -> None:
    lock = (SOURCES / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    assert "registry" not in lock
    packages = re.findall(r'"node_modules/[^"]+": \{', lock)
    assert len(packages) > 20
    assert lock.count('"integrity": "sha512-') == len(packages)


def test_a_program_compiles_strictly_and_makes_the_round_trip(project: Path, server: Running) -> None:
    compiled = run(project, "node_modules/.bin/tsc")
    assert compiled.returncode == 0, compiled.stdout
    done = run(project, "node", "built/roundtrip.js", server.url, server.keys["acme.write"], server.keys["acme.read"])
    assert (done.returncode, done.stdout) == (0, "round trip done\n"), done.stderr
