# Kept by the template: copier update merges its changes into this file.
"""A pytest plugin that writes events for the test runner, as JSON lines, to the file TEST_EVENTS.

The runner loads it with `PYTHONPATH=<this folder>` and `PYTEST_ADDOPTS="-p pytest_events"` into the
Python and pytest of a service. It therefore supports Python 3.8 and pytest 7, and uses only the
standard library. It prints nothing and never makes a run fail. Without TEST_EVENTS it does nothing.

TEST_SELECT may name a file with a JSON list of test ids and files. All other tests are deselected. With
TEST_RETRY=1, a pytest that has none of them runs all its tests: it has not run before, because an
earlier command of the recipe failed.
TEST_EVENTS_WORKERS is the number of pytest-xdist processes. It has no effect if pytest-xdist is not
installed or the command line sets a number.

The methods of `Recorder` document the events. Under pytest-xdist, only the controller writes events.
What only a worker knows is sent to the controller as an attribute of the worker's reports.
"""

from __future__ import annotations

import json
import linecache
import os
import re
import sys
import sysconfig
import time
import traceback
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

NAME = "pytest_events"
#: The attribute of a report for the findings of its worker, as JSON.
ATTRIBUTE = "test_events"
#: Limits for a failure: characters of a message and of a line; lines of an excerpt and of captured
#: output; number of causes.
MESSAGE, WIDTH, EXCERPT, CAPTURED, CAUSES = 500, 160, 8, 3, 3
#: Limits for the part of a text that is read, a test id (both in characters) and an event (bytes).
MAX_TEXT, ID, EVENT = 100_000, 500, 4000
#: A faster fixture is not recorded, in seconds.
SLOW_FIXTURE = 0.1

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
#: The lines of an assertion's explanation that are equal on both sides or carry no information.
CONTEXT = re.compile(r"    |\s*\?[\s^+-]*$|  (?:Full diff|Omitting |Skipping |Use -v|\.\.\.)")
XUNIT = re.compile(r"^_(?:xunit|unittest)_(\w+?)_fixture_.*$")
STDLIB = (str(Path(os.__file__).parent), sysconfig.get_paths()["stdlib"])
#: One encoder for all events, because creating one takes longer than encoding an event.
COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@pytest.hookimpl(hookwrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, args: list[str]
) -> Generator[None, Any, None]:
    """Record a conftest.py that cannot be imported. Pytest stops before it calls pytest_configure."""
    workers = os.environ.pop("TEST_EVENTS_WORKERS", "")
    known = early_config.known_args_namespace
    if workers and hasattr(known, "numprocesses") and not getattr(known, "usepdb", False):
        args[:] = ["--numprocesses", workers, *args]
    outcome = yield
    path = os.environ.get("TEST_EVENTS")
    if path and outcome.excinfo:
        error = outcome.excinfo[1]
        recorder = Recorder(early_config, path)
        with suppress(Exception):
            where = relative_path(getattr(error, "path", ""), early_config.rootpath)
            recorder.begin()
            recorder.collect_error(where, describe(unwrapped(error), early_config.rootpath))
        if type(error).__name__ in ("ConftestImportFailure", "UsageError"):
            recorder.emit("end", exit=int(pytest.ExitCode.USAGE_ERROR))


def pytest_configure(config: pytest.Config) -> None:
    """Register the Recorder in the controller, and the Observer in each process that runs tests."""
    worker = getattr(config, "workerinput", None)
    if worker is None:
        # Removed from the environment: a pytest that a test starts must not write events.
        path, select = os.environ.pop("TEST_EVENTS", ""), os.environ.pop("TEST_SELECT", "")
        retry = os.environ.pop("TEST_RETRY", "") == "1"
        if not path:
            return
        selected = read_selection(select) if select else None
        recorder = Recorder(config, path, selected, retry=retry)
        config.pluginmanager.register(recorder, "test-events-recorder")
        if config.getoption("dist", "no") != "no":
            return
    elif ATTRIBUTE in worker:
        selected, retry = json.loads(worker[ATTRIBUTE])
    else:
        return
    observer = Observer(config, selected, retry=retry)
    config.pluginmanager.register(observer, "test-events-observer")
    # Such a pytest may not find this plugin, so it must not load it either. The controller keeps the
    # option, because xdist's workers read it again.
    options = os.environ.get("PYTEST_ADDOPTS", "")
    os.environ["PYTEST_ADDOPTS"] = options.replace(f"-p {NAME}", "").strip()


