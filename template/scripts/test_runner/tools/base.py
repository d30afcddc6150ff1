# Kept by the template: copier update merges its changes into this file.
"""What all test tools have in common: counts, progress and failures.

Patterns are strings, not compiled objects: `re` compiles them at their first use and keeps them, so
the runner starts without compiling the patterns of tools that a project does not use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from ..events import Failure

#: How many failures of a tool are kept, and how many lines of each, shortened to WIDTH characters.
FAILURES, LINES, WIDTH = 10, 60, 400
#: How many lines of a failure are shown at most.
EXCERPT = 8

#: A file of a library or of the tool itself. A failure is better located in the project's code.
LIBRARY = (
    r"(?:^|/)(?:node_modules|site-packages|dist-packages|vendor|gems|registry|rustc|pkg/mod)/"
    r"|^node:|^internal/|^<|/lib/python\d|^/usr/(?:lib|share)/|^/rustc"
)


@dataclass(frozen=True)
class Counts:
    """The numbers of tests by outcome, from the tool's final summary.

    `errors` are failures outside of a test's body: fixtures, files that cannot be loaded, unhandled
    errors.
    """

    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    xfailed: int = 0
    xpassed: int = 0
    rerun: int = 0
    deselected: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both runs together."""
        return Counts(
            **{
                name: getattr(self, name) + getattr(other, name)
                for name in type(self).__match_args__
            }
        )

    @property
    def failures(self) -> int:
        """The number of failures and errors."""
        return self.failed + self.errors

    @property
    def tests(self) -> int:
        """How many tests have an outcome, including skipped tests."""
        return self.failures + self.passed + self.skipped + self.xfailed + self.xpassed

    @property
    def executed(self) -> int:
        """How many tests ran. Skipped tests do not count."""
        return self.tests - self.skipped

    @property
    def nothing_ran(self) -> bool:
        """Whether there were no tests, or all of them were skipped."""
        return not self.executed


class Tool:
    """Reads the output of one test tool, a line at a time. Subclasses know the tools.

    A subclass sets the class variables and defines `line`. The base class sums the counts of several
    runs, because a recipe may call a tool more than once.
    """

    name: ClassVar[str] = ""
    #: A pattern for the start of a line. The tool receives no lines before the first line that
    #: matches, which keeps other output cheap. Empty: the tool receives all lines.
    start: ClassVar[str] = ""
    #: The exit codes of the tool, except 0, when it found no test to run.
    nothing_codes: frozenset[int] = frozenset()
    #: A pattern for the location in a line of a failure, with the groups `path` and `line`.
    place: ClassVar[str] = r"(?P<path>(?!))(?P<line>)"
    #: Whether the last location of a failure is the innermost one, as in Python, and not the first.
    last_place: ClassVar[bool] = False
    #: A pattern for the start of lines that are left out of a failure's excerpt.
    noise: ClassVar[str] = r"\s+at "

    def __init__(self) -> None:
        self.counts: Counts | None = None  #: of all runs that have ended; None: unknown
        self.uncounted = False  #: tests ran whose number the tool does not print
        self.running = False  #: a run has started, and its summary has not been read yet
        self.failures: list[Failure] = []
        self.done = 0  #: tests that have ended, as far as the output shows them
        self.total = 0  #: 0: unknown
        self.percent = 0
        self.current = ""
        self._runs: list[bool] = []  #: for each summary, whether it is the tool's own for sure
        self._test = ""  #: the failed test whose lines are being read
        self._lines: list[str] | None = None

    def line(self, text: str) -> None:
        """Read a line, which has no escape sequences and no trailing spaces. It may be empty."""
        raise NotImplementedError

    def begun(self, text: str) -> None:
        """Read the start of a line that has no end yet. Only called if it ends with a space."""

    def gap(self) -> None:
        """Note that a part of the output is missing here."""
        self._lines = None

    def end(self) -> None:
        """Note that the output has ended."""
        self.end_failure()

    # FOR THE SUBCLASSES -------------------------------------------------------
    def add(self, counts: Counts, *, sure: bool = True) -> None:
        """Add the counts of a run that has ended.

        Args:
            counts: the numbers in the summary.
            sure: False if a test may have printed the summary. One such summary is counted. If there
                are several summaries, the number of tests is unknown.
        """
        self._runs.append(sure)
        self.uncounted |= len(self._runs) > 1 and not all(self._runs)
        self.counts = counts if self.counts is None else self.counts + counts
        self.running = False

    def fail(self, test: str, *lines: str) -> None:
        """Start to read the lines of a failed test."""
        self.end_failure()
        self._test, self._lines = test, list(lines)

    def keep(self, text: str) -> bool:
        """Add a line to the failed test that is being read. Return whether there is one."""
        if self._lines is None:
            return False
        if len(self._lines) < LINES:
            self._lines.append(text[:WIDTH])
        return True

    def end_failure(self) -> None:
        """Store the failed test whose lines were read, if there is one."""
        lines, self._lines = self._lines, None
        if lines is not None and len(self.failures) < FAILURES:
            self.failures.append(self.failure(self._test, lines))

    def failure(self, test: str, lines: list[str]) -> Failure:
        """Return a failure with an excerpt of its lines, and its location."""
        places = [match for line in lines for match in re.finditer(self.place, line)]
        own = [match for match in places if not re.search(LIBRARY, match["path"])] or places
        where = own[-1 if self.last_place else 0] if own else None
        shown = [line for line in lines if line.strip() and not re.match(self.noise, line)]
        indent = min((len(line) - len(line.lstrip()) for line in shown), default=0)
        return Failure(
            test=test,
            phase="call",
            type="",
            message=self.message(shown),
            path=where["path"].removeprefix("file://") if where else "",
            line=int(where["line"]) if where else 0,
            excerpt=tuple(line[indent:] for line in shown[:EXCERPT]),
            captured=(),
        )

    def message(self, shown: list[str]) -> str:
        """Return the message of a failure: the first of the lines that are shown."""
        return shown[0].strip() if shown else ""


def numbers(pattern: str, text: str) -> dict[str, int]:
    """Return the numbers in a text by what they count. The pattern has the groups `n` and `what`."""
    found: dict[str, int] = {}
    for match in re.finditer(pattern, text):
        what = match["what"].lower()
        found[what] = found.get(what, 0) + int(match["n"])
    return found
