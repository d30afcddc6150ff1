"""What adoption finds in existing projects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extensions import items
from extensions.discovery import Found, found, valid_name
from extensions.languages import MAX_SOURCES
from extensions.services import resolve
from extensions.source_files import SourceFiles

from .repositories import CELERY, PYTHON, write


def search(root: Path, files: dict[str, str], *, git: bool = False) -> Found:
    result = found(write(root, files, git=git))
    if result.items:
        resolve(
            layout="multi", services=result.items, service_kind="", database=result.database,
            cache=result.cache, project_slug="shop", registry="ghcr.io/me",
        )  # fmt: skip
    return result


def by_name(result: Found) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in result.items}


def test_a_monorepo_with_twelve_dockerfiles(tmp_path: Path) -> None:
    names = [f"{letter}service" for letter in "abcdefghijkl"]
    files = {f"src/{name}/Dockerfile": PYTHON for name in names}
    files |= {f"src/{name}/requirements.txt": "fastapi" for name in names}
    files["examples/x/Dockerfile"] = files["vendor/y/Dockerfile"] = PYTHON
    result = search(tmp_path, files, git=True)
    assert list(by_name(result)) == names
    assert by_name(result)["aservice"]["path"] == "src/aservice"
    assert (result.database, result.cache) == ("none", "none")
    assert any(note.startswith("examples/, vendor/: 2 Dockerfiles") for note in result.notes)


def test_a_dockerfile_at_the_root_outranks_a_bare_manifest(tmp_path: Path) -> None:
    files = {"Dockerfile": PYTHON, "pyproject.toml": "", "helper/package.json": "{}"}
    result = search(tmp_path, files)
    assert result.items == [
        {"name": "app", "kind": "custom", "path": ".", "health": "none", "language": "python"}
    ]
    assert result.notes == ["helper/: not taken, because it has a manifest but no Dockerfile"]


def test_web_workers_and_migrations_of_one_image(tmp_path: Path) -> None:
    result = search(tmp_path, CELERY, git=True)
    services = by_name(result)
    assert list(services) == ["web", "migrate-service", "celery-worker"]
    common = {"path": "app", "context": ".", "dockerfile": "app/Dockerfile"}
    for item in services.values():
        assert common.items() <= item.items()
    assert services["web"]["needs"] == ["database", "migrate-service"]
    assert services["web"]["published"] == 8000
    assert services["web"]["aliases"] == ["shop_web"]
    assert services["celery-worker"]["http"] is False
    assert services["celery-worker"]["aliases"] == ["celery_worker"]
    assert services["migrate-service"]["one_shot"] is True
    assert (result.database, result.cache) == ("postgres", "redis")
    assert list(result.backing) == ["rabbit", "adminer", "nginx"]
    assert result.hosts["db"] == "database"


def test_a_backend_that_is_built_from_the_root(tmp_path: Path) -> None:
    # A uv workspace: the lock file at the root belongs to all members.
    result = search(tmp_path, {
        "pyproject.toml": "[tool.uv.workspace]\nmembers = ['backend']",
        "uv.lock": "",
        "backend/pyproject.toml": "[project]\nname = 'backend'\ndependencies = ['fastapi']",
        "backend/Dockerfile": "FROM python:3.13\nCOPY uv.lock .\nCOPY backend backend\n",
        "compose.yaml": "services: {backend: {build: {context: ., dockerfile: backend/Dockerfile}}}",
    })  # fmt: skip
    expected = {"path": "backend", "context": ".", "dockerfile": "backend/Dockerfile"}
    assert expected.items() <= result.items[0].items()
    (tmp_path / "compose.yaml").unlink()
    assert expected.items() <= found(tmp_path).items[0].items()


def test_needs_come_from_links_and_from_hosts_in_variables(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": """
            services:
              web: {build: web, links: ["api:backend"]}
              api: {build: api, environment: {STORE: "http://store:8000/x", OTHER: "apis"}}
              store: {build: store, environment: ["BACK=web:80"]}
            """,
        **{f"{name}/Dockerfile": PYTHON for name in ("web", "api", "store")},
    })  # fmt: skip
    needs = {name: item.get("needs") for name, item in by_name(result).items()}
    # The need of store would be a cycle.
    assert needs == {"web": ["api"], "api": ["store"], "store": None}
    assert by_name(result)["api"]["aliases"] == ["backend"]


@pytest.mark.parametrize(
    ("dockerfile", "more", "expected"),
    [
        ("FROM node:24\nEXPOSE 3000\nHEALTHCHECK CMD true\n", {}, {"port": 3000}),
        ("FROM node:24\nEXPOSE 3000\n", {"s/app.js": "app.get('/healthz', ok)"},
         {"port": 3000, "health": "/healthz"}),
        ("FROM node:24\nEXPOSE 3000\n", {"s/app.js": "router.get('/healthz', ok)"},
         {"port": 3000, "health": "none"}),
        ("FROM golang AS b\nFROM scratch\nEXPOSE 9000\n", {"s/go.mod": "", "s/m.go": 'http.HandleFunc("/health", h)'},
         {"port": 9000, "health": "none"}),
        ("FROM nginx:1-alpine\n", {}, {"port": 80, "health": "wget -q -O /dev/null http://127.0.0.1:80/"}),
        ("FROM python:3.13\nCMD [\"flask\", \"run\", \"--port\", \"5050\"]\n", {}, {"port": 5050, "health": "none"}),
        ("FROM python:3.13\nCMD python worker.py\n", {}, {"http": False}),
        ("FROM rust\nCMD batch\n", {"s/Cargo.toml": ""}, {"http": False}),
    ],
)  # fmt: skip
def test_ports_and_health(
    tmp_path: Path, dockerfile: str, more: dict[str, str], expected: dict[str, Any]
) -> None:
    result = search(tmp_path, {"s/Dockerfile": dockerfile, "s/package.json": "{}", **more})
    keys = ("port", "health", "http")
    assert {key: result.items[0][key] for key in keys if key in result.items[0]} == expected


def test_health_checks_of_the_compose_file(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": """
            services:
              a: {build: a, healthcheck: {test: [CMD, probe, --deep]}}
              b: {build: a, command: uvicorn b, healthcheck: {test: "test -f $$HOME/x"}}
              c: {build: a, command: uvicorn c, healthcheck: {disable: true}}
            """,
        "a/Dockerfile": PYTHON,
    })  # fmt: skip
    health = [item["health"] for item in result.items]
    assert health == [["probe", "--deep"], "test -f $HOME/x", "none"]


def test_a_seeder_runs_once(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": """
            services:
              vote: {build: vote, ports: ["8080:80"]}
              seed: {build: seed-data, restart: "no", profiles: [seed], depends_on: [vote]}
            """,
        "vote/Dockerfile": PYTHON,
        "seed-data/Dockerfile": "FROM python:3.13\nCMD ./seed.sh\n",
    })  # fmt: skip
    assert by_name(result)["seed"] == {
        "name": "seed", "kind": "custom", "path": "seed-data", "one_shot": True,
        "language": "python", "needs": ["vote"],
    }  # fmt: skip


def test_a_stage_for_development_is_left_to_dev(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": "services: {a: {build: {context: ., target: dev}}, b: {build: {context: ., target: jobs}}}",
        "Dockerfile": "FROM python:3.13 AS dev\nFROM python:3.13 AS jobs\nFROM dev\nEXPOSE 80\n",
    })  # fmt: skip
    assert "target" not in by_name(result)["a"]
    assert by_name(result)["b"]["target"] == "jobs"


@pytest.mark.parametrize(
    ("build", "note"),
    [
        ("../other", "its build context is outside the project"),
        ("./gone", "its build context gone is missing"),
        ("./empty", "its Dockerfile empty/Dockerfile is missing"),
        ("'./my app'", "its path contains a space"),
    ],
)
def test_impossible_builds_give_a_note(tmp_path: Path, build: str, note: str) -> None:
    files = {
        "compose.yaml": f"services: {{api: {{build: {build}}}}}",
        "empty/x": "",
        "my app/Dockerfile": PYTHON,
    }
    result = search(tmp_path / "project", files)
    assert result.items == []
    assert note in result.notes[0]


def test_variants_of_a_dockerfile_and_named_ones(tmp_path: Path) -> None:
    names = (
        "Dockerfile",
        "Dockerfile.dev",
        "Dockerfile.billing",
        "jobs.Dockerfile",
        "Dockerfile.j2",
    )
    result = search(tmp_path, dict.fromkeys(names, PYTHON))
    assert sorted(by_name(result)) == ["app", "billing", "jobs"]
    assert any(note.startswith("Dockerfile.dev: not taken") for note in result.notes)


def test_other_images_of_databases_are_kept_as_they_are(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": """
            services:
              api: {build: ., depends_on: [mariadb]}
              mariadb: {image: "mariadb:11"}
              proxy: {image: "traefik:3"}
            """,
        "Dockerfile": PYTHON,
    })  # fmt: skip
    assert (result.database, list(result.backing)) == ("none", ["mariadb"])
    assert "needs" not in result.items[0]
    assert any("traefik" in note for note in result.notes)


@pytest.mark.parametrize("files", [{}, {"README.md": "x", "LICENSE": "", ".gitignore": ""},
                                   {"compose.yaml": "services: {db: {image: mysql}}"}])  # fmt: skip
def test_without_a_service_nothing_is_found(tmp_path: Path, files: dict[str, str]) -> None:
    assert search(tmp_path, files).items == []


def test_links_in_a_circle_and_ignored_files(tmp_path: Path) -> None:
    write(tmp_path, {"api/Dockerfile": PYTHON, ".gitignore": "old/", "old/Dockerfile": PYTHON})
    (tmp_path / "api/loop").symlink_to("..")
    assert len(found(tmp_path).items) == 2
    assert list(by_name(search(tmp_path, {"x": ""}, git=True))) == ["api"]


@pytest.mark.parametrize(
    "name", ["migrate", "pg-x", "a-migrate", "9lives", "Ünï code", "x" * 60, "test"]
)
def test_every_name_becomes_valid(name: str) -> None:
    items.parse([{"name": valid_name(name), "kind": "custom"}])


def test_the_search_for_a_health_check_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for a service must not grow with the size of its code."""
    read: list[str] = []
    read_anew = SourceFiles.read

    def counted(self: SourceFiles, path: str) -> str:
        read.append(path)
        return read_anew(self, path)

    monkeypatch.setattr(SourceFiles, "read", counted)
    files = {f"api/f{number}.py": "x = 1\n" for number in range(MAX_SOURCES + 100)}
    write(tmp_path, files | {"api/Dockerfile": PYTHON})
    assert len(found(tmp_path).items) == 1
    assert len([path for path in read if path.endswith(".py")]) == MAX_SOURCES
