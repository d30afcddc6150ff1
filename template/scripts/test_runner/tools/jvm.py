# Kept by the template: copier update merges its changes into this file.
"""Maven (Surefire and Failsafe) and Gradle."""

from __future__ import annotations

import re

from .base import Counts, Tool

LEVEL = r"\[(?:INFO|ERROR|WARNING)\]"
RESULTS = rf"{LEVEL} Results ?:"
TOTAL = (
    rf"{LEVEL} Tests run: (?P<run>\d+), Failures: (?P<failures>\d+), Errors: (?P<errors>\d+),"
    r" Skipped: (?P<skipped>\d+)(?:, Flakes: \d+)?"
)
SUITE_FAILED = r"\[ERROR\] Tests run: .*(?:<<< |FAILURE!|ERROR!).*"
FAILED = r"\[ERROR\] (?P<test>[\w.$]+\.\S.*?) +(?:-- )?Time elapsed: .* <<< (?:FAILURE|ERROR)!"
NOTHING = rf"{LEVEL} No tests to run\."
ANY_LEVEL = r"\[[A-Z]+\].*"

GRADLE_TASK = r"> Task :\S*"
GRADLE_TEST_TASK = (
    r"> Task :(?:\S*:)?(?:\w*[tT]est\w*)(?: FAILED| NO-SOURCE| UP-TO-DATE| FROM-CACHE)?"
)
GRADLE_TOTAL = (
    r"(?P<total>\d+) tests? completed, (?P<failed>\d+) failed(?:, (?P<skipped>\d+) skipped)?"
)
GRADLE_FAILED = r"(?P<test>\S.* > \S.*) FAILED"


class Maven(Tool):
    """Adds up the results of all modules."""

    name = "maven"
    start = r"\[(?:INFO|ERROR)\] "
    place = r"\((?P<path>[\w.$]+\.(?:java|kt|scala|groovy)):(?P<line>\d+)\)"
    noise = r"\s+at |\s+\.\.\. \d+ more"

    def __init__(self) -> None:
        super().__init__()
        self._in_results = False

    def line(self, text: str) -> None:
        """Read a line."""
        if re.fullmatch(RESULTS, text):
            self._in_results = True
        elif self._in_results and (match := re.fullmatch(TOTAL, text)):
            self._in_results = False
            found = {what: int(number) for what, number in match.groupdict().items()}
            passed = found["run"] - found["failures"] - found["errors"] - found["skipped"]
            self.add(Counts(max(0, passed), found["failures"], found["errors"], found["skipped"]))
        elif re.fullmatch(NOTHING, text):
            self.add(Counts())
        elif match := re.fullmatch(FAILED, text):
            self.fail(match["test"])
        elif re.fullmatch(ANY_LEVEL, text):
            self.end_failure()
        else:
            self.keep(text)


class Gradle(Tool):
    """Counts the tests of a run with failures. Gradle does not print the number of passed tests."""

    name = "gradle"
    start = r"> Task :"
    place = r"(?:\(| at )(?P<path>[\w.$]+\.(?:java|kt|scala|groovy)):(?P<line>\d+)"
    noise = r"\s+at "

    def __init__(self) -> None:
        super().__init__()
        self._tested = False  # a test task has started, and printed no numbers yet

    def line(self, text: str) -> None:
        """Read a line."""
        if match := re.fullmatch(GRADLE_TEST_TASK, text):
            self.end_failure()
            self._close()
            self._tested = not text.endswith(("NO-SOURCE", "UP-TO-DATE", "FROM-CACHE"))
            self.uncounted = self.uncounted or text.endswith(("UP-TO-DATE", "FROM-CACHE"))
        elif self._tested and (match := re.fullmatch(GRADLE_TOTAL, text)):
            self.end_failure()
            self._tested = False
            failed, skipped = int(match["failed"]), int(match["skipped"] or 0)
            self.add(Counts(max(0, int(match["total"]) - failed - skipped), failed, 0, skipped))
        elif self._tested and (match := re.fullmatch(GRADLE_FAILED, text)):
            self.fail(match["test"])
        elif not text or re.match(GRADLE_TASK, text):
            self.end_failure()
        else:
            self.keep(text)

    def end(self) -> None:
        """Note a test task without numbers."""
        self._close()
        super().end()

    def _close(self) -> None:
        self.uncounted = self.uncounted or self._tested
        self._tested = False
