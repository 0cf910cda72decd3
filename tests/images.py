"""The image and the composition as this machine can try them without a Docker engine.

The tree that docker/Dockerfile copies is put together in a folder, Python is limited to the packages of
docker/requirements.lock, and each service of docker/compose.yaml runs there by docker/entrypoint.sh with the very
environment and secrets that the composition gives it.
"""

from __future__ import annotations

import compileall
import fnmatch
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from servers import ROOT

DOCKER = ROOT / "docker"


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions in order, continued lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def stage() -> list[tuple[str, str]]:
    """Return the instructions of the last stage, which is the image."""
    found = instructions()
    begin = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    return found[begin:]


def environment() -> dict[str, str]:
    """Return the variables that the image sets, but PATH."""
    said = " ".join(rest for word, rest in stage() if word == "ENV")
    return {name: value for name, value in (pair.split("=", 1) for pair in said.split()) if name != "PATH"}


def sent(path: Path) -> bool:
    """Tell whether .dockerignore lets a file of the project into the build: the last rule that fits decides."""
    name, out = path.relative_to(ROOT).as_posix(), False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        rule = line.strip().lstrip("!").removeprefix("**/")
        if not rule or rule.startswith("#"):
            continue
        parts = name.split("/") if line.startswith("**/") else ["/".join(name.split("/")[: rule.count("/") + 1])]
        if any(fnmatch.fnmatch(part, rule) for part in parts):
            out = not line.startswith("!")
    return not out


def assemble(folder: Path) -> None:
    """Copy what the Dockerfile copies into its last stage, and compile it as that does."""
    for word, rest in stage():
        if word != "COPY" or rest.startswith("--from"):
            continue
        *sources, target = rest.split()
        for source in sources:
            for file in [ROOT / source, *(ROOT / source).rglob("*")]:
                if file.is_file() and sent(file):
                    inside = file.relative_to(ROOT / source) if file != ROOT / source else Path()
                    to = folder / (target if target != "./" else source) / inside
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, to)
    compileall.compile_dir(folder, quiet=1)


def locked(path: Path) -> dict[str, str]:
    """Return the versions that a lock pins, by name."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def python(folder: Path) -> Path:
    """Make a `python` that finds the packages of the image's lock and no others; return the folder it is in."""
    packages, programs = folder / "packages", folder / "bin"
    packages.mkdir(parents=True)
    programs.mkdir()
    for name in locked(DOCKER / "requirements.lock"):
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # for another system
            continue
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] != ".."}:
            if not (packages / top).exists():
                (packages / top).symlink_to(str(found.locate_file(top)))
    program = programs / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={packages}:. exec {sys.executable} -S "$@"\n')
    program.chmod(0o755)
    return programs


def composition() -> dict[str, Any]:
    """Return compose.yaml, its variables at their defaults."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = yaml.safe_load(text)
    return found


class Machine:
    """The services of the composition as processes of this machine, against a PostgreSQL of the test's own."""

    def __init__(self, folder: Path, admin_dsn: str) -> None:
        self.folder, self.admin_dsn = folder, admin_dsn
        self.tree, self.secrets = folder / "tree", folder / "secrets"
        assemble(self.tree)
        (folder / "tmp").mkdir()
        self.path = f"{python(folder)}:{os.defpath}"
        subprocess.run(
            ["/bin/sh", str(DOCKER / "secrets.sh"), str(self.secrets)], check=True, stdout=subprocess.DEVNULL
        )
        login, _, where = admin_dsn.removeprefix("postgresql://").partition("@/postgres?")
        (self.secrets / "postgres_password").write_text(login.partition(":")[2])
        for file in self.secrets.glob("*database_url"):
            self._redirect(file, where)
        (self.secrets / "admin_database_url").write_text(admin_dsn)
        (self.secrets / "superuser_database_url").write_text(admin_dsn.replace("@/postgres?", "@/daybook?"))

    @staticmethod
    def _redirect(file: Path, where: str) -> None:
        """Let a URL name this test's server in place of the service `database`."""
        login, _, database = file.read_text().partition("@database:5432/")
        file.write_text(f"{login}@/{database}?{where}")

    def environment(self, service: str, **changed: str) -> dict[str, str]:
        """Return what a container of the service finds in its environment, its secrets in this test's folder."""
        said = {name: str(value) for name, value in composition()["services"][service]["environment"].items()}
        for name, value in said.items():
            if value.startswith("/run/secrets/"):
                mounted = value.removeprefix("/run/secrets/")
                assert mounted in composition()["services"][service]["secrets"], f"{service} is not given {mounted}"
                said[name] = str(self.secrets / mounted)
        here = {"PATH": self.path, "TMPDIR": str(self.folder / "tmp"), "HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}
        return {**environment(), **said, **here, **changed}

    def command(self, service: str, *arguments: str) -> list[str]:
        """Return what a container of the service runs; `arguments` take the place of its command."""
        made = composition()["services"][service]
        entry = made.get("entrypoint") or json.loads(dict(stage())["ENTRYPOINT"])
        return [*entry, *(arguments or made["command"])]

    def run(self, service: str, *arguments: str, stdin: str = "", **changed: str) -> subprocess.CompletedProcess[str]:
        """Run a service that ends."""
        return subprocess.run(
            self.command(service, *arguments), check=False, cwd=self.tree, env=self.environment(service, **changed),
            input=stdin, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def done(self, service: str, *arguments: str, **changed: str) -> str:
        """Run a service that ends well; return its output."""
        finished = self.run(service, *arguments, **changed)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def start(self, service: str, *arguments: str, **changed: str) -> subprocess.Popen[str]:
        """Start a service that stays."""
        return subprocess.Popen(
            self.command(service, *arguments), cwd=self.tree, env=self.environment(service, **changed),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
        )  # fmt: skip

    def healthy(self, port: int) -> subprocess.CompletedProcess[str]:
        """Run the image's health check."""
        health = dict(stage())["HEALTHCHECK"].partition("CMD ")[2]
        return subprocess.run(
            json.loads(health), check=False, cwd=self.tree, env=self.environment("web", PORT=str(port)),
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
