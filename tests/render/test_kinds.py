"""A kind is its folder, its row in extensions/kinds.py and its choice in copier.yml: nothing more."""

from __future__ import annotations

import filecmp
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import copier
import plumbum

from extensions.kinds import KINDS

from .. import conftest
from .conftest import SETS

#: Where no file decides by the name of a kind. Questions do, because they come before the table.
PRODUCT = ("extensions", "includes", "migrations", "tasks", "template")


def folder_of(kind: str) -> str:
    """Return the beginning of the name of a kind's folder in template/."""
    return "{% yield service from services_of." + kind.replace("-", "_") + " %}"


def test_each_kind_has_a_folder() -> None:
    folders = [path.name for path in (conftest.ROOT / "template").iterdir() if path.is_dir()]
    for kind in KINDS:
        assert sum(name.startswith(folder_of(kind)) for name in folders) == 1, kind
    assert sum("services_of" in name for name in folders) == len(KINDS)


def test_no_other_file_decides_by_the_name_of_a_kind() -> None:
    names = "|".join({*KINDS, *(kind.replace("-", "_") for kind in KINDS)} - {"custom"})
    condition = re.compile(rf"(==|!=|\bin\b|startswith|equalto)[^\n]*['\"]({names})['\"]")
    for part in PRODUCT:
        for file in (conftest.ROOT / part).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                found = condition.search(file.read_text(encoding="utf-8"))
                assert not found, f"{file.relative_to(conftest.ROOT)}: {found[0]}"


def test_without_a_kind_the_others_are_rendered_as_before(
    render: Callable[..., Path], tmp_path: Path
) -> None:
    template = tmp_path / "template"
    template.mkdir()
    conftest.copy_template(template)
    for path in (template / "template").iterdir():
        if path.name.startswith(folder_of("node-api")):
            shutil.rmtree(path)
    without(template / "extensions/kinds.py", r'    "node-api": replace\(.*?\n    \),\n')
    without(template / "copier.yml", r'    "node-api:[^\n]*": node-api\n')
    project = tmp_path / "my-project"
    with plumbum.local.env(PATH=""):
        copier.run_copy(
            str(template), project, data=SETS["multi"], defaults=True, quiet=True,
            skip_tasks=True, unsafe=True,
        )  # fmt: skip
    assert differing(filecmp.dircmp(render(SETS["multi"]), project)) == [".copier-answers.yml"]


def without(file: Path, pattern: str) -> None:
    """Remove the one match of a pattern from a file."""
    text, count = re.subn(pattern, "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert count == 1, f"{pattern} matches {count} times in {file.name}"
    file.write_text(text, encoding="utf-8")


def differing(compared: filecmp.dircmp[str]) -> list[str]:
    """Return the names of the files that two folders do not share, or that differ in them."""
    names = [*compared.left_only, *compared.right_only, *compared.diff_files]
    return names + [name for sub in compared.subdirs.values() for name in differing(sub)]
