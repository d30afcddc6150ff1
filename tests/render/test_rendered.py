"""The rendered files of two projects, in rendered/, so that a pull request shows what changes.

Each file has the suffix .txt, so that other tools ignore it. Files that the template copies without
rendering are not stored. `nox -s rendered` renews the files, and the lists in trees/.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .. import conftest
from .conftest import SETS, Project
from .test_trees import difference

RENDERED = Path(__file__).with_name("rendered")

#: The named projects whose files are stored.
KEPT = ("multi", "single-python-api")

#: These contain the year and the address of the template.
LEFT_OUT = ("LICENSE", ".copier-answers.yml")


def texts(project: Path) -> dict[str, str]:
    """Return the rendered files of a project, by name."""
    template = (conftest.ROOT / "template").rglob("*")
    static = {path.read_bytes() for path in template if path.is_file() and path.suffix != ".jinja"}
    return {
        path.relative_to(project).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(project.rglob("*"))
        if path.is_file() and path.name not in LEFT_OUT and path.read_bytes() not in static
    }


@pytest.mark.parametrize("name", KEPT)
def test_the_stored_files_are_up_to_date(name: str, render: Callable[..., Path]) -> None:
    project = Project(name, SETS[name], render(SETS[name]))
    folder = RENDERED / name
    found = texts(project.root)
    if os.environ.get("UPDATE_RENDERED"):
        shutil.rmtree(folder, ignore_errors=True)
        for file, text in found.items():
            path = folder / f"{file}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    kept = {
        path.relative_to(folder).as_posix().removesuffix(".txt"): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.txt")
    }
    problems = [
        f"{file}: {difference(kept.get(file, ''), found.get(file, ''))}"
        for file in sorted({*kept, *found})
        if kept.get(file) != found.get(file)
    ]
    project.check([*problems, "renew it with: nox -s rendered"] if problems else [])
