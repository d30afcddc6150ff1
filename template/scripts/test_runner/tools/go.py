# Kept by the template: copier update merges its changes into this file.
"""The test command of Go: plain, with -v and with -json, and gotestsum's standard-verbose format."""

from __future__ import annotations

import json
import re

from .base import WIDTH, Counts, Tool

#: How many lines of a running test are kept.
PRINTED = 20
#: How many tests may run at the same time, so that a flood of output costs no memory.
MOST = 10_000

RUN = r"=== RUN\s+(?P<test>\S.*)"
OTHER_TEST = r"=== (?P<what>PAUSE|CONT|NAME|ATTR|ARTIFACTS)\s+(?P<test>\S.*)"
RESULT = r"\s*--- (?P<result>PASS|FAIL|SKIP): (?P<test>\S.*?) \(\d+\.\d+s\)"
PACKAGE = (
    r"(?P<verdict>ok|FAIL|---|\?)\s*\t\s*(?P<package>\S+)"
    r"(?:\s+(?P<rest>\d+\.\d+s|\(cached\)|\[.*\]|coverage: .*))?(?P<more>.*)"
)
NO_TESTS = r"\[no test(?:s to run| files)\]"
BROKEN = r"\[(?:build|setup) failed\]"


class Go(Tool):
    """Counts each test. Without -v or -json, Go prints only failed tests: the number is unknown."""

    name = "go"
    start = r"=== RUN |\s*--- (?:PASS|FAIL|SKIP): |(?:ok  |FAIL|\?   )\t|\{\"(?:Time|Action|ImportPath)\":|# \S+(?: \[\S+\.test\])?$"
    noise = r"# |=== |--- |goroutine \d|exit status|FAIL|\s+\S+\.go:\d+ \+0x"
    place = r"^\s*(?P<path>[^\s:]+\.go):(?P<line>\d+)(?::\d+)?(?:: | \+0x)"

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[str, list[str]] = {}  # the tests that run, and their output with -json
        self._found: dict[str, int] = {}  # the results of the current package
        self._is_verbose = False  # the current package printed the start of a test
        self._printing = ""  # with -v: the test that prints the lines
        self._compiler: list[str] = []  # the lines after `# package`

    def line(self, text: str) -> None:
        """Read a line."""
        if text.startswith("{"):
            self._read_json(text)
            return
        if match := re.fullmatch(RUN, text):
            self._begin(match["test"])
            if self._lines is not None and self._test not in self._running:
                self.end_failure()
        elif match := re.fullmatch(RESULT, text):
            self._result(match["test"], match["result"])
        elif match := re.fullmatch(PACKAGE, text):
            self._end_package(
                match["verdict"], match["package"], match["rest"] or "", match["more"]
            )
        elif text.startswith("# ") or self._compiler:
            self._compiler = [*self._compiler, text][:8] if text else []
        elif match := re.fullmatch(OTHER_TEST, text):
            if match["what"] in ("CONT", "NAME"):
                self._printing = match["test"]
        elif not self.keep(text) and len(lines := self._running.get(self._printing, [])) < PRINTED:
            lines.append(text[:WIDTH])

    def _begin(self, test: str) -> None:
        self._is_verbose = True
        self.current = self._printing = test
        if len(self._running) < MOST:
            self._running[test] = []

    def _result(self, test: str, result: str) -> None:
        if self._is_verbose and test not in self._running:
            return  # The output of a test.
        printed = self._running.pop(test, [])
        self._found[result] = self._found.get(result, 0) + 1
        if self._is_verbose:
            self.done += 1
        if result == "FAIL":
            if self._lines == [] and test.startswith(f"{self._test}/"):
                self._lines = None  # Its subtest explains the failure.
            self.fail(test, *printed)
        else:
            self.end_failure()

    def _end_package(self, verdict: str, package: str, rest: str, more: str) -> None:
        if verdict == "ok" and self._running:
            return  # The output of a test.
        self.end_failure()
        found, self._found = self._found, {}
        unfinished, self._running = len(self._running), {}
        verbose, self._is_verbose = self._is_verbose, False
        compiler, self._compiler = self._compiler, []
        errors = 0
        if verdict == "FAIL" and (re.search(BROKEN, rest) or not found):
            errors = 1
            self.fail(package, *(compiler or [f"{package} {rest}"]))
            self.end_failure()
        if verbose:
            passed, failed = found.get("PASS", 0), found.get("FAIL", 0)
            self.add(Counts(passed, failed, errors + bool(unfinished), found.get("SKIP", 0)))
        elif re.search(NO_TESTS, rest + more) or verdict == "?":
            self.add(Counts())
        elif re.search(BROKEN, rest):
            self.add(Counts(errors=errors))
        else:
            self.uncounted = True

    # JSON ---------------------------------------------------------------------
    def _read_json(self, text: str) -> None:
        try:
            event = json.loads(text)
            action, package = str(event["Action"]), str(event.get("Package", ""))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        test = str(event.get("Test", ""))
        key = f"{package} {test}"
        if action == "run" and len(self._running) < MOST:
            self._running[key] = []
            self.current = test
        elif action in ("output", "build-output"):
            self._keep_output(key if test else package or str(event.get("ImportPath", "")), event)
        elif action in ("pass", "fail", "skip") and test:
            self._json_result(key, test, action)
        elif action in ("pass", "fail", "skip"):
            self._json_package(package, action, event)

    def _keep_output(self, key: str, event: dict[str, object]) -> None:
        lines = self._running.setdefault(key, []) if len(self._running) < MOST else []
        output = str(event.get("Output", "")).rstrip("\n")
        if len(lines) < PRINTED and output:
            lines.append(output[:WIDTH])

    def _json_result(self, key: str, test: str, action: str) -> None:
        printed = self._running.pop(key, [])
        self.done += 1
        self.add(Counts(passed=action == "pass", failed=action == "fail", skipped=action == "skip"))
        if action == "fail":
            lines = [line for line in printed if not re.match(r"\s*(?:=== |--- )", line)]
            # A parent fails if one of its subtests does, and has no output of its own.
            if lines or not any(one.test.startswith(f"{test}/") for one in self.failures):
                self.fail(test, *lines)
                self.end_failure()
            self._found[key.partition(" ")[0]] = 1

    def _json_package(self, package: str, action: str, event: dict[str, object]) -> None:
        # Its key looks like that of a test: `package [package.test]`.
        build = self._running.pop(str(event.get("FailedBuild", "")), [])
        unfinished = [key for key in self._running if key.startswith(f"{package} ")]
        for key in unfinished:
            printed = self._running.pop(key)
            if action == "fail":
                self.fail(key.partition(" ")[2], *printed)
                self.end_failure()
        printed = self._running.pop(package, [])
        failed_before = self._found.pop(package, 0)
        if action == "fail" and (unfinished or not failed_before):
            self.add(Counts(errors=1))
            if not unfinished:
                self.fail(package, *(build or printed))
                self.end_failure()
        else:
            self.add(Counts())
