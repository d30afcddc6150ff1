#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Undo an update of a project, path by path. It changes nothing that the update did not write.

An update copies this file to the folder template-update of the git directory, and writes its journal
there before it changes a file. So this works without the template, even if the update was killed. It
may run again.

A path is restored only if it still holds exactly what the update wrote. Exit codes: 0 done, 1 some
paths were left as they are, 2 refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

#: In the folder of an update: the journal, the replaced files, and the files that an undo takes away.
JOURNAL, OLD, UNDONE = "journal.json", "old", "undone"

#: Variables that would make git use another repository.
GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")

#: What is at a path: the mode in git's form, and a digest of the content. None if nothing is there.
Content = tuple[str, str] | None


class Item(NamedTuple):
    """A path that an update changes."""

    path: str
    #: What was there before, and what the update writes there.
    old: Content
    new: Content
    #: The lines of the index before and after, as `mode blob stage`.
    old_entries: list[str]
    new_entries: list[str]


class Journal(NamedTuple):
    """What an update is going to write."""

    project: str
    #: The path from the repository's root to the project: "" or "path/to/project/".
    prefix: str
    head: str
    items: list[Item]
    #: The folders of the changed files, with their permissions, or None if they are new.
    folders: dict[str, int | None]


def content_of(path: Path) -> Content:
    """Return what is at a path."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(mode):
        return ("120000", hashlib.sha256(os.fsencode(path.readlink())).hexdigest())
    if not stat.S_ISREG(mode):
        return ("other", "")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ("100755" if mode & stat.S_IXUSR else "100644", digest)


def place(source: Path, target: Path) -> None:
    """Move a file or a link to a free path. It never replaces anything.

    Raises:
        FileExistsError: the path is in use.
        OSError: the file cannot be moved.
    """
    if source.is_symlink():
        target.symlink_to(source.readlink())
    else:
        try:
            target.hardlink_to(source)
        except FileExistsError:
            raise
        except OSError:
            # Some file systems have no hard links, and some systems refuse those to another user's file.
            if os.path.lexists(target):
                raise FileExistsError(f"{target} exists") from None
            source.rename(target)
            return
    # The second name is in the folder of the update, which is removed at the end.
    with contextlib.suppress(OSError):
        source.unlink()


def git(journal: Journal, *args: str, input: bytes | None = None) -> bytes:
    """Run git in the project and return its output.

    Raises:
        OSError: git failed.
    """
    env = {name: value for name, value in os.environ.items() if name not in GIT_VARIABLES}
    done = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", *args],
        cwd=journal.project,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        env=env,
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise OSError(f"git {args[0]}: {(lines or ['it gave no reason'])[-1]}")
    return done.stdout


def index_entries(listing: bytes) -> dict[str, list[str]]:
    """Return the lines of `git ls-files --stage -z` by path, as `mode blob stage`."""
    found: dict[str, list[str]] = {}
    for entry in listing.decode(errors="surrogateescape").split("\0")[:-1]:
        meta, _, path = entry.partition("\t")
        found.setdefault(path, []).append(meta)
    return found


def index_input(prefix: str, head: str, entries: Iterable[tuple[str, list[str]]]) -> bytes:
    """Return the input with which `git update-index -z --index-info` sets these paths."""
    lines = []
    for path, stages in entries:
        lines.append(f"0 {'0' * len(head)}\t{prefix}{path}\0")
        lines += [f"{entry}\t{prefix}{path}\0" for entry in stages]
    return "".join(lines).encode(errors="surrogateescape")


def write_journal(folder: Path, journal: Journal) -> None:
    """Write the journal of an update to its folder. From then on, the update may change files."""
    draft = folder / f"{JOURNAL}.draft"
    draft.write_text(json.dumps(journal._asdict()), encoding="ascii")
    draft.replace(folder / JOURNAL)


def read_journal(folder: Path) -> Journal:
    """Read the journal of an update."""
    data: dict[str, Any] = json.loads((folder / JOURNAL).read_text(encoding="ascii"))

    def content(pair: list[str] | None) -> Content:
        return (pair[0], pair[1]) if pair else None

    items = [Item(path, content(o), content(n), *rest) for path, o, n, *rest in data["items"]]
    # Another version of the template may have written more.
    known = {name: data[name] for name in Journal._fields}
    return Journal(**known | {"items": items})


class Undo:
    """Restores what an update replaced.

    Args:
        folder: the folder of the update.
        journal: the journal of the update.
    """

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.folder, self.journal = folder, journal
        self.project = Path(journal.project)
        #: What could not be restored: for each path, why, and what to do.
        self.problems: dict[str, str] = {}

    def run(self) -> dict[str, str]:
        """Restore everything that still is as the update wrote it; return the problems by path."""
        # If this fails, each file that cannot be taken away is named.
        with contextlib.suppress(OSError):
            (self.folder / UNDONE).mkdir(exist_ok=True)
        items = list(enumerate(self.journal.items))
        for number, item in items:
            self._attempt(item, self._take_away, number)
        for path in sorted(self.journal.folders, key=len, reverse=True):
            if self.journal.folders[path] is None:
                remove_empty(self.project / path)
        for number, item in items:
            self._attempt(item, self._put_back, number)
        for number, item in items:
            self._attempt(item, self._check, number)
        for path in sorted(self.journal.folders):
            folder = self.project / path
            if self.journal.folders[path] is None and folder.is_dir() and not any(folder.iterdir()):
                self.problems[path] = f"it is new and empty; run: rmdir -- {shlex.quote(path)}"
        try:
            self._restore_index()
        except OSError as error:
            undo = shlex.join(["uv", "run", "--script", str(self.folder / Path(__file__).name)])
            self.problems["git's index"] = f"{error}; remove the cause, then run: {undo}"
        return self.problems

    def _attempt(self, item: Item, action: Any, number: int) -> None:
        try:
            action(number, item)
        except OSError as error:
            self.problems.setdefault(item.path, f"{error.strerror or error}; {self._advice(item)}")

    def _advice(self, item: Item) -> str:
        path = shlex.quote(item.path)
        if item.old is None:
            return f"to remove it, run: rm -- {path}"
        return f"to restore it, run: git restore --source=HEAD --staged --worktree -- {path}"

    def _is_replaced(self, number: int, item: Item) -> bool:
        """Return whether the update took the old file away."""
        saved, path = self.folder / OLD / str(number), self.project / item.path
        if not os.path.lexists(saved):
            return False
        # Otherwise it was put back, and only its second name is left.
        return not os.path.lexists(path) or saved.lstat().st_ino != path.lstat().st_ino

    def _link_above(self, path: str) -> str:
        """Return the first folder of a path that is a link: behind it are files that are not ours."""
        folders = reversed(Path(path).parents[:-1])
        return next((str(one) for one in folders if (self.project / one).is_symlink()), "")

    def _content(self, path: str) -> Content:
        """Return what is at a path, without following links."""
        return None if self._link_above(path) else content_of(self.project / path)

    def _take_away(self, number: int, item: Item) -> None:
        """Take away what the update wrote to a path."""
        path, undone = self.project / item.path, self.folder / UNDONE / str(number)
        now = self._content(item.path)
        # A folder that replaced a file is removed later, when it is empty.
        is_folder = item.path in self.journal.folders and path.is_dir() and not path.is_symlink()
        if now in (None, item.old) or is_folder:
            return
        is_ours = now == item.new and (item.old is None or self._is_replaced(number, item))
        if is_ours:
            path.rename(undone)
            if content_of(undone) == item.new:
                return
            # It changed at this very moment.
            place(undone, path)
        if is_ours or item.old is None or self._is_replaced(number, item):
            raise OSError("it is not as the update wrote it, so it was left as it is")

    def _put_back(self, number: int, item: Item) -> None:
        """Put an old file back to its path, which must be free."""
        path = self.project / item.path
        if not self._is_replaced(number, item) or self._content(item.path) is not None:
            return
        if link := self._link_above(item.path):
            raise OSError(f"{link} is a link now")
        for folder in reversed(Path(item.path).parents[:-1]):
            if not os.path.lexists(self.project / folder):
                (self.project / folder).mkdir()
                mode = self.journal.folders.get(str(folder))
                if mode is not None:
                    (self.project / folder).chmod(mode)
        place(self.folder / OLD / str(number), path)

    def _check(self, number: int, item: Item) -> None:
        """Check that a path is as before, unless someone else changed it."""
        now = self._content(item.path)
        if now != item.old and (now == item.new or self._is_replaced(number, item)):
            raise OSError("it could not be restored")

    def _restore_index(self) -> None:
        """Restore the lines of the index that still are as the update wrote them."""
        now = index_entries(git(self.journal, "ls-files", "--stage", "-z"))
        changed = [
            (item.path, item.old_entries)
            for item in self.journal.items
            if now.get(item.path, []) == item.new_entries != item.old_entries
        ]
        if changed:
            lines = index_input(self.journal.prefix, self.journal.head, changed)
            git(self.journal, "update-index", "-z", "--index-info", input=lines)


def remove_empty(folder: Path) -> bool:
    """Remove a folder if it is empty; return whether it is gone."""
    try:
        folder.rmdir()
    except OSError:
        return not os.path.lexists(folder)
    return True


def main() -> int:
    """Undo the update in whose folder this file is."""
    folder = Path(__file__).resolve().parent
    if not (folder / JOURNAL).exists():
        print("The update was stopped before it changed a file: nothing to undo.")
        return 0
    try:
        journal = read_journal(folder)
        head = git(journal, "rev-parse", "HEAD").decode().strip()
    except OSError as error:
        print(f"undo.py: {error}", file=sys.stderr)
        return 2
    if head != journal.head:
        print(
            "undo.py: a commit was made after this update started; to undo an update that is "
            "committed, run: git revert COMMIT",
            file=sys.stderr,
        )
        return 2
    problems = Undo(folder, journal).run()
    if problems:
        print("Not everything was restored:")
        print(*(f"  {path}: {reason}" for path, reason in problems.items()), sep="\n")
        return 1
    print("The update is undone.")
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
