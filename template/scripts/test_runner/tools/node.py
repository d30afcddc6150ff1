# Kept by the template: copier update merges its changes into this file.
"""The test runner of Node.js, with its reporters spec and tap."""

from __future__ import annotations

import re

from .base import Counts, Tool

#: The labels of the summary, in its order. Old versions do not count suites.
LABELS = ("tests", "suites", "pass", "fail", "cancelled", "skipped", "todo", "duration_ms")
SUMMARY = rf"(?P<mark>ℹ|#) (?P<label>{'|'.join(LABELS)}) (?P<number>\d+)(?:\.\d+)?"
RESULT = r"\s*[✔✖﹣] \S.* \([\d.]+ms\)(?: # .*)?"
SPEC_FAILURES = "✖ failing tests:"
SPEC_PLACE = r"test at \S+:\d+:\d+"
SPEC_FAILED = r"✖ (?P<test>\S.*?) \([\d.]+ms\)(?: # .*)?"
TAP_FAILED = r" *not ok \d+ - (?P<test>\S.*)"
TAP_KEY = r" *(?P<key>\w+): ?(?P<value>.*)"
ERROR = r"(?:# )?(?:Uncaught )?\w*(?:Error|Exception)(?: \[\w+\])?: .*"


class NodeTest(Tool):
    """Counts a summary block: eight lines that follow each other."""

    name = "node:test"
    start = r"TAP version 1[34]$|[ℹ#] tests \d+$|\s*[✔✖▶﹣] |\w*Error(?: \[\w+\])?: "
    place = r"(?P<path>(?:file://)?[^\s()'\"]+\.[cm]?[jt]sx?):(?P<line>\d+):\d+"
    noise = r"\s+at |\s*(?:generatedMessage|code|actual|expected|operator|diff): |\s*[{}]$|test at "

    def __init__(self) -> None:
        super().__init__()
        self._block: dict[str, int] = {}
        self._mark = ""
        self._results = 0  # spec: tests and suites with a result since the last summary
        self._in_failures = False  # spec: the report of the failures at the end
        self._place = ""  # the location of the failed test itself
        self._indent = 0  # tap: the indentation of the details
        self._key = ""  # tap: the key whose value may extend over several lines
        self._is_suite = False  # tap: the failure is that of a suite
        self._error = ""  # the last error that a file printed outside of its tests

    def line(self, text: str) -> None:
        """Read a line."""
        if match := re.fullmatch(SUMMARY, text):
            self._read_summary(match["mark"], match["label"], int(match["number"]))
            return
        self._block = {}
        self._results += not self._in_failures and bool(re.fullmatch(RESULT, text))
        if text == "TAP version 13":
            self.running = True
        elif text == SPEC_FAILURES:
            self._in_failures = True
        elif self._in_failures:
            self._read_spec(text)
        elif self._lines is not None:
            self._read_tap(text)
        elif match := re.fullmatch(TAP_FAILED, text):
            if " # TODO" not in text and " # SKIP" not in text:
                self.fail(match["test"])
                self._place, self._is_suite, self._key = "", False, ""
        elif re.fullmatch(ERROR, text):
            self._error = text

    def _read_summary(self, mark: str, label: str, number: int) -> None:
        if label == "tests":
            self._block, self._mark = {"tests": number}, mark
            self._in_failures = False
            return
        expected = LABELS[len(self._block)] if self._block else ""
        if self._block and expected == "suites" and label == "pass":
            self._block["suites"] = 0
            expected = "pass"
        if not self._block or label != expected or mark != self._mark:
            self._block = {}
            return
        self._block[label] = number
        if label == "duration_ms":
            self.end_failure()
            found, self._block = self._block, {}
            self.add(
                Counts(
                    passed=found["pass"],
                    failed=found["fail"] + found["cancelled"],
                    skipped=found["skipped"] + found["todo"],
                ),
                sure=mark == "#" or self._results == found["tests"] + found["suites"],
            )
            self._results = 0

    def _read_spec(self, text: str) -> None:
        if re.fullmatch(SPEC_PLACE, text):
            self.end_failure()
            self._place = text
        elif self._place and (match := re.fullmatch(SPEC_FAILED, text)):
            self.fail(match["test"])
        elif text and not text.startswith("  ") and not re.fullmatch(SPEC_FAILED, text):
            self.end_failure()
            self._in_failures = False
        else:
            self.keep(text)

    def _read_tap(self, text: str) -> None:
        """Read the details of a failed test: YAML between `---` and `...`."""
        indent = len(text) - len(text.lstrip())
        if text.strip() == "---":
            self._indent = indent
        elif text.strip() == "..." and indent == self._indent:
            if self._is_suite:  # The tests in it are reported by themselves.
                self._lines = None
            self.end_failure()
        elif indent == self._indent and (match := re.fullmatch(TAP_KEY, text)):
            self._take(match["key"], match["value"])
        elif self._key == "error":
            self.keep(text)
        elif self._key == "stack":
            self.keep(f"    at {text.strip()}")

    def _take(self, key: str, value: str) -> None:
        self._key = key
        if key == "location":
            self._place = f"test at {value.strip(chr(39))}"
        elif key == "failureType" and "subtestsFailed" in value:
            self._is_suite = True
        elif key == "error" and not value.startswith("|"):
            self.keep(value.strip("'\""))

    def end_failure(self) -> None:
        """Add the location of the test: the lines may have none."""
        if self._lines is not None:
            shown = [line.strip(" '") for line in self._lines if line.strip()]
            if shown in ([], ["test failed"]) and self._error:
                self._lines = [self._error]
            if self._place:
                self._lines.append(self._place)
            self._place = ""
        super().end_failure()
