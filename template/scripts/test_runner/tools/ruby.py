# Kept by the template: copier update merges its changes into this file.
"""RSpec, Minitest and test-unit."""

from __future__ import annotations

import re

from .base import Counts, Tool, numbers

FINISHED = r"Finished in .+"
RSPEC_COUNTS = (
    r"(?P<examples>\d+) examples?, (?P<failures>\d+) failures?(?:, (?P<pending>\d+) pending)?"
    r"(?:, (?P<errors>\d+) errors? occurred outside of examples)?"
)
#: A row of results, one character for each test. Other reporters print no such rows.
RSPEC_ROW, MINITEST_ROW = r"[.F*]+", r"[.FESPON]+"
RSPEC_FAILED = r"  (?P<number>\d+)\) (?P<test>\S.*)"
RSPEC_ERROR = r"An error occurred while loading (?P<test>\S+)\.(?: - .*)?"

MINITEST_COUNTS = r"(?P<n>\d+) (?P<what>runs|assertions|failures|errors|skips)"
MINITEST_SUMMARY = r"\d+ runs, \d+ assertions, \d+ failures, \d+ errors, \d+ skips"
UNIT_COUNTS = r"(?P<n>\d+) (?P<what>tests|failures|errors|pendings|omissions)"
UNIT_SUMMARY = (
    r"\d+ tests, \d+ assertions, \d+ failures, \d+ errors, \d+ pendings, \d+ omissions,"
    r" \d+ notifications"
)
MINITEST_FAILED = r"\s+\d+\) (?:Failure|Error):"
UNIT_FAILED = r"(?:Failure|Error): (?P<test>\S+\(.*\))(?:.*)"

PLACE = r"(?P<path>[^\s:\[(]+\.rb):(?P<line>\d+)"


class RSpec(Tool):
    """Counts the line of numbers that follows the duration."""

    name = "rspec"
    start = r"[.F*]+$|Finished in |Failures:$|An error occurred while loading |Failed examples:$"
    place = PLACE
    noise = r"\s+# "

    def __init__(self) -> None:
        super().__init__()
        self._before = ""
        self._results = 0  # in the rows since the last summary
        self._in_failures = False

    def line(self, text: str) -> None:
        """Read a line."""
        before, self._before = self._before, text
        match = re.fullmatch(RSPEC_COUNTS, text)
        if match and re.fullmatch(FINISHED, before):
            self.end_failure()
            self._in_failures = False
            self.add(rspec_counts(match), sure=self._results == int(match["examples"]))
            self._results = 0
        elif not self._in_failures and re.fullmatch(RSPEC_ROW, text):
            self._results += len(text)
        elif text in (
            "Failures:",
            "Pending: (Failures listed here are expected and do not affect your suite's status)",
        ):
            self.end_failure()
            self._in_failures = text == "Failures:"
        elif (
            (match := re.fullmatch(RSPEC_ERROR, text))
            or self._in_failures
            and (match := re.fullmatch(RSPEC_FAILED, text))
        ):
            self.fail(match["test"])
        elif re.fullmatch(FINISHED, text) or text == "Failed examples:":
            self.end_failure()
        else:
            self.keep(text)


def rspec_counts(match: re.Match[str]) -> Counts:
    """Return the counts of `4 examples, 1 failure, 1 pending`."""
    found = {name: int(number or 0) for name, number in match.groupdict().items()}
    passed = found["examples"] - found["failures"] - found["pending"]
    return Counts(max(0, passed), found["failures"], found["errors"], found["pending"])


class Minitest(Tool):
    """Counts the line of numbers, once it follows the duration."""

    name = "minitest"
    start = r"# Running:$|Run options: |Loaded suite |Finished in "
    place = PLACE
    noise = r"\s+\S+\.rb:\d+:in |\S+#\S+(?: \[.*\])?:$|bin/rails test|rails test |Minitest::"

    def __init__(self) -> None:
        super().__init__()
        self._finished = False
        self._results = 0  # in the rows since the last summary

    def line(self, text: str) -> None:
        """Read a line."""
        if re.fullmatch(FINISHED, text):
            self.end_failure()
            self._finished = True
        elif self._finished and re.fullmatch(MINITEST_SUMMARY, text):
            self._add(numbers(MINITEST_COUNTS, text), "runs")
        elif self._finished and re.fullmatch(UNIT_SUMMARY, text):
            self._add(numbers(UNIT_COUNTS, text), "tests")
        elif re.fullmatch(MINITEST_ROW, text):
            self.end_failure()
            self._results += len(text)
        elif re.fullmatch(MINITEST_FAILED, text):
            self.fail("")
        elif match := re.fullmatch(UNIT_FAILED, text):
            self.fail(match["test"], text)
        elif self._lines == [] and not self._test:
            self._test = re.sub(r" \[.*\]?:?$|:$", "", text)
            self.keep(text)
        elif text.startswith("# Running") or not text:
            self.end_failure()
        else:
            self.keep(text)

    def _add(self, found: dict[str, int], tests: str) -> None:
        self.end_failure()
        self._finished = False
        skipped = found.get("skips", 0) + found.get("pendings", 0) + found.get("omissions", 0)
        passed = found[tests] - found["failures"] - found["errors"] - skipped
        counts = Counts(max(0, passed), found["failures"], found["errors"], skipped)
        self.add(counts, sure=self._results == found[tests])
        self._results = 0
