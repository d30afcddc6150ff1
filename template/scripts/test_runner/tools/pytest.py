# Kept by the template: copier update merges its changes into this file.
"""pytest, where its plugin cannot be loaded."""

from __future__ import annotations

import re

from .base import Counts, Tool

#: A quick test before the detailed patterns. Most lines of a long log do not match it.
CANDIDATE = r"\d%?\]|::| items?\b| in \d|no tests|^=+ \w|^_{4}"

# A file with the outcomes of its tests, or one test with its outcome, and the progress: a
# percentage, or numbers with `console_output_style=count`.
OUTCOMES = "PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS|RERUN|SUBPASSED|SUBFAILED|SUBSKIPPED"
AMOUNT = r"\[ *(?:(?P<percent>\d{1,3})%|(?P<done>\d+)/(?P<total>\d+))\]"
TEST = r"(?P<test>[^\s:]+\.py::[^\s\[]+(?:\[.*\])?)"
PROGRESS = (
    # tests/test_a.py::test_b PASSED        [ 45%]
    rf"{TEST} (?:{OUTCOMES})\b.*\s{AMOUNT}",
    # [gw0] [ 45%] PASSED tests/test_a.py::test_b
    rf"\[gw\d+\] {AMOUNT} (?:{OUTCOMES})\b.* {TEST}",
    # tests/test_a.py ..F.x                 [ 45%]
    rf"(?:(?P<test>\S+) )?[.FEsxXRuy,-]+\s*{AMOUNT}",
)
START = rf"{TEST}(?: .*)?"
TOTAL = (
    r"(?:collecting \.\.\. )?collected (?P<items>\d+) items?"
    r"(?: / \d+ \w+)*?(?: / (?P<selected>\d+) selected)?"
    r"|\d+ workers? \[(?P<each>\d+) items?\]"
)
#: After these headings, pytest prints its report: captured output, but no progress.
SECTION = (
    r"=+ (?:(?P<start>test session starts)|(?P<failures>ERRORS|FAILURES)"
    r"|PASSES|XFAILURES|XPASSES|warnings summary.*|short test summary info) =+"
)
#: The heading of a failed test in the report.
FAILED = r"_{3,} (?P<test>\S.*\S|\S) _{3,}"
#: The lines of a report that explain the failure, and its location.
EXCERPT = r"(?:>|E) .*|(?P<path>[^\s:]+\.\w+):(?P<line>\d+): .*"
KINDS = (
    "failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?|rerun"
    "|subtests (?:passed|failed|skipped)"
)
SUMMARY = (
    rf"=* ?(?P<counts>\d+ (?:{KINDS})(?:, \d+ (?:{KINDS}))*|no tests ran)"
    r" in \d+\.\d+s(?: \([\d:]+\))? ?=*"
)
PAIR = rf"(\d+) ({KINDS})"


class Pytest(Tool):
    """A summary counts if it is the last line of a run: tests may print one too."""

    name = "pytest"
    nothing_codes = frozenset({5})
    place = r"^(?P<path>[^\s:]+\.\w+):(?P<line>\d+): "
    last_place = True
    noise = place

    def __init__(self) -> None:
        super().__init__()
        self._in_report = False  # the report has started, so progress has ended
        self._in_failures = False  # the report of the failures
        self._complete = False  # all tests have run, so a summary may follow
        self._pending: Counts | None = None  # a summary that may be the output of a test
        self._is_last = False  # nothing has followed the summary
        self._follows_summary = False  # the previous line is the summary
        self._run_total = self._run_done = 0
        self._before = 0  # the tests of earlier runs

    def line(self, text: str) -> None:
        """Read a line."""
        if not text:
            return
        self._follows_summary, self._is_last = self._is_last, False
        if re.search(CANDIDATE, text):
            self._read(text)
        if self._lines is not None and re.fullmatch(EXCERPT, text):
            self.keep(text)

    def begun(self, text: str) -> None:
        """Read the name of a test: with -v, its outcome follows later on the same line."""
        if not self._in_report and (match := re.fullmatch(START, text)):
            self.current = match["test"]

    def gap(self) -> None:
        """Drop a summary: it is unknown what followed it."""
        super().gap()
        self._is_last = False

    def end(self) -> None:
        """Count the last summary."""
        super().end()
        self._close()

    def _close(self) -> None:
        """End a run: count its summary if it is the tool's own, and expect another run."""
        if self._pending and (self._complete or self._is_last):
            self.add(self._pending)
        self._pending, self._complete = None, False
        self._before, self._run_total, self._run_done = self.done, 0, 0

    def _read(self, text: str) -> None:
        section = re.fullmatch(SECTION, text)
        if section:
            self.end_failure()
            if section["start"]:
                self._close()
            self._in_report = not section["start"]
            self._in_failures = bool(section["failures"])
            self._complete = self._complete or self._in_report
        elif match := re.fullmatch(SUMMARY, text):
            self.end_failure()
            self._pending, self._is_last = counts(match["counts"]), True
            self._in_failures = False
            if not self._pending.tests:  # Nothing ran, so nothing else can have printed it.
                self._complete = True
        elif self._in_failures and (match := re.fullmatch(FAILED, text)):
            self.fail(match["test"])
        elif not self._in_report or self._follows_summary:
            self._read_progress(text)

    def _read_progress(self, text: str) -> None:
        for pattern in PROGRESS:
            if match := re.fullmatch(pattern, text):
                if self._pending and self._follows_summary and self._complete:  # Another run.
                    self._close()
                    self._in_report = False
                self._take(match)
                return
        if self._in_report:
            return
        if match := re.fullmatch(START, text):
            self.current = match["test"]
        elif not self._run_total and (match := re.fullmatch(TOTAL, text)):
            self._set_total(int(match["selected"] or match["items"] or match["each"]))

    def _take(self, match: re.Match[str]) -> None:
        self.current = match["test"] or self.current
        if match["percent"]:
            percent = min(100, int(match["percent"]))
            done = self._run_total * percent // 100
        else:
            self._set_total(self._run_total or int(match["total"]))
            done = min(int(match["done"]), self._run_total)
            percent = 100 * done // max(1, self._run_total)
        self._complete = self._complete or percent == 100
        self.percent = max(self.percent, percent)
        self._run_done = max(self._run_done, done)
        self.done = max(self.done, self._before + self._run_done)

    def _set_total(self, tests: int) -> None:
        self._run_total = tests
        self.total = max(self.total, self._before + tests)


def counts(text: str) -> Counts:
    """Parse `1 failed, 2 passed, 1 error`. Warnings do not count."""
    found = {kind: int(number) for number, kind in re.findall(PAIR, text)}
    found["errors"] = found.pop("error", 0) + found.pop("errors", 0)
    return Counts(**{name: found.get(name, 0) for name in Counts.__match_args__})
