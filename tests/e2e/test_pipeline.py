"""The first steps of a user: generate a project, `make setup`, `make test`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import combinations
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from .conftest import NOTHING, Project, clean_environment, docker_holds
from .test_environments import proxied

PROJECTS = {
    "multi": {"cache": "redis"},
    "multi-custom": {"services": "api, worker, billing:custom"},
    "multi-node-api": {"services": "api:node-api, frontend", "cache": "valkey"},
    "multi-without-database": {
        "services": "api, orders:node-api, worker, frontend",
        "database": "none",
    },
    "single-api": {"layout": "single", "service_kind": "python-api"},
    "single-node-api": {"layout": "single", "service_kind": "node-api"},
    "single-web": {"layout": "single", "service_kind": "node-web"},
}


#: The projects of the default run. With the custom service of test_environments.py, they have every kind
#: of service.
FEW = ("multi", "single-node-api")


def projects() -> Iterator[ParameterSet]:
    for name, answers in PROJECTS.items():
        group = pytest.mark.xdist_group(f"new project {name}")
        marks = (group,) if name in FEW else (group, pytest.mark.drills)
        yield pytest.param(answers, id=name, marks=marks)


def check_first_run(said: str, *stages: str) -> None:
    """Check what `make test` of a new project prints: few lines, with the number of all tests."""
    assert re.findall(r"^(\w+) Tests", said, re.MULTILINE) == [*stages]
    # A slow machine gets progress reports and a list of slow tests, too.
    extra = ("Installed", "Downloading", "  … ", "slow: ")
    lines = [line for line in said.splitlines() if not line.startswith(extra)]
    assert len(lines) <= 14
    assert sum(len(line.encode()) + 1 for line in lines) <= 800
    # All test tools report the number of tests, except the unittest of a custom service.
    counted = re.findall(r"^  ✓ (\S+) (\d+)/\2 \d+\.\ds$", said, re.MULTILINE)
    assert {name for name, _ in counted} >= set(re.findall(r"✓ (\S+)", said)) - {"billing"}


def check_new_files(project: Project) -> None:
    """Check that git ignores all new files but the lock files, which the user commits."""
    new = project.run("git", "status", "--porcelain", "--untracked-files=all")
    assert not re.search(
        r"\.env$|\.venv|node_modules|__pycache__|\.test-results", new, re.MULTILINE
    )


@pytest.mark.parametrize("answers", [*projects()])
def test_a_new_project_passes_and_leaves_nothing_behind(
    generate: Callable[..., Project], answers: dict[str, str]
) -> None:
    project = generate(**answers)
    project.make("setup")
    said = project.make("test")
    service = () if "layout" in answers else ("Service",)
    check_first_run(said, "Unit", *service, "Integration")
    assert project.left() == NOTHING
    check_new_files(project)


@pytest.mark.drills
def test_the_tests_pass_behind_a_proxy(generate: Callable[..., Project], tmp_path: Path) -> None:
    """The proxy does not exist. Images are built without it, and their layers are cached then."""
    project = generate(services="api, orders:node-api", cache="redis")
    project.make("setup")
    project.make("test")
    project.make("test", "STAGE=service", DOCKER_CONFIG=str(proxied(tmp_path)))


def start_tests(path: Path) -> subprocess.Popen[str]:
    """Start the runner directly. make would replace its exit code by its own."""
    return subprocess.Popen(
        ["uv", "run", "--script", "scripts/test-runner.py"],
        cwd=path,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def project(generate: Callable[..., Project]) -> Project:
    """A project with a worker, after `make setup`."""
    project = generate(services="worker")
    project.make("setup")
    project.commit()
    return project


def test_without_docker_setup_and_unit_tests_work(project: Project, tmp_path: Path) -> None:
    """A PATH that holds everything but docker."""
    for folder in reversed(os.environ["PATH"].split(os.pathsep)):
        for tool in Path(folder).glob("*") if Path(folder).is_dir() else ():
            link = tmp_path / tool.name
            if tool.name != "docker" and not tool.name.startswith("docker-"):
                link.unlink(missing_ok=True)
                link.symlink_to(tool)
    env = {"PATH": str(tmp_path), "DOCKER_HOST": "unix:///nowhere"}
    lone = Project(project.path, project.slug, env)
    lone.make("setup")
    lone.make("test-unit")
    said = lone.make("test-integration", fails=True)
    assert "docker is not installed" in said
    assert "Traceback" not in said


def test_four_worktrees_at_once(project: Project, tmp_path: Path, docker_engine: None) -> None:
    """One is interrupted and one fails. The others pass, nothing is shared and nothing is left behind."""
    names = ("feature/Login-Form", "feature/login-form", "interrupted", "failing")
    trees = {name: tmp_path / str(number) for number, name in enumerate(names)}
    for branch, path in trees.items():
        project.run("git", "worktree", "add", "--quiet", "-b", branch, str(path))
        Project(path, project.slug).make("setup")
    tests = trees["failing"] / "services/worker/tests/integration"
    (tests / "test_broken.py").write_text("def test_broken() -> None:\n    assert 1 == 2\n")
    tests = trees["interrupted"] / "services/worker/tests/integration"
    (tests / "test_long.py").write_text(
        "import pathlib, time\n\n\ndef test_long() -> None:\n"
        f"    pathlib.Path({str(tmp_path / 'there')!r}).touch()\n    time.sleep(300)\n"
    )
    seen: dict[str, dict[str, set[str]]] = {}

    def tested(branch: str) -> subprocess.CompletedProcess[str]:
        path = trees[branch]
        instance = subprocess.run(
            [path / "scripts/get-test-instance-id.sh"], capture_output=True, text=True, check=True
        ).stdout.strip()
        found = seen[branch] = {noun: set() for noun in NOTHING}
        with start_tests(path) as process:
            while process.poll() is None:
                for noun, ids in docker_holds(f"test.instance={instance}").items():
                    found[noun] |= set(ids)
                if branch == "interrupted" and (tmp_path / "there").exists():
                    # uv passes the signal on to the runner, as it does with a signal from a shell.
                    process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
            assert process.stdout
            return subprocess.CompletedProcess([], process.returncode, process.stdout.read())

    with ThreadPoolExecutor() as pool:
        done = dict(zip(trees, pool.map(tested, trees), strict=True))
    codes = {branch: one.returncode for branch, one in done.items()}
    assert codes == dict(zip(names, (0, 0, 143, 1), strict=True)), done
    assert "test_broken.py::test_broken" in done["failing"].stdout
    assert "○ Integration Tests not run" in done["failing"].stdout
    for one, other in combinations(seen.values(), 2):
        for noun in NOTHING:
            assert one[noun].isdisjoint(other[noun])
            assert one[noun] or noun == "volume", f"no {noun} was seen"
    assert project.left() == NOTHING, done
