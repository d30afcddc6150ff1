"""How the runner finds the processes of a run."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable
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
