"""What the runner says and does while tests run: slow tests, idle processes, progress, fail-fast, shards."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.projects import Project

from .test_runner import FAILS, PASSES, events

Runner = Callable[[str], ModuleType]


@pytest.fixture
def project(render: Callable[..., Path], tmp_path: Path) -> Project:
    return Project(render({"project_slug": "shop", "services": "api"}), tmp_path / "shop")


# IDLE AND SLOW ----------------------------------------------------------------
#: A thread of the test keeps the process alive.
STAYS = """
import threading, time
def test_one(): threading.Thread(target=time.sleep, args=(300,)).start()
"""


def test_a_process_that_outlives_its_tests_is_named(project: Project) -> None:
    project.pytest("api", test_a=STAYS)
    project.replace("scripts/test_runner/display.py", "IDLE = 5", "IDLE = 1")
    done = project.run("--stage", "unit", "--timeout", "5")
    assert done.returncode == 4
    words = "  … api all tests have ended, but the process still runs"
    assert done.stdout.splitlines().count(words) == 1
    assert re.search(r"timed out: after \ds; all tests had ended, but not the process", done.stdout)


def test_a_slow_test_is_named_while_it_runs(project: Project) -> None:
    project.pytest("api", test_a="import time\ndef test_long(): time.sleep(2.5)\n")
    project.service("web", "for n in 1 2 3 4 5; do sleep 0.5; done")
    project.replace("scripts/test_runner/display.py", "SLOW = 10", "SLOW = 1")
    lines = project.run("--stage", "unit").stdout.splitlines()
    assert lines[1] == "  … api slow: test_long has run for 1s"
    assert len([line for line in lines if "has run for" in line]) == 1
    lines = project.run("--stage", "unit", "--slow-unit", "60").stdout.splitlines()
    assert not [line for line in lines if "has run for" in line]


# PROGRESS ---------------------------------------------------------------------
def vitest(files: int, tests: int) -> list[dict[str, Any]]:
    """Return the events of a Vitest that runs each file as soon as it is loaded."""
    found: list[dict[str, Any]] = [{"event": "begin", "tool": "vitest"}]
    for file in range(1, files + 1):
        found.append({"event": "total", "tests": file * tests, "files": file, "of": files})
        for test in range(tests):
            result = {"event": "result", "test": f"{file}.test.ts > {test}", "outcome": "passed"}
            found.append(result)
    return found


def twice() -> list[dict[str, Any]]:
    """Return the events of a recipe that calls pytest twice."""
    found: list[dict[str, Any]] = []
    for run in range(2):
        found += [{"event": "begin", "tool": "pytest"}, {"event": "total", "tests": 4}]
        found += [{"event": "result", "test": f"{run}::{n}", "outcome": "passed"} for n in range(4)]
        found.append({"event": "end", "exit": 0})
    return found


@pytest.mark.parametrize("expected", [0, 8])
@pytest.mark.parametrize("stream", [vitest(4, 2), twice()], ids=["vitest", "two pytests"])
def test_the_progress_never_decreases(
    runner: Runner, stream: list[dict[str, Any]], expected: int
) -> None:
    target = runner("targets").Target("unit", "api", [], expected=expected)
    seen = []
    for event in stream:
        target.events.take(event)
        if target.percent is not None:
            seen.append(target.percent)
    assert seen == sorted(seen)
    assert seen[-1] == 100
    half = seen[len(seen) // 2]
    assert half < 100 or (not expected and stream == twice()), "100 % too early"


def test_the_number_of_tests_in_the_last_run_is_remembered(project: Project) -> None:
    project.pytest("api", test_a=PASSES)
    project.service("web", "true")
    assert project.run("--stage", "unit").returncode == 0
    history = json.loads((project.root / ".test-results/history.json").read_text())
    assert history["unit api"]["tests"] == 2
    assert history["unit web"]["took"] > 0


# FAIL-FAST --------------------------------------------------------------------
def test_fail_fast_ends_a_stage(project: Project) -> None:
    project.service("api", "sleep 0.5; exit 3")
    project.service("web", "trap 'touch ../../cleaned; exit 1' INT; sleep 60 & wait")
    project.service("later", "touch ../../later")
    done = project.run("--stage", "unit", "--fail-fast", "-j", "2", "--timeout", "20")
    assert done.returncode == 1
    assert "FAILED: unit api (" in done.stdout
    assert project.has("cleaned")
    note = {"state": "not run", "note": "unit api failed first"}
    web = project.target("unit web")
    assert {key: web[key] for key in note} == note
    assert project.target("unit api")["state"] == "failed"


# SHARDS -----------------------------------------------------------------------
def titles(project: Project) -> list[str]:
    return [f"{one['stage']} {one['name']}" for one in project.summary["targets"]]


def test_each_target_is_in_one_shard(project: Project) -> None:
    for name in "abcde":
        project.service(name)
    assert project.run("--stage", "unit").returncode == 0
    every = titles(project)
    (project.root / ".test-results/history.json").unlink()
    found = []
    for number in (1, 2, 3):
        assert project.run("--stage", "unit", "--shard", f"{number}/3").returncode == 0
        found.append(titles(project))
        # What a shard has learned must not change the other shards.
        (project.root / ".test-results/history.json").unlink()
    assert sorted(itertools.chain(*found)) == sorted(every)
    assert sorted(map(len, found)) == [1, 2, 2]
    done = project.run("--stage", "unit", "--shard", "6/6")
    assert (done.returncode, done.stdout) == (
        0,
        "NOTHING TO RUN: this shard has no targets: there are fewer targets than shards\n",
    )
    history = {
        f"unit {name}": {"took": took} for name, took in zip("abcd", (9, 3, 3, 3), strict=True)
    }
    project.write("durations.json", json.dumps(history))
    chosen = "--stage", "unit", "--history", "durations.json", "--shard"
    assert project.run(*chosen, "1/2").returncode == 0
    # The unknown duration of e counts as the average.
    assert titles(project) in (["unit a"], ["unit a", "unit d"])
    for wrong in ("0/2", "3/2", "1", "a/b"):
        done = project.run("--shard", wrong)
        assert (done.returncode, "must be K/N" in done.stderr) == (2, True)
    done = project.run("--shard", "1/2", "--history", "nothing.json")
    assert (done.returncode, "cannot read the history nothing.json" in done.stderr) == (2, True)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_balanced(runner: Runner, count: int) -> None:
    made = [runner("targets").Target("unit", f"s{number}", []) for number in range(20)]
    took = {target.title: float(number % 5 + 1) for number, target in enumerate(made)}
    shards = runner("shards").divide(made, count, took)
    assert sorted(itertools.chain(*shards)) == sorted(took)
    loads = [sum(took[title] for title in one) for one in shards]
    assert max(loads) - min(loads) <= 5
    assert shards == runner("shards").divide(made, count, dict(reversed(took.items())))


# ANNOTATIONS ------------------------------------------------------------------
def annotated(project: Project, *options: str, **env: str) -> list[str]:
    """Run, and return the annotations."""
    github = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(project.root)}
    done = project.run("--stage", "unit", *options, **github, **env)
    assert done.returncode != 0, done.stdout
    return [line for line in done.stdout.splitlines() if line.startswith("::error ")]


A = "file=services/api/tests/test_a.py,line={},title=unit api%3A? tests/test_a.py%3A%3A{}::"
ABORTS = "import os\ndef test_one(): pass\ndef test_dies(): os.abort()\n"
HANGS = "import time\n\ndef test_hangs(): time.sleep(60)\n"

#: The suite, the options of the runner, and the annotation.
KINDS = {
    "a failed test": (FAILS, (), A.format(3, "test_two")),
    "a crash": (ABORTS, (), A.format(3, "test_dies") + "crashed: aborted"),
    "a timeout": (HANGS, ("--timeout=4",), A.format(3, "test_hangs") + "timed out: after "),
    "a file that cannot be loaded": (
        "import nonsense\n",
        (),
        "file=services/api/tests/test_a.py,line=1,title=unit api%3A tests/test_a.py::Module",
    ),
    "no tests": ("", (), "title=unit api::nothing ran"),
    "a slow test": (
        "import time\ndef test_slow(): time.sleep(0.3)\n",
        ("--fail-slow", "--slow-unit=0.1"),
        A.format(2, "test_slow") + "slow: 0.3s",
    ),
    "the time limit of the run": (
        HANGS,
        ("--run-timeout=3",),
        A.format(3, "test_hangs") + "timed out: after ",
    ),
    "a wrong command line": (PASSES, ("--nonsense",), "title=test-runner.py::unrecognized"),
}


@pytest.mark.parametrize(("suite", "options", "expected"), KINDS.values(), ids=KINDS)
def test_each_kind_of_failure_has_an_annotation(
    project: Project, suite: str, options: tuple[str, ...], expected: str
) -> None:
    project.pytest("api", test_a=suite)
    lines = annotated(project, *options)
    assert len(lines) == 1
    pattern = re.escape(expected).replace(r"api%3A\?", "api(%3A)?")
    assert re.match(f"::error {pattern}", lines[0]), lines


def test_an_exit_code_is_annotated_with_the_end_of_the_log(project: Project) -> None:
    project.service("api", "echo no database; exit 3")
    assert annotated(project) == ["::error title=unit api::exit 3%0Ano database"]


def test_each_failed_target_has_an_annotation_before_a_second_one(project: Project) -> None:
    many = "".join(f"def test_{n}(): assert {n} == -1, 'reason {chr(97 + n)}'\n" for n in range(20))
    for name in ("a", "b", "c"):
        project.pytest(name, test_a=many)
    lines = annotated(project)
    assert len(lines) == 10
    assert len({re.search(r"title=unit (\w)", line)[1] for line in lines[:3]}) == 3  # type: ignore[index]


def test_a_failure_without_a_place_has_no_file(project: Project) -> None:
    begin = {"event": "begin", "tool": "mine"}
    failure = {"type": "Error", "message": "no", "path": "gone.x", "line": 3}
    failed = {"event": "result", "test": "a::b", "outcome": "failed", "failure": failure}
    end = {"event": "end", "exit": 1}
    project.service("api", events(begin, failed, end, code=1))
    assert annotated(project) == ["::error title=unit api%3A a%3A%3Ab::Error: no"]
