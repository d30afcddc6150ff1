"""What a merge cannot see: the files and answers that a version of the template renames.

Each step belongs to the version that introduces the new names. An update runs the steps between the
project's version and the new one, oldest first. Each step describes its renames by a `Change`, and
its docstring says what was renamed and why. For example:

    @step("2.0.0")
    def scripts_are_called_tools(change: Change) -> None:
        \"\"\"Until 2.0 the template used scripts/, where many projects have files of their own.\"\"\"
        change.move("scripts/stack.py", "tools/stack.py")
        change.rename_answer("registry", "image_registry")

Moved files keep the user's changes. A step may run more than once, because a user can undo an update
and repeat it; the result must be the same each time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from packaging.version import InvalidVersion, Version


@dataclass
class Change:
    """The renames of all steps of an update."""

    #: The project's answers. Steps change them in place.
    answers: dict[str, Any]
    #: Old paths of files and folders with their new paths. A folder's path ends with a slash.
    moves: dict[str, str] = field(default_factory=dict)

    def move(self, old: str, new: str) -> None:
        """Move a file or a folder. Both paths of a folder end with a slash."""
        self.moves[old] = new

    def rename_answer(self, old: str, new: str) -> None:
        """Rename a question and keep its answer."""
        if old in self.answers:
            self.answers.setdefault(new, self.answers.pop(old))

    def new_path(self, path: str) -> str:
        """Return the path of a file after all moves, applied one after another."""
        for old, new in self.moves.items():
            if path == old or (old.endswith("/") and path.startswith(old)):
                path = new + path.removeprefix(old)
        return path


Step = Callable[[Change], None]

STEPS: list[tuple[Version, Step]] = []


def step(version: str) -> Callable[[Step], Step]:
    """Register a function as a step of a version."""

    def register(function: Step) -> Step:
        if not function.__doc__:
            raise ValueError(
                f"step {function.__name__} needs a docstring that says what was renamed and why"
            )
        STEPS.append((Version(version), function))
        STEPS.sort(key=lambda item: item[0])
        return function

    return register


def parsed(commit: str) -> Version:
    """Return the version for an output of `git describe`, or 0 if that names no release.

    `v1.2.3-4-gabc`, the fourth commit after v1.2.3, becomes the post-release 1.2.3.post4.
    """
    described = re.fullmatch(r"(v\d+\..*?)(?:-(\d+)-g[0-9a-f]+)?(?:-dirty)?", commit)
    if not described:
        return Version("0")
    tag, count = described.groups()
    try:
        return Version(f"{tag}.post{count}" if count else tag)
    except InvalidVersion:
        return Version("0")


def steps_between(old: str, new: str) -> Iterator[Step]:
    """Yield the steps after the old version, up to and including the new one.

    A commit without a release counts as before all steps if it is the old version, and as after all
    steps if it is the new one.
    """
    start, end = parsed(old), parsed(new)
    for version, function in STEPS:
        if start < version and (version <= end or end == Version("0")):
            yield function


@step("0.1.0")
def modules_of_the_runner_are_renamed(change: Change) -> None:
    """Before 0.1.0, two modules of the test runner had names that did not describe them.

    `stacks.py` runs Compose, and was beside scripts/stack.py. `verdict.py` decides the state of a
    target.
    """
    change.move("scripts/test_runner/stacks.py", "scripts/test_runner/compose.py")
    change.move("scripts/test_runner/verdict.py", "scripts/test_runner/target_state.py")
