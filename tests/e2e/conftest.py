"""Generated projects, run as their users run them: `make`, on a real Docker engine."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: What the projects run on. A machine that cannot download the newest Python sets what it has.
PYTHON_VERSION = os.environ.get("E2E_PYTHON", "3.13")

#: Docker's nouns, and how each one's things are listed by label.
LISTINGS = {
    "container": ("ps", "--all", "--quiet"),
    "network": ("network", "ls", "--quiet"),
    "volume": ("volume", "ls", "--quiet"),
    "image": ("image", "ls", "--all", "--quiet"),
}


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without what this test session adds, and what would change a project."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COMPOSE_", "PYTEST_", "TEST_", "NOX_"))
        and name not in ("VIRTUAL_ENV", "CI", "FORCE_COLOR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
        # nox tells uv to work in the session's own environment.
        and name not in ("UV_PYTHON", "UV_PROJECT_ENVIRONMENT")
    }
    # The session's own packages must not be what `uv` or `python` find first in a project.
    here = str(Path(sys.prefix) / "bin")
    path = [entry for entry in env["PATH"].split(os.pathsep) if entry != here]
    return env | {"PATH": os.pathsep.join(path)} | more


def sh(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and keep what it says, both streams as one."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=600,
    )


@dataclass
class Project:
    """A generated project."""

    path: Path
    slug: str
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, fails: bool = False, **env: str) -> str:
        """Run a command in the project, which must pass (or fail). Return what it said."""
        done = sh(*command, cwd=self.path, **self.env | env)
        assert bool(done.returncode) == fails, (
            f"{command} ended with {done.returncode}:\n{done.stdout}"
        )
        return done.stdout

    def make(self, *args: str, fails: bool = False, **env: str) -> str:
        """Run make in the project."""
        return self.run("make", *args, fails=fails, **env)

    def left(self) -> dict[str, list[str]]:
        """List what Docker holds of this project's tests, by label."""
        return docker_holds(f"test.project={self.slug}")

    def commit(self, message: str = "all") -> None:
        """Commit everything."""
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=e2e", "-c", "user.email=e2e@example.com",
                 "commit", "--quiet", "-m", message)  # fmt: skip


def docker(*args: str) -> str:
    """Run a docker command that must pass."""
    return subprocess.run(["docker", *args], check=True, capture_output=True, text=True).stdout


def docker_holds(label: str) -> dict[str, list[str]]:
    """List the containers, networks, volumes and images that carry a label."""
    return {
        noun: docker(*listing, f"--filter=label={label}").split()
        for noun, listing in LISTINGS.items()
    }


def inspect(noun: str, *ids: str) -> list[dict[str, Any]]:
    """Return what Docker knows of some things."""
    found: list[dict[str, Any]] = json.loads(docker(noun, "inspect", *ids)) if ids else []
    return found


NOTHING: dict[str, list[str]] = {noun: [] for noun in LISTINGS}


@pytest.fixture(scope="session", autouse=True)
def _engine(docker_engine: None) -> None:
    """Every test here needs the engine; without one they fail, not pass."""


@pytest.fixture(scope="session")
def generate(
    tmp_path_factory: pytest.TempPathFactory, template_copy: Path
) -> Iterator[Callable[..., Project]]:
    """Generate a project the way a user does, its tasks included, under a slug of its own."""
    made: list[Project] = []

    def generate(**answers: str) -> Project:
        slug = f"e2e-{secrets.token_hex(3)}"
        path = tmp_path_factory.mktemp("project") / slug
        data = {"project_slug": slug, "python_version": PYTHON_VERSION} | answers
        done = sh(
            *(sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--quiet"),
            *(f"--data={key}={value}" for key, value in data.items()),
            *(str(template_copy), str(path)),
            cwd=path.parent,
        )
        assert done.returncode == 0, done.stdout
        project = Project(path, slug)
        made.append(project)
        return project

    yield generate
    for project in made:
        for label in (f"test.project={project.slug}", f"com.docker.compose.project={project.slug}",
                      f"com.docker.compose.project={project.slug}-dev"):  # fmt: skip
            remove(label)
        shutil.rmtree(project.path, ignore_errors=True)


def remove(label: str) -> None:
    """Remove everything that carries a label, for tests that failed half-way."""
    for noun, ids in docker_holds(label).items():
        for one in dict.fromkeys(ids):
            force = [] if noun == "network" else ["--force"]
            subprocess.run(["docker", noun, "rm", *force, one], capture_output=True)
