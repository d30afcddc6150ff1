"""The manual steps after a project was generated into a folder that had files before.

All existing files are unchanged. This compares them with a new project of the same answers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import copier
import yaml

#: Marks a file as the template's.
MARK = "Kept by the template"

#: Writes the template's FILE to the project, after the user has renamed their own file.
TAKE = (
    "uvx --with copier-template-extensions --with jinja2-time copier recopy \\\n"
    "  --trust --defaults --skip-tasks --exclude '**' --exclude '!FILE'"
)

#: Files in which the template only needs some lines.
LINES = (".gitignore", ".dockerignore", ".gitattributes")

#: How many names a step lists, so that all steps fit on one screen.
MAX_NAMES = 8

#: What to do, and a command for it or an empty text.
Step = tuple[str, str]


def manual_steps(project: Path, template: Path) -> list[Step]:
    """Return the steps that the user must do."""
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="template-") as folder:
        fresh = Path(folder)
        copier.run_copy(
            str(template),
            fresh,
            data={key: value for key, value in answers.items() if not key.startswith("_")},
            vcs_ref="HEAD",
            defaults=True,
            quiet=True,
            skip_tasks=True,
            unsafe=True,
        )
        return [*steps_for_files(project, fresh), *steps_for_services(project, answers)]


def steps_for_files(project: Path, fresh: Path) -> Iterator[Step]:
    """Yield the steps for existing files that differ from the template's."""
    kept = []
    for path in sorted(path for path in fresh.rglob("*") if path.is_file()):
        name = path.relative_to(fresh).as_posix()
        text = path.read_text(encoding="utf-8")
        if MARK not in text or not (project / name).is_file():
            continue
        mine = (project / name).read_text(encoding="utf-8", errors="replace")
        if mine == text:
            continue
        if name in LINES:
            known = mine.splitlines()
            new = [line for line in text.splitlines() if line not in known]
            lines = [line for line in new if line and not line.startswith("#")]
            if lines:
                yield f"{name}: add {', '.join(lines)}", ""
            continue
        if name == "Makefile":
            text = "Makefile: rename yours, then take the template's, which includes it:"
            yield text, "git mv Makefile Makefile.local"
        kept.append(name)
    if kept:
        text = f"{listed(kept)}: not replaced. To take the template's FILE, rename yours and run:"
        yield text, TAKE


def steps_for_services(project: Path, answers: Mapping[str, Any]) -> Iterator[Step]:
    """Yield the steps for the services that existed."""
    move, unbuilt, makefiles = [], [], []
    for name in answers.get("adopted") or []:
        folder = "." if answers["layout"] == "single" else f"services/{name}"
        prefix = "" if folder == "." else f"{folder}/"
        if prefix and not holds_source(project / folder) and (project / name).is_dir():
            move.append(name)
        elif not (project / folder / "Dockerfile").exists():
            unbuilt.append(f"{prefix}Dockerfile")
        makefiles.append(f"{prefix}Makefile")
    if move:
        names = " ".join(move)
        yield (
            f"{listed([f'{name}/' for name in move])}: move the contents to services/:",
            f"for s in {names}; do git mv -k $s/* $s/.[!.]* services/$s/; done",
        )
    if unbuilt:
        yield f"{listed(unbuilt)}: write it. The template's docs/adopt.md has the rules.", ""
    if makefiles:
        yield f"{listed(makefiles)}: add the commands of your tests and checks", ""


def listed(names: Sequence[str]) -> str:
    """List names in a line, and count those beyond the first few."""
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def holds_source(folder: Path) -> bool:
    """Whether a folder contains more than the files of the template."""
    return any(path.name not in ("Makefile", "deploy") for path in folder.glob("*"))
