"""The steps that adoption prints for existing files at the paths of the template's."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ..conftest import ROOT
from .repositories import write

MARK = "# Kept by the template: copier update merges its changes into this file.\n"


@pytest.fixture
def adoption(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module of tasks/."""
    monkeypatch.syspath_prepend(str(ROOT / "tasks"))
    module = importlib.import_module("adoption")
    sys.modules.pop("adoption")
    return module


def steps(
    adoption: ModuleType, root: Path, theirs: dict[str, str], ours: dict[str, str]
) -> list[str]:
    """Return the texts of the steps."""
    project, fresh = write(root / "project", theirs), write(root / "fresh", ours)
    return [text for text, _ in adoption.steps_for_files(project, fresh, {})]


def test_missing_lines_are_listed(adoption: ModuleType, tmp_path: Path) -> None:
    ours = {".gitignore": f"{MARK}# Comment\n.env\n*.log\n"}
    assert steps(adoption, tmp_path, {".gitignore": ".env\n"}, ours) == [".gitignore: add *.log"]


def test_a_file_that_has_all_lines_needs_no_step(adoption: ModuleType, tmp_path: Path) -> None:
    assert (
        steps(adoption, tmp_path, {".gitignore": "a\n.env\n"}, {".gitignore": f"{MARK}.env\n"})
        == []
    )


def test_the_ends_of_lines_of_existing_files_are_not_changed(
    adoption: ModuleType, tmp_path: Path
) -> None:
    # `* text=auto` would make git renormalize all files of the project.
    ours = {
        ".gitattributes": f"{MARK}* text=auto eol=lf\n",
        ".editorconfig": f"{MARK}root = true\n",
    }
    theirs = {".gitattributes": "*.png binary\n", ".editorconfig": "[*]\n"}
    assert steps(adoption, tmp_path, theirs, ours) == []


def test_other_files_are_named(adoption: ModuleType, tmp_path: Path) -> None:
    ours = {name: f"{MARK}ours\n" for name in (".github/workflows/ci.yml", "scripts/stack.py")}
    assert steps(adoption, tmp_path, dict.fromkeys(ours, "theirs\n"), ours) == [
        ".github/workflows/ci.yml: yours, unchanged. Let it also run: make setup test",
        "scripts/stack.py: yours, unchanged, although the template has such files",
    ]


def test_files_without_a_counterpart_need_no_step(adoption: ModuleType, tmp_path: Path) -> None:
    ours = {"scripts/stack.py": f"{MARK}ours\n", "README.md": "Yours to edit\n"}
    assert steps(adoption, tmp_path, {"README.md": "mine\n"}, ours) == []
