"""Trees of files as git keeps them, and the merge of three of them.

A tree is what git calls one: each file's path with its mode and the id of its content. A project's
files are only written at the very end, when the whole result is known (`Repository.apply`), and so
that at any moment of it `undo_command` brings back the commit before.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

#: What a conflict's markers call the two sides and what they come from.
LABELS = ("before updating", "last update", "after updating")

#: A file that is the template's says so, on top.
MARK = b"Kept by the template"

#: The template's files that have no place to say so.
UNMARKED = frozenset({".python-version"})

#: What package managers write, from files that people write.
LOCK_FILES = frozenset({"uv.lock", "package-lock.json"})

FILE, EXECUTABLE, LINK, SUBMODULE = "100644", "100755", "120000", "160000"


class GitError(Exception):
    """A git command failed. The text is one line: the command, and what git said."""


class MoveError(Exception):
    """A file cannot be moved. The text names it, and says what to do."""


class ChangedError(Exception):
    """The project is not what its last commit holds. The text names what, and says what to do."""


class File(NamedTuple):
    """A file of a tree."""

    mode: str
    blob: str


Tree = dict[str, File]


@dataclass
class Conflict:
    """A file that both sides changed at the same lines: what each has, and the text with markers."""

    base: File | None
    ours: File
    theirs: File
    text: File


@dataclass
class Result:
    """What a merge comes to, and what a user should know of it. Lists hold paths."""

    tree: Tree = field(default_factory=dict)
    conflicts: dict[str, Conflict] = field(default_factory=dict)
    #: Edited by the user, gone from the template: kept.
    kept: list[str] = field(default_factory=list)
    #: Taken over by the user, changed by the template: left as they are.
    taken: list[str] = field(default_factory=list)
    #: New in the template, in folders whose content is the user's: left out.
    left_out: list[str] = field(default_factory=list)
    #: The user's, made otherwise by the template now: left as they are.
    differs: list[str] = field(default_factory=list)
    #: New here, but a tracked file is where its folder is to be, or a folder in its place: left out.
    blocked: list[str] = field(default_factory=list)
    #: New here, but git ignores the path, and a file is there: left as it is.
    ignored: list[str] = field(default_factory=list)
    #: The project's own files that have another place.
    moved: frozenset[str] = frozenset()


class Repository:
    """The git repository that a project is in, seen from the project's folder."""

    def __init__(self, project: Path) -> None:
        self.project = project
        #: The project's folder within the repository: "" or "path/to/it/".
        self.prefix = self.git("rev-parse", "--show-prefix").decode().removesuffix("\n")
        self.head = self.git("rev-parse", "HEAD").decode().strip()

    def git(self, *args: str, input: bytes | None = None, **env: str) -> bytes:
        """Run git in the project's folder and return what it prints.

        Raises:
            GitError: it failed.
        """
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *args],
            cwd=self.project,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            env=os.environ | env,
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise GitError(f"git {args[0]}: {said[-1]}")
        return done.stdout

    def tree(self, commit: str = "HEAD") -> Tree:
        """Return the project's files in a commit. Submodules count as files."""
        listing = self.git("ls-tree", "-r", "-z", commit).decode(errors="surrogateescape")
        found = {}
        for entry in listing.split("\0")[:-1]:
            meta, _, path = entry.partition("\t")
            mode, _, blob = meta.split()
            found[path] = File(mode, blob)
        return found

    def index(self) -> list[str]:
        """List the project's files that git tracks."""
        listing = self.git("ls-files", "-z").decode(errors="surrogateescape")
        return listing.split("\0")[:-1]

    def stored(self, folder: Path) -> Tree:
        """Put the files of a folder into the repository's objects, and return them as a tree."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        names = "".join(f"{path}\n" for path in paths).encode()
        blobs = self.git("hash-object", "-w", "--no-filters", "--stdin-paths", input=names)
        return {
            path.relative_to(folder).as_posix(): File(mode_of(path), blob)
            for path, blob in zip(paths, blobs.decode().split(), strict=True)
        }

    def store(self, content: bytes) -> str:
        """Put some content into the repository's objects, and return its id."""
        return self.git("hash-object", "-w", "--stdin", input=content).decode().strip()

    def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """Return the content of each of some objects."""
        wanted = sorted(set(blobs))
        listing = "".join(f"{blob}\n" for blob in wanted).encode()
        output = self.git("cat-file", "--batch", input=listing) if wanted else b""
        found, start = {}, 0
        for blob in wanted:
            end = output.index(b"\n", start)
            size = int(output[start:end].split()[-1])
            found[blob] = output[end + 1 : end + 1 + size]
            start = end + size + 2
        return found

    def apply(self, before: Tree, result: Result) -> None:
        """Bring the project from its last commit to a result, staged; conflicts are unmerged.

        The index comes first, as a whole. From then on git knows every path that is going to be
        written, so that there is a way back from wherever this stops.

        Raises:
            MoveError: something is where a file is moved to; nothing is written.
            ChangedError: something is not as in the last commit; nothing is written.
            GitError: it failed, and is undone.
        """
        in_the_way = self._in_the_way(before, result.tree)
        for path in sorted(in_the_way.keys() & result.moved):
            raise MoveError(f"{in_the_way[path]} is in the way of {path}; move it elsewhere first")
        result.blocked = sorted(path for path, other in in_the_way.items() if other in before)
        result.ignored = sorted(in_the_way.keys() - set(result.blocked))
        after = {path: file for path, file in result.tree.items() if path not in in_the_way}
        changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
        changed |= result.conflicts.keys()
        for path in sorted(changed):
            if path in before and before[path].mode == SUBMODULE:
                raise MoveError(f"{path} is a submodule; 'git rm' it first, and commit")
        self.check_unchanged(changed)
        try:
            with uninterrupted():
                self._write_index(after, changed, result.conflicts)
                self._write_files(after, changed, result.conflicts)
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Bring the project back to its last commit."""
        command = undo_command(self.prefix)
        subprocess.run(command, shell=True, cwd=self.project, capture_output=True)

    def check_unchanged(self, paths: Collection[str]) -> None:
        """Check that nothing is written over that the last commit does not hold.

        Raises:
            ChangedError: something would be.
        """
        if self.git("rev-parse", "HEAD").decode().strip() != self.head:
            raise ChangedError("there is a new commit since this began; run it again")
        status = self.git("status", "--porcelain", "-z", "--untracked-files=no", "--", ".")
        if status:
            name = status[3:].decode(errors="replace").partition("\0")[0]
            raise ChangedError(
                f"{name.removeprefix(self.prefix)} has changed since this began; commit it, and "
                "run this again"
            )
        # What git is told to overlook (`assume-unchanged`, `skip-worktree`) is in no status.
        listing = self.git("ls-files", "-v", "-z").decode(errors="surrogateescape")
        for entry in listing.split("\0")[:-1]:
            flag, path = entry[0], entry[2:]
            is_overlooked = flag.islower() or flag == "S"
            if is_overlooked and path in paths and os.path.lexists(self.project / path):
                raise ChangedError(
                    f"git overlooks what you change in {path}, so it could get lost; first run: "
                    f"git update-index --no-assume-unchanged --no-skip-worktree {path}"
                )

    def _in_the_way(self, before: Tree, after: Tree) -> dict[str, str]:
        """Find what is in the place of new files, or of a folder that they need.

        Returns:
            For each such file, what there is: a file of the project's, or one that git ignores.
        """
        inside = {str(folder): path for path in after for folder in PurePosixPath(path).parents}
        found = {}
        for path in after.keys() - before.keys():
            folders = [str(folder) for folder in PurePosixPath(path).parents][:-1]
            tracked = [inside[path]] if path in inside else [one for one in folders if one in after]
            ignored = [one for one in (path, *folders) if self._is_taken(one, path, before)]
            if tracked or ignored:
                found[path] = (tracked or ignored)[0]
        return found

    def _is_taken(self, place: str, path: str, before: Tree) -> bool:
        """Tell whether a place that a new file needs is taken by what git does not track."""
        on_disk = self.project / place
        is_there = os.path.lexists(on_disk) and place not in before
        return is_there and (place == path or on_disk.is_symlink() or on_disk.is_file())

    def _write_index(
        self, after: Tree, changed: Iterable[str], conflicts: Mapping[str, Conflict]
    ) -> None:
        lines = []
        for path in sorted(changed | conflicts.keys()):
            lines.append(f"0 {'0' * len(self.head)}\t{self.prefix}{path}")
            sides: list[tuple[int, File | None]] = [(0, after.get(path))]
            if conflict := conflicts.get(path):
                sides = [(1, conflict.base), (2, conflict.ours), (3, conflict.theirs)]
            lines += [
                f"{file.mode} {file.blob} {stage}\t{self.prefix}{path}"
                for stage, file in sides
                if file
            ]
        index = self.project / self.git("rev-parse", "--git-path", "index").decode().strip()
        lock, draft = index.with_name("index.lock"), index.with_name(f"index.{os.getpid()}")
        try:
            shutil.copy2(index, draft)
            self.git(
                *("update-index", "-z", "--index-info"),
                input="".join(f"{line}\0" for line in lines).encode(errors="surrogateescape"),
                GIT_INDEX_FILE=str(draft),
            )
            # As git does: who makes the lock may write. It is held for a moment only, because a
            # process that is killed meanwhile leaves it behind.
            try:
                lock.touch(exist_ok=False)
            except FileExistsError:
                raise GitError(f"{lock} exists: is another git process running?") from None
            try:
                draft.replace(index)
            finally:
                lock.unlink()
        finally:
            draft.unlink(missing_ok=True)

    def _write_files(
        self, after: Tree, changed: Iterable[str], conflicts: Mapping[str, Conflict]
    ) -> None:
        for path in sorted(changed):
            if path not in after:
                remove(self.project / path, self.project)
        written = [path for path in sorted(changed) if path in after and path not in conflicts]
        names = "".join(f"{path}\0" for path in written).encode(errors="surrogateescape")
        self.git("checkout-index", "--force", "-u", "-z", "--stdin", input=names)
        if conflicts:
            self._write_texts(conflicts)

    def _write_texts(self, conflicts: Mapping[str, Conflict]) -> None:
        """Write the texts with markers as git checks them out: from an index, here one of their own."""
        texts = [
            f"{conflict.text.mode} {conflict.text.blob}\t{self.prefix}{path}\0"
            for path, conflict in conflicts.items()
        ]
        with tempfile.TemporaryDirectory(prefix="template-") as folder:
            index = str(Path(folder, "index"))
            listing = "".join(texts).encode(errors="surrogateescape")
            self.git("update-index", "-z", "--index-info", input=listing, GIT_INDEX_FILE=index)
            self.git("checkout-index", "--force", "--all", GIT_INDEX_FILE=index)


def undo_command(prefix: str) -> str:
    """Return the shell command that brings a project back to its last commit, run in its folder.

    Only what git tracks, or was about to, is touched: files that it ignores or does not know stay.
    In a repository that holds more than the project, the rest stays too.
    """
    if not prefix:
        return "git reset --hard"
    return "git add --update . && git restore --source=HEAD --staged --worktree ."


def mode_of(path: Path) -> str:
    """Return the mode that git gives a file."""
    return EXECUTABLE if path.stat().st_mode & 0o100 else FILE


def remove(path: Path, root: Path) -> None:
    """Remove a file, and the folders up to the root that are empty without it."""
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == root:
            break
        try:
            folder.rmdir()
        except OSError:
            break


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C and its like for a moment, from the processes that are started too."""
    held = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unit(path: str) -> tuple[str, ...]:
    """Return what a path is a part of: a service's folder, or a folder of the root, or the root."""
    parts = PurePosixPath(path).parts
    return parts[:2] if parts[0] == "services" else parts[:1] if len(parts) > 1 else ()


