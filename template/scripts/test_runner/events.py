# Kept by the template: copier update merges its changes into this file.
"""What a test tool reports while it runs: a JSON object a line, written by a plugin in plugins/.

The exit code says whether a target passed; events say how far it is, and explain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: How much of the file is read at a time, in bytes: a tick must not take long.
CHUNK = 1 << 20

#: More causes than anybody reads; what comes after is counted with the last one.
MOST_CAUSES = 100

#: The outcomes of a test that was executed; a skipped one was not.
EXECUTED = frozenset({"passed", "failed", "error", "xfailed", "xpassed"})
FAILED = frozenset({"failed", "error"})


@dataclass(frozen=True)
class Failure:
    """Why a test failed, and where to look."""

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
        """The place in the usual notation, nothing where it is unknown."""
        return f"{self.path}:{self.line}" if self.path and self.line else self.path


@dataclass
class Cause:
    """Failures that have one root: the same error, at the same place, in the same words."""

    first: Failure
    tests: dict[str, None] = field(default_factory=dict)  #: in the order of their failing


def cause_key(failure: Failure) -> Hashable:
    """Tell causes apart; numbers differ from test to test where the cause is the same."""
    words = re.sub(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+", "0", failure.message.partition("\n")[0])
    return failure.phase == "collection", failure.type, failure.where, words


def failure_of(event: dict[str, Any], phase: str) -> Failure:
    """Read the failure in an event, whatever of it is there."""
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
    """The events of one target, read as they come."""

    path: Path
    begun: int = 0  #: how often a test tool started; a target may call several
    ended: int = 0  #: how often one came to its end
    exit: int = 0  #: the worst exit code that a test tool ended with
    tool: str = ""  #: the one that tells, as it calls itself; nothing where there are several
    xdist: bool = False  #: more processes could be used
    total: int = 0
    outcomes: dict[str, str] = field(default_factory=dict)  #: the last word on each test
    seconds: dict[str, float] = field(default_factory=dict)  #: of each test, without fixtures
    fixtures: dict[str, float] = field(default_factory=dict)  #: the slowest set-up of each fixture
    causes: dict[Hashable, Cause] = field(default_factory=dict)
    unfinished: dict[str, None] = field(default_factory=dict)  #: started, and not ended yet
    _offset: int = 0
    _total_before: int = 0

    @property
    def done(self) -> int:
        """How many tests have an outcome."""
        return len(self.outcomes)

    @property
    def complete(self) -> bool:
        """Whether all tests were run that there are: none crashed it, and no file was no Python."""
        return 0 < self.begun <= self.ended and self.exit in (0, 1)

    @property
    def running(self) -> str:
        """The test that started last among those that run."""
        return next(reversed(self.unfinished), "")

    def count(self, outcomes: frozenset[str]) -> int:
        """How many tests have one of these outcomes."""
        return sum(outcome in outcomes for outcome in self.outcomes.values())

    @property
    def executed(self) -> int:
        """How many tests were run to an outcome."""
        return self.count(EXECUTED)

    @property
    def failed(self) -> int:
        """How many tests failed; a file that could not be loaded counts as one."""
        return self.count(FAILED)

    def read(self) -> None:
        """Take in the events that were written since the last call."""
        for line in self._new_lines():
            try:
                event = json.loads(line)
                self._take(event)
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
                    # A line longer than a chunk is not one of ours; the end of a line may yet come.
                    self._offset += len(text) if len(text) == CHUNK else 0
                    return
                self._offset += whole
                file.seek(self._offset)
                yield from text[:whole].splitlines()

    def _take(self, event: dict[str, Any]) -> None:
        kind, test = event["event"], str(event.get("test", ""))
        if kind == "begin":
            tool = str(event.get("tool", ""))
            self.tool = tool if self.tool == tool or not self.begun else ""
            self.begun += 1
            self.xdist = bool(event.get("xdist"))
            self._total_before = self.total
        elif kind == "total":
            self.total = self._total_before + int(event["tests"])
        elif kind == "start":
            self.unfinished[test] = None
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
        elif kind == "end":
            self.ended += 1
            self.exit = max(self.exit, int(event["exit"]))
            self.unfinished.clear()

    def _result(self, test: str, event: dict[str, Any]) -> None:
        outcome, phase = str(event["outcome"]), str(event.get("phase", "call"))
        if phase == "call":
            self.seconds[test] = float(event.get("seconds", 0.0))
        if outcome == "rerun":
            return
        # A failing tear-down has the last word on a test that passed.
        if outcome not in FAILED and self.outcomes.get(test) in FAILED:
            return
        self.outcomes[test] = outcome
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


def own_name(test: str) -> str:
    """Return a test's own name, without the file and the class or suites that it is in."""
    head, bracket, parameters = test.partition("[")
    name = head.rpartition("::")[2].rpartition(" > ")[2]
    return name + bracket + parameters
