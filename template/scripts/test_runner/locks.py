# Kept by the template: copier update merges its changes into this file.
"""Lock files: a file stays locked for as long as its owner lives.

The kernel releases the locks of a dead process. The content of the file remains: it names what the
owner left behind. An owner that has cleaned up empties the file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from .project import RESULTS

FOLDER = RESULTS / "locks"

#: The most characters of a command that are shown.
MOST = 80


class LockTakenError(Exception):
    """Another process holds the lock. The text names the process."""

    def __init__(self, text: str, pid: int) -> None:
        super().__init__(text)
        self.pid = pid


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock, and what it must remove at its end."""

    pid: int
    run: str  #: the mark of its processes; empty: it has none
    instance: str = ""
    scope: str = ""
    kept: bool = False  #: the stack stays when the process ends


class Lock:
    """A lock on a file, held by one owner alone or shared by several."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / name
        self.file: BinaryIO | None = None

    def take(self, owner: Owner) -> Owner:
        """Take the lock for this owner alone. Return what the previous owner wrote into it.

        Raises:
            LockTakenError: another process holds the lock.
        """
        if not self._open(fcntl.LOCK_EX):
            holder = read(self.path)
            self.release()
            raise LockTakenError(named(holder.pid), holder.pid)
        before = read(self.path)
        self.leave(owner)
        return before

    def leave(self, owner: Owner | None) -> None:
        """Write into the file what must be removed later; None: nothing."""
        assert self.file
        self.file.seek(0)
        self.file.truncate()
        if owner:
            self.file.write(json.dumps(asdict(owner)).encode())

    def remove(self) -> None:
        """Delete the file and release the lock. Only for names that no process uses again."""
        self.path.unlink(missing_ok=True)
        self.release()

    def share(self) -> None:
        """Take a shared lock. If a process holds the lock alone, wait: it does so only briefly."""
        self._open(fcntl.LOCK_SH, wait=True)

    def alone(self) -> bool:
        """Try to take the lock alone. Return False if another process shares it."""
        return self._open(fcntl.LOCK_EX)

    def release(self) -> None:
        """Release the lock. The content of the file stays."""
        if self.file:
            self.file.close()
            self.file = None

    def _open(self, kind: int, *, wait: bool = False) -> bool:
        if not self.file:
            FOLDER.mkdir(parents=True, exist_ok=True)
            # O_TRUNC would empty a file that another process holds. os.open does not pass the
            # descriptor on to child processes, which would keep the lock.
            self.file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", 0)
        try:
            fcntl.flock(self.file, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def named(pid: int) -> str:
    """Return a process with its command: `process 4711 (python scripts/test-runner.py)`."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:  # It has ended, or the system is not Linux.
        return f"process {pid}"
    names = (os.path.basename(word) if "/" in word else word for word in words)  # noqa: PTH119
    return f"process {pid} ({' '.join(filter(None, names))[:MOST]})"


def read(path: Path) -> Owner:
    """Return the current or last owner of a lock."""
    try:
        return Owner(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return Owner(0, "")


def abandoned() -> Iterator[tuple[Lock, Owner]]:
    """Take the locks of killed processes, one by one, and yield each with its last owner."""
    for path in sorted(FOLDER.glob("*")) if FOLDER.is_dir() else []:
        owner = read(path)
        if not owner.run:
            continue
        lock = Lock(path.name)
        with suppress(LockTakenError):
            before = lock.take(replace(owner, pid=os.getpid()))
            if before.run:
                yield lock, before
            elif owner.scope:  # The owner has cleaned up and ended since the file was read.
                lock.leave(before if before.kept else None)
                lock.release()
            else:
                lock.remove()