def edited(base: Tree, ours: Tree, folder: str) -> list[str]:
    """List what a user changed, added or removed in a folder, lock files apart."""
    return sorted(
        path
        for path in {*base, *ours}
        if path.startswith(f"{folder}/")
        and base.get(path) != ours.get(path)
        and not (path not in base and PurePosixPath(path).name in LOCK_FILES)
    )


class Merge:
    """The merge of what the template made last, what the project is now, and what it makes now.

    `base` and `theirs` are the template's; `ours` is the project. Of a file that is the user's,
    nothing is touched, added or removed, except where its folder moves (`moved` holds those paths):
    then what the move changes in it is merged, taken from `theirs_moved`.
    """

    def __init__(
        self,
        repository: Repository,
        base: Tree,
        ours: Tree,
        theirs: Tree,
        *,
        moved: Iterable[str] = (),
        theirs_moved: Tree | None = None,
    ) -> None:
        self.repository = repository
        self.base, self.ours, self.theirs = base, ours, theirs
        self.moved = frozenset(moved)
        self.theirs_moved = theirs if theirs_moved is None else theirs_moved
        self.units = {unit(path) for path in base}
        self.moved_units = {unit(path) for path in self.moved}
        self.marked = self._marked()

    def _marked(self) -> set[str]:
        """Return the ids of the contents that say they are the template's."""
        blobs = {
            tree[path].blob
            for tree in (self.base, self.ours, self.theirs)
            for path in tree
            if path in self.base or path in self.theirs
            if tree[path].mode in (FILE, EXECUTABLE)
        }
        return {blob for blob, text in self.repository.read(blobs).items() if MARK in text}

    def is_templates(self, path: str) -> bool:
        """Tell whether a file is the template's, unless the user has made it their own."""
        file = self.theirs.get(path) or self.base[path]
        return PurePosixPath(path).name in UNMARKED or file.blob in self.marked

    def is_taken_over(self, path: str) -> bool:
        """Tell whether the user has made a file of the template's their own: it does not say so."""
        base, ours = self.base.get(path), self.ours.get(path)
        if ours is None or PurePosixPath(path).name in UNMARKED:
            return False
        return ours.blob not in self.marked and (base is None or base.blob in self.marked)

    def _is_new(self, path: str) -> bool:
        """Tell whether a file of the user's is to be made: with its folder, or for the move's sake."""
        return unit(path) not in self.units or (
            unit(path) in self.moved_units and path in self.theirs_moved
        )

    def run(self) -> Result:
        """Decide on every path."""
        result = Result(moved=self.moved & self.ours.keys())
        for path in sorted({*self.base, *self.ours, *self.theirs}):
            file = self._decide(path, result)
            if file is not None:
                result.tree[path] = file
        return result

    def _decide(self, path: str, result: Result) -> File | None:
        base, ours, theirs = (tree.get(path) for tree in (self.base, self.ours, self.theirs))
        if base is None and theirs is None:
            return ours
        if not self.is_templates(path):
            if ours is None and base is None:
                if self._is_new(path):
                    return theirs
                result.left_out.append(path)
            if path not in self.moved:
                if ours and base and theirs and theirs not in (base, ours):
                    result.differs.append(path)
                return ours
            theirs = self.theirs_moved.get(path, ours)
        elif self.is_taken_over(path):
            if base != theirs:
                result.taken.append(path)
            return ours
        if ours == base or ours == theirs:
            return theirs
        # What the user has removed stays removed.
        if base == theirs or ours is None:
            return ours
        if theirs is None:
            result.kept.append(path)
            return ours
        return self._contents(path, base, ours, theirs, result)

    def _contents(
        self, path: str, base: File | None, ours: File, theirs: File, result: Result
    ) -> File:
        """Merge a file that both sides changed, line by line."""
        kinds = {file.mode for file in (base, ours, theirs) if file}
        if not kinds <= {FILE, EXECUTABLE}:
            result.conflicts[path] = Conflict(base, ours, theirs, ours)
            return ours
        mode = theirs.mode if base and ours.mode == base.mode else ours.mode
        texts = self.repository.read(file.blob for file in (base, ours, theirs) if file)
        text, clean = merged(
            texts[base.blob] if base else b"", texts[ours.blob], texts[theirs.blob]
        )
        file = File(mode, self.repository.store(text))
        if not clean:
            result.conflicts[path] = Conflict(base, ours, theirs, file)
        return file


