# Kept by the template: copier update merges its changes into this file.
"""PHPUnit, with its default output and --testdox."""

from __future__ import annotations

import re

from .base import Counts, Tool

BANNER = r"PHPUnit \d+\.\d+\S* by Sebastian Bergmann and contributors\."
PROGRESS = r".*?\s+(?P<done>\d+) / (?P<total>\d+) \( *\d+%\)"
USED = r"Time: .*, Memory: .*"
GREEN = r"OK \((?P<tests>\d+) tests?, \d+ assertions?\)"
VERDICT = r"(?:FAILURES|ERRORS|WARNINGS)!|OK, but .*!|No tests executed!"
COUNTS = r"Tests: (?P<tests>\d+), Assertions: \d+(?:, [\w ]+: \d+)*\."
DETAIL = r"(?P<what>[A-Z][\w ]*): (?P<n>\d+)"
SECTION = r"There (?:was|were) \d+ (?P<what>failures?|errors?|[\w ]+):|--"
FAILED = r"\d+\) (?P<test>\S.*)"
TESTDOX_FAILED = r" ✘ (?P<test>\S.*)"
TESTDOX_LINE = r"   [│├╵┐┴┊] ?(?P<line>.*)"
NOTHING = "No tests executed!"


class PHPUnit(Tool):
    """Counts the numbers behind the verdict, which follows the time and the memory used."""

    name = "phpunit"
    start = r"PHPUnit \d+\.\d+"
    nothing_codes = frozenset({1})
    place = r"^\s*(?:│ +)?(?P<path>/?[^\s:]+\.php):(?P<line>\d+)$"
    noise = r"\s*(?:│ +)?/?\S+\.php:\d+$"

    def __init__(self) -> None:
        super().__init__()
        self._used = False  # the line before the failures was read
        self._verdict = False  # the verdict was read, and its numbers follow
        self._in_failures = False

    def line(self, text: str) -> None:
        """Read a line."""
        if re.fullmatch(BANNER, text):
            self.end_failure()
            self.running, self._used, self._verdict = True, False, False
        elif not self.running:
            return
        elif re.fullmatch(USED, text):
            self._used = True
        elif not self._used and text != NOTHING:
            if match := re.fullmatch(PROGRESS, text):
                self.done, self.total = int(match["done"]), int(match["total"])
            elif match := re.fullmatch(TESTDOX_FAILED, text):
                self.fail(match["test"])
            elif match := re.fullmatch(TESTDOX_LINE, text):
                self.keep(match["line"])
            else:
                self.end_failure()
        elif match := re.fullmatch(GREEN, text):
            self.end_failure()
            self.add(Counts(passed=int(match["tests"])))
        elif text == NOTHING:
            self.end_failure()
            self.add(Counts())
        elif re.fullmatch(VERDICT, text):
            self.end_failure()
            self._verdict = True
        elif self._verdict and re.fullmatch(COUNTS, text):
            self.add(counts({m["what"]: int(m["n"]) for m in re.finditer(DETAIL, text)}))
        else:
            self._verdict = False
            self._read_failure(text)

    def _read_failure(self, text: str) -> None:
        if match := re.fullmatch(SECTION, text):
            self.end_failure()
            self._in_failures = bool(re.match("failure|error", match["what"] or ""))
        elif self._in_failures and (match := re.fullmatch(FAILED, text)):
            self.fail(match["test"])
        else:
            self.keep(text)


def counts(found: dict[str, int]) -> Counts:
    """Return the counts of `Tests: 4, Assertions: 3, Failures: 1, Skipped: 1`."""
    failed, errors = found.get("Failures", 0), found.get("Errors", 0)
    skipped = found.get("Skipped", 0) + found.get("Incomplete", 0)
    return Counts(max(0, found["Tests"] - failed - errors - skipped), failed, errors, skipped)
