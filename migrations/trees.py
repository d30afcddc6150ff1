"""Trees of files: each path with its mode and the id of its content, as git stores them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

#: The modes that git gives to paths.
FILE, EXECUTABLE, LINK, SUBMODULE = "100644", "100755", "120000", "160000"

#: Files that package managers write.
LOCK_FILES = frozenset({"uv.lock", "package-lock.json"})


class File(NamedTuple):
    """A file of a tree."""

    mode: str
    blob: str


Tree = dict[str, File]


@dataclass
class Conflict:
    """A file whose lines both sides changed: the file of each side, and the text with markers."""

    base: File | None
    ours: File
    theirs: File
    text: File


@dataclass
class Result:
    """The result of a merge, and what the user must know about it. The lists hold paths."""

    tree: Tree = field(default_factory=dict)
    conflicts: dict[str, Conflict] = field(default_factory=dict)
    #: Kept: the template no longer has the file, but the user changed it.
    kept: list[str] = field(default_factory=list)
    #: Not updated: the template changed the file, but the user took it over.
    taken: list[str] = field(default_factory=list)
    #: Not updated: the template changed the file, but the user deleted or moved it.
    deleted: list[str] = field(default_factory=list)
    #: Not added: the file is new in the template, but its folder belongs to the user.
    left_out: list[str] = field(default_factory=list)
    #: Not updated: the file belongs to the user, and the template now generates it differently.
    differs: list[str] = field(default_factory=list)
    #: Not added: a tracked file, or a folder that does not become empty, is in the place.
    blocked: list[str] = field(default_factory=list)
    #: Not added: git ignores the new file's path, and a file exists there.
    ignored: list[str] = field(default_factory=list)
    #: The new paths of the project's own files that move.
    moved: frozenset[str] = frozenset()


def edited(base: Tree, ours: Tree, folder: str) -> list[str]:
    """List what the user changed, added or removed in a folder, except added lock files."""
    return sorted(
        path
        for path in {*base, *ours}
        if path.startswith(f"{folder}/")
        and base.get(path) != ours.get(path)
        and not (path not in base and PurePosixPath(path).name in LOCK_FILES)
    )
