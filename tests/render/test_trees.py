"""The exact files of each named project, which trees/NAME.txt lists.

`nox -s rendered` writes the lists again. Review the difference
before you commit it.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from . import pairwise
from .conftest import Project

TREES = Path(__file__).with_name("trees")


def tree(root: Path) -> str:
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return "".join(f"{name}\n" for name in files)


def difference(expected: str, found: str) -> str:
    lines = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), "expected", "rendered", lineterm="", n=1
    )
    return "\n".join(lines)


def test_a_project_has_exactly_these_files(named_project: Project) -> None:
    listing = TREES / f"{named_project.name}.txt"
    found = tree(named_project.root)
    if os.environ.get("UPDATE_RENDERED"):
        listing.write_text(found, encoding="utf-8")
    expected = listing.read_text(encoding="utf-8") if listing.exists() else ""
    named_project.check(difference(expected, found).splitlines())


def test_each_list_belongs_to_a_named_project() -> None:
    assert {path.stem for path in TREES.iterdir()} == set(pairwise.NAMED)


def test_added_and_missing_files_are_shown() -> None:
    shown = difference("a\nb\n", "a\nc\n").splitlines()
    assert "-b" in shown and "+c" in shown
