"""The pytest plugin pytest_events.py in real runs of pytest on small projects."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PLUGINS = Path(__file__).parents[2] / "template" / "scripts" / "test_runner" / "plugins"

#: Options for a pytest that has many more plugins installed.
EXTRAS = ("-p", "xdist", "-p", "rerunfailures", "-p", "timeout", "-p", "no:cacheprovider")
BOTH = pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["serial", "xdist"])
#: Cases in which two workers report the same.
BOTH_TWICE = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["serial", "xdist"])


@dataclass
class Run:
    """A run of pytest: exit code, output, events, and peak memory in MB."""

    code: int
    output: str
    events: list[dict[str, Any]]
    megabytes: float
    lines: list[bytes] = field(default_factory=list)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]

    def outcomes(self) -> dict[str, list[tuple[str, str]]]:
        """The outcomes of each test with their phases, in order."""
        found: dict[str, list[tuple[str, str]]] = {}
        for one in self.of("result"):
            name = one["test"].partition("::")[2]
            found.setdefault(name, []).append((one["outcome"], one["phase"]))
        return found

    def failure(self, name: str, event: str = "result") -> dict[str, Any]:
        """The only failure of a test."""
        found = [one["failure"] for one in self.of(event) if one["test"].endswith(name)]
        assert len(found) == 1, (name, self.output, self.events)
        failure: dict[str, Any] = found[0]
        return failure


class Project:
    """A folder with tests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("pytest.ini", "[pytest]\n")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8", errors="surrogateescape")
        return path

    def line(self, name: str, text: str) -> int:
        """The number of the line that contains a text."""
        lines = (self.root / name).read_text(encoding="utf-8").splitlines()
        [found] = [number for number, line in enumerate(lines, 1) if text in line]
        return found

    def run(self, *args: str, select: Iterable[str] | None = None, **env: str) -> Run:
        """Run pytest with the plugin, as the runner does."""
        where = self.root / "events.jsonl"
        kept = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
        for name in ("CI", "COLUMNS", "FORCE_COLOR", "TEST_EVENTS", "TEST_SELECT"):
            kept.pop(name, None)
        env = {
            "TEST_EVENTS": str(where),
            "PYTHONPATH": str(PLUGINS),
            "PYTEST_ADDOPTS": "-p pytest_events",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            # A run must not write files into the template.
            "PYTHONDONTWRITEBYTECODE": "1",
            **env,
        }
        if select is not None:
            env["TEST_SELECT"] = str(self.root / "select.json")
            Path(env["TEST_SELECT"]).write_text(json.dumps(list(select)), encoding="utf-8")
        where.unlink(missing_ok=True)
        with (self.root / "log").open("w+b") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-q", *EXTRAS, *args],
                cwd=self.root, env={**kept, **env},
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            output = log.read().decode(errors="replace")
        lines = where.read_bytes().splitlines() if where.exists() else []
        assert all(len(line) <= 4096 for line in lines)
        events = [json.loads(line.decode()) for line in lines]
        return Run(process.returncode, output, events, usage.ru_maxrss / 1024, lines)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


# Outcomes and failures.

APP = """\
    import json

    import packaging.version

    def load(key):
        try:
            return {"a": 1}[key]
        except KeyError as error:
            raise RuntimeError("no such thing") from error

    def check(value):
        __tracebackhide__ = True
        assert value == 3

    def parse(text):
        return json.loads(text)

    def version(text):
        return packaging.version.Version(text)

    def start():
        try:
            load("zz")
        except RuntimeError:
            raise SystemError("cannot start")
    """

CONFTEST = """\
    import pytest

    @pytest.fixture
    def broken():
        raise OSError("connection refused")

    @pytest.fixture
    def bad_end():
        yield
        raise RuntimeError("cannot clean up")
    """

