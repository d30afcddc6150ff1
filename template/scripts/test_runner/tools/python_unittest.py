# Kept by the template: copier update merges its changes into this file.
"""The unittest module of Python, and tools with the same output, such as `manage.py test`."""

from __future__ import annotations

import re

from .base import Counts, Tool

RULE, DOUBLE_RULE = "-" * 70, "=" * 70
RAN = r"Ran (?P<tests>\d+) tests? in \d+\.\d+s"
RESULT = (
    r"(?P<verdict>OK|FAILED|NO TESTS RAN)(?: \((?P<details>[a-z]+[a-z ]*=\d+(?:, [a-z ]+=\d+)*)\))?"
)
DETAIL = r"(?P<what>[a-z ]+?)=(?P<n>\d+)"
FAILED = r"(?:FAIL|ERROR|UNEXPECTED SUCCESS): (?P<test>\S.*)"


class Unittest(Tool):
    """Counts a summary that consists of a rule, the number of tests and the result."""

    name = "unittest"
    start = r"-{70}$|={70}$"
    nothing_codes = frozenset({5})
    place = r'File "(?P<path>[^"]+)", line (?P<line>\d+)'
    last_place = True
    noise = r'  File "|Traceback \(|    '

    def __init__(self) -> None:
        super().__init__()
        self._before = ""  # the previous line
        self._ran = -1  # the number in an incomplete summary; -1: none

    def line(self, text: str) -> None:
        """Read a line."""
        before, self._before = self._before, text or self._before
        ran = re.fullmatch(RAN, text)
        result = re.fullmatch(RESULT, text) if self._ran >= 0 else None
        if ran and before == RULE:
            self.end_failure()
            self._ran = int(ran["tests"])
        elif result:
            self.add(counts(self._ran, result["details"] or ""))
            self._ran = -1
        elif text:
            self._ran = -1
            if before == DOUBLE_RULE and (match := re.fullmatch(FAILED, text)):
                self.fail(match["test"])
            elif text == DOUBLE_RULE:
                self.end_failure()
            elif text != RULE:
                self.keep(text)

    def message(self, shown: list[str]) -> str:
        """Return the error, which follows the traceback."""
        errors = [
            line for line in shown if re.match(r"[\w.]+(?:Error|Exception|Exit|Interrupt)\b", line)
        ]
        return (errors[-1:] or [super().message(shown)])[0]


def counts(ran: int, details: str) -> Counts:
    """Return the counts for `Ran 4 tests` and `failures=1, skipped=1`."""
    found = {m["what"].strip(", "): int(m["n"]) for m in re.finditer(DETAIL, details)}
    failed, errors = found.get("failures", 0), found.get("errors", 0)
    skipped, xfailed = found.get("skipped", 0), found.get("expected failures", 0)
    unexpected = found.get("unexpected successes", 0)
    # A failed subtest or class counts here, but not as a test that ran.
    passed = max(0, ran - failed - errors - skipped - xfailed - unexpected)
    return Counts(passed, failed + unexpected, errors, skipped, xfailed)
