"""Sample repositories in other people's style: adopted, and then tested and run by the pipeline.

Each test follows what a user does: it runs the steps that the adoption prints, and none else. The
sample repositories and what is expected of them are in tests/adopt.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ..adopt.conftest import STAND_INS, copier_copy, git, make_repository, snapshot, stand_in
from .conftest import PYTHON_VERSION
from .conftest import sh as plain_sh

pytestmark = pytest.mark.docker

#: By sample, the stages in which its own tests run, and how many. None: its tool gives no numbers.
TESTS: dict[str, dict[str, int | None]] = {
    "bazaar": {"unit": 27, "service": 1, "integration": 4},
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

#: By sample, an address of the development environment that must answer.
ADDRESSES = {"letterbox": "http://127.0.0.1:9090/-/ready", "pollstation": "http://127.0.0.1:3000/"}


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


def samples() -> Iterator[Any]:
    for name in TESTS:
        yield pytest.param(name, marks=[] if name in FEW else pytest.mark.drills)


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


@pytest.fixture
def adopt(tmp_path: Path, template: Path) -> Callable[[str], Path]:
    """Return the function that adopts a sample and runs the printed steps."""

    def adopted(name: str) -> Path:
        for image in STAND_INS:
            stand_in(image)
        root = make_repository(name, tmp_path)
        before = snapshot(root)
        done = copier_copy(root, template, "--quiet", f"--data=python_version={PYTHON_VERSION}")
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
    assert sh("git", "status", "--porcelain", cwd=root).stdout == ""


@pytest.mark.parametrize("name", list(ADDRESSES))
def test_it_runs_for_development(adopt: Callable[[str], Path], name: str) -> None:
    root = adopt(name)
    started = sh("make", "dev", cwd=root, COMPOSE_PROJECT_NAME=f"{name}-dev-{os.getpid()}")
    try:
        assert started.returncode == 0, started.stdout
        assert status_of(ADDRESSES[name]) == 200
    finally:
        down = sh(
            *("docker", "compose", "down", "--volumes", "--rmi=local", "--timeout=2"),
            cwd=root / "deploy/dev",
            COMPOSE_PROJECT_NAME=f"{name}-dev-{os.getpid()}",
        )
        assert down.returncode == 0, down.stdout


def test_it_grows_and_is_updated(adopt: Callable[[str], Path], template: Path) -> None:
    root = adopt("pollstation")
    added = sh(
        "make", "add-service", "NAME=stats", "KIND=custom", "NEEDS=api",
        "SET=path=web context=web port=3000 language=node", cwd=root,
    )  # fmt: skip
    assert added.returncode == 0, added.stdout
    git("commit", "--quiet", "--message=Add stats", cwd=root)
    compose = sh("docker", "compose", "config", "--quiet", cwd=root / "deploy/dev")
    assert compose.returncode == 0, compose.stdout
    assert (root / "services/stats/deploy/test/docker-compose.yml").is_file()
    assert not (root / "services/stats/Dockerfile").exists()

    script = template / "template/scripts/check-tools.sh"
    script.write_text(script.read_text("utf-8") + "# A change of the template.\n")
    git("commit", "--quiet", "--all", "--message=Change", cwd=template)
    overrides = {path: path.read_bytes() for path in root.rglob("docker-compose.override.yml")} | {
        root / "Makefile": (root / "Makefile").read_bytes()
    }
    updated = sh("make", "template-update", cwd=root)
    assert updated.returncode == 0, updated.stdout
    assert "A change of the template" in (root / "scripts/check-tools.sh").read_text("utf-8")
    assert {path: path.read_bytes() for path in overrides} == overrides
    changed = sh("git", "diff", "--cached", "--name-only", cwd=root).stdout.split()
    assert changed == [".copier-answers.yml", "scripts/check-tools.sh"]
