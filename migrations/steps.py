"""What a version of the template changes that a merge cannot see: files and answers with new names.

Each step belongs to the version that it leads to, and runs in every update that crosses it, oldest
first. It gets a `Change`, and says there what is called differently now. Its docstring tells the
story: what was, what is, and why. For example:

    @step("2.0.0")
    def scripts_are_called_tools(change: Change) -> None:
        \"\"\"Until 2.0 the scripts were in scripts/, which projects have their own files in.\"\"\"
        change.move("scripts/stack.py", "tools/stack.py")
        change.rename_answer("registry", "image_registry")

Moved files keep what the user has changed in them. What a step does must not depend on how often it
runs: an update that is undone runs it again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from packaging.version import InvalidVersion, Version


@dataclass
class Change:
    """What the steps of an update say."""

    #: The answers of the project, to be changed in place.
    answers: dict[str, Any]
    #: Old places of files and folders, and their new ones. A folder ends with a slash.
    moves: dict[str, str] = field(default_factory=dict)

    def move(self, old: str, new: str) -> None:
        """Say that a file has a new place, or a folder: then both end with a slash."""
        self.moves[old] = new

    def rename_answer(self, old: str, new: str) -> None:
        """Say that a question has a new name; its answer is kept."""
        if old in self.answers:
            self.answers.setdefault(new, self.answers.pop(old))

    def place(self, path: str) -> str:
        """Return where a file is after all moves, which follow one another."""
        for old, new in self.moves.items():
            if path == old or (old.endswith("/") and path.startswith(old)):
                path = new + path.removeprefix(old)
        return path


Step = Callable[[Change], None]

STEPS: list[tuple[Version, Step]] = []


def step(version: str) -> Callable[[Step], Step]:
    """Register a function as a step to a version."""

    def register(function: Step) -> Step:
        if not function.__doc__:
            raise ValueError(f"{function.__name__} has no docstring to tell its story")
        STEPS.append((Version(version), function))
        STEPS.sort(key=lambda item: item[0])
        return function

    return register


def parsed(commit: str) -> Version:
    """Return the version of what `git describe` says of a commit; 0 where it names no release.

    A commit after a release, `v1.2.3-4-gabc`, is its fourth post-release.
    """
    described = re.fullmatch(r"(v\d+\..*?)(?:-(\d+)-g[0-9a-f]+)?(?:-dirty)?", commit)
    if not described:
        return Version("0")
    tag, count = described.groups()
    try:
        return Version(f"{tag}.post{count}" if count else tag)
    except InvalidVersion:
        return Version("0")


def crossed(old: str, new: str) -> Iterator[Step]:
    """Yield the steps that lie between two versions; a commit without a tag has them all."""
    start, end = parsed(old), parsed(new)
    for version, function in STEPS:
        if start < version and (version <= end or end == Version("0")):
            yield function
