"""What is left to do by hand where the template was generated over somebody's own project.

Every file that was there is as it was. This compares it with a new project of the same answers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import copier
import yaml

#: Says that a file is the template's.
MARK = "Kept by the template"

#: How a project gets one of the template's files, after its own has gone.
TAKE = (
    "uvx --with copier-template-extensions --with jinja2-time copier recopy --trust --defaults "
    "--skip-tasks --exclude '**' --exclude '!{}'"
)

#: Files that a list of lines is enough for.
LINES = (".gitignore", ".dockerignore", ".gitattributes")


def by_hand(project: Path, template: Path) -> Iterator[str]:
    """Yield a line for each thing that is left to do."""
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
        yield from skipped(project, fresh)
    yield from services(project, answers)


def skipped(project: Path, fresh: Path) -> Iterator[str]:
    """Yield what to do about the template's files that another was in the place of."""
    for path in sorted(path for path in fresh.rglob("*") if path.is_file()):
        name = path.relative_to(fresh).as_posix()
        text = path.read_text(encoding="utf-8")
        mine = (project / name).read_text(encoding="utf-8", errors="replace")
        if MARK not in text or mine == text:
            continue
        if name in LINES:
            known = mine.splitlines()
            new = [line for line in text.splitlines() if line not in known]
            lines = [line for line in new if line and not line.startswith("#")]
            if lines:
                yield f"{name}: add {', '.join(lines)}"
        elif name == "Makefile":
            yield (
                "Makefile: the targets of the template are in its own, which includes a "
                f"Makefile.local; git mv Makefile Makefile.local, then {TAKE.format(name)}"
            )
        else:
            yield f"{name}: yours is kept; to have the template's, move it away, then " + (
                TAKE.format(name)
            )


def services(project: Path, answers: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the services lack that were there."""
    for name in answers.get("adopted") or []:
        folder = "." if answers["layout"] == "single" else f"services/{name}"
        here = "" if folder == "." else f"{folder}/"
        if folder != "." and not holds_source(project / folder) and (project / name).is_dir():
            yield (f"{name}/ is to be in services/: git mv -k {name}/* {name}/.[!.]* {folder}/")
        elif not (project / folder / "Dockerfile").exists():
            yield f"{here}Dockerfile: write one; docs/adopt.md of the template says what it needs"
        yield f"{here}Makefile: put the commands there that run its tests and checks"


def holds_source(folder: Path) -> bool:
    """Tell whether a folder holds more than what the template put there."""
    return any(path.name not in ("Makefile", "deploy") for path in folder.glob("*"))
