"""The first thing that a user does: generate, `make setup`, `make test`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .conftest import NOTHING, Project, clean_environment, docker_holds

PROJECTS = {
    "multi": {"cache": "redis"},
    "multi-custom": {"services": "api:python-api, billing:custom"},
    "multi-without-database": {"database": "none"},
    "single-api": {"layout": "single", "service_kind": "python-api"},
    "single-web": {"layout": "single", "service_kind": "node-web"},
}


@pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
def test_a_new_project_is_green_and_leaves_nothing(
    generate: Callable[..., Project], answers: dict[str, str]
) -> None:
    project = generate(**answers)
    project.make("setup")
    said = project.make("test")
    stages = ["Unit", "Integration"] if "layout" in answers else ["Unit", "Service", "Integration"]
    assert re.findall(r"^(\w+) Tests", said, re.MULTILINE) == stages
    assert project.left() == NOTHING
    # What setup and the tests made is git-ignored or meant to be committed: lock files only.
    new = project.run("git", "status", "--porcelain", "--untracked-files=all")
    assert not re.search(
        r"\.env$|\.venv|node_modules|__pycache__|\.test-results", new, re.MULTILINE
    )


def test_lint_and_format_find_nothing_to_mend(generate: Callable[..., Project]) -> None:
    project = generate(services="api, worker, frontend, billing:custom")
    project.make("setup")
    project.commit()
    project.make("lint")
    project.make("format")
    assert not project.run("git", "status", "--porcelain")


@pytest.fixture(scope="module")
def project(generate: Callable[..., Project]) -> Project:
    """A project with an api and its worker, set up."""
    project = generate(services="api, worker")
    project.make("setup")
    project.commit()
    return project


def start_tests(path: Path) -> subprocess.Popen[str]:
    """Start the runner itself: make would turn its exit code into its own."""
    return subprocess.Popen(
        ["uv", "run", "--script", "scripts/test-runner.py"],
        cwd=path,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_tests(path: Path) -> subprocess.CompletedProcess[str]:
    with start_tests(path) as process:
        said, _ = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, said)


def test_a_failing_unit_test_stops_before_any_container(project: Project) -> None:
    test = project.path / "services/api/tests/unit/test_broken.py"
    test.write_text("def test_broken() -> None:\n    assert 1 == 2\n")
    try:
        events = subprocess.Popen(
            ["docker", "events", f"--filter=label=test.project={project.slug}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        done = run_tests(project.path)
        events.terminate()
        assert done.returncode == 1, done.stdout
        assert "test_broken" in done.stdout
        assert events.communicate()[0] == ""
    finally:
        test.unlink()


def test_a_failing_service_test_cleans_up(project: Project) -> None:
    test = project.path / "services/api/tests/integration/test_broken.py"
    test.write_text("def test_broken() -> None:\n    assert 1 == 2\n")
    try:
        done = run_tests(project.path)
        assert done.returncode == 1, done.stdout
        assert "test_broken" in done.stdout
        assert "Integration Tests" not in done.stdout or "not run" in done.stdout
        assert project.left() == NOTHING
    finally:
        test.unlink()


def test_two_worktrees_share_nothing(project: Project, tmp_path: Path) -> None:
    seen: dict[str, dict[str, set[str]]] = {}
    trees = {"feature/Login-Form": tmp_path / "one", "feature/login-form": tmp_path / "two"}
    for branch, path in trees.items():
        project.run("git", "worktree", "add", "--quiet", "-b", branch, str(path))
        Project(path, project.slug).make("setup")

    def tested(path: Path) -> subprocess.CompletedProcess[str]:
        instance = subprocess.run(
            [path / "scripts/get-test-instance-id.sh"], capture_output=True, text=True, check=True
        ).stdout.strip()
        seen[instance] = {noun: set() for noun in NOTHING}
        with start_tests(path) as process:
            while process.poll() is None:
                for noun, ids in docker_holds(f"test.instance={instance}").items():
                    seen[instance][noun] |= set(ids)
                try:
                    process.wait(0.5)
                except subprocess.TimeoutExpired:
                    continue
            assert process.stdout
            return subprocess.CompletedProcess([], process.returncode, process.stdout.read())

    with ThreadPoolExecutor() as pool:
        for done in pool.map(tested, trees.values()):
            assert done.returncode == 0, done.stdout
    one, two = seen.values()
    for noun in NOTHING:
        assert one[noun].isdisjoint(two[noun])
        assert one[noun] or noun == "volume", f"no {noun} was seen"
    assert project.left() == NOTHING