TESTS = """\
    import logging
    import sys
    import unittest
    import pytest
    import app

    def test_passes():
        print("output of a passed test")

    def test_chain():
        app.load("zz")

    def test_helper():
        app.check(4)

    def test_library():
        app.parse("{")

    def test_package():
        app.version("new")

    def test_long_chain():
        app.start()

    def test_assert():
        left, right = [*range(40)], [*range(20), 99, *range(21, 40)]
        assert {"x": 1, "y": left} == {"x": 1, "y": right}

    def test_fixture(broken):
        pass

    def test_teardown(bad_end):
        pass

    def test_unknown_fixture(engin):
        pass

    @pytest.mark.skip(reason="not today")
    def test_skipped():
        pass

    def test_skips_itself():
        pytest.skip("not here")

    @pytest.mark.xfail
    def test_xfailed():
        assert False

    @pytest.mark.xfail
    def test_xpassed():
        pass

    @pytest.mark.xfail(strict=True)
    def test_xpassed_strictly():
        pass

    def test_fails():
        pytest.fail("by hand")

    def test_prints():
        print("one\\ntwo\\nthree\\n")
        print("\\x1b[31mred\\x1b[0m", file=sys.stderr)
        logging.warning("logged")
        raise ValueError("half \\x1b[1mbold\\x1b[0m\\nsecond line")

    def test_group():
        try:
            app.load("zz")
        except RuntimeError as error:
            raise ExceptionGroup("several", [error, OSError("disk")]) from None

    def test_subtests(subtests):
        for number in range(4):
            with subtests.test("odd", number=number):
                assert number % 2 == 0

    class TestCase(unittest.TestCase):
        def test_equal(self):
            self.assertEqual([1, 2], [1, 3])

        @unittest.expectedFailure
        def test_expected(self):
            assert False

        @unittest.skip("no")
        def test_skip(self):
            pass
    """

OUTCOMES = {
    "test_passes": [("passed", "call")],
    "test_chain": [("failed", "call")],
    "test_helper": [("failed", "call")],
    "test_library": [("failed", "call")],
    "test_package": [("failed", "call")],
    "test_long_chain": [("failed", "call")],
    "test_assert": [("failed", "call")],
    "test_fixture": [("error", "setup")],
    "test_teardown": [("passed", "call"), ("error", "teardown")],
    "test_unknown_fixture": [("error", "setup")],
    "test_skipped": [("skipped", "setup")],
    "test_skips_itself": [("skipped", "call")],
    "test_xfailed": [("xfailed", "call")],
    "test_xpassed": [("xpassed", "call")],
    "test_xpassed_strictly": [("failed", "call")],
    "test_fails": [("failed", "call")],
    "test_prints": [("failed", "call")],
    "test_group": [("failed", "call")],
    "test_subtests": [("failed", "call"), ("failed", "call")],
    "TestCase::test_equal": [("failed", "call")],
    "TestCase::test_expected": [("xfailed", "call")],
    "TestCase::test_skip": [("skipped", "call")],
}

JSON_ERROR = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
LISTS_DIFFER = """\
Lists differ: [1, 2] != [1, 3]

First differing element 1:
2
3

- [1, 2]
?     ^

+ [1, 3]
?     ^"""

