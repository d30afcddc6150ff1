"""pytest-xdist is used where the last run's durations show that a stage ends sooner with it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from tests.projects import Project

Runner = Callable[[str], ModuleType]

TESTS = """
import time

def test_a(): time.sleep(0.5)
def test_b(): pass
"""


@pytest.fixture
def project(render: Callable[..., Path], tmp_path: Path) -> Project:
    return Project(render({"project_slug": "shop", "services": "api"}), tmp_path / "shop")


@pytest.mark.parametrize(
    ("start", "tests", "others", "cores", "seconds"),
    [
        (0.5, 60, 0, 2, 29.5),  # 60.5 s become 31 s.
        (0.5, 60, 0, 8, 52.0),
        (1.0, 2, 0, 2, 0.0),  # The second start takes what it saves.
        (0.5, 60, 60, 2, -0.25),  # Two cores are busy anyway, and have a start more to do.
        (0.5, 60, 60, 8, 44.94),  # Eight are not, until all of them do work.
        (4.0, 2, 13, 2, -4.0),  # A slow machine, where each process imports for 4 s.
        (0.5, 0, 0, 2, -0.5),
        (0.5, 60, 0, 1, -0.5),
    ],
)
def test_what_it_saves(
    runner: Runner, start: float, tests: float, others: float, cores: int, seconds: float
) -> None:
    found = runner("xdist").saved(start, tests, others, cores)
    assert found == pytest.approx(seconds, abs=0.05)


def chosen(runner: Runner, monkeypatch: pytest.MonkeyPatch, history: Mapping[str, object]) -> str:
    """Return the titles of the targets that use xdist on two cores."""
    module, targets = runner("xdist"), runner("targets")
    monkeypatch.setattr(module, "read_history", lambda: history)
    found = [
        targets.Target(stage, name, []) for stage in ("unit", "service") for name in ("api", "web")
    ]
    module.use(found, cores=2)
    for target in found:
        assert target.env in ({}, {"TEST_EVENTS_WORKERS": "2"})
    return ", ".join(target.title for target in found if target.env)


SLOW = {"took": 21.0, "tests": 9, "start": 1.0, "seconds": 20.0}
QUICK = {"took": 1.0, "tests": 9, "start": 0.9, "seconds": 0.1}


@pytest.mark.parametrize(
    ("history", "titles"),
    [
        ({}, ""),
        ({"unit api": SLOW, "unit web": QUICK}, "unit api"),
        ({"unit api": SLOW, "unit web": SLOW}, ""),
        ({"unit api": SLOW, "service web": SLOW}, "unit api, service web"),
        # Of a tool without xdist, or a project that chose itself.
        ({"unit api": {"took": 21.0, "tests": 9}}, ""),
        ({"unit api": {"took": 21.0, "tests": 9, "start": 1.0}}, ""),
        # Of a runner that stored other durations.
        ({"unit api": {"took": 21.0, "tests": 9, "seconds": 20.0, "xdist": True}}, ""),
    ],
)
def test_who_uses_it(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, history: Mapping[str, object], titles: str
) -> None:
    assert chosen(runner, monkeypatch, history) == titles


def workers(project: Project) -> int:
    """Run the unit tests, and return the number of xdist's processes for the api."""
    done = project.run("--stage", "unit")
    assert done.returncode == 0, done.stdout
    first = (project.latest / "unit-api.events.jsonl").read_text().splitlines()[0]
    return int(json.loads(first)["workers"])


def history_of(project: Project, title: str) -> dict[str, float]:
    """Return what is stored of a target's last run."""
    found: dict[str, float] = json.loads(
        (project.root / ".test-results/history.json").read_text()
    ).get(title)
    return found


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"unit api": []}', '{"unit api": {"tests": "x", "start": null}}']
)
def test_a_broken_history_is_ignored(project: Project, text: str) -> None:
    project.pytest("api", test_a=TESTS)
    project.write(".test-results/history.json", text)
    assert workers(project) == 0
    assert history_of(project, "unit api")["tests"] == 2


def test_the_durations_of_a_run_are_stored(project: Project) -> None:
    project.pytest("api", test_a=TESTS)
    assert workers(project) == 0, "nothing is known yet"
    found = history_of(project, "unit api")
    assert found["tests"] == 2
    assert found["start"] > 0
    assert 0.4 < found["seconds"] < found["took"]
    assert found["start"] + found["seconds"] == pytest.approx(found["took"], abs=0.01)


@pytest.mark.skipif(os.cpu_count() == 1, reason="on one core, it saves nothing")
def test_a_slow_target_uses_it(project: Project) -> None:
    project.pytest("api", test_a=TESTS)
    project.write(".test-results/history.json", json.dumps({"unit api": SLOW}))
    assert workers(project) == os.cpu_count()
    found = history_of(project, "unit api")
    assert found["start"] == SLOW["start"], "it is only known from a run without xdist"
    expected = max(0.0, found["took"] - 2 * SLOW["start"]) * (os.cpu_count() or 1)
    assert found["seconds"] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("services/api/Makefile", " -p xdist", ""), id="it was removed"),
        pytest.param(("services/api/Makefile", " -p xdist", " -p xdist -n 0"), id="in the recipe"),
        pytest.param(
            ("services/api/pytest.ini", "", "[pytest]\naddopts = -n 0\n"), id="in pytest.ini"
        ),
    ],
)
def test_a_project_may_decide(project: Project, change: tuple[str, str, str]) -> None:
    project.pytest("api", test_a=TESTS)
    project.write(".test-results/history.json", json.dumps({"unit api": SLOW}))
    file, old, new = change
    project.replace(file, old, new) if old else project.write(file, new)
    assert workers(project) == 0
