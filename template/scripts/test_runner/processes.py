# Kept by the template: copier update merges its changes into this file.
"""Processes that can be ended whole: each starts a group of its own, and bears the run's mark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from .project import ROOT

#: The environment variable that everything started for a run carries.
MARK = "TEST_RUN"

#: Seconds after SIGINT until SIGTERM, and after that until SIGKILL.
PATIENCE = (5.0, 2.0)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


class Process:
    """A command with all that it starts, as far as it stays in its group."""

    def __init__(
        self,
        command: list[str],
        output: IO[bytes],
        *,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start it; both of its streams go to `output`.

        Raises:
            OSError: the command is missing or cannot be run.
        """
        self.popen = subprocess.Popen(
            command,
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.ended = 0.0  #: on the monotonic clock; 0: not yet
        self._asked = 0.0
        self._sent = -1

    def code(self) -> int | None:
        """The exit code (negative: the signal that ended it), None while it runs."""
        code = self.popen.poll()
        if code is not None:
            self.ended = self.ended or time.monotonic()
        return code

    def signal(self, number: int) -> bool:
        """Signal the whole group (0 only asks); False when nobody is left in it."""
        try:
            os.killpg(self.popen.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def stop(self, *, at_once: bool = False) -> None:
        """Ask the group to end, and insist the longer it takes. To be called again and again."""
        self._asked = self._asked or time.monotonic()
        waited, step = time.monotonic() - self._asked, 0
        for patience in PATIENCE:
            if waited >= patience:
                waited, step = waited - patience, step + 1
        step = len(PATIENCE) if at_once else step
        if step > self._sent:
            self._sent = step
            self.signal(SIGNALS[step])

    def end(self) -> int:
        """Stop the group, wait until it is gone, and return the command's exit code."""
        while self.code() is None:
            self.stop()
            time.sleep(0.02)
        self.signal(signal.SIGKILL)
        return self.popen.returncode


def wait(process: Process, stop: Callable[[], bool], *, timeout: float = 0) -> int | None:
    """Wait for a process; when it is to stop or takes longer than `timeout` seconds, end it.

    Returns:
        The exit code; None where the time was over (0: there is no limit).

    Raises:
        InterruptedError: it was to stop.
    """
    started = time.monotonic()
    try:
        while process.code() is None:
            if stop():
                raise InterruptedError
            if timeout and time.monotonic() - started > timeout:
                process.end()
                return None
            time.sleep(0.02)
    except BaseException:
        process.end()
        raise
    return process.popen.returncode


def environment(run: str, **more: str) -> dict[str, str]:
    """Our environment for a child: with the run's mark, without traces of colours, make and uv."""
    env = os.environ | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1", MARK: run}
    env["MAKEFLAGS"] = "--no-print-directory"  # and no job slots: those of our make are closed
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "MAKELEVEL", "MFLAGS"):
        env.pop(name, None)
    if env.get("VIRTUAL_ENV") == sys.prefix:
        # uv put this script's own environment first, and it is not the one of the tests.
        own = f"{env.pop('VIRTUAL_ENV')}/bin"
        path = env.get("PATH", os.defpath).split(os.pathsep)
        env["PATH"] = os.pathsep.join(part for part in path if part != own)
    return env | more


def variables(values: Mapping[str, str]) -> list[str]:
    """Write those of ARGS and TESTS that are set as make's command line takes them literally.

    From its environment, make would take them apart once more.
    """
    return [f"{name}={for_make(values[name])}" for name in ("ARGS", "TESTS") if values.get(name)]


def for_make(text: str) -> str:
    """Write the value of a variable so that make takes it literally."""
    return text.replace("$", "$$")


def kill_marked(run: str) -> int:
    """Kill every process that bears a run's mark, but this one. Return how many there were."""
    import psutil  # Only where a run ends, or another one was killed.

    found = 0
    for process in psutil.process_iter(["pid"]):
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == run:
                process.kill()
                found += 1
        except psutil.Error:  # It has just ended, or is another user's.
            continue
    return found


def catch_signals() -> list[int]:
    """Let Ctrl-C, SIGTERM and SIGHUP only be noted, in the list that this returns."""
    caught: list[int] = []

    def note(number: int, _frame: object) -> None:
        caught.append(number)

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup means it
        signal.signal(signal.SIGHUP, note)
    return caught
