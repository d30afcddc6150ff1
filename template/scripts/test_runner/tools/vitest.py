# Kept by the template: copier update merges its changes into this file.
"""Vitest, where its reporter for the runner is not loaded.

Vitest prints a line for each file, then a summary block. On a terminal, it also prints such blocks
while it runs. There, only one space follows a label, and the duration has no details.
"""

from __future__ import annotations

import re
from dataclasses import replace

from .base import Counts, Tool

START = r" (?:RUN|DEV)  v\d+\.\d+\.\S+ .*"
#: A quick test before the detailed patterns.
CANDIDATE = (
    r"\(\d+ tests?\b|Test Files|Tests |Errors |Duration |No test files|std(?:out|err) \|"
    r"|Failed Suites|^ (?:RUN|DEV|FAIL) |⎯"
)
FILE = (
    r"\s*[✓❯×↓]\s+(?:\|[^|]+\|\s+)?(?P<file>\S.*?\.[cm]?[jt]sx?)\s+"
    r"\((?P<tests>\d+) tests?(?: \| \d+ [a-z ]+)*\).*"
)
BLOCK = r" +(?:Test Files|Tests|Type Errors|Errors|Start at|Duration)  .*"
FILES = r" Test Files  (?:.*\(\d+\)|no tests)"
TESTS = r" {6}Tests  (?:(?P<counts>.*) \(\d+\)|no tests)"
PAIR = r"(?P<n>\d+) (?P<what>failed|passed|skipped|todo|expected fail)"
ERRORS = r" {5}Errors  (\d+) errors?"
SUITES = r"⎯+ Failed Suites (\d+) ⎯+"
DURATION = r" {3}Duration  \S+ \(.*\)"
NOTHING = r"No test files found, exiting with code (\d+)"
#: The heading of a test's output, which extends to the next empty line.
PRINTED = r"(?:stdout|stderr) \| (?:\S+\.[cm]?[jt]sx?(?: > .*)?|unknown test)"
FAILED = r" FAIL  (?:\|[^|]+\| )?(?P<test>\S.*)"
RULE = r"⎯+(?:\[\d+/\d+\]⎯+| .* ⎯+)?"


class Vitest(Tool):
    """Counts the final summary block, and ignores the output of tests, which has a heading."""

    name = "vitest"
    start = r" (?:RUN|DEV)  v\d|No test files found, exiting with code "
    place = r"❯ (?:\S+ )?(?P<path>\S+\.[cm]?[jt]sx?):(?P<line>\d+)(?::\d+)?"
    noise = r" ❯ |\s+\d*\| ?| +at "

    def __init__(self) -> None:
        super().__init__()
        self._is_vitest = False  # the first line was seen
        self._in_output = False  # the lines are the output of a test
        self._block: Counts | None = None  # an incomplete summary block
        self._suites = 0

    def line(self, text: str) -> None:
        """Read a line."""
        if not text:
            self._in_output = False
            return
        if self._block and not re.fullmatch(BLOCK, text):
            self._block = None
        if self._in_output:
            return
        if re.search(CANDIDATE, text) and self._read(text):
            return
        self.keep(text)

    def _read(self, text: str) -> bool:
        """Read a line that may be Vitest's own. Return whether it is."""
        if re.fullmatch(START, text):
            self._is_vitest = True
        elif not self._is_vitest:
            return False
        elif re.fullmatch(PRINTED, text):
            self._in_output = True
        elif match := re.fullmatch(FILE, text):
            self.current = match["file"]
            self.done += int(match["tests"])
        elif match := re.fullmatch(SUITES, text):
            self.end_failure()
            self._suites = int(match[1])
        elif re.fullmatch(RULE, text):
            self.end_failure()
        elif match := re.fullmatch(FAILED, text):
            if self._lines != []:  # Failures with the same error follow each other.
                self.fail(match["test"])
        elif re.fullmatch(FILES, text):
            self.end_failure()
            self._block = Counts(errors=self._suites)
        elif match := re.fullmatch(NOTHING, text):
            self.nothing_codes = frozenset({int(match[1])})
            self.add(Counts())
        elif self._block:
            self._read_block(text)
        else:
            return False
        return True

    def _read_block(self, text: str) -> None:
        if match := re.fullmatch(TESTS, text):
            self._block = counts(match["counts"] or "", self._suites)
        elif self._block and (match := re.fullmatch(ERRORS, text)):
            self._block = replace(self._block, errors=self._suites + int(match[1]))
        elif self._block and re.fullmatch(DURATION, text):
            self.add(self._block)
            self._block, self._suites = None, 0


def counts(text: str, suites: int) -> Counts:
    """Parse `1 failed | 2 passed | 1 todo`. `suites` is the number of suites that failed to load."""
    found = {kind: int(number) for number, kind in re.findall(PAIR, text)}
    return Counts(
        passed=found.get("passed", 0),
        failed=found.get("failed", 0),
        errors=suites,
        skipped=found.get("skipped", 0) + found.get("todo", 0),
        xfailed=found.get("expected fail", 0),
    )
