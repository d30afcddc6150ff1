"""Writes the result of a merge to the project, so that it can be undone path by path.

Everything that can fail early does: the files are first checked out to a folder in the git directory,
which also runs filters such as Git LFS. Then a journal is written, and only then the project:

1. New files are added. Adding never replaces a file.
2. A changed file is moved to the folder, compared with the last commit, and its new version added.
   So an edit that someone makes at this moment is noticed and kept.
3. Removed files are moved to the folder.
4. Git's index is changed, only at these paths.

If a step fails, undo.py restores each path that still is as this wrote it. After a success the folder
stays, so that the user can run undo.py, and the next update removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import undo
from errors import ChangedError, GitError, MoveError, RefusedError, UndoError
from git_command import git
from repository import Repository
from signals import blocked_signals
from trees import SUBMODULE, File, Result, Tree
from undo import Item, Journal, content_of, place

#: The name of the folder in the git directory.
FOLDER = "template-update"

#: In that folder: the new files before they are written, and an index for git to check them out from.
NEW, INDEX = "new", "index"


class Writer:
    """Writes one result to a project.

    Args:
        repository: the project's repository.
        before: the files of the last commit.
        result: the result; gets the lists of files that cannot be written.
    """

    def __init__(self, repository: Repository, before: Tree, result: Result) -> None:
        self.repository, self.before, self.result = repository, before, result
        self.project = repository.project
        self.folder = self.project / repository.git_path(FOLDER)
        #: The files to write; then the paths that change, in an order.
        self.after: Tree = {}
        self.changed: list[str] = []
        self.journal: Journal | None = None
        self._lock: int | None = None

    @property
    def undo_command(self) -> str:
        """The command that undoes the update, to be run in the project's folder."""
        program = os.path.relpath(self.folder / "undo.py", self.project)
        return shlex.join(["uv", "run", "--script", program])

    # PREPARE ------------------------------------------------------------------
    def prepare(self) -> None:
        """Check everything that can be checked before a file of the project changes.

        Raises:
            MoveError: another file is where a moved file belongs.
            ChangedError: the project differs from its last commit.
            RefusedError: a file cannot be written.
            GitError, OSError: a file cannot be checked out.
        """
        self._lock_project()
        try:
            self._plan()
            self._check_places()
            # If an update was completed meanwhile, its undo must stay.
            self.repository.check_unchanged(self.changed)
            for folder in (self.folder, self.project / f".{FOLDER}"):
                self._remove_old(folder)
        except BaseException:
            self._unlock()
            raise
        try:
            self._make_folder()
            self._check_out()
            self.journal = self._journal()
            self.repository.check_unchanged(self.changed)
        except BaseException:
            self._remove_folder()
            self._unlock()
            raise

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _lock_project(self) -> None:
        """Refuse to write while another update of this project does."""
        self._lock = os.open(self.project, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._unlock()
            raise ChangedError("another update of this project is running; wait for it") from None
        except OSError:
            pass  # Some network file systems cannot lock a folder.

    def _plan(self) -> None:
        before, result = self.before, self.result
        blockers = self._blockers(before, result.tree)
        for path in sorted(blockers.keys() & result.moved):
            raise MoveError(
                f"cannot move a file to {path}, because {blockers[path]} exists; "
                f"move {blockers[path]} away first"
            )
        result.blocked = sorted(
            path
            for path, blocker in blockers.items()
            if blocker in before or is_folder(self.project / blocker)
        )
        result.ignored = sorted(blockers.keys() - set(result.blocked))
        self.after = {path: file for path, file in result.tree.items() if path not in blockers}
        paths = {*before, *self.after}
        changed = {path for path in paths if before.get(path) != self.after.get(path)}
        changed |= result.conflicts.keys()
        for path in sorted(changed):
            if path in before and before[path].mode == SUBMODULE:
                raise MoveError(
                    f"{path} is a submodule; run git rm -- {shlex.quote(path)} and commit first"
                )
        self.changed = sorted(changed)

    def _blockers(self, before: Tree, after: Tree) -> dict[str, str]:
        """Find the new files whose path, or a folder of it, is in use.

        Returns:
            For each such file, the path in use: a tracked file, a file that git does not track, or a
            folder that does not become empty.
        """
        inside = {str(folder): path for path in after for folder in PurePosixPath(path).parents}
        found = {}
        for path in after.keys() - before.keys():
            folders = [str(folder) for folder in PurePosixPath(path).parents][:-1]
            tracked = [inside[path]] if path in inside else [one for one in folders if one in after]
            untracked = [
                one for one in (path, *folders) if self._is_in_use(one, path, before, after)
            ]
            if tracked or untracked:
                found[path] = (tracked or untracked)[0]
        return found

    def _is_in_use(self, candidate: str, path: str, before: Tree, after: Tree) -> bool:
        """Return whether an untracked file, or a folder that stays, is at a path that a new file needs."""
        on_disk = self.project / candidate
        if candidate in before or self._is_behind_link(candidate) or not os.path.lexists(on_disk):
            return False
        if is_folder(on_disk):
            return candidate == path and not self._becomes_empty(candidate, before, after)
        return True

    def _is_behind_link(self, path: str) -> bool:
        """Return whether a folder of a path is a tracked link. So the path is not in the project."""
        return any(str(folder) in self.before for folder in PurePosixPath(path).parents)

    def _becomes_empty(self, folder: str, before: Tree, after: Tree) -> bool:
        """Return whether a folder holds nothing but files that the update removes."""
        removed = {path for path in before.keys() - after.keys() if path.startswith(f"{folder}/")}
        if not removed:
            return False
        parents = {str(parent) for path in removed for parent in PurePosixPath(path).parents}
        for root, folders, names in os.walk(self.project / folder):
            inside = PurePosixPath(os.path.relpath(root, self.project))
            for name in (*folders, *names):
                if str(inside / name) not in removed and str(inside / name) not in parents:
                    return False
        return True

    def _check_places(self) -> None:
        """Check that the folders of the changed files are writable, and that nothing is mounted there."""
        folders = {self._existing_folder(path) for path in self.changed}
        for folder in sorted(folders):
            if not os.access(self.project / folder, os.W_OK | os.X_OK):
                name = "the project's folder" if folder == "." else f"{folder}/"
                raise RefusedError(f"you may not write to {name}; change its owner or permissions")
        mounted = set(mount_points())
        for path in self.changed:
            for part in (path, *map(str, PurePosixPath(path).parents[:-1])):
                on_disk = self.project / part
                if str(on_disk) in mounted or (on_disk.is_dir() and os.path.ismount(on_disk)):
                    raise RefusedError(
                        f"{part} is a mount point, which an update cannot replace; unmount it first"
                    )

    def _existing_folder(self, path: str) -> str:
        """Return the nearest folder of a path that exists."""
        folders = map(str, PurePosixPath(path).parents)
        return next((one for one in folders if (self.project / one).is_dir()), ".")

    def _make_folder(self) -> None:
        """Make the folder on the file system of the project's files, so that they can be moved to it."""
        if mount_of(self.folder.parent) != mount_of(self.project):
            self.folder = self.project / f".{FOLDER}"
        self.folder.mkdir()
        if self.folder.parent == self.project:  # Git does not show this folder.
            (self.folder / ".gitignore").write_text("*\n")
        for name in (undo.OLD, undo.UNDONE):
            (self.folder / name).mkdir()
        shutil.copyfile(undo.__file__, self.folder / Path(undo.__file__).name)

    def _remove_old(self, folder: Path) -> None:
        """Remove what the last update left, unless it holds a version of a file that no commit has."""
        if not folder.is_dir() or folder.is_symlink():
            return
        try:
            items = undo.read_journal(folder).items
        except (OSError, ValueError, KeyError, TypeError):
            items = []
        known = {undo.OLD: [item.old for item in items], undo.UNDONE: [item.new for item in items]}
        for name, contents in known.items():
            for saved in sorted((folder / name).glob("*")):
                number = int(saved.name) if saved.name.isdecimal() else len(items)
                if number >= len(items) or content_of(saved) != contents[number]:
                    path = items[number].path if number < len(items) else "a file"
                    raise RefusedError(
                        f"{saved} is a version of {path} that an interrupted update saved; copy what "
                        f"you need, and remove {folder}"
                    )
        shutil.rmtree(folder)

    def _remove_folder(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_out(self) -> None:
        """Check out the new files to the folder, through git's filters and with its line ends.

        Git reads attributes from the working tree first. If the update changes them, the folder has to
        be the working tree.
        """
        wanted = [path for path in self.changed if path in self.after]
        if not wanted:
            return
        index, prefix = str(self.folder / INDEX), self.repository.prefix
        (self.folder / NEW).mkdir()
        self.repository.git("read-tree", "HEAD", GIT_INDEX_FILE=index)
        entries = [(path, self._entries(self.after.get(path))) for path in self.changed]
        lines = undo.index_input(prefix, self.repository.head, entries)
        self.repository.git("update-index", "-z", "--index-info", input=lines, GIT_INDEX_FILE=index)
        checkout = ("checkout-index", "--force", "-z", "--stdin")
        if not any(PurePosixPath(path).name == ".gitattributes" for path in self.changed):
            options = (f"--prefix={self.folder / NEW}/",)
            text = "".join(f"{path}\0" for path in wanted).encode(errors="surrogateescape")
            self.repository.git(*checkout, *options, input=text, GIT_INDEX_FILE=index)
            return
        where = {
            "GIT_DIR": str(self.project / self.repository.git_path(".")),
            "GIT_WORK_TREE": str(self.folder / NEW),
            "GIT_INDEX_FILE": index,
        }
        listing = self.repository.git("ls-files", "--full-name", "-z", ":/", GIT_INDEX_FILE=index)
        tracked = listing.decode(errors="surrogateescape").split("\0")[:-1]
        attributes = [name for name in tracked if PurePosixPath(name).name == ".gitattributes"]
        for paths in (attributes, [f"{prefix}{path}" for path in wanted]):
            text = "".join(f"{path}\0" for path in paths).encode(errors="surrogateescape")
            git(*checkout, cwd=self.folder / NEW, input=text, **where)

    def _new_file(self, path: str) -> Path:
        """Return the checked out file for a path."""
        return self.folder / NEW / self.repository.prefix / path

    def _entries(self, *sides: File | None) -> list[str]:
        """Return lines of the index: one file, or the sides of a conflict."""
        first = 0 if len(sides) == 1 else 1
        return [
            f"{file.mode} {file.blob} {stage}" for stage, file in enumerate(sides, first) if file
        ]

    def _journal(self) -> Journal:
        now = undo.index_entries(self.repository.git("ls-files", "--stage", "-z"))
        items = []
        for path in self.changed:
            conflict = self.result.conflicts.get(path)
            sides = (conflict.base, conflict.ours, conflict.theirs) if conflict else ()
            new = content_of(self._new_file(path)) if path in self.after else None
            items.append(
                Item(
                    path,
                    content_of(self.project / path) if path in self.before else None,
                    new,
                    now.get(path, []),
                    self._entries(*(sides or (self.after.get(path),))),
                )
            )
        folders: dict[str, int | None] = {}
        for path in self.changed:
            for folder in map(str, PurePosixPath(path).parents[:-1]):
                on_disk = self.project / folder
                exists = is_folder(on_disk) and not self._is_behind_link(folder)
                folders[folder] = on_disk.stat().st_mode & 0o7777 if exists else None
        head, prefix = self.repository.head, self.repository.prefix
        return Journal(str(self.project), prefix, head, items, folders)

    # WRITE --------------------------------------------------------------------
    def write(self) -> None:
        """Write the prepared result, and stage it. If that fails, undo it.

        Raises:
            ChangedError: someone changed the project meanwhile.
            GitError, OSError: a file or the index cannot be written.
            UndoError: a file cannot be restored after that.
        """
        if self.journal is None:
            raise RuntimeError("call prepare() first")
        try:
            with blocked_signals():
                undo.write_journal(self.folder, self.journal)
                for number, item in self._steps(self.journal):
                    if item.old != item.new:
                        self._write_path(number, item)
                for item in self.journal.items:
                    if item.new is None:
                        self._remove_empty_folders(item.path)
                self._check_again(self.journal)
                self._write_index(self.journal)
        except BaseException as error:
            self.undo(error)
            raise
        for name in (NEW, INDEX):
            discard(self.folder / name)
        self._unlock()

    def undo(self, error: BaseException) -> None:
        """Restore what was written, after an error.

        Raises:
            UndoError: something could not be restored.
        """
        if isinstance(error, UndoError):  # write() has undone what it can.
            return
        if self.journal is None or not (self.folder / undo.JOURNAL).exists():
            self._remove_folder()
            self._unlock()
            return
        with blocked_signals():
            problems = undo.Undo(self.folder, self.journal).run()
        self._unlock()
        if problems:
            raise UndoError(reason_of(error), problems) from error
        self._remove_folder()

    def _steps(self, journal: Journal) -> Iterator[tuple[int, Item]]:
        """Yield the paths in their order: new files first, removed files last.

        What is where a new file needs a folder, or in a folder that becomes a file, is removed before that.
        """
        items = list(enumerate(journal.items))
        new = [path for path in self.changed if path in self.after]
        added = {path for path in new if path not in self.before}
        needed = {str(folder) for path in new for folder in PurePosixPath(path).parents}
        order = {"in the way": 0, "new": 1, "changed": 2, "removed": 3}

        def key(pair: tuple[int, Item]) -> tuple[int, str]:
            _, item = pair
            if item.new is None:
                folders = {str(folder) for folder in PurePosixPath(item.path).parents}
                kind = "in the way" if item.path in needed or folders & added else "removed"
            else:
                kind = "new" if item.old is None else "changed"
            return order[kind], item.path

        yield from sorted(items, key=key)

    def _write_path(self, number: int, item: Item) -> None:
        path, saved = self.project / item.path, self.folder / undo.OLD / str(number)
        if item.old is not None:
            try:
                path.rename(saved)
            except FileNotFoundError:
                raise changed_meanwhile(item.path) from None
            if content_of(saved) != item.old:
                place(saved, path)
                raise changed_meanwhile(item.path)
        if item.new is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if item.old is None and is_folder(path):
                for folder, _, _ in os.walk(path, topdown=False):
                    undo.remove_empty(Path(folder))
            try:
                place(self._new_file(item.path), path)
            except FileExistsError:
                raise changed_meanwhile(item.path) from None

    def _remove_empty_folders(self, path: str) -> None:
        for folder in PurePosixPath(path).parents[:-1]:
            if not undo.remove_empty(self.project / folder):
                break

    def _check_again(self, journal: Journal) -> None:
        """Check that no one wrote to an old file that was open, or made a commit."""
        for number, item in enumerate(journal.items):
            saved = self.folder / undo.OLD / str(number)
            if os.path.lexists(saved) and content_of(saved) != item.old:
                raise changed_meanwhile(item.path)
        self.repository.check_head()

    def _write_index(self, journal: Journal) -> None:
        entries = [(item.path, item.new_entries) for item in journal.items]
        lines = undo.index_input(self.repository.prefix, self.repository.head, entries)
        try:
            self.repository.git("update-index", "-z", "--index-info", input=lines)
        except GitError:
            self.repository.check_index_is_free()
            raise
        # Only so that the next `git status` is fast.
        self.repository.refresh_index()


def changed_meanwhile(path: str) -> ChangedError:
    """Return the error about a file that someone changes while an update writes."""
    return ChangedError(f"{path} changed during the update; commit it and run the update again")


def mount_points() -> Iterator[str]:
    """Yield the mount points of a Linux system. Python's own test does not see a mounted file."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        escaped = line.split(" ")[4]
        yield re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), escaped)


def is_folder(path: Path) -> bool:
    """Return whether a folder is at a path, not a link to one."""
    return path.is_dir() and not path.is_symlink()


def discard(path: Path) -> None:
    """Remove a file or a folder that is no longer needed. An error does no harm."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


def mount_of(folder: Path) -> tuple[int, str]:
    """Return the device and the mount point of a folder. Files move only within a mount point."""
    path = folder.resolve()
    above = {str(path), *map(str, path.parents)}
    return path.stat().st_dev, max((one for one in mount_points() if one in above), default="")


def reason_of(error: BaseException) -> str:
    """Return the reason of an error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or "interrupted"