#: The type, the message, the file, the text of the line, and the excerpt.
FAILURES: dict[str, tuple[str, str, str, str, list[str]]] = {
    "test_chain": (
        "RuntimeError", "no such thing", "app.py", "raise RuntimeError",
        [
            "E   KeyError: 'zz'",
            '>   raise RuntimeError("no such thing") from error',
            "E   RuntimeError: no such thing",
        ],
    ),
    "test_helper": (
        "AssertionError", "", "tests/test_all.py", "app.check(4)",
        [">   app.check(4)", "E   AssertionError"],
    ),
    "test_library": (
        "JSONDecodeError",
        JSON_ERROR,
        "app.py", "json.loads(text)",
        [
            ">   return json.loads(text)",
            f"E   json.decoder.JSONDecodeError: {JSON_ERROR}",
        ],
    ),
    "test_package": (
        "InvalidVersion", "Invalid version: 'new'", "app.py", "packaging.version.Version",
        [
            ">   return packaging.version.Version(text)",
            "E   packaging.version.InvalidVersion: Invalid version: 'new'",
        ],
    ),
    "test_long_chain": (
        "SystemError", "cannot start", "app.py", "raise SystemError",
        [
            "E   KeyError: 'zz'",
            "E   RuntimeError: no such thing",
            '>   raise SystemError("cannot start")',
            "E   SystemError: cannot start",
        ],
    ),
    "test_fixture": (
        "OSError", "connection refused", "tests/conftest.py", "raise OSError",
        ['>   raise OSError("connection refused")', "E   OSError: connection refused"],
    ),
    "test_unknown_fixture": (
        "FixtureLookupError", "fixture 'engin' not found", "tests/test_all.py", "(engin)",
        [">   def test_unknown_fixture(engin):", "E   fixture 'engin' not found"],
    ),
    "test_xpassed_strictly": (
        "", "[XPASS(strict)]", "tests/test_all.py", "(strict=True)", ["E   [XPASS(strict)]"],
    ),
    "test_fails": (
        "Failed", "by hand", "tests/test_all.py", "pytest.fail",
        ['>   pytest.fail("by hand")', "E   Failed: by hand"],
    ),
    "test_prints": (
        "ValueError", "half bold\nsecond line", "tests/test_all.py", "raise ValueError",
        [r'>   raise ValueError("half \x1b[1mbold\x1b[0m\nsecond line")',
         "E   ValueError: half bold", "E   second line"],
    ),
    "test_group": (
        "ExceptionGroup",
        "several (2 sub-exceptions)\n  RuntimeError: no such thing\n  OSError: disk",
        "app.py", "raise RuntimeError",
        ['>   raise RuntimeError("no such thing") from error',
         "E   ExceptionGroup: several (2 sub-exceptions)",
         "E     RuntimeError: no such thing", "E     OSError: disk"],
    ),
    "TestCase::test_equal": (
        "AssertionError", LISTS_DIFFER,
        "tests/test_all.py", "self.assertEqual",
        [">   self.assertEqual([1, 2], [1, 3])",
         "E   AssertionError: Lists differ: [1, 2] != [1, 3]",
         "E   First differing element 1:", "E   2", "E   3", "E   - [1, 2]", "E   + [1, 3]"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=[(), ("-n2",)], ids=["serial", "xdist"])
def everything(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Run]:
    """A project with all outcomes, and its only run."""
    project = Project(tmp_path_factory.mktemp("everything"))
    project.write("app.py", APP)
    project.write("tests/conftest.py", CONFTEST)
    project.write("tests/test_all.py", TESTS)
    ini = ("pythonpath=.", "verbosity_assertions=1", "truncation_limit_lines=100")
    options = [f"-o{one}" for one in (*ini, "truncation_limit_chars=10000")]
    run = project.run(*options, *request.param)
    assert run.events[0]["workers"] == (2 if request.param else 0)
    return project, run


def test_a_run_has_begin_and_end(everything: tuple[Project, Run]) -> None:
    _, run = everything
    begin = {"event": "begin", "tool": "pytest", "version": pytest.__version__, "xdist": True}
    assert run.events[0] == begin | {"workers": run.events[0]["workers"]}
    assert [one["tests"] for one in run.of("total")] == [len(OUTCOMES)]
    assert run.code == 1
    assert run.events[-1] == {"event": "end", "exit": 1}
    names = {f"tests/test_all.py::{name}" for name in OUTCOMES}
    for event in ("start", "finish"):
        assert sorted(one["test"] for one in run.of(event)) == sorted(names)
    assert all(one["seconds"] >= 0 for one in (*run.of("result"), *run.of("finish")))


def test_every_outcome(everything: tuple[Project, Run]) -> None:
    _, run = everything
    assert run.outcomes() == OUTCOMES


def test_the_content_of_a_failure(everything: tuple[Project, Run]) -> None:
    project, run = everything
    for name, (kind, message, path, text, excerpt) in FAILURES.items():
        failure = run.failure(f"::{name}")
        assert (failure["type"], failure["message"]) == (kind, message), name
        assert (failure["path"], failure["line"]) == (path, project.line(path, text)), name
        assert failure["excerpt"][: len(excerpt)] == excerpt, name
    # Pytest lists the fixtures that do exist.
    assert run.failure("::test_unknown_fixture")["excerpt"][2].startswith(
        "E   available fixtures: bad_end, broken, "
    )
    kept = {"type", "message", "path", "line", "excerpt", "captured"}
    assert all(set(one["failure"]) == kept for one in run.of("result") if "failure" in one)


def test_a_teardown_error_and_captured_output(everything: tuple[Project, Run]) -> None:
    _, run = everything
    [error] = [one for one in run.of("result") if one["phase"] == "teardown"]
    assert error["failure"]["message"] == "cannot clean up"
    assert error["failure"]["path"] == "tests/conftest.py"
    captured = run.failure("::test_prints")["captured"]
    assert captured[:2] == ["three", "red"]
    assert captured[2].startswith("WARNING ") and captured[2].endswith(" logged")


def test_a_long_diff_is_reduced_to_the_differences(everything: tuple[Project, Run]) -> None:
    _, run = everything
    excerpt = run.failure("::test_assert")["excerpt"]
    assert len(excerpt) <= 8
    assert excerpt[0] == '>   assert {"x": 1, "y": left} == {"x": 1, "y": right}'
    assert [line.split() for line in excerpt[-2:]] == [["E", "-", "99,"], ["E", "+", "20,"]]


def test_a_failed_subtest_fails_its_test(everything: tuple[Project, Run]) -> None:
    _, run = everything
    messages = [
        one["failure"]["message"]
        for one in run.of("result")
        if one["test"].endswith("::test_subtests")
    ]
    assert [re.sub(r"'(\d)'", r"\1", message) for message in messages] == [
        "[odd] (number=1) assert (1 % 2) == 0",
        "[odd] (number=3) assert (3 % 2) == 0",
    ]


# Names.

NAMES = ["a b", "[x]", "]", "'\"", "é", "7 passed", "a::b", "c@d", "x" * 2000, "[ 50%]"]


@BOTH
def test_ids_are_exact_and_can_be_selected(project: Project, workers: tuple[str, ...]) -> None:
    project.write(
        "tests/test_names.py",
        f"""\
        import pytest

        @pytest.mark.parametrize("name", {NAMES!r}, ids=str)
        def test_name(name):
            assert name

        @pytest.mark.xdist_group("g1")
        def test_grouped():
            pass
        """,
    )
    run = project.run(*workers, "--dist=loadgroup")
    ids = [one["test"] for one in run.of("result")]
    escaped = [name.replace("é", "\\xe9") for name in NAMES if len(name) < 500]
    expected = [f"tests/test_names.py::test_name[{name}]" for name in escaped]
    found = [one for one in ids if len(one) < 500 and "grouped" not in one]
    assert sorted(found) == sorted(expected)
    assert "tests/test_names.py::test_grouped" in ids
    chosen = [one for one in ids if "b" in one.rpartition("test_")[2] or "xxx" in one]
    assert len(chosen) == 3

    again = project.run(*workers, select=[*chosen, "tests/test_names.py::test_gone"])
    assert sorted(one["test"] for one in again.of("result")) == sorted(chosen)
    assert again.of("total")[0]["tests"] == 3
    assert again.code == 0

    nothing = project.run(*workers, select=["tests/test_gone.py::test_gone"])
    assert nothing.code == 0, "what runs it may go on to the next"
    assert (nothing.of("total")[0]["tests"], nothing.events[-1]["exit"]) == (0, 0)


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("a@b/test_c.py::test_d@g1", "a@b/test_c.py::test_d"),
        ("a@b/test_c.py::test_d[e@f]@g1", "a@b/test_c.py::test_d[e@f]"),
        ("a@b/test_c.py::test_d", "a@b/test_c.py::test_d"),
        ("test_c.py::test_d[e@f]", "test_c.py::test_d[e@f]"),
    ],
)
def test_an_id_has_no_group(load: Callable[[str], ModuleType], nodeid: str, expected: str) -> None:
    """The newest pytest-xdist no longer appends the group."""

    class Config:
        def getoption(self, name: str, default: object) -> object:
            return "loadgroup" if name == "dist" else default

    plugin = load("template/scripts/test_runner/plugins/pytest_events.py")
    assert plugin.test_id(nodeid, Config()) == expected


