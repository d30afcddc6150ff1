# Kept by the template: copier update merges its changes into this file.
"""Reads the events of a test tool: one JSON object per line, written by a plugin in plugins/.

The exit code decides whether a target passed. Events show its progress and explain its failures.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

#: How many bytes are read at once, so that a poll stays short.
CHUNK = 1 << 20

#: At most this many root causes are kept apart. Later failures are added to the last one.
MOST_CAUSES = 100

#: At most this many failed attempts of a test are kept.
MOST_ATTEMPTS = 10

#: The outcomes of a test that ran. A skipped test did not run.
EXECUTED = frozenset({"passed", "failed", "error", "xfailed", "xpassed"})
FAILED = frozenset({"failed", "error"})


@dataclass(frozen=True)
class Failure:
    """Why and where a test failed."""

    test: str
    phase: str
    type: str
    message: str
    path: str
    line: int
    excerpt: tuple[str, ...]
    captured: tuple[str, ...]

    @property
    def where(self) -> str:
        """The location as path:line; empty if it is unknown."""
        return f"{self.path}:{self.line}" if self.path and self.line else self.path


@dataclass
class Cause:
    """Failures with the same root cause: the same error, location and message."""

    first: Failure
    tests: dict[str, None] = field(default_factory=dict)  #: in the order in which they failed


@dataclass(frozen=True)
class Flaky:
    """A test that failed and then passed, without a change."""

    test: str  #: empty: it is not known which test
    attempt: int  #: the number of the attempt that passed
    attempts: int  #: how many attempts were allowed
    first: Failure  #: of the first attempt

    def __str__(self) -> str:
        """Return the attempt that passed and the number of attempts: `flaky 2/3`."""
        return f"flaky {self.attempt}/{self.attempts}"


def cause_key(failure: Failure) -> Hashable:
    """Return a key that is equal for failures with the same root cause.

    Numbers in a message do not count: they often differ from test to test.
    """
    words = re.sub(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+", "0", failure.message.partition("\n")[0])
    return failure.phase == "collection", failure.type, failure.where, words


def failure_of(event: dict[str, Any], phase: str) -> Failure:
    """Return the failure in an event. Missing fields are empty."""
    found = event.get("failure") or {}
    return Failure(
        test=str(event.get("test", "")),
        phase=phase,
        type=str(found.get("type", "")),
        message=str(found.get("message", "")),
        path=str(found.get("path", "")),
        line=int(found.get("line") or 0),
        excerpt=tuple(map(str, found.get("excerpt", ()))),
        captured=tuple(map(str, found.get("captured", ()))),
    )


@dataclass
class Events:
    """The events of one target, read while it runs."""

    path: Path
    begun: int = 0  #: how often a test tool started; a target may call several
    ended: int = 0  #: how often a test tool ended by itself
    exit: int = 0  #: the worst exit code of its test tools
    tool: str = ""  #: pytest or vitest; empty if the target calls different tools
    xdist: bool = False  #: the tests could run in several processes
    workers: int = 0  #: the processes that run the tests beside the test tool's own
    first: float = 0.0  #: when the first test started, on the monotonic clock; 0: none did
    total: int = 0
    repeated: bool = False  #: the tests that run now have failed before
    earlier: dict[str, list[Failure]] = field(default_factory=dict)  #: attempts that failed
    attempts: dict[str, int] = field(default_factory=dict)  #: how many the test tool allows
    outcomes: dict[str, str] = field(default_factory=dict)  #: the final outcome of each test
    seconds: dict[str, float] = field(default_factory=dict)  #: of each test, without fixtures
    fixtures: dict[str, float] = field(default_factory=dict)  #: the slowest set-up of each fixture
    causes: dict[Hashable, Cause] = field(default_factory=dict)
    #: The tests that started but did not end, and when this was read, on the monotonic clock.
    unfinished: dict[str, float] = field(default_factory=dict)
    #: When each test started and ended, in seconds since 1970. A running test has no end.
    times: dict[str, tuple[float, float]] = field(default_factory=dict)
    share: float = 1.0  #: the part of the files whose tests are in `total`
    _offset: int = 0
    _total_before: int = 0
    _collected: int = 0  #: by the current test tool
    _seen: set[str] = field(default_factory=set)  #: tests of the current tool with an outcome
    _missing_before: int = 0

    @property
    def done(self) -> int:
        """How many tests have an outcome."""
        return len(self.outcomes)

    @property
    def missing(self) -> int:
        """How many tests a test tool has collected without reporting an outcome."""
        if self.tool == "junit":  # Its names are not unique.
            return 0
        return self._missing_before + max(0, self._collected - len(self._seen))

    @property
    def complete(self) -> bool:
        """Whether all tests ran: no crash, and no error that stopped the collection."""
        return 0 < self.begun <= self.ended and self.exit in (0, 1)

    @property
    def running(self) -> str:
        """The running test that started last; empty: none runs."""
        return next(reversed(self.unfinished), "")

    def count(self, outcomes: frozenset[str]) -> int:
        """How many tests have one of these outcomes."""
        return sum(outcome in outcomes for outcome in self.outcomes.values())

    @property
    def executed(self) -> int:
        """How many tests ran. Skipped tests do not count."""
        return self.count(EXECUTED)

    @property
    def failed(self) -> int:
        """How many tests failed. A file that could not be loaded counts as one test."""
        return self.count(FAILED)

    def flaky(self, retries: int, failed: frozenset[str] = frozenset()) -> list[Flaky]:
        """List the tests that failed and then passed.

        Args:
            retries: how often the runner itself has repeated failed tests at most.
            failed: the tests that failed in the end and have no outcome here.
        """
        found = []
        for test, failures in self.earlier.items():
            outcome = self.outcomes.get(test, "passed")  # Without events, outcomes are not known.
            if outcome in EXECUTED - FAILED and test not in failed:
                number = len(failures) + 1
                most = max(number, self.attempts.get(test, 1) + retries)
                found.append(Flaky(test, number, most, failures[0]))
        return found

    def repeat(self, crashed: str, note: str) -> None:
        """Prepare for a repetition of failed tests: their failures become earlier attempts.

        Args:
            crashed: the test that was running at a crash; empty: none.
            note: how the crash ended.
        """
        for cause in self.causes.values():
            for test in cause.tests:
                self._failed_before(replace(cause.first, test=test))
                self.outcomes[test] = "rerun"
                if cause.first.phase == "collection":  # What could not be loaded is no test.
                    del self.outcomes[test]
        if crashed:
            self._failed_before(Failure(crashed, "call", "", note, "", 0, (), ()))
        self.causes.clear()
        self.unfinished.clear()
        self.repeated, self.exit = True, 0
        self.begun = self.ended = 0 if self.tool == "junit" else self.begun
        self._collected, self._seen, self._missing_before = 0, set(), 0

    def _failed_before(self, failure: Failure) -> None:
        attempts = self.earlier.setdefault(failure.test, [])
        if len(attempts) < MOST_ATTEMPTS:
            attempts.append(failure)

    def read(self) -> None:
        """Read the events that are new since the last call."""
        for line in self._new_lines():
            try:
                event = json.loads(line)
                self.take(event)
            except (
                ValueError,
                TypeError,
                AttributeError,
                KeyError,
                ArithmeticError,
                RecursionError,
            ):
                continue  # Half a line of a tool that was killed, or not ours.

    def _new_lines(self) -> Iterator[bytes]:
        try:
            file = self.path.open("rb")
        except OSError:
            return
        with file:
            file.seek(self._offset)
            while text := file.read(CHUNK):
                whole = text.rfind(b"\n") + 1
                if not whole:
                    # Skip a line that is longer than a chunk: it is not an event. A shorter one
                    # is incomplete and is read again at the next call.
                    self._offset += len(text) if len(text) == CHUNK else 0
                    return
                self._offset += whole
                file.seek(self._offset)
                yield from text[:whole].splitlines()

    def take(self, event: dict[str, Any]) -> None:
        """Add an event."""
        kind, test = event["event"], str(event.get("test", ""))
        if kind == "begin":
            tool = str(event.get("tool", ""))
            self.tool = tool if self.tool == tool or not self.begun else ""
            self._missing_before = self.missing
            self._collected, self._seen = 0, set()
            self.begun += 1
            self.xdist = bool(event.get("xdist"))
            self.workers = int(event.get("workers") or 0)
            self._total_before = self.total
        elif kind == "total":
            self._collected = int(event["tests"])
            self.share = int(event.get("files") or 1) / max(1, int(event.get("of") or 1))
            if not self.repeated:
                self.total = self._total_before + self._collected
        elif kind == "start":
            self.unfinished[test] = time.monotonic()
            self.first = self.first or self.unfinished[test]
            self.times[test] = (float(event.get("at") or time.time()), math.inf)
        elif kind == "result":
            self._result(test, event)
        elif kind == "collect_error":
            self.outcomes[test] = "error"
            self._fail(failure_of(event, "collection"))
        elif kind == "fixture":
            name, seconds = str(event["name"]), float(event["seconds"])
            self.fixtures[name] = max(seconds, self.fixtures.get(name, 0.0))
        elif kind == "finish":
            self.unfinished.pop(test, None)
            began = float(event.get("at") or self.times.get(test, (0.0, 0.0))[0])
            self.times[test] = (began, began + float(event.get("seconds") or 0.0))
        elif kind == "end":
            self.ended += 1
            self.exit = max(self.exit, int(event["exit"]))
            self.unfinished.clear()

    def _result(self, test: str, event: dict[str, Any]) -> None:
        outcome, phase = str(event["outcome"]), str(event.get("phase", "call"))
        if phase == "call":
            self.seconds[test] = float(event.get("seconds", 0.0))
        if outcome == "rerun":
            self._failed_before(failure_of(event, phase))
            self.attempts[test] = int(event.get("attempts") or 0)
            return
        # A failed teardown replaces `passed`, but `passed` does not replace a failure.
        if outcome not in FAILED and self.outcomes.get(test) in FAILED:
            self._seen.add(test)
            return
        self.outcomes[test] = outcome
        self._seen.add(test)
        if outcome in FAILED:
            self._fail(failure_of(event, phase))
        if phase == "call" and outcome not in FAILED:
            self.unfinished.pop(test, None)

    def _fail(self, failure: Failure) -> None:
        key = cause_key(failure)
        if key not in self.causes:
            if len(self.causes) >= MOST_CAUSES:
                key = next(reversed(self.causes))
            else:
                self.causes[key] = Cause(failure)
        self.causes[key].tests[failure.test] = None


def short_name(test: str) -> str:
    """Return the name of a test without its file, class or suites."""
    head, bracket, parameters = test.partition("[")
    name = head.rpartition("::")[2].rpartition(" > ")[2]
    return name + bracket + parameters
