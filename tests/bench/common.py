"""What all measurements share: the template, the projects, and commands whose time is taken."""

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
    """A command that ended as it should."""

    seconds: float
    cpu: float  #: seconds of processor time, of the command and all that it started
    said: str


def environment() -> dict[str, str]:
    """The environment for programs; Python may keep the bytecode that it has compiled."""
    env = clean_environment()
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def processor() -> float:
    """The processor time of all programs that have ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(*command: str | Path, cwd: Path, code: int = 0) -> Done:
    """Run a command, which must end with this code."""
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
    assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return Done(time.perf_counter() - began, processor() - before, done.stdout)


def git(*args: str, cwd: Path) -> None:
    """Run git, as nobody in particular."""
    run("git", "-c", "user.name=bench", "-c", "user.email=bench@example.com", *args, cwd=cwd)


def services(count: int) -> str:
    """The answer for so many services: apis, workers and web pages in turn."""
    kinds = ("api", "worker", "frontend")
    return ", ".join(f"{kinds[i % 3]}-{i // 3 + 1}" for i in range(count))


@dataclass
class Bench:
    """A run of measurements, in a folder that is removed later."""

    work: Path
    runs: int  #: turns of each measurement
    missed: list[str] = field(default_factory=list)  #: the targets that were not met

    def __post_init__(self) -> None:
        """Put a copy of the template there."""
        self.template = self.work / "template"
        self.template.mkdir()
        copy_template(self.template)

    def say(self, text: str) -> None:
        """Tell what is being done."""
        print(text, file=sys.stderr, flush=True)

    def turns(self, what: str, runs: int = 0) -> Iterator[int]:
        """Go through the turns, and say which it is."""
        runs = runs or self.runs
        for turn in range(runs):
            self.say(f"{what}, turn {turn + 1} of {runs}")
            yield turn

    def at_most(self, what: str, value: float, limit: float) -> None:
        """Note a target that is missed."""
        self.say(f"{what}: {value:.2f}, {limit:.2f} at most")
        if value > limit:
            self.missed.append(f"{what}: {value:.2f}, {limit:.2f} at most")

    def copy(self, template: Path, project: Path, *options: str) -> Done:
        """Run `copier copy` as a program of its own."""
        command = (sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--quiet")
        return run(*command, *options, template, project, cwd=self.work)

    def project(self, *answers: str) -> Path:
        """Generate a project, as its user does: with its tasks, and a slug of its own."""
        slug = f"bench-{secrets.token_hex(3)}"
        given = (f"project_slug={slug}", f"python_version={PYTHON_VERSION}", *answers)
        self.copy(self.template, self.work / slug, *(f"--data={answer}" for answer in given))
        return self.work / slug


def has_engine() -> bool:
    """Whether a Docker engine answers."""
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0
