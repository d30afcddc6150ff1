# Kept by the template: copier update merges its changes into this file.
"""Hashes of files, remembered between runs, so that only files that changed are read again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .project import MULTI

#: A file that was written less than this long ago, in nanoseconds, is read again next time: a second
#: write in the same tick of the clock would leave the same times.
RACY = 2_000_000_000

#: The memo forgets all files when it has this many: most of them no longer exist.
MOST_KNOWN = 300_000

#: How code finds a folder above its own.
UPWARDS = re.compile(rb"\.parent|\.\.|__file__|dirname|import\.meta|\bcwd\b|services")


class UnreadableError(Exception):
    """An input of a target cannot be read. The text says which, in a few words."""


def as_unreadable(error: Exception) -> UnreadableError:
    """Return any error that stopped the reading of an input as an UnreadableError."""
    if isinstance(error, UnreadableError):
        return error
    return UnreadableError(f"{type(error).__name__}: {error}")


def digest(*texts: str | bytes) -> str:
    """Return the SHA-256 of some texts, in hexadecimal."""
    found = hashlib.sha256()
    for text in texts:
        data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        found.update(b"%d:" % len(data) + data)
    return found.hexdigest()


def identity(path: str) -> str:
    """Return the path, size and times of a program; only the path if it does not exist."""
    try:
        info = os.stat(path)  # noqa: PTH116 - called for thousands of files
    except OSError:
        return path
    return f"{path} {info.st_size} {info.st_mtime_ns} {info.st_ctime_ns}"


class Memo:
    """The hashes of files as of the last run. A file is read again if its size, inode or times differ."""

    def __init__(self, path: Path, words: re.Pattern[bytes]) -> None:
        self.path, self.words = path, words
        self.known: dict[str, list[str]] = {}
        self.configs: dict[str, Any] = {}
        self.tools: dict[str, list[str]] = {}
        self.changed = False
        # A change of this program may change the meaning of the memo.
        programs = sorted(Path(__file__).parent.glob("*.py"))
        self.version = digest(words.pattern, *(path.read_bytes() for path in programs))
        with suppress(OSError, ValueError):  # Without a memo, all files are read.
            check, _, text = path.read_text().partition("\n")
            if check == digest(self.version, text):
                self.known, self.configs, self.tools = json.loads(text)

    def hash(self, path: str, info: os.stat_result) -> tuple[str, str]:
        """Return the hash of a file's content, and the words that it mentions, separated by spaces.

        Raises:
            UnreadableError: the file cannot be read, or changes at this moment.
        """
        stamp = f"{info.st_size} {info.st_mtime_ns} {info.st_ctime_ns} {info.st_ino}"
        known = self.known.get(path)
        if known and known[0] == stamp:
            return known[1], known[2]
        now = time.time_ns()
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - called for thousands of files
                content = file.read()
                after = os.fstat(file.fileno())
        except OSError as error:
            raise UnreadableError(f"cannot read {path}: {error.strerror}") from None
        if (after.st_size, after.st_mtime_ns) != (info.st_size, info.st_mtime_ns):
            raise UnreadableError(f"{path} changed while it was read")
        words = {
            next(filter(None, groups)).decode(errors="replace")
            for groups in self.words.findall(content)
            # A quoted name alone says little, so it counts where the code also leaves its folder.
            if not groups[1] or not MULTI or UPWARDS.search(content)
        }
        result = hashlib.sha256(content).hexdigest(), " ".join(sorted(words))
        if now - max(info.st_mtime_ns, info.st_ctime_ns) > RACY:
            self.known[path], self.changed = [stamp, *result], True
        return result

    def save(self) -> None:
        """Write the memo for the next run, if it changed. It only saves time, so errors are ignored."""
        if not self.changed:
            return
        new = self.path.with_suffix(f".{os.getpid()}.new")
        known = self.known if len(self.known) < MOST_KNOWN else {}
        text = json.dumps([known, self.configs, self.tools])
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_text(f"{digest(self.version, text)}\n{text}")
            new.replace(self.path)