def merged(base: bytes, ours: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """Merge three texts; return the result, and whether it has no conflict.

    Where git keeps a user's file with Windows' line ends, in all of its lines, it gets them back after.
    """
    windows = 0 < ours.count(b"\n") == ours.count(b"\r\n") and b"\r\n" not in base + theirs
    if windows:
        ours = ours.replace(b"\r\n", b"\n")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("ours", "base", "theirs")]
        for file, text in zip(files, (ours, base, theirs), strict=True):
            file.write_bytes(text)
        labels = [f"-L{label}" for label in LABELS]
        command = ["git", "merge-file", "--stdout", *labels, *map(str, files)]
        done = subprocess.run(command, capture_output=True)
    if done.returncode > 127:  # Not text.
        return ours, False
    text = done.stdout.replace(b"\n", b"\r\n") if windows else done.stdout
    return text, done.returncode == 0


def moved(tree: Tree, places: Callable[[str], Iterable[str]]) -> Tree:
    """Return a tree with its files at other places; one may be at several.

    Raises:
        MoveError: two files would be at the same place, or one is a submodule.
    """
    origins: dict[str, str] = {}
    for path, file in tree.items():
        for place in places(path):
            if place in origins:
                other = origins[place] if place == path else path
                raise MoveError(f"{place} is in the way of {other}; move it elsewhere first")
            if file.mode == SUBMODULE and place != path:
                raise MoveError(
                    f"{path} is a submodule, which cannot be moved: 'git rm' it first, and commit; "
                    f"'git submodule add' it to {place} after"
                )
            origins[place] = path
    return {place: tree[path] for place, path in origins.items()}
