"""Flaky tests: repeated by the test tool or by the runner, and reported everywhere."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.projects import Project

from .test_cache import Cached
from .test_runner import captured, events, plain

#: Fails as often as a file says, and then passes.
FLAKY = """
from pathlib import Path

def fails(times):
    file = Path(__file__).with_suffix(f".{times}")
    tried = len(file.read_text()) if file.exists() else 0
    file.write_text("x" * (tried + 1))
    return tried < times

def test_good(): pass
def test_shaky(): assert not fails(1), "no answer"
"""


@pytest.fixture
def project(render: Callable[..., Path], tmp_path: Path) -> Project:
    return Project(render({"project_slug": "shop", "services": "api"}), tmp_path / "shop")


def reruns(project: Project, name: str, **files: str) -> None:
    """Write a service whose pytest has pytest-rerunfailures."""
    project.pytest(name, **files)
    project.replace(f"services/{name}/Makefile", "-p xdist", "-p xdist -p rerunfailures --reruns 2")


@pytest.mark.parametrize("workers", ["", "-n 2"])
def test_a_test_that_pytest_repeats_is_reported(project: Project, workers: str) -> None:
    hopeless = "def test_hopeless(): assert False\n"
    reruns(project, "api", test_a=FLAKY)
    reruns(project, "web", test_a=FLAKY, test_b=hopeless)
    page = project.root / "page.md"
    done = project.run(
        *("--stage", "unit", "--service", "api"),
        ARGS=workers,
        GITHUB_ACTIONS="true",
        GITHUB_WORKSPACE=str(project.root),
        GITHUB_STEP_SUMMARY=str(page),
    )
    assert done.returncode == 0, done.stdout
    line = "flaky 2/3: unit api tests/test_a.py::test_shaky: AssertionError: no answer"
    assert plain(done.stdout).splitlines() == [
        "Unit Tests",
        "  ✓ api 2/2 0.0s 1 flaky",
        line,
        (
            "::warning file=services/api/tests/test_a.py,line=10,"
            "title=flaky 2/3%3A unit api tests/test_a.py%3A%3Atest_shaky::"
            "AssertionError: no answer%0Aassert not True%0A +  where True = fails(1)"
        ),
        "PASSED: 2 tests, 1 flaky (0.0s)",
    ]
    assert line in page.read_text()
    [flaky] = project.target("unit api")["flaky_tests"]
    assert (flaky["test"], flaky["attempt"], flaky["attempts"], flaky["where"]) == (
        "tests/test_a.py::test_shaky",
        2,
        3,
        "tests/test_a.py:10",
    )
    assert project.run("--stage", "unit", ARGS=workers).returncode == 1
    suites = ElementTree.parse(project.latest / "junit.xml")
    cases = {
        (suite.get("name"), case.get("name")): [(one.tag, one.get("message")) for one in case]
        for suite in suites.iter("testsuite")
        for case in suite
    }
    assert cases["unit web", "test_good"] == []
    [(tag, message)] = cases["unit web", "test_shaky"]
    assert (tag, str(message).splitlines()[0]) == ("flakyFailure", "no answer")
    assert [tag for tag, _ in cases["unit web", "test_hopeless"]] == [
        "failure",
        "rerunFailure",
        "rerunFailure",
    ]
    [suite] = [one for one in suites.iter("testsuite") if one.get("name") == "unit web"]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")


def test_reruns_in_plain_output_are_reported(project: Project) -> None:
    project.service("api", "echo '==== 3 passed, 1 rerun in 0.10s ===='")
    done = project.run("--stage", "unit")
    assert "flaky 2/2: unit api: 1 reruns" in done.stdout.splitlines()
    assert plain(done.stdout).splitlines()[-1] == "PASSED: 3 tests, 1 flaky (0.0s)"


# --retries --------------------------------------------------------------------
def ran(project: Project) -> list[str]:
    """Return the tests of api that ran, in all attempts of the last run."""
    lines = (project.latest / "unit-api.events.jsonl").read_text().splitlines()
    return [event["test"] for event in map(json.loads, lines) if event["event"] == "start"]


def test_failed_tests_are_repeated_on_request(project: Project) -> None:
    project.pytest("api", test_a=FLAKY)
    assert project.run("--stage", "unit").returncode == 1, "off by default"
    (project.root / "services/api/tests/test_a.1").unlink()
    done = project.run("--stage", "unit", "--retries", "2")
    assert done.returncode == 0, done.stdout
    assert plain(done.stdout).splitlines() == [
        "Unit Tests",
        "  … api 1 failed: attempt 2/3",
        "  ✓ api 2/2 0.0s 1 flaky",
        "flaky 2/3: unit api tests/test_a.py::test_shaky: AssertionError: no answer",
        "PASSED: 2 tests, 1 flaky (0.0s)",
    ]
    assert ran(project) == [f"tests/test_a.py::test_{name}" for name in ("good", "shaky", "shaky")]
    suites = ElementTree.parse(project.latest / "junit.xml")
    assert len([*suites.iter("flakyFailure")]) == 1
    assert project.target("unit api")["attempt"] == 2


def test_a_test_that_fails_in_every_attempt_fails(project: Project) -> None:
    project.pytest("api", test_a=FLAKY, test_b="def test_bad(): assert 0\n")
    done = project.run("--stage", "unit", "--retries", "1")
    assert done.returncode == 1
    assert plain(done.stdout).splitlines()[1:3] == [
        "  … api 2 failed: attempt 2/2",
        "  ✗ api 1 failed 3/3 0.0s 1 flaky",
    ]
    assert project.target("unit api")["failed"] == ["tests/test_b.py::test_bad"]
    assert project.run("--failed").returncode == 1
    assert project.target("unit api")["executed"] == 1


def test_a_second_pytest_of_a_recipe_is_not_skipped(project: Project) -> None:
    """The recipe stops at the first failure, so the second pytest only runs in the second attempt."""
    project.pytest("api", test_a=FLAKY, test_b="def test_bad(): assert 0\n")
    makefile = (project.root / "services/api/Makefile").read_text()
    recipe = makefile.splitlines()[-1]
    twice = [recipe.replace("$(TESTS)", f"tests/test_{name}.py") for name in ("a", "b")]
    project.write("services/api/Makefile", makefile.replace(recipe, "\n".join(twice)))
    done = project.run("--stage", "unit", "--retries", "1")
    assert done.returncode == 1, done.stdout
    assert project.target("unit api")["failed"] == ["tests/test_b.py::test_bad"]


@pytest.mark.parametrize("body", ["if fails(1): os.abort()", "if fails(1): os._exit(0)"])
def test_a_crash_repeats_the_whole_target(project: Project, body: str) -> None:
    suite = FLAKY.replace('assert not fails(1), "no answer"', f"\n    import os\n    {body}")
    project.pytest("api", test_a=suite + "def test_last(): pass\n")
    done = project.run("--stage", "unit", "--retries", "1")
    assert done.returncode == 0, done.stdout
    assert project.target("unit api")["executed"] == 3
    assert "flaky 2/2: unit api" in done.stdout


def test_a_file_that_cannot_be_loaded_repeats_the_whole_target(project: Project) -> None:
    project.pytest("api", test_a=FLAKY + "assert not fails(2), 'no file'\n")
    done = project.run("--stage", "unit", "--retries", "3")
    assert done.returncode == 0, done.stdout
    assert "flaky 3/4: unit api tests/test_a.py: AssertionError: no file" in done.stdout
    assert project.target("unit api")["executed"] == 2


def test_tests_that_did_not_run_are_not_skipped(project: Project) -> None:
    project.pytest("api", test_a=FLAKY, test_b="def test_bad(): assert 0\n")
    done = project.run("--stage", "unit", "--retries", "1", ARGS="-x")
    assert done.returncode == 1, done.stdout
    assert project.target("unit api")["failed"] == ["tests/test_b.py::test_bad"]


def test_vitest_repeats_the_files_of_failed_tests(project: Project) -> None:
    begin = {"event": "begin", "tool": "vitest"}
    result = {"event": "result", "test": "tests/a.test.ts > adds", "outcome": "passed"}
    failure = {"type": "Error", "message": "no"}
    other = result | {"test": "tests/b.test.ts > pays"}
    failed = other | {"outcome": "failed", "failure": failure}
    total = {"event": "total", "tests": 2}
    first = events(begin, total, result, failed, {"event": "end", "exit": 1}, code=1)
    second = events(begin, total | {"tests": 1}, other, {"event": "end", "exit": 0}, code=0)
    project.write("services/api/first.sh", first)
    project.write("services/api/second.sh", second)
    project.service(
        "api", 'echo "$TESTS" >> tests\n. ./$(test -e ran && echo second || echo first).sh'
    )
    project.replace("services/api/first.sh", "exit 1", "touch ran; exit 1")
    done = project.run("--stage", "unit", "--retries", "3")
    assert done.returncode == 0, done.stdout
    assert (project.root / "services/api/tests").read_text() == "\ntests/b.test.ts\n"
    assert "flaky 2/4: unit api tests/b.test.ts > pays: Error: no" in done.stdout.splitlines()
    assert "  ✓ api 2/2 " in done.stdout


def test_make_passes_the_options_and_hides_them_from_the_tests(
    render: Callable[..., Path],
) -> None:
    rendered = render({"project_slug": "shop", "services": "api"})
    chosen = ("RETRIES=2", "FAILFAST=1", "SHARD=1/2")
    said = subprocess.run(
        ["make", "-n", "test", *chosen], cwd=rendered, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(
        r"test-runner.py .*--retries=2 --fail-fast --shard=1/2", said.replace("\\\n", "")
    )
    show = subprocess.run(
        ["make", "--eval=show: ; @env", "show", *chosen],
        cwd=rendered,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert not re.search("^(RETRIES|FAILFAST|SHARD)=", show, re.MULTILINE)


def test_tools_without_events_are_repeated_as_a_whole(project: Project) -> None:
    green, red = (captured(project, f"jest30-{colour}") for colour in ("green", "red"))
    project.service("api", f"if test -e ran; then {green}; else touch ran; {red}; exit 1; fi")
    project.service("web", "if test -e ran; then exit 0; fi; touch ran; exit 7")
    done = project.run("--stage", "unit", "--retries", "1")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert any(line.startswith("flaky 2/2: unit api shop › b fails: ") for line in lines)
    assert "flaky 2/2: unit web: exit 7" in lines
    suites = ElementTree.parse(project.latest / "junit.xml")
    assert len([*suites.iter("flakyFailure")]) == 2


def test_junit_xml_of_a_repeated_target_is_read_again(project: Project) -> None:
    case = "<testsuite><testcase name='a'/><testcase name='b'>{}</testcase></testsuite>"
    project.write("red.xml", case.format("<failure message='no'/>"))
    project.write("green.xml", case.format(""))
    project.service(
        "api",
        'if test -e ran; then cp ../../green.xml "$TEST_JUNIT"; exit 0; fi\n'
        'touch ran; cp ../../red.xml "$TEST_JUNIT"; exit 1',
    )
    done = project.run("--stage", "unit", "--retries", "1")
    assert done.returncode == 0, done.stdout
    assert "flaky 2/2: unit api b: no" in done.stdout.splitlines()
    assert project.target("unit api")["executed"] == 2


def test_a_target_with_flaky_tests_is_not_cached(
    render: Callable[..., Path], tmp_path: Path
) -> None:
    project = Cached(render({"project_slug": "shop", "services": "api"}), tmp_path / "shop")
    counts = tmp_path / "counts"
    counts.mkdir()
    suite = FLAKY.replace("Path(__file__)", f"Path('{counts}/x')")
    project.pytest("api", test_a=suite)
    again = "--stage", "unit", "--retries", "1"
    assert project.run(*again).returncode == 0
    cache = "not stored: a test passed only when it was repeated"
    assert project.target("unit api")["cache"] == cache
    assert project.run(*again).returncode == 0
    assert project.target("unit api")["cache"] == "stored"
    assert project.run(*again).returncode == 0
    assert project.target("unit api")["state"] == "cached"
    # A flaky pass also drops the entry of an earlier pass.
    (counts / "x.1").unlink()
    assert project.run(*again, "--fresh").returncode == 0
    assert project.target("unit api")["cache"] == cache
    assert project.run(*again).returncode == 0
    assert project.target("unit api")["cache"] == "stored"
