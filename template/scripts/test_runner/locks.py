# Kept by the template: copier update merges its changes into this file.
"""Who uses what: a file that is locked for as long as its owner lives, however it ends.

The kernel gives up a dead process's locks. What the owner wrote into the file is still there then,
and tells what it left behind; an owner that cleans up empties it.
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


class Taken(Exception):
    """Another process holds the lock. The text says which."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock, and what it has to remove in the end."""

    pid: int
    run: str  #: the mark of its processes; nothing: it has none
    instance: str = ""
    scope: str = ""
    kept: bool = False  #: what is left is to stay


class Lock:
    """A lock that is held by one owner, or shared by those who only keep others from being alone."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / name
        self.file: BinaryIO | None = None

    def take(self, owner: Owner) -> Owner:
        """Take it for this owner alone. Return what the one before left behind.

        Raises:
            Taken: another one holds it.
        """
        if not self._open(fcntl.LOCK_EX):
            holder = read(self.path)
            self.release()
            raise Taken(f"process {holder.pid}")
        before = read(self.path)
        self.leave(owner)
        return before

    def leave(self, owner: Owner | None) -> None:
        """Write down what there is to remove, or that there is nothing."""
        assert self.file
        self.file.seek(0)
        self.file.truncate()
        if owner:
            self.file.write(json.dumps(asdict(owner)).encode())

    def remove(self) -> None:
        """Remove it, which nobody else asks for by this name any more."""
        self.path.unlink(missing_ok=True)
        self.release()

    def share(self) -> None:
        """Take it together with others; wait for one who holds it alone, which is short."""
        self._open(fcntl.LOCK_SH, wait=True)

    def alone(self) -> bool:
        """Try to hold alone what was shared; False when others share it."""
        return self._open(fcntl.LOCK_EX)

    def release(self) -> None:
        """Let others take it; what is written in it stays."""
        if self.file:
            self.file.close()
            self.file = None

    def _open(self, kind: int, *, wait: bool = False) -> bool:
        if not self.file:
            FOLDER.mkdir(parents=True, exist_ok=True)
            # Not emptied, as another one may hold it; not passed on to children.
            self.file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", 0)
        try:
            fcntl.flock(self.file, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def read(path: Path) -> Owner:
    """Read who holds, or held, a lock."""
    try:
        return Owner(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return Owner(0, "")


def abandoned() -> Iterator[tuple[Lock, Owner]]:
    """Take the locks of owners that were killed, one after the other, and tell whose each was."""
    for path in sorted(FOLDER.glob("*")) if FOLDER.is_dir() else []:
        owner = read(path)
        if not owner.run:
            continue
        lock = Lock(path.name)
        with suppress(Taken):
            before = lock.take(replace(owner, pid=os.getpid()))
            if before.run:
                yield lock, before
            elif owner.scope:  # It has come to its end meanwhile.
                lock.leave(before if before.kept else None)
                lock.release()
            else:
                lock.remove()
