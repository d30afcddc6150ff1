# Kept by the template: copier update merges its changes into this file.
"""The targets of a run. A target is one command of a stage, such as the unit tests of a service."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .diagnosis import StackError
from .events import Cause, Events, Failure, Flaky, cause_key, short_name
from .processes import Process, environment
from .project import FOLDERS, INTEGRATION, MAKE, MULTI, ROOT
from .tools.output import Output

if TYPE_CHECKING:
    from .cache import Pass
    from .traces import Span

STAGES = {"unit": "Unit Tests", "service": "Service Tests", "integration": "Integration Tests"}


class UsageError(Exception):
    """The command line is wrong. The text gives the reason and the alternatives."""


class State(StrEnum):
    """The state of a target, as summary.json records it."""

    PENDING = "pending"
    RUNNING = "running"
    PASSED = "passed"
    CACHED = "cached"  #: it passed earlier with the same inputs
    FAILED = "failed"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"
    BROKEN = "no stack"  #: its stack failed to start, or failed during the tests
    IN_USE = "stack in use"  #: another process uses its stack
    NOTHING = "nothing ran"  #: the test tool found no test to run
    SKIPPED = "skipped"  #: it has no tests
    NOT_RUN = "not run"  #: an earlier stage failed, or the run was stopped
    INTERRUPTED = "interrupted"


#: How many bytes of a log are read per poll, so that a flood of output does not delay the rest.
MAX_READ = 1 << 20

#: A command of an adopted service's Makefile that runs no test and says why.
NO_TESTS = re.compile(r"(?:cd \S+ && )?echo '(?:[\w-]+: )?(?P<why>[^']*)' >&2")

#: The states of a failed target.
BAD = frozenset({State.FAILED, State.CRASHED, State.TIMED_OUT, State.BROKEN, State.IN_USE})

#: The states of a target that is known to pass.
GOOD = frozenset({State.PASSED, State.CACHED})


@dataclass
class Target:
    """One command, with its progress and its result."""

    stage: str
    name: str
    command: list[str]
    scope: str = ""  #: the scope of the stack that it needs; empty: no stack
    again: str = ""  #: the command that runs only this target again
    folder: str = "."  #: where its test tool runs; the tool's paths are relative to this folder
    state: State = State.PENDING
    note: str = ""  #: details of the state, in a few words
    env: dict[str, str] = field(default_factory=dict)  #: extra environment variables
    selected: list[str] = field(default_factory=list)  #: run only these tests; empty: all
    began: float = 0.0  #: on the monotonic clock; 0: not yet
    ended: float = 0.0  #: on the monotonic clock; 0: not yet
    timed_out: bool = False
    expected: int = 0  #: the number of tests in the last complete run; 0: unknown
    reached: int = (
        0  #: the highest percentage so far: the total may grow, the progress may not shrink
    )
    idle_since: float = 0.0  #: when all tests had ended, on the monotonic clock; 0: not yet
    current_since: float = 0.0  #: when the test in the output started, on the monotonic clock
    attempt: int = 1  #: the number of the current attempt
    attempts: int = 1  #: how many attempts the runner makes at most
    before: str = ""  #: how the attempt before ended
    chosen: tuple[list[str], str] | None = None  #: the selection of the first attempt
    culprit: str = ""  #: the test that was running at the crash or timeout
    process: Process | None = None
    log: Path = Path()
    log_start: int = 0  #: the offset of unread output; a stack logs to the same file first
    events: Events = field(default_factory=lambda: Events(Path()))
    junit: Path = Path()  #: where its test tool may write JUnit XML: a file, or a folder of files
    output: Output = field(default_factory=Output)  #: read from the log if there are no events
    error: StackError | None = None  #: what is wrong with its stack
    warm: bool = False  #: its stack was running before the run
    spans: list[Span] | None = None  #: of the services in its stack; None: they are not traced
    cached: Pass | None = None  #: the earlier pass that stands for it
    cache: str = "off"  #: what the result cache did, in a few words
    flaky: str = ""  #: that it passed and failed with the same inputs, in a few words

    @property
    def title(self) -> str:
        """The stage and the name, such as `unit api`."""
        return f"{self.stage} {self.name}"

    @property
    def seconds(self) -> float:
        """How long the command has run."""
        return (self.ended or time.monotonic()) - self.began if self.began else 0.0

    @property
    def has_events(self) -> bool:
        """Whether the test tool writes events."""
        return self.events.begun > 0

    @property
    def done(self) -> int:
        """How many tests have an outcome."""
        if self.cached:
            return self.cached.tests or 0
        return self.events.done if self.has_events else self.output.progress.done

    @property
    def total(self) -> int:
        """How many tests the target has; 0 if that is not known."""
        if self.cached:
            return self.cached.tests or 0
        if self.has_events:
            return max(self.events.total, self.events.done)
        return self.output.progress.total

    @property
    def percent(self) -> int | None:
        """The progress in percent; None if it is not known."""
        if self.total:
            share = self.events.share if self.has_events else 1.0
            now = int(100 * self.done / max(self.total / share, self.expected))
            self.reached = max(self.reached, now)
        elif not self.has_events:
            self.reached = max(self.reached, self.output.progress.percent)
        return self.reached if self.reached or self.total else None

    @property
    def current(self) -> str:
        """The short name of the running test."""
        return short_name(self.events.running if self.has_events else self.output.progress.current)

    @property
    def idle(self) -> float:
        """For how long all tests have ended while the process still runs; 0: they have not."""
        return time.monotonic() - self.idle_since if self.idle_since else 0.0

    @property
    def longest(self) -> tuple[str, float]:
        """The running test that started first, and since how many seconds it runs."""
        if self.has_events:
            test, since = next(iter(self.events.unfinished.items()), ("", 0.0))
        else:
            test, since = self.output.progress.current, self.current_since
        return (short_name(test), time.monotonic() - since) if test and since else ("", 0.0)

    def read(self) -> None:
        """Read the events or the output that are new since the last call."""
        before = self.output.progress.current
        self._read()
        if before != self.output.progress.current:
            self.current_since = time.monotonic()
        if self.has_events:
            all_seen = self.events.ended >= self.events.begun or (
                self.events.share == 1 and 0 < self.total <= self.done
            )
            all_ended = all_seen and not self.events.unfinished
        else:
            all_ended = self.output.counts is not None
        self.idle_since = (self.idle_since or time.monotonic()) if all_ended else 0.0

    def _read(self) -> None:
        self.events.read()
        if self.has_events:
            return
        with suppress(FileNotFoundError), self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size - self.log_start > MAX_READ:
                self.log_start = size - MAX_READ
                self.output.skip()
            file.seek(self.log_start)
            self.output.feed(file.read(MAX_READ))
            self.log_start = file.tell()

    @property
    def counted(self) -> bool:
        """Whether the number of tests is known."""
        if self.cached:
            return self.cached.tests is not None
        return self.has_events or self.output.counts is not None

    @property
    def failed(self) -> int:
        """How many tests failed, as far as that is known."""
        if self.has_events:
            return self.events.failed
        counts = self.output.counts
        return counts.failures if counts else 0

    @property
    def retried(self) -> bool:
        """Whether a failed test was repeated."""
        counts = self.output.counts
        return bool(self.attempt > 1 or self.events.earlier or (counts and counts.rerun))

    @property
    def flaky_tests(self) -> list[Flaky]:
        """The tests that failed and then passed. The name is empty if it is not known."""
        failed = (
            frozenset()
            if self.has_events
            else frozenset(test for cause in self.causes for test in cause.tests)
        )
        found = self.events.flaky(self.attempts - 1, failed)
        if not found and self.state == State.PASSED and self.retried:
            counts = self.output.counts
            reruns = f"{counts.rerun} reruns" if counts and counts.rerun else ""
            first = Failure("", "call", "", self.before or reruns, "", 0, (), ())
            attempt = max(2, self.attempt)
            found = [Flaky("", attempt, max(attempt, self.attempts), first)]
        return found

    @property
    def executed(self) -> int:
        """How many tests ran, as far as that is known. Skipped tests do not count."""
        if self.cached:
            return self.cached.executed or 0
        if self.has_events:
            return self.events.executed
        counts = self.output.counts
        return counts.executed if counts else 0

    @property
    def causes(self) -> list[Cause]:
        """The root causes of the failures: from events, or from the output of the test tool."""
        if self.has_events:
            return list(self.events.causes.values())
        found: dict[Hashable, Cause] = {}
        for failure in self.output.failures:
            cause = found.setdefault(cause_key(failure), Cause(failure))
            cause.tests[failure.test] = None
        return list(found.values())

    @property
    def tool(self) -> str:
        """The test tool; empty if it is unknown, or if there are several."""
        if self.cached:
            return self.cached.tool
        return self.events.tool if self.has_events else self.output.tool


@cache
def dry_run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Return what make would run. It prints the commands and does not run them."""
    *options, target = command
    return subprocess.run(
        # SHELL=true is for the commands that make always runs.
        [*options, "-n", "SHELL=true", target],
        cwd=ROOT,
        env=environment("", LC_ALL="C"),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )


