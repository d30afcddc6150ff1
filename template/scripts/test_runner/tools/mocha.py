# Kept by the template: copier update merges its changes into this file.
"""Mocha, with its reporters spec, dot and others that end with the same summary."""

from __future__ import annotations

import re

from .base import Counts, Tool

SUMMARY = r"  (?P<n>\d+) (?P<what>passing \(.+\)|pending|failing)"
PASSED = r"\s+[✔✓] .+"
DOTS = r"\s*[․,!]+"
NOTHING = r"Error: No test files found(?:: .*)?"
HEADING = r"  (?P<number>\d+)\) (?P<suite>\S.*)"


class Mocha(Tool):
    """Counts a summary after an empty line.

    If the reporter prints a mark for each passed test, their number must match the summary's.
    """

    name = "mocha"
    start = r"  \d+ passing \(|\s+[✔✓] |  [․,!]+$|Error: No test files found"
    nothing_codes = frozenset({1})
    place = r"\(?(?P<path>(?:file://)?[^\s()]+\.[cm]?[jt]sx?):(?P<line>\d+):\d+\)?"

    def __init__(self) -> None:
        super().__init__()
        self._marks = 0  # passed tests since the last summary, as the reporter shows them
        self._sure = True  # the number of marks is that of the summary
        self._before = ""
        self._found: dict[str, int] = {}  # an incomplete summary
        self._in_failures = False
        self._in_title = False

    def line(self, text: str) -> None:
        """Read a line."""
        before, self._before = self._before, text
        match = re.fullmatch(SUMMARY, text)
        if match:
            what = match["what"].partition(" ")[0]
            number = int(match["n"])
            if what == "passing":
                self._close()
                if not before and self._marks in (0, number):
                    self._sure = self._marks == number
                    self._found, self._marks = {what: number}, 0
            elif self._found and what not in self._found:
                self._found[what] = number
                self._in_failures = what == "failing"
            return
        if re.fullmatch(PASSED, text):
            self._close()
            self._marks += 1
        elif re.fullmatch(DOTS, text):
            self._close()
            self._marks += text.count("․")
        elif re.fullmatch(NOTHING, text):
            self.add(Counts())
        elif text and not self._in_failures:
            self._close()
        if self._in_failures:
            self._read_failure(text)

    def end(self) -> None:
        """Count the last summary."""
        self._close()
        super().end()

    def _close(self) -> None:
        found, self._found = self._found, {}
        if found:
            self.end_failure()
            self._in_failures = False
            counts = Counts(found["passing"], found.get("failing", 0), 0, found.get("pending", 0))
            self.add(counts, sure=self._sure)

    def _read_failure(self, text: str) -> None:
        if match := re.fullmatch(HEADING, text):
            self.fail(match["suite"].rstrip(":"))
            self._in_title = not text.endswith(":")
        elif self._in_title and text:
            self._test = f"{self._test} {text.strip().rstrip(':')}"
            self._in_title = not text.endswith(":")
        elif text and not text.startswith("  "):  # The output of what follows Mocha.
            self._close()
        else:
            self.keep(text)
