"""A terminal of 80 columns and 24 lines, on which `copier copy` runs as a user runs it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pyte
import pytest

COLUMNS, LINES = 80, 24

#: Timeout in seconds until the screen shows the expected text.
PATIENCE = 30


class Screen(pyte.Screen):
    """A screen that answers prompt_toolkit's request for the position of the cursor."""

    def __init__(self, program: pexpect.spawn[str]) -> None:
        super().__init__(COLUMNS, LINES)
        self._program = program

    def write_process_input(self, data: str) -> None:
        self._program.send(data)


class Terminal:
    """A program on a terminal, and what the terminal's screen shows."""

    def __init__(self, *command: str, cwd: Path, env: dict[str, str]) -> None:
        self.program = pexpect.spawn(
            command[0],
            list(command[1:]),
            cwd=str(cwd),
            env=env,
            dimensions=(LINES, COLUMNS),
            encoding="utf-8",
        )
        self.screen = Screen(self.program)
        self._stream = pyte.Stream(self.screen)

    @property
    def shown(self) -> list[str]:
        """The lines of the screen, without the empty ones at its end."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip().split("\n")

    @property
    def text(self) -> str:
        """The whole screen as one line, with a single space between words."""
        return " ".join(" ".join(self.shown).split())

    def send(self, keys: str) -> None:
        """Send keys to the program."""
        self.program.send(keys)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Read what the program prints until a condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            try:
                self._stream.feed(self.program.read_nonblocking(65536, timeout=0.2))
            except pexpect.TIMEOUT:
                if time.monotonic() > end:
                    break
            except pexpect.EOF:
                break
        shown = "\n".join(self.shown)
        assert condition(), f"The screen does not show {what}:\n{shown}"

    def wait_for_exit(self) -> int | None:
        """Read until the program ends. Return its exit code."""
        try:
            while True:
                self._stream.feed(self.program.read_nonblocking(65536, timeout=PATIENCE))
        except pexpect.EOF:
            self.program.close()
        return self.program.exitstatus


@pytest.fixture
def terminal(template_copy: Path, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Return the function that runs `copier copy` to a folder, with more options if given.

    PATH is empty, so the run creates no lock files, which would take time, and Copier does not start
    git for each file. The last screen then lists every step that the task after the copy skipped.
    """
    started: list[Terminal] = []

    def copy(destination: str, *options: str) -> Terminal:
        command = (sys.executable, "-m", "copier", "copy", "--trust", *options)
        env = os.environ | {
            "PATH": "",
            "PWD": str(tmp_path),
            "TERM": "xterm-256color",
            "PYTHONWARNINGS": "ignore",
        }
        started.append(
            Terminal(*command, str(template_copy), destination, cwd=tmp_path, env=dict(env))
        )
        return started[-1]

    yield copy
    for terminal in started:
        terminal.program.close(force=True)