def missing(command: list[str], file: str) -> str:
    """Return why a target of a Makefile has no tests; empty if it has, or if the Makefile is broken.

    A broken Makefile is not skipped: its tests run and fail with make's error.

    Args:
        command: the make command with the target at its end.
        file: the Makefile, for the reason.
    """
    target, done = command[-1], dry_run(tuple(command))
    if re.search(rf"No rule to make target .{target}.\.", done.stderr):
        where = f" in {file}" if (ROOT / file).exists() else f": there is no {file}"
        return f"no target {target}{where}"
    said = done.stdout.splitlines()
    reasons = [NO_TESTS.fullmatch(line) for line in said if not line.startswith("make")]
    return "; ".join(reason["why"] for reason in reasons if reason) if all(reasons) else ""


def services() -> list[str]:
    """List the folder names under services/; empty in a single-service project.

    Raises:
        UsageError: a name is reserved, or unsafe in a shell or a Makefile.
    """
    folders = (ROOT / "services").iterdir() if MULTI and (ROOT / "services").is_dir() else []
    names = sorted(path.name for path in folders if path.is_dir() and path.name[0] not in "._")
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII):
            raise UsageError(
                f"services/{name}: only letters, digits, - and _ are allowed; rename the folder"
            )
        if name == "full":
            raise UsageError("services/full: the name 'full' is reserved; rename the folder")
    return names


