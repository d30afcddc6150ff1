# Kept by the template: copier update merges its changes into this file.
"""Reads logs: new lines, the last lines, and the report of a crashed Python."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO

CONTROL = re.compile(
    r"\x1b\[[\d;:?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\)|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)

#: A traceback frame in the project's own code: not in a library or in Python itself.
FRAME = re.compile(r'File "(?!.*/(site-packages|lib/python[\d.]+)/)(?!<)')
MAKE_ERROR = re.compile(r"make(\[\d+\])?: \*\*\* .*$")

#: Bytes that are read at once, and bytes at the end of a log that are searched for its last lines.
CHUNK, LAST = 1 << 16, 16_000

#: At most this many chunks are read per poll, so that a flood of output does not delay the rest.
CHUNKS = 16

#: How many frames of a crash are shown.
FRAMES = 4


def literal(text: str) -> str:
    """Remove escape sequences and control characters from a line."""
    return CONTROL.sub("", text)


class Log:
    """A log that is read while it grows."""

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO = path.open("rb")

    def new_lines(self, *, ended: bool) -> Iterator[str]:
        """Yield the complete lines that are new since the last call, up to a limit.

        With `ended`, yield all remaining lines.
        """
        for _ in count() if ended else range(CHUNKS):
            start, text = self.file.tell(), self.file.read(CHUNK)
            end = text.rfind(b"\n") + 1
            if not end and (ended or len(text) == CHUNK):
                end = len(text)
            self.file.seek(start + end)
            if not end:
                return
            yield from text[:end].decode(errors="replace").splitlines()


def end_of(log: Path) -> bytes:
    """Return the end of a log; empty if it does not exist."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST))
            return file.read()
    except OSError:
        return b""


def tail(log: Path) -> list[str]:
    """Return the non-blank lines at the end of a log."""
    lines = end_of(log).decode(errors="replace").splitlines()
    return [line for line in lines if line.strip()]


def last_words(log: Path, count: int) -> list[str]:
    """Return the last lines of a log, without the error lines of make."""
    lines = (MAKE_ERROR.sub("", line) for line in tail(log))
    return [line for line in lines if line.strip()][-count:]


def crash(log: Path) -> list[str]:
    """Return the report of a crashed Python: the fatal error and the frames in the project's code."""
    lines = [line.strip() for line in tail(log)]
    for number, line in enumerate(lines):
        if error := re.search("Fatal Python error: .*", line):
            return [error[0], *filter(FRAME.match, lines[number:])][: FRAMES + 1]
    return []
