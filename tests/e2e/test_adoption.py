"""Sample repositories in other people's style: adopted, and then tested and run by the pipeline.

Each test follows what a user does: it runs the steps that the adoption prints, and none else. The
sample repositories and what is expected of them are in tests/adopt.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ..adopt.conftest import STAND_INS, copier_copy, git, make_repository, snapshot, stand_in
from .conftest import PYTHON_VERSION, remove
from .conftest import sh as plain_sh

pytestmark = pytest.mark.docker

#: By sample, the stages in which its own tests run, and how many. None: its tool gives no numbers.
TESTS: dict[str, dict[str, int | None]] = {
    # The four of its basket run twice: without Redis, one of them is skipped.
    "bazaar": {"unit": 28, "service": 4, "integration": 4},
    "fieldnotes": {"unit": 6, "service": 4, "integration": 2},
    "geolookup": {"unit": 8, "service": 8, "integration": 1},
    "jobline": {"unit": 10, "service": 2, "integration": 2},
    "letterbox": {"unit": 7, "service": 2, "integration": 1},
    "linkshelf": {"unit": 6, "service": 4, "integration": 4},
    "pollstation": {"unit": 12, "integration": 3},
    "quoteboard": {"unit": 6, "integration": 3},
}

#: The samples of the default run; `nox -s drills` runs all.
FEW = ("letterbox", "pollstation")

#: By sample, a service that answers in development: its variable with the port, and a path.
ADDRESSES = {
    "bazaar": ("FRONTEND_PORT", "/_healthz"),
    "fieldnotes": ("BACKEND_PORT", "/api/v1/utils/health-check/"),
    "geolookup": ("GEOCODER_PORT", "/status"),
    "jobline": ("WEB_PORT", "/health"),
    "letterbox": ("SIGNUP_PORT", "/-/ready"),
    "linkshelf": ("APP_PORT", "/ping"),
    "pollstation": ("WEB_PORT", "/"),
    "quoteboard": ("SERVER_PORT", "/healthz"),
}


@cache
def python() -> str:
    """Return the Python for all samples: each has its own version, which may not be installed."""
    with tempfile.TemporaryDirectory() as folder:
        # A version manager may choose the Python by this file.
        Path(folder, ".python-version").write_text(f"{PYTHON_VERSION}\n")
        found = plain_sh("uv", "python", "find", cwd=Path(folder))
    # Warnings come first.
    path = found.stdout.splitlines()[-1] if found.returncode == 0 else ""
    return path or PYTHON_VERSION


def sh(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command, with one version of Python for all samples."""
    return plain_sh(*command, cwd=cwd, UV_PYTHON=python(), **env)


