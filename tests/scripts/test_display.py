"""The runner's display: the live list frame by frame, and the size of the plain output."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyte
import pytest

from tests.projects import Project, rest

#: A slow test tool. It reports a number of tests, one after the other.
TOOL = """
import json, os, time

def tell(**event):
    with open(os.environ["TEST_EVENTS"], "a") as file:
        file.write(json.dumps(event) + "\\n")

count, seconds = {count}, {seconds}
tell(event="begin")
tell(event="total", tests=count)
for number in range(count):
    test = "tests/test_it.py::test_data_quality_validation_" + "x" * 40 + "[" + str(number) + "]"
    tell(event="start", test=test)
    time.sleep(seconds / count)
    tell(event="result", test=test, outcome="passed", phase="call", seconds=0.0)
    tell(event="finish", test=test)
tell(event="end", exit=0)
"""

#: A new frame starts by erasing the lines of the previous one.
ERASE = re.compile(r"\r\x1b\[2K(?:\x1b\[1A\x1b\[2K)*")

TITLE = re.compile(r"(Unit|Service|Integration) Tests")
RUNNING = re.compile(
    r"  ● (?P<name>[\w-]+) (?P<bar>[━░]{20}) (?P<percent>\d+)% (?P<done>\d+)/(?P<total>\d+) \d+\.\ds"
)
UNKNOWN = re.compile(r"  ● [\w-]+ (?P<bar>[━░]{20}) \d+\.\ds")
CURRENT = re.compile(r"    → test_data_quality_validation_x+(\[\d+\]|…)")
DONE = re.compile(r"  ✓ [\w-]+( (?P<done>\d+)/(?P<total>\d+))? \d+\.\ds")
REST = re.compile(r"  ○ [\w-]+ (pending|skipped: .*)|  … \d+ more")


@pytest.fixture
def project(render: Callable[..., Path], tmp_path: Path) -> Project:
    made = Project(render({"project_slug": "shop", "services": "api"}), tmp_path / "shop")
    made.write("tool.py", TOOL.format(count=200, seconds=2.0))
    made.write("quick.py", TOOL.format(count=74, seconds=0.2))
    made.service("price-db", f"{sys.executable} ../../tool.py")
    made.service("orchestrator", f"{sys.executable} ../../quick.py")
    made.service("frontend", "sleep 1.2")
    return made


def record(
    project: Project, *arguments: str, rows: int, columns: int
) -> tuple[list[list[str]], str]:
    """Run on a terminal of this size. Return the screen after each frame, and the final screen."""
    child = project.terminal(*arguments, rows=rows, columns=columns)
    raw = rest(child)
    child.close()
    assert child.exitstatus == 0, raw
    screen = pyte.Screen(columns, rows)
    stream = pyte.Stream(screen)
    frames, start = [], 0
    for match in ERASE.finditer(raw):
        stream.feed(raw[start : match.start()])
        start = match.start()
        frames.append([line.rstrip() for line in screen.display if line.strip()])
    stream.feed(raw[start:])
    assert not screen.cursor.hidden, "the cursor is given back"
    return frames, "\n".join(line.rstrip() for line in screen.display if line.strip())


def check_frame(lines: list[str], columns: int, before: dict[str, int]) -> None:
    """Check that a frame has the format of the seed, and that no progress decreased."""
    previous = ""
    for line in lines:
        assert len(line) <= columns
        if match := RUNNING.fullmatch(line):
            percent, done, total = (int(match[name]) for name in ("percent", "done", "total"))
            assert percent == 100 * done // total
            assert match["bar"] == "━" * (percent // 5) + "░" * (20 - percent // 5)
            assert done >= before.get(match["name"], 0)
            before[match["name"]] = done
        elif CURRENT.fullmatch(line):
            assert RUNNING.fullmatch(previous)
        elif match := UNKNOWN.fullmatch(line):
            assert match["bar"].count("━") == 5
        elif match := DONE.fullmatch(line):
            assert match["done"] == match["total"]
        else:
            assert TITLE.fullmatch(line) or REST.fullmatch(line), f"unknown: {line!r}"
        previous = line


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 24), (80, 10), (60, 6)])
def test_each_frame_is_in_the_seeds_format(project: Project, columns: int, rows: int) -> None:
    frames, final = record(project, "-j", "3", rows=rows, columns=columns)
    assert len(frames) >= 6
    before: dict[str, int] = {}
    for lines in frames:
        assert len(lines) < rows
        check_frame(lines, columns, before)
    assert 0 < before["price-db"] <= 200
    if rows == 24:
        assert any(CURRENT.fullmatch(line) for lines in frames for line in lines)
        found = re.sub(r"skipped: .*", "skipped", re.sub(r"\d+\.\ds", "0.0s", final)).splitlines()
        assert found == [
            "Unit Tests",
            "  ✓ frontend 0.0s",
            "  ✓ orchestrator 74/74 0.0s",
            "  ✓ price-db 200/200 0.0s",
            "Service Tests",
            *(f"  ○ {name} skipped" for name in ("frontend", "orchestrator", "price-db")),
            "Integration Tests",
            "  ○ full skipped",
            "PASSED: 274 tests in 2 targets, 1 target not counted (0.0s)",
        ]


def test_a_waiting_target_is_pending(project: Project) -> None:
    frames, _ = record(project, "-j", "1", rows=24, columns=80)
    assert "  ○ price-db pending" in frames[1]
    assert "  ○ orchestrator pending" in frames[1]


def test_four_frames_a_second(project: Project) -> None:
    began = time.monotonic()
    frames, _ = record(project, "--stage", "unit", rows=24, columns=80)
    assert len(frames) <= 4 * (time.monotonic() - began) + 2


def test_an_ascii_terminal_gets_ascii(project: Project) -> None:
    child = project.terminal("--stage", "unit", PYTHONIOENCODING="ascii")
    text = rest(child)
    assert text.isascii()
    assert "  + orchestrator 74/74 " in text
    assert "##" in text


# SIZE OF THE OUTPUT -----------------------------------------------------------
@pytest.fixture
def target(runner: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """Return a function that creates a failed target with a number of root causes."""
    targets = runner("targets")

    def made(name: str, causes: int, *, width: int = 100, tests: int = 1) -> Any:
        found = targets.Target("unit", name, [], again=f"make -C services/{name} test-unit")
        found.state, found.note = targets.State.FAILED, f"{causes} failed"
        found.folder = f"services/{name}"
        found.events.begun = found.events.ended = 1
        for number in range(causes):
            for test in range(tests):
                found.events.take(
                    {
                        "event": "result",
                        "test": f"tests/unit/test_{number}.py::test_{'y' * width}_{test}",
                        "outcome": "failed",
                        "failure": {
                            "type": "AssertionError",
                            "message": "m" * width,
                            "path": f"tests/unit/test_{number}.py",
                            "line": number,
                            "excerpt": ["E " + "x" * width] * 8,
                            "captured": ["c" * width] * 3,
                        },
                    }
                )
        return found

    return made


@pytest.mark.parametrize("width", [10, 100, 1000])
@pytest.mark.parametrize("causes", [1, 5, 100])
@pytest.mark.parametrize("count", [1, 3, 20])
def test_a_red_run_stays_within_its_budget(
    runner: Callable[[str], ModuleType],
    target: Callable[..., Any],
    tmp_path: Path,
    count: int,
    causes: int,
    width: int,
) -> None:
    failed = [target(f"service-{number}", causes, width=width) for number in range(count)]
    for one in failed:
        one.log = tmp_path / "run" / f"unit-{one.name}.log"
    before = [f"  ✗ {one.name} {one.note} 100/100 1.0s" for one in failed]
    size = sum(len(line.encode()) + 1 for line in before)
    lines = runner("report").failures(failed, tmp_path / "run", len(before), size)
    last, code = runner("report").verdict(failed)
    everything = [*before, *lines, f"{last} (1.0s)"]
    assert code == 1
    assert len(everything) <= 60
    assert sum(len(line.encode()) + 1 for line in everything) <= 4096 + (width > 100) * 4096
    assert any("log: " in line or "more, in " in line for line in lines)
    if width <= 100:
        assert any(line.startswith("✗ ") and "test_0.py" in line for line in lines)


def test_a_root_cause_takes_twelve_lines_at_most(
    runner: Callable[[str], ModuleType], target: Callable[..., Any], tmp_path: Path
) -> None:
    failed = target("api", 1, tests=200)
    failed.log = tmp_path / "unit-api.log"
    lines = runner("report").failures([failed], tmp_path, 3, 100)
    assert len(lines) <= 12
    assert sum(len(line.encode()) + 1 for line in lines) <= 1200
    assert lines[0].endswith(" (+199 more)")
