"""Generated projects, run with `make` on a real Docker engine, as their users run them."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ..conftest import copy_template, once_in_children

ROOT = Path(__file__).resolve().parents[2]

#: The Python of the projects. A machine that cannot download it sets an installed version.
PYTHON_VERSION = os.environ.get("E2E_PYTHON", "3.13")

#: The kinds of Docker resources, and the command that lists each.
LISTINGS = {
    "container": ("ps", "--all", "--quiet"),
    "network": ("network", "ls", "--quiet"),
    "volume": ("volume", "ls", "--quiet"),
    "image": ("image", "ls", "--all", "--quiet"),
}


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without variables of the test session, or that affect a project."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COMPOSE_", "PYTEST_", "TEST_", "NOX_"))
        and name not in ("VIRTUAL_ENV", "CI", "FORCE_COLOR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
        # nox sets these, so that uv uses the environment of the session.
        and name not in ("UV_PYTHON", "UV_PROJECT_ENVIRONMENT")
    }
    # In a project, `uv` and `python` must not find the packages of the session first.
    here = str(Path(sys.prefix) / "bin")
    path = [entry for entry in env["PATH"].split(os.pathsep) if entry != here]
    # Most tests run a project several times. Those of the result cache choose a folder.
    return env | {"PATH": os.pathsep.join(path), "TEST_RESULT_CACHE": "off"} | more


def sh(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command and return its result, with both output streams in one."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=1200,
    )


@dataclass
class Project:
    """A generated project."""

    path: Path
    slug: str
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, fails: bool = False, **env: str) -> str:
        """Run a command in the project, which must pass (or fail). Return its output."""
        done = sh(*command, cwd=self.path, **self.env | env)
        assert bool(done.returncode) == fails, (
            f"{command} ended with {done.returncode}:\n{done.stdout}"
        )
        return done.stdout

    def make(self, *args: str, fails: bool = False, **env: str) -> str:
        """Run make in the project."""
        return self.run("make", *args, fails=fails, **env)

    def left(self) -> dict[str, list[str]]:
        """List the Docker resources of this project's tests, by label."""
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
    """List the containers, networks, volumes and images with a label."""
    return {
        noun: docker(*listing, f"--filter=label={label}").split()
        for noun, listing in LISTINGS.items()
    }


def inspect(noun: str, *ids: str) -> list[dict[str, Any]]:
    """Return what `docker inspect` prints for some IDs."""
    found: list[dict[str, Any]] = json.loads(docker(noun, "inspect", *ids)) if ids else []
    return found


NOTHING: dict[str, list[str]] = {noun: [] for noun in LISTINGS}

#: The groups of tests that take longest. They start first, so that no process is left alone with one.
SLOWEST = (
    *(
        "test_environments",
        "workflows as they come",
        "test_workflows",
        "releases",
        "new project multi",
    ),
    *("test_agents", "test_production", "test_dev_environments", "test_pipeline", "test_adoption"),
    *("new project single-node-api", "test_swarm"),
)


def group_of(item: pytest.Item) -> str:
    """Return the group of a test. The tests of a group run in one process, and share fixtures."""
    marker = item.get_closest_marker("xdist_group")
    return str(marker.args[0]) if marker else item.path.stem


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make a group of each file's tests that name no group, and sort the groups by their duration."""
    order = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: order.get(group_of(item), len(order)))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Refuse a pytest-xdist that ignores the groups. Each process would generate each project."""
    if node.config.getoption("dist") == "loadgroup" and any("@" not in name for name in ids):
        pytest.exit("pytest-xdist ignores the groups of tests; see pyproject.toml", 4)


#: The label of the node of a swarm that tests created.
OF_TESTS = "e2e"

#: The label of the node of a swarm that tests may use, but not leave. A developer sets it.
STAYS = "e2e-stays"


def node_has(label: str) -> bool:
    """Whether the engine is the node of a swarm and has a label."""
    command = ["docker", "node", "inspect", "self", "--format={{json .Spec.Labels}}"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0 and label in json.loads(done.stdout)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave the swarm when all tests have ended.

    When a node leaves, Docker's DNS no longer knows the containers in any network.
    """
    if not hasattr(session.config, "workerinput") and shutil.which("docker") and node_has(OF_TESTS):
        docker("swarm", "leave", "--force")


@pytest.fixture(scope="session", autouse=True)
def _engine(docker_engine: None) -> None:
    """Every test in this folder needs the engine; without one, the tests do not pass."""


@pytest.fixture(scope="session")
def generate(
    tmp_path_factory: pytest.TempPathFactory, template_copy: Path, copier_once: Path
) -> Iterator[Callable[..., Project]]:
    """Generate a project as a user does, including the tasks, with a unique slug."""
    made: list[Project] = []

    def generate(*, source: Path = template_copy, umask: str = "", **answers: str) -> Project:
        slug = f"e2e-{secrets.token_hex(3)}"
        path = tmp_path_factory.mktemp("project") / slug
        data = {"project_slug": slug, "python_version": PYTHON_VERSION} | answers
        command = (
            *(sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--quiet"),
            *(f"--data={key}={value}" for key, value in data.items()),
            *(str(source), str(path)),
        )
        if umask:
            command = ("sh", "-c", f"umask {umask} && exec {shlex.join(command)}")
        done = sh(*command, cwd=path.parent, **once_in_children(copier_once))
        assert done.returncode == 0, done.stdout
        project = Project(path, slug)
        made.append(project)
        return project

    yield generate
    for project in made:
        for label in (f"test.project={project.slug}", f"com.docker.compose.project={project.slug}",
                      f"com.docker.compose.project={project.slug}-dev"):  # fmt: skip
            remove(label)
        for name in environments_of(project.slug):
            remove(f"com.docker.compose.project={name}")
        shutil.rmtree(project.path, ignore_errors=True)


def template_repository(folder: Path) -> Path:
    """Copy the template to a git repository with a version, so that its projects can be updated."""
    folder.mkdir()
    made = Project(copy_template(folder), "template")
    made.run("git", "init", "--quiet")
    made.commit()
    made.run("git", "tag", "v1.0.0")
    return folder


def environments_of(slug: str) -> list[str]:
    """List the Compose projects of a project's development environments, by their marks."""
    form = '{{.Label "com.docker.compose.project"}}'
    return docker("volume", "ls", f"--filter=label=dev.project={slug}", f"--format={form}").split()


def remove(label: str) -> None:
    """Remove everything with a label, in case a test failed before its clean-up."""
    for noun, ids in docker_holds(label).items():
        for one in dict.fromkeys(ids):
            force = [] if noun == "network" else ["--force"]
            subprocess.run(["docker", noun, "rm", *force, one], capture_output=True)