def samples(few: Collection[str] = FEW) -> Iterator[Any]:
    """Yield all samples, of which the default run has only a few."""
    for name in TESTS:
        yield pytest.param(name, marks=[] if name in few else pytest.mark.drills)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, docker_engine: None) -> Path:
    """A clone of the working tree, so that adopted projects can be updated."""
    root = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp("template")
    for part in ("copier.yml", "extensions", "includes", "migrations", "tasks", "template"):
        source = root / part
        junk = shutil.ignore_patterns("__pycache__", ".*_cache")
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=junk)
        else:
            shutil.copy2(source, folder / part)
    git("init", "--quiet", "--initial-branch=main", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--message=Template", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def adopt(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Callable[[str], Path]:
    """Return the function that adopts a sample and runs the printed steps, once for all its tests."""

    @cache
    def adopted(name: str) -> Path:
        for image in STAND_INS:
            stand_in(image)
        root = make_repository(name, tmp_path_factory.mktemp(name))
        before = snapshot(root)
        # Two runs of these tests must not share an environment.
        slug = f"--data=project_slug={name}-{secrets.token_hex(3)}"
        python = f"--data=python_version={PYTHON_VERSION}"
        done = copier_copy(root, template, "--quiet", slug, python)
        assert done.returncode == 0, done.stdout
        assert before.items() <= snapshot(root).items(), "an existing file is changed"
        run_steps(root, done.stdout)
        git("add", "--all", cwd=root)
        git("commit", "--quiet", "--message=Adopt the template", cwd=root)
        setup = sh("make", "setup", cwd=root)
        assert setup.returncode == 0, setup.stdout
        return root

    return adopted


def run_steps(root: Path, said: str) -> None:
    """Do what the adoption asks for: lines to add to .gitignore, and commands."""
    lines = re.search(r"^  - \.gitignore: add ((?:.+\n    )*.+)$", said, re.MULTILINE)
    if lines:
        with (root / ".gitignore").open("a", encoding="utf-8") as file:
            file.write("\n".join(["", *re.split(r",\s+", lines[1]), ""]))
    for command in re.findall(r"^ {6}(\S.*)$", said, re.MULTILINE):
        done = sh("bash", "-c", command, cwd=root)
        assert done.returncode == 0, done.stdout


def status_of(url: str) -> int:
    """Return the status of a page. A server without a health check may not listen yet."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return int(response.status)
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


@pytest.mark.parametrize("name", [*samples()])
def test_its_own_tests_run_in_the_stages(adopt: Callable[[str], Path], name: str) -> None:
    root = adopt(name)
    done = sh("make", "test", cwd=root)
    assert done.returncode == 0, done.stdout
    summary = root / ".test-results/latest/summary.json"
    found: dict[str, int | None] = {}
    for target in json.loads(summary.read_text("utf-8"))["targets"]:
        if target["state"] == "skipped":
            continue
        stage, tests = target["stage"], target["tests"]
        known = found.get(stage, 0)
        found[stage] = None if tests is None or known is None else known + tests
    assert found == TESTS[name], done.stdout
    # uv locks a project that has no lock file yet.
    assert sh("git", "status", "--porcelain", cwd=root).stdout in ("", "?? uv.lock\n")


def free_ports(root: Path) -> dict[str, int]:
    """Write a free port for each variable of the development environment to its .env."""
    text = "".join(path.read_text("utf-8") for path in (root / "deploy/dev").glob("*.yml"))
    names = sorted(set(re.findall(r"\$\{(\w+_PORT\w*):-", text)))
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    found = {name: one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}
    for one in sockets:
        one.close()
    with (root / "deploy/dev/.env").open("a", encoding="utf-8") as file:
        file.writelines(f"{name}={port}\n" for name, port in found.items())
    return found


@pytest.mark.parametrize("name", [*samples()])
def test_it_runs_for_development(adopt: Callable[[str], Path], name: str) -> None:
    root = adopt(name)
    ports = free_ports(root)
    started = sh("make", "dev", cwd=root)
    try:
        assert started.returncode == 0, started.stdout
        variable, path = ADDRESSES[name]
        assert status_of(f"http://127.0.0.1:{ports[variable]}{path}") == 200
    finally:
        down = ("docker", "compose", "down", "--volumes", "--rmi=local", "--timeout=2")
        assert sh(*down, cwd=root / "deploy/dev").returncode == 0
        remove(f"dev.checkout={root.resolve()}")


#: By sample, what a further service gets, which stays in its folder; others get a placeholder.
FURTHER = {"pollstation": ("NEEDS=api", "SET=path=web context=web port=3000 language=node")}


@pytest.mark.parametrize("name", [*samples(("pollstation",))])
def test_it_grows_and_is_updated(adopt: Callable[[str], Path], template: Path, name: str) -> None:
    root = adopt(name)
    git("add", "--all", cwd=root)
    git("commit", "--quiet", "--allow-empty", "--message=Lock files", cwd=root)
    further = FURTHER.get(name, ())
    added = sh("make", "add-service", "NAME=stats", "KIND=custom", *further, cwd=root)
    assert added.returncode == 0, added.stdout
    git("commit", "--quiet", "--message=Add stats", cwd=root)
    compose = sh("docker", "compose", "config", "--quiet", cwd=root / "deploy/dev")
    assert compose.returncode == 0, compose.stdout
    assert (root / "services/stats/deploy/test/docker-compose.yml").is_file()
    assert (root / "services/stats/Dockerfile").exists() == (not further)

    script = template / "template/scripts/check-tools.sh"
    script.write_text(script.read_text("utf-8") + f"# A change of the template for {name}.\n")
    git("commit", "--quiet", "--all", "--message=Change", cwd=template)
    theirs = {path: path.read_bytes() for path in root.rglob("docker-compose.override.yml")} | {
        path: path.read_bytes()
        for path in root.glob("[Mm]akefile")
        if (root / "pipeline.mk").exists()
    }
    updated = sh("make", "template-update", cwd=root)
    assert updated.returncode == 0, updated.stdout
    assert f"template for {name}." in (root / "scripts/check-tools.sh").read_text("utf-8")
    assert {path: path.read_bytes() for path in theirs} == theirs
    changed = sh("git", "diff", "--cached", "--name-only", cwd=root).stdout.split()
    assert changed == [".copier-answers.yml", "scripts/check-tools.sh"]