def find(stages: Iterable[str], names: Iterable[str]) -> list[Target]:
    """Return the targets of these stages and services, in the order of the stages.

    Without services, all are selected. Without stages, all are selected too, except the integration
    tests if services are named.

    Raises:
        UsageError: a service does not exist or does not have a selected stage.
    """
    wanted, named, known = set(stages), set(names), services()
    for name in sorted(named - set(known)):
        if not MULTI:
            raise UsageError("this is a single-service project: omit --service")
        raise UsageError(f"no service {name!r}: choose from {', '.join(known) or 'none'}")
    if named and "integration" in wanted:
        raise UsageError("the integration tests cover all services: omit --service")
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
    command = [*(MAKE if folder == "." else ["make", "-C", folder]), "test-unit"]
    target = Target(
        "unit", name, command, again=" ".join(command), folder=FOLDERS.get(name, folder)
    )
    if why := missing(command, makefile(folder)):
        skip(target, why)
    return target


def makefile(folder: str) -> str:
    """Return the path of the file with the make targets of a folder."""
    return MAKE[-1] if folder == "." and len(MAKE) > 1 else str(Path(folder, "Makefile"))


def service(name: str) -> Target:
    """Return the target of a service's tests, which run against its stack."""
    folder = f"services/{name}"
    target = Target(
        "service",
        name,
        ["make", "-C", folder, "test-service"],
        scope=name,
        again=" ".join([*MAKE, "test-service", f"SERVICE={name}"]),
        folder=FOLDERS.get(name, folder),
    )
    file = f"{folder}/deploy/test/docker-compose.yml"
    if not (ROOT / file).exists():
        skip(target, f"no {file}")
    elif (why := missing(target.command, makefile(folder))) and "no target" not in why:
        skip(target, why)
    return target


def integration() -> Target:
    """Return the target of the integration tests, which run against the stack of all services."""
    target = Target(
        "integration",
        "full" if MULTI else "app",
        [*MAKE, "test-against-stack"],
        scope="full",
        again=" ".join([*MAKE, "test-integration"]),
        folder=INTEGRATION,
    )
    are_adopted = MULTI and INTEGRATION == "."
    if not are_adopted and not (ROOT / "tests/integration").is_dir():
        skip(target, "no tests/integration")
    elif are_adopted and (why := missing(target.command, makefile("."))):
        skip(target, why)
    return target


def skip(target: Target, why: str) -> None:
    """Mark a target as skipped, with the reason."""
    target.state, target.note = State.SKIPPED, why
