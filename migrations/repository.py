"""The project's git repository: reads its files, and checks that nothing is in progress there."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Collection, Iterable
from pathlib import Path

from errors import ChangedError, GitError, RefusedError
from git_command import git
from trees import EXECUTABLE, FILE, File, Tree

#: What is in progress if a file of the git directory exists, and how to stop it.
IN_PROGRESS = {
    "MERGE_HEAD": ("merge", "git merge --abort"),
    "CHERRY_PICK_HEAD": ("cherry-pick", "git cherry-pick --abort"),
    "REVERT_HEAD": ("revert", "git revert --abort"),
    "rebase-merge": ("rebase", "git rebase --abort"),
    "rebase-apply": ("rebase or git am", "git rebase --abort, or git am --abort"),
}


class Repository:
    """The git repository that contains a project. All paths are relative to the project's folder."""

    def __init__(self, project: Path) -> None:
        self.project = project
        #: The path from the repository's root to the project: "" or "path/to/project/".
        self.prefix = self.git("rev-parse", "--show-prefix").decode().removesuffix("\n")
        self.head = self.git("rev-parse", "HEAD").decode().strip()

    def git(self, *args: str, input: bytes | None = None, **env: str) -> bytes:
        """Run git in the project's folder and return its output.

        Raises:
            GitError: git failed.
        """
        return git(*args, cwd=self.project, input=input, **env)

    def tree(self, commit: str = "HEAD") -> Tree:
        """Return the project's files in a commit. A submodule counts as a file."""
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
        """Store the files of a folder as git objects, and return them as a tree."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        names = "".join(f"{path}\n" for path in paths).encode()
        blobs = self.git("hash-object", "-w", "--no-filters", "--stdin-paths", input=names)
        return {
            path.relative_to(folder).as_posix(): File(mode_of(path), blob)
            for path, blob in zip(paths, blobs.decode().split(), strict=True)
        }

    def store(self, content: bytes) -> str:
        """Store some content as a git object, and return its id."""
        return self.git("hash-object", "-w", "--stdin", input=content).decode().strip()

    def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """Return the content of git objects by their ids."""
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

    def mentions(self, text: str) -> set[str]:
        """Return the text files of the last commit that contain a text."""
        try:
            listing = self.git("grep", "-lzIF", "-e", text, "HEAD", "--", ".")
        except GitError:  # No file does.
            return set()
        names = listing.decode(errors="surrogateescape").split("\0")[:-1]
        return {name.removeprefix("HEAD:") for name in names}

    def git_path(self, name: str) -> Path:
        """Return the path of something in the git directory, relative to the project's folder."""
        return Path(os.fsdecode(self.git("rev-parse", "--git-path", name)).removesuffix("\n"))

    def check_nothing_in_progress(self) -> None:
        """Refuse to stage an update into a merge, a rebase or the like.

        Raises:
            RefusedError: one is in progress, or this checkout lacks some of the project's files.
        """
        for name, (what, fix) in IN_PROGRESS.items():
            if (self.project / self.git_path(name)).exists():
                raise RefusedError(f"a {what} is in progress; finish it, or run: {fix}")
        listing = self.git("ls-files", "-t", "-z").decode(errors="surrogateescape")
        skipped = [entry[2:] for entry in listing.split("\0") if entry.startswith("S ")]
        if skipped and self.config("core.sparseCheckout") == "true":
            raise RefusedError(
                f"this checkout is sparse and lacks {skipped[0]}, so an update cannot merge all files; "
                "run: git sparse-checkout disable"
            )

    def config(self, name: str) -> str:
        """Return a boolean of git's configuration as "true" or "false", or "" if it is not set."""
        try:
            return self.git("config", "--type=bool", name).decode().strip()
        except GitError:
            return ""

    def check_head(self) -> None:
        """Check that the last commit still is the one that was read.

        Raises:
            ChangedError: it is not.
        """
        if self.git("rev-parse", "HEAD").decode().strip() != self.head:
            raise ChangedError("a commit was made during the update; run the update again")

    def check_index_is_free(self) -> None:
        """Check that no other git process writes the index.

        Raises:
            GitError: one does, or one was killed.
        """
        lock = self.project / self.git_path("index.lock")
        if lock.exists():
            raise GitError(f"{lock} exists; is another git process running?")

    def refresh_index(self) -> None:
        """Let git note which files are as in the index. Only speed depends on it."""
        with contextlib.suppress(GitError):
            self.git("update-index", "-q", "--refresh")

    def check_unchanged(self, paths: Collection[str]) -> None:
        """Check that the last commit contains everything that will be overwritten.

        Raises:
            ChangedError: it does not.
        """
        self.check_head()
        self.check_index_is_free()
        status = self.git("status", "--porcelain", "-z", "--untracked-files=no", "--", ".")
        if status:
            name = status[3:].decode(errors="replace").partition("\0")[0]
            raise ChangedError(
                f"{name.removeprefix(self.prefix)} changed during the update; commit it and run the "
                "update again"
            )
        # `git status` does not show files with the flags assume-unchanged and skip-worktree.
        listing = self.git("ls-files", "-v", "-z").decode(errors="surrogateescape")
        for entry in listing.split("\0")[:-1]:
            flag, path = entry[0], entry[2:]
            is_hidden = flag.islower() or flag == "S"
            if is_hidden and path in paths and os.path.lexists(self.project / path):
                raise ChangedError(
                    f"git is set to ignore your changes to {path}, so an update could lose them; "
                    f"first run: git update-index --no-assume-unchanged --no-skip-worktree "
                    f"-- {shlex.quote(path)}"
                )


def mode_of(path: Path) -> str:
    """Return the mode that git stores for a file."""
    return EXECUTABLE if path.stat().st_mode & 0o100 else FILE