def test_a_lone_surrogate_breaks_nothing(project: Project) -> None:
    project.write(
        "test_half.py",
        r"""
        import pytest

        @pytest.mark.parametrize("name", ["\udc80"], ids=["\udc80"])
        def test_half(name):
            print("\udc80 printed")
            raise ValueError("\udc80 message")
        """,
    )
    run = project.run(
        "-o", "disable_test_id_escaping_and_forfeit_all_rights_to_community_support=1"
    )
    [result] = run.of("result")
    assert result["test"] == "test_half.py::test_half[\udc80]"
    assert result["failure"]["message"] == "\udc80 message"
    assert run.events[-1]["exit"] == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{", "Expecting"), ('{"a": 1}', "must be a JSON list of test ids"), (None, "No such file")],
)
def test_a_bad_selection_is_a_usage_error(
    project: Project, text: str | None, complaint: str
) -> None:
    project.write("test_one.py", "def test_one(): pass\n")
    path = project.root / "ids.json"
    if text is not None:
        path.write_text(text)
    run = project.run(TEST_SELECT=str(path))
    assert run.code == 4
    assert re.fullmatch(
        rf"ERROR: TEST_SELECT={re.escape(str(path))}: .*{complaint}.*\s*", run.output
    )


# Collection errors.


@BOTH_TWICE
def test_collection_errors_name_the_cause(project: Project, workers: tuple[str, ...]) -> None:
    project.write("app.py", "import no_such_module\n")
    project.write("tests/test_good.py", "def test_good(): pass\n")
    project.write("tests/test_import.py", "import app\n")
    project.write("tests/test_syntax.py", "def test(:\n    pass\n")
    project.write("tests/test_value.py", "print('hello')\nint('x')\n")
    project.write("tests/sub/conftest.py", "import nor_this\n")
    project.write("tests/sub/test_sub.py", "def test_sub(): pass\n")
    run = project.run("-o", "pythonpath=.", *workers, "tests")
    found = {one["test"]: one["failure"] for one in run.of("collect_error")}
    assert len(found) == len(run.of("collect_error"))
    assert set(found) == {f"tests/test_{name}.py" for name in ("import", "syntax", "value")} | {
        "tests/sub"
    }
    summary = {
        Path(test).stem: (one["type"], one["message"], one["path"], one["line"])
        for test, one in found.items()
    }
    assert summary == {
        "test_import": ("ModuleNotFoundError", "No module named 'no_such_module'", "app.py", 1),
        "test_syntax": ("SyntaxError", "invalid syntax", "tests/test_syntax.py", 1),
        "test_value": (
            "ValueError", "invalid literal for int() with base 10: 'x'", "tests/test_value.py", 2,
        ),
        "sub": ("ModuleNotFoundError", "No module named 'nor_this'", "tests/sub/conftest.py", 1),
    }  # fmt: skip
    assert found["tests/test_import.py"]["excerpt"] == [
        ">   import no_such_module",
        "E   ModuleNotFoundError: No module named 'no_such_module'",
    ]
    assert found["tests/test_syntax.py"]["excerpt"] == [
        ">   def test(:",
        "E   SyntaxError: invalid syntax",
    ]
    assert found["tests/test_value.py"]["captured"] == ["hello"]
    assert run.code == (1 if workers else 2)
    assert run.events[-1]["exit"] == run.code
    assert run.outcomes() == ({"test_good": [("passed", "call")]} if workers else {})