def read_selection(path: str) -> list[str]:
    """Return the selected test ids.

    Raises:
        pytest.UsageError: the file cannot be read or has the wrong content.
    """
    try:
        ids = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"TEST_SELECT={path}: {error}") from None
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise pytest.UsageError(f"TEST_SELECT={path}: must be a JSON list of test ids")
    return ids


class Observer:
    """Selects tests, measures fixtures and explains failures in a process that runs tests."""

    def __init__(
        self, config: pytest.Config, selected: list[str] | None, *, retry: bool = False
    ) -> None:
        self.config, self.retry = config, retry
        self.selected = None if selected is None else set(selected)
        self.fixtures: list[tuple[str, str, float]] = []
        self.nested: list[float] = []

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        """Deselect the tests that are not selected, after all other plugins."""
        yield
        if self.selected is not None:
            kept: list[pytest.Item] = []
            rest: list[pytest.Item] = []
            for item in items:
                names = {item.nodeid, test_id(item, self.config), *parents_of(item.nodeid)}
                (kept if names & self.selected else rest).append(item)
            if self.retry and not kept:
                return
            items[:] = kept
            if rest:
                self.config.hook.pytest_deselected(items=rest)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """Measure a fixture, without the fixtures that it requests during its set-up."""
        self.nested.append(0.0)
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        own = seconds - self.nested.pop()
        if self.nested:
            self.nested[-1] += seconds
        if own >= SLOW_FIXTURE:
            name = XUNIT.sub(r"\1", str(fixturedef.argname))
            self.fixtures.append((name, str(fixturedef.scope), round(own, 4)))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, None]:
        """Attach the cause of a failure and the slow fixtures to a test's report."""
        outcome = yield
        if outcome.excinfo:
            return
        report = outcome.get_result()
        found: dict[str, Any] = {}
        if self.fixtures:
            found["fixtures"], self.fixtures = self.fixtures, []
        with suppress(Exception):
            if report.failed and call.excinfo:
                found["failure"] = describe(
                    call.excinfo.value, self.config.rootpath, report.location, report.longrepr
                )
                found["attempts"] = attempts_of(item)
        if found:
            setattr(report, ATTRIBUTE, json.dumps(found))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Generator[None, Any, None]:
        """Attach the cause of a failure to a collection's report."""
        outcome = yield
        if outcome.excinfo:
            return
        report = outcome.get_result()
        with suppress(Exception):
            if report.failed:
                location = (report.nodeid.split("::")[0], None, "")
                error = unwrapped(report.call.excinfo.value)
                found = {"failure": describe(error, self.config.rootpath, location)}
                setattr(report, ATTRIBUTE, json.dumps(found))


