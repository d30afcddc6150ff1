# Kept by the template: copier update merges its changes into this file.
"""Reading logs: what is new, what comes last, and what Python said when it died."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO

CONTROL = re.compile(r"\x1b\[[\d;:?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\)|[\x00-\x08\x0a-\x1f\x7f]")

#: A frame of a traceback that is neither a library's nor Python's own.
FRAME = re.compile(r'File "(?!.*/(site-packages|lib/python[\d.]+)/)(?!<)')
MAKE_ERROR = re.compile(r"make(\[\d+\])?: \*\*\* .*$")

#: How much is read at a time, and how much of the end may hold the last words, in bytes.
CHUNK, LAST = 1 << 16, 16_000

#: How many chunks are read at a time while more is written: a flood must not hold up all else.
CHUNKS = 16

#: How many frames of a crash are shown.
FRAMES = 4


def literal(text: str) -> str:
    """Take the escapes and control characters out of a line."""
    return CONTROL.sub("", text)


class Log:
    """A log as it grows."""

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO = path.open("rb")

    def new_lines(self, *, ended: bool) -> Iterator[str]:
        """What was logged since the last call: whole lines, and not too many at a time.

        Once the log has `ended`, it is all the rest.
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
    """Return the end of a log; nothing where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST))
            return file.read()
    except OSError:
        return b""


def tail(log: Path) -> list[str]:
    """Return the last lines of a log, those that say something."""
    lines = end_of(log).decode(errors="replace").splitlines()
    return [line for line in lines if line.strip()]


def last_words(log: Path, count: int) -> list[str]:
    """Return the last lines of a log, but those that make adds to any failure."""
    lines = (MAKE_ERROR.sub("", line) for line in tail(log))
    return [line for line in lines if line.strip()][-count:]


def crash(log: Path) -> list[str]:
    """Return what Python wrote when it died: the error, and the frames that are no library's."""
    lines = [line.strip() for line in tail(log)]
    for number, line in enumerate(lines):
        if error := re.search("Fatal Python error: .*", line):
            return [error[0], *filter(FRAME.match, lines[number:])][: FRAMES + 1]
    return []