@BOTH
def test_the_first_conftest_cannot_be_imported(project: Project, workers: tuple[str, ...]) -> None:
    project.write("conftest.py", "import os\nimport no_such_module\n")
    project.write("test_one.py", "def test_one(): pass\n")
    run = project.run(*workers)
    assert run.code == 4
    assert [one["event"] for one in run.events] == ["begin", "collect_error", "end"]
    failure = run.failure("conftest.py", "collect_error")
    assert failure["message"] == "No module named 'no_such_module'"
    assert (failure["path"], failure["line"]) == ("conftest.py", 2)
    assert run.events[-1]["exit"] == 4


def test_a_hook_that_raises(project: Project) -> None:
    project.write("conftest.py", "def pytest_collection_modifyitems(): raise TypeError('mine')\n")
    project.write("test_one.py", "def test_one(): pass\n")
    run = project.run()
    assert run.code == 3
    failure = run.failure("internal error", "collect_error")
    assert (failure["type"], failure["message"]) == ("TypeError", "mine")
    assert (failure["path"], failure["line"]) == ("conftest.py", 1)
    assert run.events[-1]["exit"] == 3


# The end of a run.


def test_runs_that_end_early_or_without_tests(project: Project) -> None:
    project.write(
        "test_few.py",
        """\
        def test_first(): pass
        def test_second(): assert False
        def test_third(): pass
        """,
    )
    stopped = project.run("-x")
    assert stopped.of("total")[0]["tests"] == 3
    assert list(stopped.outcomes()) == ["test_first", "test_second"]
    assert stopped.events[-1] == {"event": "end", "exit": 1}

    nothing = project.run("-k", "no_such_test")
    assert nothing.of("total") == [{"event": "total", "tests": 0}]
    assert nothing.events[-1] == {"event": "end", "exit": 5}

    some = project.run("-k", "first or third")
    assert some.of("total") == [{"event": "total", "tests": 2}]
    assert some.events[-1] == {"event": "end", "exit": 0}

    # The runner finds the reason in the log.
    assert project.run("--no-such-option").events == []


