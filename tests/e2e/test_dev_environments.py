"""Development environments of several worktrees of one project, at the same time, and their failures."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .conftest import NOTHING, Project, docker_holds, remove
from .test_environments import fetch, free_ports, replace

OVERRIDE = """\
services:
  seed: {image: "redis:8-alpine", command: "true"}
  plain: {image: "redis:8-alpine"}
"""


#: The worktrees, beside the main checkout.
NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight")


def label_of(name: str) -> str:
    return f"com.docker.compose.project={name}"


@pytest.fixture(scope="module")
def main(generate: Callable[..., Project]) -> Iterator[Project]:
    """The main checkout of a project with an api and its database, on free ports."""
    project = generate(services="api")
    project.commit()
    ports = dict(zip(("API_PORT", "DATABASE_PORT"), free_ports(2), strict=True))
    lines = [f"{name}={port}\n" for name, port in ports.items()]
    (project.path / "deploy/dev/.env").write_text("".join(lines))
    yield project
    for path in project.path.parent.glob(f"{project.slug}-*"):
        shutil.rmtree(path, ignore_errors=True)


def worktree(main: Project, name: str) -> Project:
    path = main.path.parent / f"{main.slug}-{name}"
    main.run("git", "worktree", "add", "--quiet", "-b", name, str(path))
    return Project(path, main.slug)


def environments(project: Project) -> dict[Path, dict[str, Any]]:
    """Return what `make dev-list` prints, by checkout."""
    found = json.loads(project.make("dev-list", "ARGS=--json"))
    return {Path(one["checkout"]): one for one in found}


def api(project: Project) -> str:
    """Return the address of a checkout's api."""
    [address] = environments(project)[project.path]["addresses"]["api"]
    assert isinstance(address, str)
    return address


@pytest.mark.drills
def test_eight_worktrees_develop_and_test_at_the_same_time(main: Project) -> None:
    checkouts = [main, *(worktree(main, name) for name in NAMES)]
    for one in checkouts[1:]:
        for name in one.run("git", "grep", "-l", '"ok"', "--", "*.py").splitlines():
            replace(one.path / name, '"ok"', f'"{one.path.name}"')
    with ThreadPoolExecutor(len(checkouts)) as pool:
        for said in pool.map(lambda one: one.make("dev"), checkouts):
            assert "http://127.0.0.1:" in said
        for said in pool.map(lambda one: one.make("setup", "test"), checkouts):
            assert "PASSED: " in said
    assert main.left() == NOTHING
    found = environments(main)
    assert found.keys() == {one.path for one in checkouts}
    assert found[main.path]["name"] == f"{main.slug}-dev"
    assert {one["state"] for one in found.values()} == {"running"}
    assert {one["branch"] for one in found.values()} >= set(NAMES)
    for one in checkouts:
        fetch(f"{api(one)}/api/items", {"name": one.path.name})
    for one in checkouts:
        rows = json.loads(fetch(f"{api(one)}/api/items"))
        assert [row["name"] for row in rows] == [one.path.name]
        health = "ok" if one is main else one.path.name
        assert f'"{health}"' in fetch(f"{api(one)}/health")

    # The choice stays, and Compose by hand acts on the same environment.
    before = {path: one["addresses"] for path, one in found.items()}
    two = checkouts[2]
    two.make("dev-down", COMPOSE_PROJECT_NAME=f"{main.slug}-dev", GIT_DIR=f"{main.path}/.git")
    assert environments(main)[two.path]["state"] == "down"
    by_hand = Project(two.path / "deploy/dev", main.slug)
    by_hand.run("docker", "compose", "up", "--detach", "--wait")
    assert {path: one["addresses"] for path, one in environments(main).items()} == before
    assert two.path.name in fetch(f"{api(two)}/api/items")

    # Only the environments of deleted worktrees are removed, and completely.
    gone = [found[one.path]["name"] for one in checkouts[1:]]
    assert "nothing to remove" in main.make("dev-clean", "ARGS=--yes")
    for one in checkouts[1:]:
        main.run("git", "worktree", "remove", "--force", str(one.path))
    said = main.make("dev-clean", fails=True)
    assert all(name in said for name in gone)
    assert "nothing removed" in said
    main.make("dev-clean", "ARGS=--yes")
    assert [docker_holds(label_of(name)) for name in gone] == [NOTHING] * len(gone)
    assert main.path.name in fetch(f"{api(main)}/api/items")


def test_a_worktree_starts_with_the_data_of_the_main_checkout(main: Project) -> None:
    main.make("dev")
    fetch(f"{api(main)}/api/items", {"name": "copied"})
    main.make("dev-down")
    copy = worktree(main, "copy")
    copy.make("dev", "FROM=main")
    assert "copied" in fetch(f"{api(copy)}/api/items")
    assert environments(main)[main.path]["state"] == "down"
    assert "has data" in copy.make("dev", "FROM=main", fails=True)
    assert "this one is the main checkout" in main.make("dev", "FROM=main", fails=True)


def test_failures_are_explained(main: Project) -> None:
    project = worktree(main, "failing")
    folder = project.path / "deploy/dev"
    (folder / "docker-compose.override.yml").write_text(OVERRIDE)
    said = project.make("dev")
    assert "plain" in said
    assert "seed" not in said
    name = environments(project)[project.path]["name"]
    env = folder / ".env"

    [port] = [
        int(line[9:]) for line in env.read_text().splitlines() if line.startswith("API_PORT=")
    ]
    project.make("dev-down")
    with socket.create_server(("127.0.0.1", port)):
        said = project.make("dev", fails=True)
    assert f"port {port} of api is in use by another program" in said
    assert "set another port in deploy/dev/.env, such as API_PORT=" in said

    text = env.read_text()
    env.write_text(text.replace("POSTGRES_PASSWORD=postgres", "POSTGRES_PASSWORD=changed"))
    said = project.make("dev", fails=True)
    assert "the password in deploy/dev/.env is not the password of the existing data" in said
    env.write_text(text)

    [migration] = (project.path / "services/api/api/migrations/versions").glob("*.py")
    replace(
        migration,
        "def upgrade() -> None:\n",
        "def upgrade() -> None:\n    raise ValueError('oops')\n",
    )
    remove(label_of(name))
    said = project.make("dev", fails=True)
    assert "the migration api-migrate failed" in said
    assert "ValueError: oops" in said
    replace(migration, "    raise ValueError('oops')\n", "")

    dockerfile = project.path / "services/api/Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "RUN echo broken && false\n")
    replace(folder / "docker-compose.yml", "      target: dev\n", "")
    assert "an image failed to build" in project.make("dev", fails=True)
