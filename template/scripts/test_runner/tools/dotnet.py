# Kept by the template: copier update merges its changes into this file.
"""The test command of .NET: VSTest, and the newer Microsoft.Testing.Platform."""

from __future__ import annotations

import re

from .base import Counts, Tool

TIME = r"(?:\d+(?:\.\d+)?|< 1) ?(?:ms|s|m|h)(?: \d+ ?(?:ms|s|m))*"
LINE = (
    r"(?:Passed|Failed|Skipped)! +- Failed: +(?P<failed>\d+), Passed: +(?P<passed>\d+),"
    r" Skipped: +(?P<skipped>\d+), Total: +(?P<total>\d+)(?:, Duration: .*)?"
)
RUN = r"Test Run (?:Successful|Failed|Aborted)\."
TOTAL = r"Total tests: (?P<total>\d+|Unknown)"
PART = r" +(?P<what>Passed|Failed|Skipped): (?P<n>\d+)"
NOTHING = r"No test (?:is available in|matches the given testcase filter) .*"
FAILED = rf"  Failed (?P<test>\S.*) \[{TIME}\]"
OTHER = rf"  (?:Passed|Skipped) (?P<test>\S.*?)(?: \[{TIME}\])?"
PRINTED = r"  Standard (?:Output|Error) Messages:"

PLATFORM_START = r"Test run summary: .*"
PLATFORM_PART = r"  (?P<what>total|failed|succeeded|skipped|duration): +(?P<n>\d+).*"
PLATFORM_LINE = (
    r"Test summary: total: (?P<total>\d+), failed: (?P<failed>\d+), succeeded: (?P<succeeded>\d+),"
    r" skipped: (?P<skipped>\d+), duration: .*"
)
PLATFORM_FAILED = r"failed (?P<test>\S.*?) \((?:\d+m )?(?:\d+s )?\d+m?s\)"

PLACE = r" in (?P<path>\S.*?):(?:line )?(?P<line>\d+)$"
NOISE = r"\s+at |  Stack Trace:|  Error Message:"


class VSTest(Tool):
    """Adds up a line, or a block, for each test assembly."""

    name = "dotnet"
    start = r"(?:Passed|Failed|Skipped)! +- |Test [Rr]un |Starting test execution|A total of \d+ test|No test |  Failed "
    place = PLACE
    noise = NOISE

    def __init__(self) -> None:
        super().__init__()
        self._run_ended = False
        self._block: dict[str, int] = {}

    def line(self, text: str) -> None:
        """Read a line."""
        if self._block and (match := re.fullmatch(PART, text)):
            self._block.setdefault(match["what"], int(match["n"]))
            return
        self._close()
        if match := re.fullmatch(LINE, text):
            self.end_failure()
            found = {what: int(number) for what, number in match.groupdict().items()}
            if found["passed"] + found["failed"] + found["skipped"] == found["total"]:
                self.add(Counts(found["passed"], found["failed"], 0, found["skipped"]))
        elif re.fullmatch(RUN, text):
            self.end_failure()
            self._run_ended = True
        elif self._run_ended and (match := re.fullmatch(TOTAL, text)):
            if match["total"] == "Unknown":  # The test host crashed.
                self.uncounted = True
            else:
                self._block = {"total": int(match["total"])}
        elif re.fullmatch(NOTHING, text):
            self.add(Counts())
        elif match := re.fullmatch(FAILED, text):
            self.fail(match["test"])
        elif re.fullmatch(OTHER, text) or re.fullmatch(PRINTED, text):
            self.end_failure()
        else:
            self.keep(text)

    def end(self) -> None:
        """Count the last block."""
        self._close()
        super().end()

    def _close(self) -> None:
        found, self._block = self._block, {}
        if found:
            self._run_ended = False
            passed, failed = found.get("Passed", 0), found.get("Failed", 0)
            skipped = found.get("Skipped", 0)
            if passed + failed + skipped == found["total"]:
                self.add(Counts(passed, failed, 0, skipped))


class TestingPlatform(Tool):
    """Adds up the summary blocks of Microsoft.Testing.Platform, and the line of the .NET CLI."""

    __test__ = False  # pytest must not take this class for a test.
    name = "dotnet"
    start = r"Test run summary: |Test summary: |failed \S.* \(.*\d+m?s\)$"
    nothing_codes = frozenset({8})
    place = PLACE
    noise = NOISE

    def __init__(self) -> None:
        super().__init__()
        self._block: dict[str, int] | None = None

    def line(self, text: str) -> None:
        """Read a line."""
        if match := re.fullmatch(PLATFORM_LINE, text):
            self.end_failure()
            self._add({what: int(number) for what, number in match.groupdict().items()})
        elif re.fullmatch(PLATFORM_START, text):
            self.end_failure()
            self._block = {}
        elif self._block is not None and (match := re.fullmatch(PLATFORM_PART, text)):
            if match["what"] == "duration":
                self._add(self._block)
                self._block = None
            else:
                self._block[match["what"]] = int(match["n"])
        elif match := re.fullmatch(PLATFORM_FAILED, text):
            self.fail(match["test"])
        elif self._block is not None and text and not text.startswith(" "):
            self._block = None
        elif text and not text.startswith(" "):
            self.end_failure()
        else:
            self.keep(text)

    def _add(self, found: dict[str, int]) -> None:
        passed, failed = found.get("succeeded", 0), found.get("failed", 0)
        skipped = found.get("skipped", 0)
        if passed + failed + skipped == found.get("total", -1):
            self.add(Counts(passed, failed, 0, skipped))
