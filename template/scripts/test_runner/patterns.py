# Kept by the template: copier update merges its changes into this file.
"""What can be read of a log, for the tools that do not record events.

The patterns are those of pytest and Vitest. A line is taken for the tool's only if all of it is as
the tool writes it, and what a test prints is told apart where that is possible at all. Of any other
tool nothing is known but its exit code, which is the verdict in any case.
"""

import re
from dataclasses import dataclass, replace

#: A longer line (bytes) is nobody's progress, and is not kept in memory.
LONGEST_LINE = 8192
#: How much is looked at in one go (bytes), so that a large chunk is not copied as a whole.
PIECE = 65_536
LINE_END = re.compile(rb"\r*\n|\r+")
#: How much of a log's end (bytes) may hold the words of make.
MAKE_TAIL = 16_384

ESCAPE = re.compile(
    r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\^_=>]"
)
#: What a line must hold to be worth a closer look: most of a long log is not.
TELLING = re.compile(
    r"\d%?\]|::| items?\b| in \d|no tests|\(\d+ tests?\b|Test Files|Tests |Errors |Duration "
    r"|No test files|std(?:out|err) \||Failed Suites|^=+ \w|^ (?:RUN|DEV) "
)

# pytest. A file and what became of its tests, or one test, and how much is done: a percentage, or
# numbers with `console_output_style=count`.
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
#: Behind these pytest shows what tests have printed, and makes no more progress.
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
#: What pytest ends with when it found no test to run.
PYTEST_NOTHING = 5

# Vitest. A file; then the end, in a block of lines. On a terminal there are such blocks before it,
# in which but one space follows a name, and the duration says nothing more.
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
#: A test has printed what follows it, up to an empty line.
VITEST_PRINTED = re.compile(r"(?:stdout|stderr) \| (?:\S+\.[cm]?[jt]sx?(?: > .*)?|unknown test)")

MAKE = re.compile(r"(?:\S*/)?g?make(?:\[(?P<level>\d+)\])?: (?P<words>.*)")
#: `Error` is in make's language; a signal's name is the system's.
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
    """How many tests ended in which way, by the tool's own final summary.

    `errors` are failures outside of a test's own body: fixtures, files that cannot be read, what
    nobody caught.
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
        """What makes a run fail."""
        return self.failed + self.errors

    @property
    def tests(self) -> int:
        """How many tests the tool has seen to, the skipped ones included."""
        return self.failures + self.passed + self.skipped + self.xfailed + self.xpassed

    @property
    def nothing_ran(self) -> bool:
        """Whether there was nothing to run, or all of it was skipped."""
        return self.tests == self.skipped


@dataclass(frozen=True)
class Progress:
    """How far a run is. A total of 0 is not known yet; the percentage never decreases."""

    done: int = 0
    total: int = 0
    percent: int = 0
    current: str = ""


class Fallback:
    """Reads a log as it grows, and keeps no more of it than a line."""

    def __init__(self) -> None:
        self._rest = b""
        self._too_long = False
        self._done = self._total = self._percent = 0
        self._current = ""
        self._is_vitest = False  # after its first line
        self._told = False  # pytest: what is left is its report
        self._printed = False  # Vitest: what a test has written is being shown
        self._pytest: Counts | None = None
        self._vitest: Counts | None = None
        self._nothing: int | None = None  # Vitest: what it ends with, having found no file
        self._block: Counts | None = None  # Vitest: what its last line is to confirm
        self._suites = 0

    @property
    def progress(self) -> Progress:
        """How far the run is by now."""
        return Progress(self._done, self._total, self._percent, self._current)

    @property
    def counts(self) -> Counts | None:
        """The tool's final summary; pytest's only if nothing but make wrote after it."""
        return self._pytest or self._vitest

    @property
    def code_for_nothing(self) -> int | None:
        """What the tool ends with because it found nothing to run; None where it found some."""
        if self._pytest:
            return PYTEST_NOTHING if self._pytest.nothing_ran else None
        return self._nothing

    def feed(self, data: bytes) -> None:
        """Read on: the next piece of the log, wherever it is cut."""
        for start in range(0, len(data), PIECE):
            self._feed(data[start : start + PIECE])

    def skip(self) -> None:
        """Say that a part of the log is left out: what comes next may begin within a line."""
        self._rest, self._too_long = b"", True

    def end(self) -> None:
        """Say that the log is complete: its last line may have no end, its total not be known."""
        self._feed(b"\n")
        if self.counts and not self._total:
            self._total = self._done = max(self._done, self.counts.tests)
            self._percent = 100 if self._total else self._percent

    def _feed(self, data: bytes) -> None:
        data = self._rest + data
        whole = data.rstrip(b"\r")  # what is still to come may be the `\n` of a line's end
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
        # pytest -v begins a line when it starts a test, and ends it with the outcome.
        if self._rest.endswith(b" ") and not (self._told or self._is_vitest):
            began = PYTEST_START.fullmatch(plain(self._rest))
            self._current = began["test"] if began else self._current

    def _line(self, line: bytes) -> None:
        text = plain(line)
        if not text:
            self._printed = False
        elif not ("make" in text and MAKE.fullmatch(text)):
            self._pytest = None
            if self._block and not VITEST_BLOCK.fullmatch(text):
                self._block = None
            if not self._printed and TELLING.search(text):
                self._read(text)

    def _read(self, text: str) -> None:
        section = PYTEST_SECTION.fullmatch(text)
        if VITEST_START.fullmatch(text):
            self._is_vitest = True
        elif section:
            self._told = not section["start"]
            self._is_vitest = self._is_vitest and self._told
        elif self._is_vitest:
            self._read_vitest(text)
        elif match := PYTEST_SUMMARY.fullmatch(text):
            self._pytest = pytest_counts(match["counts"])
        elif not self._told:
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
            self._printed = True
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
    """Return a line as text, without colours and without spaces at its end."""
    text = line.decode(errors="replace")
    return (ESCAPE.sub("", text) if "\x1b" in text else text).rstrip()


def pytest_counts(text: str) -> Counts:
    """Read `1 failed, 2 passed, 1 error`; what pytest warns of is not counted."""
    found = {kind: int(number) for number, kind in PAIR.findall(text)}
    found["errors"] = found.pop("error", 0) + found.pop("errors", 0)
    return Counts(**{name: found.get(name, 0) for name in Counts.__dataclass_fields__})


def vitest_counts(text: str, suites: int) -> Counts:
    """Read `1 failed | 2 passed | 1 todo`; suites are those that failed by themselves."""
    found = {kind: int(number) for number, kind in VITEST_PAIR.findall(text)}
    return Counts(
        passed=found.get("passed", 0),
        failed=found.get("failed", 0),
        errors=suites,
        skipped=found.get("skipped", 0) + found.get("todo", 0),
        xfailed=found.get("expected fail", 0),
    )


def exit_code_behind_make(log: bytes) -> int | None:
    """Return how a recipe ended, of which make itself tells no more than that it failed.

    The log ends with make's own words, of the innermost make first: `make[1]: *** [Makefile:3:
    test] Error 5`. A signal is 128 and its number. None if make did not complain at the end.
    """
    found: tuple[int, int] | None = None  # the level of a make, and the code
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
