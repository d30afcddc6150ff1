# Kept by the template: copier update merges its changes into this file.
"""Starts commands so that a command and all its child processes can be ended.

Each command gets its own process group, and its environment holds the mark of the run. The mark also
finds children that have left the group.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from .git import HOOK_VARIABLES
from .project import ROOT

#: The environment variable that holds the mark of the run.
MARK = "TEST_RUN"

#: Variables of the user that would make a command act on other files or on another Compose project.
#: A project sets what it needs, such as COMPOSE_PROFILES, in the .env beside a compose file.
FOREIGN_VARIABLES = HOOK_VARIABLES | frozenset(
    "CDPATH COMPOSE_DISABLE_ENV_FILE COMPOSE_ENV_FILES COMPOSE_FILE COMPOSE_PATH_SEPARATOR "
    "COMPOSE_PROFILES COMPOSE_PROJECT_NAME COMPOSE_REMOVE_ORPHANS".split()
)

#: Seconds from SIGINT to SIGTERM, and from SIGTERM to SIGKILL.
PATIENCE = (5.0, 2.0)

#: The programs between make and this one, and the most of them.
LAUNCHER = re.compile(r"g?make|uv|env|sh|dash|bash")
MOST_LAUNCHERS = 6

#: The states in /proc of a process that has ended.
ENDED = ("Z", "X")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


class Process:
    """A command and the child processes that stay in its process group."""

    def __init__(
        self,
        command: list[str],
        output: IO[bytes],
        *,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        ended: Callable[[], object] | None = None,
    ) -> None:
        """Start the command. Its standard output and standard error both go to `output`.

        When it has ended, `ended` is called in another thread.

        Raises:
            OSError: the command does not exist or cannot be run.
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
        if ended:
            threading.Thread(target=lambda: (self.popen.wait(), ended()), daemon=True).start()

    def code(self) -> int | None:
        """Return the exit code (negative: ended by that signal), or None while the command runs."""
        code = self.popen.poll()
        if code is not None:
            self.ended = self.ended or time.monotonic()
        return code

    def signal(self, number: int) -> bool:
        """Send a signal to the group. Return False if the group has no process; 0 only checks."""
        try:
            os.killpg(self.popen.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def running(self) -> bool:
        """Whether a process of the group still runs.

        One that has ended exists until its parent has read its exit code. The first process of a
        container often never does that for orphans, and other inits only do it every few seconds.
        """
        if not self.signal(0):
            return False
        if not Path("/proc/self/stat").exists():
            return True
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # The process has just ended.
                state, _, group = stat_fields(file.read_text(errors="replace"))[1:4]
                if group == str(self.popen.pid) and state not in ENDED:
                    return True
        return False

    def stop(self, *, at_once: bool = False) -> None:
        """Send SIGINT, then SIGTERM, then SIGKILL as time passes. Call it until the group has ended."""
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
        """Stop the group, wait until it has ended, and return the exit code of the command."""
        while self.code() is None:
            self.stop()
            time.sleep(0.02)
        self.signal(signal.SIGKILL)
        return self.popen.returncode


def wait(process: Process, stop: Callable[[], bool], *, timeout: float = 0) -> int | None:
    """Wait for a process. End it if `stop` returns True or after `timeout` seconds (0: no limit).

    Returns:
        The exit code; None after a timeout.

    Raises:
        InterruptedError: `stop` returned True.
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


def own_environment() -> dict[str, str]:
    """Return the environment without the variables that would make a command act elsewhere."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}


def environment(run: str, **more: str) -> dict[str, str]:
    """Return the environment for a child: with the run's mark, without colours and make's state."""
    env = own_environment() | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1", MARK: run}
    # Replaces a --jobserver-auth of the make that started us: its file descriptors are closed here.
    env["MAKEFLAGS"] = "--no-print-directory"
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "MAKELEVEL", "MFLAGS"):
        env.pop(name, None)
    if env.get("VIRTUAL_ENV") == sys.prefix:
        # `uv run` put this script's own environment first on PATH. The tests must not use it.
        own = f"{env.pop('VIRTUAL_ENV')}/bin"
        path = env.get("PATH", os.defpath).split(os.pathsep)
        env["PATH"] = os.pathsep.join(part for part in path if part != own)
    return env | more


def variables(values: Mapping[str, str]) -> list[str]:
    """Return ARGS and TESTS, if set, as arguments for make.

    Taken from the environment, make would expand their values once more.
    """
    return [f"{name}={for_make(values[name])}" for name in ("ARGS", "TESTS") if values.get(name)]


def for_make(text: str) -> str:
    """Escape the value of a variable for make."""
    return text.replace("$", "$$")


def kill_marked(run: str) -> int:
    """Kill every other process that has the mark of a run. Return how many there were."""
    if not Path("/proc/self/environ").exists():
        return kill_marked_without_proc(run)
    found, mark = 0, f"{MARK}={run}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # The process has just ended, or belongs to another user.
            variables = (folder / "environ").read_bytes().split(b"\0")
            if mark in variables and folder.name != str(os.getpid()):
                os.kill(int(folder.name), signal.SIGKILL)
                found += 1
    return found


def kill_marked_without_proc(run: str) -> int:
    """Do the same on a system that is not Linux."""
    import psutil  # Imported late, because Linux does not need it.

    found = 0
    for process in psutil.process_iter(["pid"]):
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == run:
                process.kill()
                found += 1
        except psutil.Error:  # The process has just ended, or belongs to another user.
            continue
    return found


class Launcher:
    """The programs that started this one: uv, a shell, and the make above them.

    If one of them is killed with `kill -9`, it cannot pass on a signal, and no one waits for the result.
    Only Linux has /proc; elsewhere, nothing is noticed.
    """

    def __init__(self) -> None:
        """Remember the parent of each program, up to make; only uv if there is no make."""
        self.links: list[tuple[int, int, str]] = []  #: child, its parent, the parent's name
        names: list[str] = []
        child = os.getpid()
        while len(names) < MOST_LAUNCHERS:
            parent = name_and_parent(child)[1]
            name = name_and_parent(parent)[0]
            if not LAUNCHER.fullmatch(name):
                break
            self.links.append((child, parent, name))
            names.append(name)
            child = parent
            if "make" in name:
                break
        while names and names[-1] not in ("make", "gmake", "uv"):
            names.pop()
        del self.links[len(names) :]

    def killed(self) -> str:
        """Return the name of a program that has ended; empty: all of them run."""
        for child, parent, name in self.links:
            if name_and_parent(child)[1] != parent:
                return name
        return ""


def name_and_parent(pid: int) -> tuple[str, int]:
    """Return the name of a process and the id of its parent; empty and 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return "", 0
    name, _, parent, _ = stat_fields(text)
    return name, int(parent)


def stat_fields(text: str) -> tuple[str, str, str, str]:
    """Return the name, the state, the parent's id and the group's id from a file /proc/PID/stat."""
    name, _, rest = text.partition("(")[2].rpartition(")")
    state, parent, group = rest.split()[:3]
    return name, state, parent, group


def catch_signals() -> list[int]:
    """Record SIGINT, SIGTERM and SIGHUP in the returned list instead of ending the process."""
    caught: list[int] = []

    def note(number: int, _frame: object) -> None:
        caught.append(number)

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores SIGHUP, and so do we
        signal.signal(signal.SIGHUP, note)
    return caught
