# Kept by the template: copier update merges its changes into this file.
"""What there is to run: a target is one command of a stage, such as the unit tests of a service."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from .diagnosis import StackError
from .events import Events, own_name
from .patterns import Fallback
from .processes import Process, environment
from .project import MULTI, ROOT

STAGES = {"unit": "Unit Tests", "service": "Service Tests", "integration": "Integration Tests"}


class UsageError(Exception):
    """What was asked for cannot be. The text says why, and what can be."""


class State(StrEnum):
    """What became of a target."""

    PENDING = "pending"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"
    BROKEN = "no stack"  #: its stack did not start, or fell over
    NOTHING = "nothing ran"
    SKIPPED = "skipped"  #: it has no tests
    NOT_RUN = "not run"  #: the stage before it failed
    INTERRUPTED = "interrupted"


#: How much of a log is looked at in one go, in bytes: a flood must not hold up everything else.
MOST = 1 << 20

#: The states of a target that ended without having passed.
BAD = frozenset({State.FAILED, State.CRASHED, State.TIMED_OUT, State.BROKEN})


@dataclass
class Target:
    """One command, and what became of it."""

    stage: str
    name: str
    command: list[str]
    scope: str = ""  #: the stack that it runs against
    again: str = ""  #: what a user types to run it alone
    folder: str = "."  #: where its test tool runs, which its paths are relative to
    state: State = State.PENDING
    note: str = ""  #: what else is to be said, in a few words
    env: dict[str, str] = field(default_factory=dict)  #: what it is told besides
    selected: list[str] = field(default_factory=list)  #: only these tests; none: all
    began: float = 0.0
    ended: float = 0.0
    timed_out: bool = False
    culprit: str = ""  #: the test that was running when it crashed or its time was over
    process: Process | None = None
    log: Path = Path()
    log_start: int = 0  #: where its own output begins, after what its stack had to say
    events: Events = field(default_factory=lambda: Events(Path()))
    fallback: Fallback = field(default_factory=Fallback)
    error: StackError | None = None  #: what is wrong with its stack

    @property
    def title(self) -> str:
        """Its stage and name."""
        return f"{self.stage} {self.name}"

    @property
    def seconds(self) -> float:
        """How long its command has run."""
        return (self.ended or time.monotonic()) - self.began if self.began else 0.0

    @property
    def tells(self) -> bool:
        """Whether its test tool writes events."""
        return self.events.begun > 0

    @property
    def done(self) -> int:
        """How many tests have an outcome."""
        return self.events.done if self.tells else self.fallback.progress.done

    @property
    def total(self) -> int:
        """How many tests there are, as far as it is known."""
        if self.tells:
            return max(self.events.total, self.events.done)
        return self.fallback.progress.total

    @property
    def percent(self) -> int | None:
        """How far it is; None where nothing tells."""
        if self.total:
            return 100 * self.done // self.total
        return None if self.tells else self.fallback.progress.percent or None

    @property
    def current(self) -> str:
        """The test that is running, by its own name."""
        return own_name(self.events.running if self.tells else self.fallback.progress.current)

    def read(self) -> None:
        """Take in what its test tool has told since the last call."""
        self.events.read()
        if self.tells:
            return
        with suppress(FileNotFoundError), self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size - self.log_start > MOST:
                self.log_start = size - MOST
                self.fallback.skip()
            file.seek(self.log_start)
            self.fallback.feed(file.read(MOST))
            self.log_start = file.tell()

    @property
    def failed(self) -> int:
        """How many tests failed."""
        if self.tells:
            return self.events.failed
        return self.fallback.counts.failures if self.fallback.counts else 0

    @property
    def executed(self) -> int:
        """How many tests were run to an outcome."""
        if self.tells:
            return self.events.executed
        counts = self.fallback.counts
        return counts.tests - counts.skipped if counts else 0


def has_unit_tests(folder: str) -> bool:
    """Whether make knows test-unit there; with SHELL=true nothing is run to find out."""
    command = ["make", "-C", folder, "-n", "SHELL=true", "test-unit"]
    env = environment("", LC_ALL="C")
    errors = subprocess.run(command, cwd=ROOT, env=env, capture_output=True).stderr
    # A broken Makefile is no reason to leave its tests out: they run, and fail in sight.
    return not re.search(rb"No rule to make target .test-unit.\.", errors)


def services() -> list[str]:
    """List the folders of the services; none in a project of a single one.

    Raises:
        UsageError: a folder has a name that a shell or a Makefile would take apart, or is taken.
    """
    folders = (ROOT / "services").iterdir() if MULTI and (ROOT / "services").is_dir() else []
    names = sorted(path.name for path in folders if path.is_dir() and path.name[0] not in "._")
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII):
            raise UsageError(f"services/{name}: letters, digits, - and _ only, rename the folder")
        if name == "full":
            raise UsageError(
                "services/full: that is what all together are called, rename the folder"
            )
    return names


def find(stages: Iterable[str], names: Iterable[str]) -> list[Target]:
    """Return the targets of these stages and services (of all when none is named), by stage.

    Raises:
        UsageError: there is no such service, or it has no such stage.
    """
    wanted, named, known = set(stages), set(names), services()
    for name in sorted(named - set(known)):
        raise UsageError(
            f"no service {name!r}: "
            + (
                f"there are {', '.join(known) or 'none'}"
                if MULTI
                else "the project is one, name none"
            )
        )
    if named and "integration" in wanted:
        raise UsageError("integration tests are of all services: name none")
    if not wanted:
        wanted = set(STAGES) - ({"integration"} if named else set())
    found: list[Target] = []
    if "unit" in wanted and not MULTI:
        found.append(unit("app", "."))
    for name in known:
        if "unit" in wanted and name in (named or known):
            found.append(unit(name, f"services/{name}"))
    for name in known:
        if "service" in wanted and name in (named or known):
            found.append(service(name))
    if "integration" in wanted:
        found.append(integration())
    return found


def unit(name: str, folder: str) -> Target:
    """Return the target of a service's unit tests."""
    again = "make test-unit" if folder == "." else f"make -C {folder} test-unit"
    target = Target("unit", name, again.split(), again=again, folder=folder)
    if not has_unit_tests(folder):
        skip(target, f"no test-unit in {Path(folder, 'Makefile')}")
    return target


def service(name: str) -> Target:
    """Return the target of a service's tests against its stack."""
    folder = f"services/{name}"
    target = Target(
        "service",
        name,
        ["make", "-C", folder, "test-service"],
        scope=name,
        again=" ".join(["make", "test-service", f"SERVICE={name}"]),
        folder=folder,
    )
    file = f"{folder}/deploy/test/docker-compose.yml"
    if not (ROOT / file).exists():
        skip(target, f"no {file}")
    return target


def integration() -> Target:
    """Return the target of the tests of everything together."""
    target = Target(
        "integration",
        "full" if MULTI else "app",
        ["make", "test-against-stack"],
        scope="full",
        again="make test-integration",
        folder="tests/integration" if MULTI else ".",
    )
    if not (ROOT / "tests/integration").is_dir():
        skip(target, "no tests/integration")
    return target


def skip(target: Target, why: str) -> None:
    """Leave a target out, and say why."""
    target.state, target.note = State.SKIPPED, why
