"""The files of a project: those that git tracks or would track, without folders of other projects."""

from __future__ import annotations

import os
import stat
import subprocess
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

#: Folders with code of others, with examples, or with files that tools create.
FOREIGN = frozenset(
    "node_modules vendor vendors vendored third_party third-party thirdparty external bower_components "
    "example examples sample samples demo demos testdata fixtures __fixtures__ template templates "
    "cookiecutter .devcontainer .git .hg .svn .venv venv .tox .nox __pycache__ dist site-packages "
    ".terraform .next .nuxt .yarn .pnpm-store .gradle .cargo bazel-out".split()
)

#: A longer list is cut, so that a search always takes a short time.
MAX_FILES = 200_000

#: A larger file is not a configuration file, and is not read.
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class SourceFiles:
    """The files of a project, by their path relative to its root."""

    root: Path
    names: tuple[str, ...]
    submodules: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def known(self) -> frozenset[str]:
        """All paths, for a fast look-up."""
        return frozenset(self.names)

    @cached_property
    def by_folder(self) -> dict[str, list[str]]:
        """The names of the files in each folder; the root is an empty text."""
        found: dict[str, list[str]] = {}
        for name in self.names:
            folder, _, file = name.rpartition("/")
            found.setdefault(folder, []).append(file)
        return found

    @cached_property
    def ordered(self) -> tuple[str, ...]:
        """All paths in their order, so that those of a folder are together."""
        return tuple(sorted(self.names))

    @cached_property
    def memory(self) -> dict[object, Any]:
        """The results of searches that several callers repeat, by what was searched."""
        return {}

    def files_in(self, folder: str) -> list[str]:
        """List the names of the files in a folder; `.` is the root."""
        return self.by_folder.get("" if folder == "." else folder, [])

    def below(self, folder: str) -> Iterator[str]:
        """Yield the paths of all files in a folder and its subfolders; `.` is the root."""
        if folder == ".":
            return iter(self.ordered)
        # The character after `/` is `0`.
        start, end = (bisect_left(self.ordered, folder + mark) for mark in "/0")
        return iter(self.ordered[start:end])

    def is_folder(self, path: str) -> bool:
        """Whether a path is a folder of the project."""
        return (self.root / path).is_dir()

    def read(self, path: str) -> str:
        """Read a file of the project. Returns an empty text if it is missing or not readable.

        Other encodings than UTF-8 are read with replacement characters.
        """
        try:
            file = self.root / path
            status = file.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
                return ""
            return file.read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError):
            return ""


def is_foreign(path: str) -> bool:
    """Whether a file is in a folder of vendored code, examples or templates."""
    return not FOREIGN.isdisjoint(PurePosixPath(path).parts[:-1])


def source_files(root: Path) -> SourceFiles:
    """List the files of a project: with git those that it does not ignore, else all files.

    Links whose target is missing are not listed.
    """
    listing = _from_git(root)
    names, submodules = listing or (_walk(root), [])
    there = sorted(name for name in names if _is_there(root, name))
    return SourceFiles(root, tuple(there), frozenset(submodules))


def _from_git(root: Path) -> tuple[list[str], list[str]] | None:
    """List the files that git does not ignore, and the submodules; None without a repository."""
    # `--stage` shows which entries are submodules, but lists only tracked files.
    tracked = _git(root, "ls-files", "-z", "--stage")
    others = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
    if tracked is None or others is None:
        return None
    names, submodules = set(others), []
    for entry in tracked:
        mode, _, rest = entry.partition(" ")
        name = rest.partition("\t")[2]
        if mode == "160000":
            submodules.append(name)
        elif name:
            names.add(name)
    # In a folder that git ignores, it lists no file at all.
    return (list(names)[:MAX_FILES], submodules) if names or submodules else None


def _is_there(root: Path, name: str) -> bool:
    """Whether a file exists: git also lists deleted files, and links that have no target."""
    # Unlike Path.exists(), this accepts a folder that is not readable.
    return os.path.exists(root / name)  # noqa: PTH110


def _git(root: Path, *arguments: str) -> list[str] | None:
    try:
        done = subprocess.run(
            ["git", "-C", root, *arguments], capture_output=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return [part for part in done.stdout.decode("utf-8", "replace").split("\0") if part]


def _walk(root: Path) -> Iterator[str]:
    """Yield all files below a folder. Links to folders are not followed, so no loop is possible."""
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in FOREIGN)
        for name in names:
            yield (Path(folder) / name).relative_to(root).as_posix()
            count += 1
            if count >= MAX_FILES:
                return
