# Kept by the template: copier update merges its changes into this file.
"""Reads progress and results from a log, for test tools that do not write events.

The patterns match the output of pytest and Vitest. A line counts as the tool's only if the whole line
matches, and the output of tests is ignored where it can be recognized. For any other tool, only the
exit code is known. The exit code decides the result in any case.
"""

import re
from dataclasses import dataclass, replace

#: A longer line, in bytes, is not progress output. It is skipped and not kept in memory.
LONGEST_LINE = 8192
#: A large chunk is processed in pieces of this size, in bytes, to avoid copying all of it.
PIECE = 65_536
LINE_END = re.compile(rb"\r*\n|\r+")
#: How many bytes at the end of a log are searched for the error lines of make.
MAKE_TAIL = 16_384

ESCAPE = re.compile(
    r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\^_=>]"
)
#: A quick test before the detailed patterns. Most lines of a long log do not match it.
CANDIDATE = re.compile(
    r"\d%?\]|::| items?\b| in \d|no tests|\(\d+ tests?\b|Test Files|Tests |Errors |Duration "
    r"|No test files|std(?:out|err) \||Failed Suites|^=+ \w|^ (?:RUN|DEV) "
)

# pytest: a file with the outcomes of its tests, or one test with its outcome, and the progress: a
# percentage, or numbers with `console_output_style=count`.
OUTCOMES = "PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS|RERUN|SUBPASSED|SUBFAILED|SUBSKIPPED"
AMOUNT = r"\[ *(?:(?P<percent>\d{1,3})%|(?P<done>\d+)/(?P<total>\d+))\]"
TEST = r"(?P<test>[^\s:]+\.py::[^\s\[]+(?:\[.*\])?)"
PYTEST_PROGRESS = (
    # tests/test_a.py::test_b PASSED        [ 45%]
    re.compile(rf"{TEST} (?:{OUTCOMES})\b.*\s{AMOUNT}"),
    # [gw0] [ 45%] PASSED tests/test_a.py::test_b
    re.compile(rf"\[gw\d+\] {AMOUNT} (?:{OUTCOMES})\b.* {TEST}"),
    # tests/test_a.py ..F.x                 [ 45%]
    re.compile(rf"(?:(?P<test>\S+) )?[.FEsxXRuy,-]+\s*{AMOUNT}"),
)
PYTEST_START = re.compile(rf"{TEST}(?: .*)?")
PYTEST_TOTAL = re.compile(
    r"(?:collecting \.\.\. )?collected (?P<items>\d+) items?"
    r"(?: / \d+ \w+)*?(?: / (?P<selected>\d+) selected)?"
    r"|\d+ workers? \[(?P<each>\d+) items?\]"
)
#: After these headings, pytest prints its report: captured output, but no progress.
PYTEST_SECTION = re.compile(
    r"=+ (?:(?P<start>test session starts)"
    r"|ERRORS|FAILURES|PASSES|XFAILURES|XPASSES|warnings summary.*|short test summary info) =+"
)
KINDS = (
    "failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?|rerun"
    "|subtests (?:passed|failed|skipped)"
)
PYTEST_SUMMARY = re.compile(
    rf"=* ?(?P<counts>\d+ (?:{KINDS})(?:, \d+ (?:{KINDS}))*|no tests ran)"
    r" in \d+\.\d+s(?: \([\d:]+\))? ?=*"
)
PAIR = re.compile(rf"(\d+) ({KINDS})")
#: The exit code of pytest when it found no test to run.
PYTEST_NOTHING = 5

# Vitest: a line for each file, then a summary block. On a terminal, Vitest also prints such blocks
# while it runs. There, only one space follows a label, and the duration has no details.
VITEST_START = re.compile(r" (?:RUN|DEV)  v\d+\.\d+\.\S+ .*")
VITEST_FILE = re.compile(
    r"\s*[✓❯×↓]\s+(?:\|[^|]+\|\s+)?(?P<file>\S.*?\.[cm]?[jt]sx?)\s+"
    r"\((?P<tests>\d+) tests?(?: \| \d+ [a-z ]+)*\).*"
)
VITEST_BLOCK = re.compile(r" +(?:Test Files|Tests|Type Errors|Errors|Start at|Duration)  .*")
VITEST_FILES = re.compile(r" Test Files  (?:.*\(\d+\)|no tests)")
VITEST_TESTS = re.compile(r" {6}Tests  (?:(?P<counts>.*) \(\d+\)|no tests)")
VITEST_PAIR = re.compile(r"(\d+) (failed|passed|skipped|todo|expected fail)")
VITEST_ERRORS = re.compile(r" {5}Errors  (\d+) errors?")
VITEST_SUITES = re.compile(r"⎯+ Failed Suites (\d+) ⎯+")
VITEST_DURATION = re.compile(r" {3}Duration  \S+ \(.*\)")
VITEST_NOTHING = re.compile(r"No test files found, exiting with code (\d+)")
#: The heading of a test's output, which extends to the next empty line.
VITEST_PRINTED = re.compile(r"(?:stdout|stderr) \| (?:\S+\.[cm]?[jt]sx?(?: > .*)?|unknown test)")