@pytest.mark.parametrize(
    ("deed", "code"),
    [("os.kill(os.getpid(), signal.SIGSEGV)", -11), ("os._exit(0)", 0)],
    ids=["segfault", "os._exit"],
)
def test_a_run_that_crashes(project: Project, deed: str, code: int) -> None:
    text = f"import os, signal\ndef test_first(): pass\ndef test_gone(): {deed}\n"
    project.write("test_few.py", text)
    run = project.run()
    assert run.code == code
    last = run.events[-1]
    assert (last["event"], last["test"]) == ("start", "test_few.py::test_gone")
    assert abs(time.time() - last["at"]) < 60
    assert not run.of("end")

    run = project.run("-n1")
    assert run.code == 1
    [lost] = run.of("worker_lost")
    assert (lost["worker"], lost["message"]) == ("gw0", "Not properly terminated")
    assert run.outcomes() == {
        "test_first": [("passed", "call")],
        "test_gone": [("failed", "call")],
    }
    failure = run.failure("::test_gone")
    assert failure["message"] == "worker 'gw0' crashed while running 'test_few.py::test_gone'"
    assert (failure["path"], failure["line"]) == ("test_few.py", 3)
    assert run.events[-1] == {"event": "end", "exit": 1}


@BOTH
def test_reruns(project: Project, workers: tuple[str, ...]) -> None:
    project.write(
        "test_flaky.py",
        """\
        from pathlib import Path

        def test_flaky():
            count = Path("count")
            tries = len(count.read_text()) if count.exists() else 0
            count.write_text("x" * (tries + 1))
            assert tries == 2

        def test_hopeless():
            assert False
        """,
    )
    run = project.run("--reruns=2", *workers)
    assert run.outcomes() == {
        "test_flaky": [("rerun", "call"), ("rerun", "call"), ("passed", "call")],
        "test_hopeless": [("rerun", "call"), ("rerun", "call"), ("failed", "call")],
    }
    assert run.of("total") == [{"event": "total", "tests": 2}]
    reruns = [one["failure"]["message"] for one in run.of("result") if one["outcome"] == "rerun"]
    assert {message.splitlines()[0] for message in reruns} == {
        "assert 0 == 2", "assert 1 == 2", "assert False",
    }  # fmt: skip
    assert {one.get("attempts") for one in run.of("result") if one["outcome"] == "rerun"} == {3}
    assert run.code == 1


def test_timeouts(project: Project) -> None:
    project.write("test_slow.py", "import time\ndef test_slow():\n    time.sleep(60)\n")
    run = project.run("--timeout=0.3", "--timeout-method=signal")
    failure = run.failure("::test_slow")
    assert (failure["type"], failure["path"], failure["line"]) == ("Failed", "test_slow.py", 3)
    assert failure["message"].startswith("Timeout (>0.3s)")
    run = project.run("--timeout=0.3", "--timeout-method=thread")
    assert (run.code, run.events[-1]["event"]) == (1, "start")


def test_one_broken_fixture_is_one_cause(project: Project) -> None:
    project.write(
        "test_many.py",
        """\
        import pytest

        @pytest.fixture(scope="session")
        def engine():
            raise ConnectionRefusedError("no database")

        @pytest.mark.parametrize("number", range(200))
        def test_it(engine, number):
            pass
        """,
    )
    run = project.run()
    results = run.of("result")
    assert len(results) == 200
    assert {(one["outcome"], one["phase"]) for one in results} == {("error", "setup")}
    assert len({json.dumps(one["failure"]) for one in results}) == 1
    assert results[0]["failure"]["line"] == 5
    assert sum(map(len, run.lines)) < 200 * 700