class Recorder:
    """Writes the events, one JSON object per line. After a failed write, it writes no more."""

    def __init__(
        self,
        config: pytest.Config,
        path: str,
        selected: list[str] | None = None,
        *,
        retry: bool = False,
    ) -> None:
        self.config, self.selected, self.retry = config, selected, retry
        self.process = os.getpid()
        self.total_known = False
        self.session: pytest.Session | None = None
        self.locations: dict[str, tuple[str, int | None, str]] = {}
        self.seconds: dict[str, float] = {}
        self.seen: set[str] = set()
        self.failed_subtests: set[str] = set()
        try:
            self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except (OSError, ValueError):
            self.file = -1

    def emit(self, event: str, **values: Any) -> None:
        """Write one event in one system call, as a line of UTF-8."""
        if self.file < 0 or os.getpid() != self.process:  # a forked test must not write events
            return
        try:
            os.write(self.file, encoded({"event": event, **values}))
        except (OSError, ValueError):
            self.file = -1

    # The run.

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """`begin`, before xdist starts its workers."""
        self.session = session
        self.begin()

    def begin(self) -> None:
        """`begin`: the tool, whether the runner may set `-n`, and the number of workers."""
        parallel = self.config.getoption("dist", "no") != "no"
        workers = self.config.getoption("tx", None) or []
        options = self.config.getini("addopts")
        decided = any(one.startswith(("-n", "--numprocesses", "--dist")) for one in options)
        self.emit(
            "begin",
            tool="pytest",
            version=pytest.__version__,
            xdist=hasattr(self.config.option, "numprocesses") and not decided,
            workers=len(workers) if parallel else 0,
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Pass if no selected test was found. Another pytest of the same target may have it."""
        nothing = session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
        if self.selected is not None and nothing and not self.retry:
            session.exitstatus = pytest.ExitCode.OK

    def pytest_unconfigure(self) -> None:
        """`end`: the exit code of pytest."""
        if self.session is not None:
            self.emit("end", exit=int(self.session.exitstatus))

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """`collect_error`: a hook of a plugin or conftest.py raised, which ends the run."""
        if "internal error" not in self.seen:  # later errors follow from the first one
            self.seen.add("internal error")
            with suppress(Exception):
                self.collect_error("internal error", describe(excinfo.value, self.config.rootpath))

    # Workers.

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Send the selection to a worker. If it is present, the worker observes its tests."""
        node.workerinput[ATTRIBUTE] = json.dumps([self.selected, self.retry])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """`worker_lost`: a worker ended unexpectedly."""
        if error:
            self.emit("worker_lost", worker=str(node.gateway.id), message=cut(str(error), MESSAGE))

    # Collection.

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """`total`: the number of tests to run. With --collect-only, none runs."""
        if not self.config.getoption("collectonly", False):
            self.total([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """`total`, from the first worker that has collected: all workers collect the same tests."""
        self.total(ids)

    def total(self, ids: Sequence[str]) -> None:
        """Record the number of tests, once. With --keep-duplicates, an id may come several times."""
        if not self.total_known:
            self.total_known = True
            self.emit("total", tests=len({test_id(one, self.config) for one in ids}))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """`collect_error`, only once, although every worker reports it."""
        if report.failed and report.nodeid not in self.seen:
            self.seen.add(report.nodeid)
            location = (report.nodeid.split("::")[0], None, "")
            failure = findings(report).get("failure") or describe_longrepr(
                report.longrepr, location
            )
            self.collect_error(report.nodeid or ".", failure, last_lines(report))

    def collect_error(
        self, test: str, failure: dict[str, Any], captured: Sequence[str] = ()
    ) -> None:
        """Write `collect_error`: a file or class could not be collected."""
        self.emit("collect_error", test=shortened(test), failure={**failure, "captured": captured})

    # Tests.

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """`start`: a test begins. A rerun of the test writes it again."""
        test = test_id(nodeid, self.config)
        self.locations[test] = location
        self.emit("start", test=test, at=round(time.time(), 4))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """`fixture`, `result`: the outcome of one phase of a test.

        A passed set-up or teardown writes no `result`. A failed teardown writes a second `result`, and
        the worst one counts. A failed subtest counts as a failure of its test.
        """
        test = test_id(report.nodeid, self.config)
        subtest = type(report).__name__.lower() == "subtestreport"
        found = findings(report)
        for name, scope, seconds in found.get("fixtures", ()):
            self.emit("fixture", name=cut(name, WIDTH), scope=scope, test=test, seconds=seconds)
        if not subtest:
            self.seconds[test] = self.seconds.get(test, 0.0) + report.duration
        outcome = outcome_of(report)
        if subtest and outcome == "failed":
            self.failed_subtests.add(test)
        elif subtest or not outcome:
            return
        elif (
            report.when == "call"
            and test in self.failed_subtests
            and (outcome == "passed" or isinstance(report.longrepr, str))
        ):
            return  # the failure of its subtests is already recorded
        phase = report.when if report.when in ("setup", "call", "teardown") else "call"
        values: dict[str, Any] = {"outcome": outcome, "phase": phase}
        values["seconds"] = round(report.duration, 4)
        if outcome in ("failed", "error", "rerun"):
            location = self.locations.get(test, report.location)
            failure = found.get("failure") or describe_longrepr(report.longrepr, location)
            if subtest:
                head = getattr(report, "head_line", "").partition(" ")[2]
                failure["message"] = cut(f"{head} {failure['message']}", MESSAGE)
            failure["captured"] = last_lines(report)
            values["failure"] = failure
        if outcome == "rerun":
            values["attempts"] = found.get("attempts", 0)
        self.emit("result", test=test, **values)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """`finish`: a test has ended, with its duration in seconds, all phases included."""
        test = test_id(nodeid, self.config)
        self.locations.pop(test, None)
        self.emit("finish", test=test, seconds=round(self.seconds.pop(test, 0.0), 4))


def outcome_of(report: pytest.TestReport) -> str:
    """Return the outcome of a phase; empty if the phase does not decide the test's outcome."""
    outcome: str = report.outcome
    if hasattr(report, "wasxfail"):
        return {"skipped": "xfailed", "passed": "xpassed"}.get(outcome, outcome)
    if outcome == "failed" and report.when in ("setup", "teardown"):
        return "error"
    if outcome == "passed" and report.when != "call":
        return ""
    return outcome


def attempts_of(item: pytest.Item) -> int:
    """Return how often pytest-rerunfailures runs a test at most; 0: unknown."""
    reruns = getattr(sys.modules.get("pytest_rerunfailures"), "get_reruns_count", None)
    with suppress(Exception):
        return int(reruns(item) if reruns else -1) + 1
    return 0


def test_id(item: pytest.Item | str, config: pytest.Config) -> str:
    """Return the id of a test for the command line, without the group that xdist appends."""
    nodeid = item if isinstance(item, str) else item.nodeid
    if "@" in nodeid and (
        config.getoption("loadgroup", False) or config.getoption("dist", "") == "loadgroup"
    ):
        head, _, group = nodeid.rpartition("@")
        nodeid = head if "::" in head and not group.endswith("]") else nodeid
    return shortened(nodeid)


def parents_of(nodeid: str) -> Iterator[str]:
    """Yield the ids of a test's file and classes."""
    parts = nodeid.partition("[")[0].split("::")
    for end in range(1, len(parts)):
        yield "::".join(parts[:end])


def shortened(test: str) -> str:
    """Return a test's id, shortened with a checksum if it is too long for an event."""
    if len(test) <= ID:
        return test
    return f"{test[:ID]}…{zlib.crc32(test.encode(errors='surrogatepass')):08x}"


def findings(report: Any) -> dict[str, Any]:
    """Return what the Observer attached to a report."""
    found: dict[str, Any] = json.loads(getattr(report, ATTRIBUTE, None) or "{}")
    return found


def unwrapped(error: BaseException) -> BaseException:
    """Return the error that stopped an import, instead of pytest's wrapper around it."""
    cause = error.__cause__
    wraps = type(error).__name__ in ("CollectError", "ConftestImportFailure")
    # For ImportPathMismatchError, pytest's own message is better.
    if not wraps or cause is None or type(cause).__name__ == "ImportPathMismatchError":
        return error
    return cause


def describe(
    error: BaseException,
    root: Path,
    location: tuple[str, int | None, str] | None = None,
    longrepr: object = None,
) -> dict[str, Any]:
    """Return the type, message, location and excerpt of an exception.

    The path is relative to pytest's root if it is inside. Line 0 means unknown.
    """
    lines = error_lines(error)
    path, line = deepest_frame(error)
    asked = str(getattr(longrepr, "errorstring", ""))
    if asked:  # a fixture does not exist: only pytest's own message explains it
        lines = [one.strip() for one in asked.strip().splitlines()]
        path, line = (
            str(getattr(longrepr, "filename", "")),
            getattr(longrepr, "firstlineno", -1) + 1,
        )
    source = linecache.getline(path, line).strip() if line else ""
    if not path and location:
        path, line = location[0], (-1 if location[1] is None else location[1]) + 1
        source = linecache.getline(str(root / path), line).strip() if line else ""
    excerpt = [] if asked else [f"E   {error_lines(one)[0]}" for one in causes(error)]
    excerpt += [f">   {source}"] * bool(source)
    excerpt += [f"E   {one}" for one in without_context(lines, EXCERPT - len(excerpt))]
    name = type(error).__name__
    lines = lines[:1] if asked else lines
    head, separator, rest = lines[0].partition(": ")
    if head.rpartition(".")[2] == name:
        lines = [rest if separator else "", *lines[1:]]
    return {
        "type": name,
        "message": cut("\n".join(lines).strip(), MESSAGE),
        "path": relative_path(path, root),
        "line": line,
        "excerpt": [cut(one, WIDTH) for one in excerpt],
    }


def describe_longrepr(longrepr: object, location: tuple[str, int | None, str]) -> dict[str, Any]:
    """Describe a failure without an exception in this process: a lost worker, a strict xpass."""
    crash = getattr(longrepr, "reprcrash", None)
    text = str(getattr(crash, "message", longrepr))[:MAX_TEXT].strip()
    return {
        "type": "",
        "message": cut(text, MESSAGE),
        "path": location[0].replace(os.sep, "/"),
        "line": (-1 if location[1] is None else location[1]) + 1,
        "excerpt": [
            f"E   {cut(one, WIDTH - 4)}" for one in without_context(text.splitlines(), EXCERPT)
        ],
    }


def error_lines(error: BaseException) -> list[str]:
    """Return the last lines of an exception's traceback; for a group, also those of its members."""
    text = "".join(traceback.format_exception_only(type(error), error))[:MAX_TEXT]
    lines = ESCAPES.sub("", text).rstrip().splitlines() or [type(error).__name__]
    if isinstance(error, SyntaxError):
        # Drop the location, which comes before the message.
        lines = [one for one in lines if not one.startswith(" ")] or lines
    if lines[0].startswith("AssertionError: assert "):
        lines[0] = lines[0].partition(" ")[2]
    for one in getattr(error, "exceptions", ())[:CAUSES]:
        if isinstance(one, BaseException):
            lines += [f"  {line}" for line in error_lines(one)[:2]]
    return lines


def causes(error: BaseException) -> list[BaseException]:
    """Return the exceptions that caused an exception, the earliest first."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and all(cause is not one for one in found):
        found.append(cause)
        hidden = None if cause.__suppress_context__ else cause.__context__
        cause = cause.__cause__ or hidden
    return found[:0:-1][:CAUSES]


def deepest_frame(error: BaseException) -> tuple[str, int]:
    """Return the innermost file and line of the project's own code in a traceback."""
    if isinstance(error, SyntaxError) and error.filename and is_ours(error.filename):
        return error.filename, error.lineno or 0
    for one in getattr(error, "exceptions", ())[:1]:
        found = deepest_frame(one)
        if found[0]:
            return found
    path, number, trace = "", 0, error.__traceback__
    for frame, line in traceback.walk_tb(trace):
        name = frame.f_code.co_filename
        if is_ours(name):
            hide = frame.f_globals.get("__tracebackhide__", False)
            hide = frame.f_locals.get("__tracebackhide__", hide)
            if callable(hide) and trace:
                hide = hide(pytest.ExceptionInfo.from_exc_info((type(error), error, trace)))
            if not hide:
                path, number = name, line
    return path, number


def is_ours(path: str) -> bool:
    """Whether a file belongs to the project: not to Python, a package or this plugin."""
    parts = Path(path).parts
    foreign = "site-packages" in parts or "dist-packages" in parts or path.startswith(STDLIB)
    return not (foreign or path.startswith("<") or path == __file__)


def relative_path(path: str | Path, root: Path) -> str:
    """Return a path relative to pytest's root, or unchanged if it is outside."""
    try:
        return Path(path).relative_to(root).as_posix()
    except ValueError:
        return str(path).replace(os.sep, "/")


def without_context(lines: list[str], room: int) -> list[str]:
    """Return at most `room` lines. If there are more, drop the context lines of a diff first."""
    lines = [one for one in lines if one.strip()]
    if len(lines) > room:
        lines = [lines[0], *(one for one in lines[1:] if not CONTEXT.match(one))]
    return lines[:room]


def last_lines(report: pytest.TestReport | pytest.CollectReport) -> list[str]:
    """Return the last lines of a test's captured output: stdout, stderr and log, in pytest's order."""
    lines: list[str] = []
    for _, text in reversed(report.sections):
        end = ESCAPES.sub("", text[-4 * WIDTH * CAPTURED :])
        found = [cut(one.rstrip(), WIDTH) for one in end.splitlines() if one.strip()]
        lines = [*found, *lines][-CAPTURED:]
        if len(lines) == CAPTURED:
            break
    return lines


def cut(text: str, width: int) -> str:
    """Shorten a text to `width` characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def encoded(event: dict[str, Any]) -> bytes:
    """Return an event as a line of UTF-8. Shorten its failure until the line fits."""
    for width in (WIDTH, 80, 40, 10):
        failure = event.get("failure")
        if failure and width < WIDTH:
            for key in ("excerpt", "captured"):
                failure = {**failure, key: [cut(one, width) for one in failure.get(key, ())]}
            failure["message"] = cut(failure["message"], 2 * width)
            event = {**event, "failure": failure}
        text = COMPACT.encode(event)
        try:
            line = text.encode()
        except UnicodeEncodeError:  # a lone surrogate, as in a file name that is not UTF-8
            line = json.dumps(event, separators=(",", ":")).encode()
        if len(line) <= EVENT:
            break
    return line + b"\n"