MAKE = re.compile(r"(?:\S*/)?g?make(?:\[(?P<level>\d+)\])?: (?P<words>.*)")
#: The word `Error` is localized by make, and the name of a signal comes from the system.
MAKE_ERROR = re.compile(
    r"\*\*\* \[.*\] (?:\S+ (?P<code>\d+)|(?P<signal>\D+?)(?: \(core dumped\))?)"
)
SIGNALS = {
    "Hangup": 1,
    "Interrupt": 2,
    "Quit": 3,
    "Illegal instruction": 4,
    "Aborted": 6,
    "Bus error": 7,
    "Floating point exception": 8,
    "Killed": 9,
    "Segmentation fault": 11,
    "Broken pipe": 13,
    "Terminated": 15,
}


@dataclass(frozen=True)
class Counts:
    """The numbers of tests by outcome, from the tool's final summary.

    `errors` are failures outside of a test's body: fixtures, files that cannot be loaded, unhandled
    errors.
    """

    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    xfailed: int = 0
    xpassed: int = 0
    rerun: int = 0
    deselected: int = 0

    @property
    def failures(self) -> int:
        """The number of failures and errors."""
        return self.failed + self.errors

    @property
    def tests(self) -> int:
        """How many tests have an outcome, including skipped tests."""
        return self.failures + self.passed + self.skipped + self.xfailed + self.xpassed

    @property
    def nothing_ran(self) -> bool:
        """Whether there were no tests, or all of them were skipped."""
        return self.tests == self.skipped


@dataclass(frozen=True)
class Progress:
    """The progress of a run. A total of 0 means unknown. The percentage never decreases."""

    done: int = 0
    total: int = 0
    percent: int = 0
    current: str = ""


