# Kept by the template: copier update merges its changes into this file.
"""The test command of Cargo, and cargo-nextest."""

from __future__ import annotations

import re

from .base import Counts, Tool, numbers

RUNNING = r"running (\d+) tests?"
TEST = r"test (?P<test>\S.*?)(?: - should panic)? \.\.\. (?:ok|FAILED|ignored.*|bench: .*)"
RESULT = (
    r"test result: (?:ok|FAILED)\. (?P<passed>\d+) passed; (?P<failed>\d+) failed;"
    r" (?P<ignored>\d+) ignored; (?P<measured>\d+) measured; \d+ filtered out(?:; finished in .*)?"
)
FAILED = r"---- (?P<test>\S.*?) stdout ----"
COMPILER = r"error(?:\[E\d+\])?: (?!test failed|could not compile|\d+ target).*"

NEXT_START = r" +Starting (?P<n>\d+) tests? across \d+ binar(?:y|ies)(?: \(.*\))?"
NEXT_RESULT = r" +(?:TRY \d+ )?(?P<result>PASS|FAIL|SIG\w+|ABORT|TIMEOUT|LEAK|FLAKY.*) \[.*\] +(?:\([ \d/]+\) +)?(?P<test>\S.*)"
NEXT_SUMMARY = r" +Summary \[.*\] +(?P<run>\d+)(?:/\d+)? tests? run: (?P<counts>.*)"
NEXT_PAIR = r"(?P<n>\d+) (?P<what>passed|failed|timed out|exec failed|skipped)"
NEXT_NOTHING = "error: no tests to run"
RULE = r"─{4,}"

PLACE = r"(?:panicked at |--> |at )(?:'.*', )?(?P<path>[^\s:']+\.rs):(?P<line>\d+)(?::\d+)?"
NOISE = r"thread '.*' (?:\(\d+\) )?panicked at|note: run with |\s+at |\s+\d+: |stack backtrace"


class Cargo(Tool):
    """Adds up the results of all test programs. A result must match the number that was announced."""

    name = "cargo"
    start = r"running \d+ tests?$|error(?:\[E\d+\])?: "
    place = PLACE
    noise = NOISE

    def __init__(self) -> None:
        super().__init__()
        self._announced = -1  # the number of tests of the current program; -1: none is running

    def line(self, text: str) -> None:
        """Read a line."""
        if match := re.fullmatch(RUNNING, text):
            self.end_failure()
            if self._announced < 0:
                self._announced, self.running = int(match[1]), True
                self.total += self._announced
        elif self._announced < 0:
            if re.fullmatch(COMPILER, text):
                self.fail("compilation", text)
            elif not text:
                self.end_failure()
            else:
                self.keep(text)
        elif match := re.fullmatch(RESULT, text):
            self._result({what: int(number) for what, number in match.groupdict().items()})
        elif match := re.fullmatch(TEST, text):
            self.current = match["test"]
            self.done = min(self.done + 1, self.total)
        elif match := re.fullmatch(FAILED, text):
            self.fail(match["test"])
        elif text == "failures:":
            self.end_failure()
        else:
            self.keep(text)

    def _result(self, found: dict[str, int]) -> None:
        if sum(found.values()) == self._announced:
            self.end_failure()
            self._announced = -1
            self.done = self.total
            passed = found["passed"] + found["measured"]
            self.add(Counts(passed, found["failed"], 0, found["ignored"]))


class Nextest(Tool):
    """Counts the summary, which may only have the tests behind it that did not pass."""

    name = "cargo-nextest"
    start = r" +Starting \d+ tests? across |error: no tests to run$"
    nothing_codes = frozenset({4})
    place = PLACE
    noise = (
        NOISE + r"|\s*std(?:out|err) ───|\s*running 1 test$|\s*test .* \.\.\. FAILED$|\s*failures:$"
    )

    def __init__(self) -> None:
        super().__init__()
        self._ended = False

    def line(self, text: str) -> None:
        """Read a line."""
        if match := re.fullmatch(NEXT_START, text):
            self.running, self._ended = True, False
            self.total += int(match["n"])
        elif text == NEXT_NOTHING:
            self.add(Counts())
        elif not self.running:
            return
        elif match := re.fullmatch(NEXT_SUMMARY, text):
            self.end_failure()
            found = numbers(NEXT_PAIR, match["counts"])
            failed = (
                found.get("failed", 0) + found.get("timed out", 0) + found.get("exec failed", 0)
            )
            if found.get("passed", 0) + failed == int(match["run"]):
                self.done = self.total
                self.add(Counts(found.get("passed", 0), failed, 0, found.get("skipped", 0)))
        elif match := re.fullmatch(NEXT_RESULT, text):
            self.done = min(self.done + 1, self.total)
            self.current = match["test"]
            if not re.match("PASS|LEAK|FLAKY", match["result"]):
                self.fail(match["test"])
            else:
                self.end_failure()
        elif re.fullmatch(RULE, text):
            self.end_failure()
        else:
            self.keep(text)
