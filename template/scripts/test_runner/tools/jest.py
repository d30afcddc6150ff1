# Kept by the template: copier update merges its changes into this file.
"""Jest, with its default and verbose reporters."""

from __future__ import annotations

import re

from .base import Counts, Tool, numbers

FILE = r"(?:PASS|FAIL) (?:\S+ )?(?P<file>\S+\.[cm]?[jt]sx?)(?: \([\d.]+ m?s\))?"
SUITES = r"Test Suites: +.*?(?P<suites>\d+)(?: of \d+)? total"
TESTS = r"Tests: +(?P<counts>.*\b(?P<total>\d+) total)"
TIME = r"Time: +\S.*"
OTHER = r"Snapshots: .*| › .*"
PAIR = r"(?P<n>\d+) (?P<what>failed|passed|skipped|todo|total)"
NOTHING = r"No tests found, exiting with code (\d+)"
FAILED = r"  ● (?P<test>\S.*)"
BROKEN = "Test suite failed to run"


class Jest(Tool):
    """Counts the summary block, whose number of files must match the lines of files before it."""

    name = "jest"
    start = r"(?:PASS|FAIL) \S|Test Suites: |  ● |No tests found, exiting with code "
    place = r"\(?(?P<path>(?:file://)?[^\s()]+\.[cm]?[jt]sx?):(?P<line>\d+)(?::\d+)?\)?"
    noise = r"\s+at |\s+>? *\d* ?\|"

    def __init__(self) -> None:
        super().__init__()
        self._block: Counts | None = None
        self._in_block = False
        self._files = 0  # files with a result since the last summary
        self._suites = 0  # the files that ran, as the summary counts them
        self._broken = 0  # suites that could not be loaded
        self._file = ""
        self._in_summary = False  # Jest prints the failures again at the end of a long run

    def line(self, text: str) -> None:
        """Read a line."""
        if match := re.fullmatch(FILE, text):
            self.end_failure()
            self._file = match["file"]
            self._files += not self._in_summary
            self.current = self._file
        elif text.startswith("Summary of all failing tests"):
            self.end_failure()
            self._in_summary = True
        elif match := re.fullmatch(FAILED, text):
            self._start_failure(match["test"])
        elif match := re.fullmatch(SUITES, text):
            self.end_failure()
            self._suites = int(match["suites"])
            self._in_block, self._block = True, None
        elif self._in_block and (match := re.fullmatch(TESTS, text)):
            self._block = counts(match["counts"], int(match["total"]))
        elif self._block is not None and re.fullmatch(TIME, text):
            sure = self._suites == self._files
            self.add(self._block + Counts(errors=self._broken), sure=sure)
            self._files = 0
            self._block, self._in_block, self._broken, self._in_summary = None, False, 0, False
        elif match := re.fullmatch(NOTHING, text):
            self.nothing_codes = frozenset({int(match[1])})
            self.add(Counts())
        elif self._in_block and not re.fullmatch(OTHER, text):
            self._block, self._in_block = None, False
        else:
            self.keep(text)

    def _start_failure(self, test: str) -> None:
        if self._in_summary or test == "Console":
            self.end_failure()
            return
        if test == BROKEN:
            self._broken += 1
            test = self._file or test
        self.fail(test)


def counts(text: str, total: int) -> Counts | None:
    """Parse `1 failed, 1 skipped, 2 passed, 4 total`; None if the numbers contradict each other."""
    found = numbers(PAIR, text)
    found.pop("total", 0)
    if sum(found.values()) != total:
        return None
    skipped = found.get("skipped", 0) + found.get("todo", 0)
    return Counts(found.get("passed", 0), found.get("failed", 0), 0, skipped)
