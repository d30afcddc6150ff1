"""scripts/test-watch.py: a saved file runs the affected tests, and interrupts tests that run."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.projects import Project, processes_of, wait_until


class Watch:
    """The script, while it watches a project."""

    def __init__(self, project: Project) -> None:
        self.project, self.log = project, project.root.parent / "watch.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "scripts/test-watch.py", "--stage=unit"],
                cwd=project.root,
                env=project.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_for("Watching: save a file")

    @property
    def said(self) -> str:
        return re.sub(r"\d+\.\ds", "0.0s", self.log.read_text())

    def wait_for(self, words: str, times: int = 1) -> None:
        wait_until(lambda: self.said.count(words) >= times)

    def wait_for_result(self, words: str, times: int = 1) -> None:
        """Wait for a result and the end of its runner.

        If a file is saved after a runner has printed its result and before it has ended, the next
        tests cover the earlier files again.
        """
        self.wait_for(words, times)
        wait_until(lambda: not self._runners())

    def stop(self) -> int:
        """Send Ctrl-C as a terminal does: to the whole process group."""
        if self.process.poll() is None:
            for pid in (self.process.pid, *self._runners()):
                subprocess.run(["kill", "-INT", str(pid)])
        return self.process.wait(30)

    def _runners(self) -> list[int]:
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        )
        return [int(pid) for pid in listed.stdout.split()]


@pytest.fixture
def project(render: Callable[..., Path], tmp_path: Path) -> Project:
    made = Project(render({"project_slug": "shop", "services": "api"}), tmp_path / "shop")
    slow = "if [ -e ../../slow ]; then touch ../../asleep.log; sleep 300; fi"
    made.service("api", f"{slow}; test ! -e ../../red")
    made.service("worker", "true")
    made.write(".gitignore", "*.log\n.test-results/\n")
    made.write("README.md", "")
    subprocess.run(["git", "init", "--quiet"], cwd=made.root, check=True)
    return made


@pytest.fixture
def watch(project: Project) -> Iterator[Watch]:
    made = Watch(project)
    yield made
    made.stop()
    assert processes_of(project) == []


def test_a_saved_file_runs_the_affected_tests(project: Project, watch: Watch) -> None:
    project.write("services/api/main.py", "a = 1\n")
    watch.wait_for_result("PASSED: 1 target")
    assert "✓ api" in watch.said
    assert "worker" not in watch.said
    # A file that no test uses or that git ignores runs no test.
    project.write("README.md", "# Shop\n")
    project.write("services/worker/debug.log", "x\n")
    project.write("services/worker/main.py", "a = 1\n")
    watch.wait_for_result("PASSED: 1 target", 2)
    assert watch.said.count("✓ worker") == 1
    # A shared file affects all tests.
    project.write("Makefile", "# new\n")
    watch.wait_for_result("PASSED: 2 targets")
    assert watch.stop() == 0
    assert "Traceback" not in watch.said


def test_a_file_saved_during_the_tests_restarts_them(project: Project, watch: Watch) -> None:
    project.write("slow", "")
    project.wait_for("asleep.log")
    (project.root / "slow").unlink()
    project.write("services/api/main.py", "a = 2\n")
    watch.wait_for("INTERRUPTED by SIGINT")
    watch.wait_for_result("PASSED: ")


def test_failed_tests_run_again_until_they_pass(project: Project, watch: Watch) -> None:
    project.write("services/api/red", "")
    project.write("red", "")
    watch.wait_for_result("FAILED: unit api")
    (project.root / "red").unlink()
    project.write("services/worker/main.py", "a = 1\n")
    watch.wait_for_result("PASSED: 2 targets")
    project.write("services/worker/main.py", "a = 2\n")
    watch.wait_for_result("PASSED: 1 target,")
    assert project.target("unit worker")["state"] == "passed"


def test_ctrl_c_ends_the_tests_that_run(project: Project, watch: Watch) -> None:
    project.write("slow", "")
    project.wait_for("asleep.log")
    assert watch.stop() == 0
    assert signal.Signals.SIGINT.name in watch.said


def test_it_needs_no_repository(project: Project, watch: Watch) -> None:
    shutil.rmtree(project.root / ".git")
    project.write("services/api/main.py", "a = 1\n")
    watch.wait_for_result("PASSED: 1 target")


def test_a_wrong_option_ends_the_watch(project: Project) -> None:
    process = subprocess.Popen(
        [sys.executable, "scripts/test-watch.py", "--nonsense"],
        cwd=project.root,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline().startswith("Watching")
    project.write("services/api/main.py", "a = 1\n")
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "unrecognized arguments: --nonsense" in said