# Durations.


@BOTH
def test_the_time_of_a_fixture_excludes_other_fixtures(
    project: Project, workers: tuple[str, ...]
) -> None:
    project.write(
        "test_slow.py",
        """\
        import time
        import pytest

        @pytest.fixture(scope="session")
        def base():
            time.sleep(0.4)

        @pytest.fixture(scope="module")
        def engine(base):
            time.sleep(0.2)

        @pytest.fixture
        def lazy(request):
            request.getfixturevalue("engine")
            time.sleep(0.12)

        @pytest.fixture
        def quick():
            pass

        def test_it(lazy, quick):
            time.sleep(0.15)
        """,
    )
    run = project.run(*workers)
    times = {(one["name"], one["scope"]): one["seconds"] for one in run.of("fixture")}
    assert list(times) == [("base", "session"), ("engine", "module"), ("lazy", "function")]
    # With the time of other fixtures, each duration would be longer than this.
    base, engine, lazy = times.values()
    assert base >= 0.4
    assert 0.2 <= engine < 0.2 + 0.4
    assert 0.12 <= lazy < 0.12 + 0.2 + 0.4
    assert {one["test"] for one in run.of("fixture")} == {"test_slow.py::test_it"}
    [result] = run.of("result")
    assert 0.15 <= result["seconds"] < 0.15 + 0.72
    [finish] = run.of("finish")
    assert finish["seconds"] >= 0.87


# Side effects that the plugin must not have.


def quiet(output: str) -> str:
    return re.sub(r"\d+\.\d+s", "TIME", output)


def test_events_that_cannot_be_written_break_nothing(project: Project) -> None:
    (project.root / "folder").mkdir()
    project.write("test_few.py", "def test_a(): pass\ndef test_b(): assert False\n")
    plain = project.run(PYTEST_ADDOPTS="")
    recorded = project.run()
    assert len(recorded.events) == 9
    assert project.run(TEST_EVENTS="").events == []
    unwritable = ("/dev/full", "folder", "no/folder/events")
    for run in (recorded, *(project.run(TEST_EVENTS=path) for path in unwritable)):
        assert run.code == plain.code == 1
        assert quiet(run.output) == quiet(plain.output)


def test_a_pytest_started_by_a_test_is_not_recorded(project: Project) -> None:
    project.write("inner/test_inner.py", "def test_inner(): pass\n")
    project.write(
        "test_outer.py",
        """\
        import os, subprocess, sys

        def test_starts_another():
            env = {**os.environ, "PYTHONPATH": "elsewhere"}
            subprocess.run([sys.executable, "-m", "pytest", "inner"], env=env, check=True)
            options = ["-p", "pytest_events"]
            subprocess.run([sys.executable, "-m", "pytest", *options, "inner"], check=True)

        def test_forks():
            child = os.fork()
            if child:
                os.waitpid(child, 0)
        """,
    )
    for workers in ((), ("-n1",)):
        run = project.run("--ignore=inner", *workers, *(("-k", "not forks") if workers else ()))
        assert run.code == 0, run.output
        assert len(run.of("begin")) == len(run.of("end")) == 1
        assert all(kinds == [("passed", "call")] for kinds in run.outcomes().values())


def test_much_output_needs_little_memory_and_events_stay_small(project: Project) -> None:
    project.write(
        "test_much.py",
        """\
        import pytest

        def test_prints():
            for _ in range(400):
                print("x" * 99_999)
            raise ValueError("é" * 1_000_000)

        @pytest.mark.parametrize("line", ["\\u4e2d" * 900], ids=["\\u4e2d" * 400])
        def test_wide(line):
            print(line)
            raise ValueError("\\n".join([line] * 20))
        """,
    )
    escaping = "disable_test_id_escaping_and_forfeit_all_rights_to_community_support=1"
    plain = project.run("--tb=no", "-o", escaping, PYTEST_ADDOPTS="")
    run = project.run("--tb=no", "-o", escaping)
    # run() has checked that no event is longer than 4 KB.
    assert len(run.of("result")) == 2
    assert run.failure("::test_prints")["captured"] == ["x" * 159 + "…"]
    assert run.failure(f"[{'中' * 400}]")["excerpt"]
    assert run.megabytes < plain.megabytes + 20
