"""The three-way merge of trees: what the template generated last, the project, the new template."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from repository import Repository
from trees import EXECUTABLE, FILE, Conflict, File, Result, Tree

#: What the conflict markers call our side, the common base and the template's side.
LABELS = ("before updating", "last update", "after updating")

#: The line with this text marks a file as the template's.
MARK = b"Kept by the template"

#: Files of the template whose format has no comments, so that they cannot hold the mark.
UNMARKED = frozenset({".python-version"})


def owner_folder(path: str) -> tuple[str, ...]:
    """Return the folder that decides whether a new file is added.

    This is a service, the image of a stub (`deploy/test/stub`), another top folder, or the root.
    """
    *folders, _ = PurePosixPath(path).parts
    depth = {"services": 2, "deploy": 3}.get(path.partition("/")[0], 1)
    return tuple(folders[:depth])


class Merge:
    """The merge of what the template generated last, the project, and what the template generates now.

    `base` and `theirs` come from the template, `ours` is the project. The merge never changes, adds
    or removes the user's files. The exception is a folder that moves: `moved` holds the new paths of
    its files. There the merge applies what the move changes, which it reads from `theirs_moved`.
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
        self.known_folders = {owner_folder(path) for path in base}
        self.moved_folders = {owner_folder(path) for path in self.moved}
        self.marked = self._marked()

    def _marked(self) -> set[str]:
        """Return the ids of the contents that hold the template's mark."""
        blobs = {
            tree[path].blob
            for tree in (self.base, self.ours, self.theirs)
            for path in tree
            if path in self.base or path in self.theirs
            if tree[path].mode in (FILE, EXECUTABLE)
        }
        return {blob for blob, text in self.repository.read(blobs).items() if MARK in text}

    def is_templates(self, path: str) -> bool:
        """Return whether the template generates a file as its own."""
        file = self.theirs.get(path) or self.base[path]
        return PurePosixPath(path).name in UNMARKED or file.blob in self.marked

    def is_taken_over(self, path: str) -> bool:
        """Return whether the user took over a file of the template by removing its mark."""
        base, ours = self.base.get(path), self.ours.get(path)
        if ours is None or PurePosixPath(path).name in UNMARKED:
            return False
        return ours.blob not in self.marked and (base is None or base.blob in self.marked)

    def _is_added(self, path: str) -> bool:
        """Return whether a new file of the user's is added: its folder is new, or the move needs it."""
        folder = owner_folder(path)
        return folder not in self.known_folders or (
            folder in self.moved_folders and path in self.theirs_moved
        )

    def run(self) -> Result:
        """Merge every path."""
        result = Result(moved=self.moved & self.ours.keys())
        for path in sorted({*self.base, *self.ours, *self.theirs}):
            file = self._merge_path(path, result)
            if file is not None:
                result.tree[path] = file
        return result

    def _merge_path(self, path: str, result: Result) -> File | None:
        base, ours, theirs = (tree.get(path) for tree in (self.base, self.ours, self.theirs))
        if base is None and theirs is None:
            return ours
        if not self.is_templates(path):
            if ours is None and base is None:
                if self._is_added(path):
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
        if base == theirs:
            return ours
        # A file that the user removed stays removed.
        if ours is None:
            if theirs is not None:
                result.deleted.append(path)
            return None
        if theirs is None:
            result.kept.append(path)
            return ours
        return self._merge_contents(path, base, ours, theirs, result)

    def _merge_contents(
        self, path: str, base: File | None, ours: File, theirs: File, result: Result
    ) -> File:
        modes = {file.mode for file in (base, ours, theirs) if file}
        if not modes <= {FILE, EXECUTABLE}:
            result.conflicts[path] = Conflict(base, ours, theirs, ours)
            return ours
        mode = theirs.mode if base and ours.mode == base.mode else ours.mode
        texts = self.repository.read(file.blob for file in (base, ours, theirs) if file)
        text, is_clean = merge_texts(
            texts[base.blob] if base else b"", texts[ours.blob], texts[theirs.blob]
        )
        file = File(mode, self.repository.store(text))
        if not is_clean:
            result.conflicts[path] = Conflict(base, ours, theirs, file)
        return file


def merge_texts(base: bytes, ours: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """Merge three texts line by line; return the result and whether it has no conflicts.

    If git stores our file with Windows line ends in every line, the result has them too.
    """
    has_crlf = 0 < ours.count(b"\n") == ours.count(b"\r\n") and b"\r\n" not in base + theirs
    if has_crlf:
        ours = ours.replace(b"\r\n", b"\n")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("ours", "base", "theirs")]
        for file, text in zip(files, (ours, base, theirs), strict=True):
            file.write_bytes(text)
        labels = [f"-L{label}" for label in LABELS]
        # Not by git.git(): the exit code is the number of conflicts.
        command = ["git", "merge-file", "--stdout", *labels, *map(str, files)]
        done = subprocess.run(command, capture_output=True)
    if done.returncode > 127:  # A binary file.
        return ours, False
    text = done.stdout.replace(b"\n", b"\r\n") if has_crlf else done.stdout
    return text, done.returncode == 0
