"""How the runner finds the processes of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.mark.parametrize("function", ["kill_marked", "kill_marked_without_proc"])
def test_only_the_processes_of_a_run_are_killed(
    runner: Callable[[str], ModuleType], function: str
) -> None:
    mark = uuid.uuid4().hex
    own, other = (
        subprocess.Popen(["sleep", "60"], env={"PATH": os.defpath, "TEST_RUN": text})
        for text in (mark, f"{mark}-2")
    )
    try:
        assert getattr(runner("processes"), function)(mark) == 1
        assert own.wait() == -9
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


#: Starts a child in the group of this process, whose parent leaves the group and never reads the exit
#: code. So after this process, only a child that has ended is in its group: a zombie.
ZOMBIE = """
import os, sys, time
if os.fork() == 0:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.setsid()
    print(os.getpid(), flush=True)
    time.sleep(60)
time.sleep(0.3)
"""


def test_a_child_that_has_ended_does_not_count_as_running(
    runner: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    processes, log = runner("processes"), tmp_path / "log"
    with log.open("wb") as output:
        process = processes.Process([sys.executable, "-c", ZOMBIE], output, cwd=tmp_path)
    assert process.running()
    assert processes.wait(process, lambda: False) == 0
    try:
        assert process.signal(0), "the group has no zombie"
        assert not process.running()
    finally:
        os.kill(int(log.read_text()), signal.SIGKILL)


def test_a_child_that_still_runs_counts(
    runner: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    processes = runner("processes")
    with (tmp_path / "log").open("wb") as output:
        process = processes.Process(["sh", "-c", "sleep 60 &"], output, cwd=tmp_path)
    assert processes.wait(process, lambda: False) == 0
    try:
        assert process.running()
    finally:
        process.signal(signal.SIGKILL)