class Fallback:
    """Reads a log while it grows, and keeps at most one line of it in memory."""

    def __init__(self) -> None:
        self._rest = b""
        self._too_long = False
        self._done = self._total = self._percent = 0
        self._current = ""
        self._is_vitest = False  # Vitest's first line was seen
        self._in_report = False  # pytest: the report has started, so progress has ended
        self._in_output = False  # Vitest: the lines are the output of a test
        self._pytest: Counts | None = None
        self._vitest: Counts | None = None
        self._nothing: int | None = None  # Vitest: its exit code when it found no file
        self._block: Counts | None = None  # Vitest: an incomplete summary block
        self._suites = 0

    @property
    def progress(self) -> Progress:
        """The progress so far."""
        return Progress(self._done, self._total, self._percent, self._current)

    @property
    def counts(self) -> Counts | None:
        """The tool's final summary. After pytest's, only make may have written more lines."""
        return self._pytest or self._vitest

    @property
    def code_for_nothing(self) -> int | None:
        """The exit code of the tool if it found no test to run; None if it found one."""
        if self._pytest:
            return PYTEST_NOTHING if self._pytest.nothing_ran else None
        return self._nothing

    def feed(self, data: bytes) -> None:
        """Process the next part of the log. It may start and end anywhere in a line."""
        for start in range(0, len(data), PIECE):
            self._feed(data[start : start + PIECE])

    def skip(self) -> None:
        """Note that a part of the log is missing, so the next line may be incomplete."""
        self._rest, self._too_long = b"", True

    def end(self) -> None:
        """Process the last line, which may lack a line end, and complete an unknown total."""
        self._feed(b"\n")
        if self.counts and not self._total:
            self._total = self._done = max(self._done, self.counts.tests)
            self._percent = 100 if self._total else self._percent

    def _feed(self, data: bytes) -> None:
        data = self._rest + data
        whole = data.rstrip(b"\r")  # a final `\r` may be the first half of `\r\n`
        start = 0
        for match in LINE_END.finditer(whole):
            line, start = whole[start : match.start()], match.end()
            if self._too_long or len(line) > LONGEST_LINE:
                self._too_long, self._pytest = False, None
            elif line or match[0].endswith(b"\n"):
                self._line(line)
        rest = whole[start:]
        if len(rest) > LONGEST_LINE:
            self._too_long = True
        self._rest = (b"" if self._too_long else rest) + b"\r" * (len(data) > len(whole))
        # pytest -v prints the name when a test starts, and the outcome on the same line later.
        if self._rest.endswith(b" ") and not (self._in_report or self._is_vitest):
            began = PYTEST_START.fullmatch(plain(self._rest))
            self._current = began["test"] if began else self._current

    def _line(self, line: bytes) -> None:
        text = plain(line)
        if not text:
            self._in_output = False
        elif not ("make" in text and MAKE.fullmatch(text)):
            self._pytest = None
            if self._block and not VITEST_BLOCK.fullmatch(text):
                self._block = None
            if not self._in_output and CANDIDATE.search(text):
                self._read(text)

    def _read(self, text: str) -> None:
        section = PYTEST_SECTION.fullmatch(text)
        if VITEST_START.fullmatch(text):
            self._is_vitest = True
        elif section:
            self._in_report = not section["start"]
            self._is_vitest = self._is_vitest and self._in_report
        elif self._is_vitest:
            self._read_vitest(text)
        elif match := PYTEST_SUMMARY.fullmatch(text):
            self._pytest = pytest_counts(match["counts"])
        elif not self._in_report:
            self._read_pytest_progress(text)

    def _read_pytest_progress(self, text: str) -> None:
        for pattern in PYTEST_PROGRESS:
            if match := pattern.fullmatch(text):
                self._current = match["test"] or self._current
                if match["percent"]:
                    percent = min(100, int(match["percent"]))
                    done = self._total * percent // 100
                else:
                    self._total = self._total or int(match["total"])
                    done = min(int(match["done"]), self._total)
                    percent = 100 * done // max(1, self._total)
                self._percent = max(self._percent, percent)
                self._done = max(self._done, done)
                return
        if match := PYTEST_START.fullmatch(text):
            self._current = match["test"]
        elif not self._total and (match := PYTEST_TOTAL.fullmatch(text)):
            self._total = int(match["selected"] or match["items"] or match["each"])

    def _read_vitest(self, text: str) -> None:
        if VITEST_PRINTED.fullmatch(text):
            self._in_output = True
        elif match := VITEST_FILE.fullmatch(text):
            self._current = match["file"]
            self._done += int(match["tests"])
        elif match := VITEST_SUITES.fullmatch(text):
            self._suites = int(match[1])
        elif VITEST_FILES.fullmatch(text):
            self._block = Counts(errors=self._suites)
        elif match := VITEST_NOTHING.fullmatch(text):
            self._vitest, self._nothing = Counts(), int(match[1])
        elif self._block:
            if match := VITEST_TESTS.fullmatch(text):
                self._block = vitest_counts(match["counts"] or "", self._suites)
            elif match := VITEST_ERRORS.fullmatch(text):
                self._block = replace(self._block, errors=self._suites + int(match[1]))
            elif VITEST_DURATION.fullmatch(text):
                self._vitest, self._block, self._suites = self._block, None, 0


def plain(line: bytes) -> str:
    """Return a line as text, without escape sequences and trailing spaces."""
    text = line.decode(errors="replace")
    return (ESCAPE.sub("", text) if "\x1b" in text else text).rstrip()


def pytest_counts(text: str) -> Counts:
    """Parse `1 failed, 2 passed, 1 error`. Warnings do not count."""
    found = {kind: int(number) for number, kind in PAIR.findall(text)}
    found["errors"] = found.pop("error", 0) + found.pop("errors", 0)
    return Counts(**{name: found.get(name, 0) for name in Counts.__dataclass_fields__})


def vitest_counts(text: str, suites: int) -> Counts:
    """Parse `1 failed | 2 passed | 1 todo`. `suites` is the number of suites that failed to load."""
    found = {kind: int(number) for number, kind in VITEST_PAIR.findall(text)}
    return Counts(
        passed=found.get("passed", 0),
        failed=found.get("failed", 0),
        errors=suites,
        skipped=found.get("skipped", 0) + found.get("todo", 0),
        xfailed=found.get("expected fail", 0),
    )


def exit_code_behind_make(log: bytes) -> int | None:
    """Return the exit code of the recipe that failed: the exit code of make is always 2.

    The log ends with error lines, the innermost make first: `make[1]: *** [Makefile:3: test] Error
    5`. A signal counts as 128 plus its number. The result is None if the log does not end that way.
    """
    found: tuple[int, int] | None = None  # the level of make, and the exit code
    for line in reversed(log[-MAKE_TAIL:].splitlines()):
        text = plain(line)
        match = MAKE.fullmatch(text)
        if text and not match:
            break
        if match and (error := MAKE_ERROR.fullmatch(match["words"])):
            level = int(match["level"] or 0)
            signal = SIGNALS.get(error["signal"] or "")
            code = 128 + signal if signal else int(error["code"] or 0)
            if code and (found is None or level > found[0]):
                found = level, code
    return found[1] if found else None
