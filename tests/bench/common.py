"""Shared by all measurements: the template, projects, and commands with their duration."""

from __future__ import annotations

import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import copy_template
from tests.e2e.conftest import PYTHON_VERSION, clean_environment


@dataclass
class Done:
    """The result of a command that exited as expected."""

    seconds: float
    cpu: float  #: seconds of processor time, including child processes
    said: str


def environment() -> dict[str, str]:
    """Return the environment for programs, in which Python may write bytecode files."""
    env = clean_environment()
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def processor() -> float:
    """Return the seconds of processor time of all programs that have ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(*command: str | Path, cwd: Path, code: int = 0) -> Done:
    """Run a command that must exit with `code`."""
    began, before = time.perf_counter(), processor()
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert done.returncode == code, f"{command} exited with {done.returncode}:\n{done.stdout}"
    return Done(time.perf_counter() - began, processor() - before, done.stdout)


def git(*args: str, cwd: Path) -> None:
    """Run git with a fixed identity."""
    run("git", "-c", "user.name=bench", "-c", "user.email=bench@example.com", *args, cwd=cwd)


def services(count: int) -> str:
    """Return the answer for a number of services: apis, workers and web pages in turn."""
    kinds = ("api", "worker", "frontend")
    return ", ".join(f"{kinds[i % 3]}-{i // 3 + 1}" for i in range(count))


@dataclass
class Bench:
    """A run of measurements, in a folder that is deleted afterwards."""

    work: Path
    runs: int  #: repetitions of each measurement
    missed: list[str] = field(default_factory=list)  #: the missed targets

    def __post_init__(self) -> None:
        """Copy the template to the folder."""
        self.template = self.work / "template"
        self.template.mkdir()
        copy_template(self.template)

    def say(self, text: str) -> None:
        """Print a progress message."""
        print(text, file=sys.stderr, flush=True)

    def turns(self, what: str, runs: int = 0) -> Iterator[int]:
        """Yield the number of each turn, and print it."""
        runs = runs or self.runs
        for turn in range(runs):
            self.say(f"{what}, turn {turn + 1} of {runs}")
            yield turn

    def at_most(self, what: str, value: float, limit: float) -> None:
        """Record a missed target."""
        self.say(f"{what}: {value:.2f}, limit {limit:.2f}")
        if value > limit:
            self.missed.append(f"{what}: {value:.2f}, limit {limit:.2f}")

    def copy(self, template: Path, project: Path, *options: str) -> Done:
        """Run `copier copy` as a separate program."""
        command = (sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--quiet")
        return run(*command, *options, template, project, cwd=self.work)

    def project(self, *answers: str) -> Path:
        """Generate a project as a user does, including the tasks, with a unique slug."""
        slug = f"bench-{secrets.token_hex(3)}"
        given = (f"project_slug={slug}", f"python_version={PYTHON_VERSION}", *answers)
        self.copy(self.template, self.work / slug, *(f"--data={answer}" for answer in given))
        return self.work / slug


def has_engine() -> bool:
    """Return whether a Docker engine is running."""
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0
