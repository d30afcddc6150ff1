"""What follows when a project was generated into a folder that had files before.

All existing files are unchanged. This writes the override files, which have what the project's own
compose files say, and lists the remaining steps: it compares the existing files with a new project of
the same answers.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import copier
import yaml

#: Marks a file as the template's.
MARK = "Kept by the template"

#: Files in which the template only needs some lines.
LINES = (".gitignore", ".dockerignore")

#: Files that an adopted project does not need: their lines would change how git stores existing files.
NOT_NEEDED = (".gitattributes", ".editorconfig", "LICENSE")

#: How many names a step lists, so that all steps fit on one screen.
MAX_NAMES = 4

#: How many notes are printed, for the same reason.
MAX_NOTES = 4

#: The targets of the pipeline that a Makefile of a user is likely to have too.
TARGET = re.compile(r"^([a-z][\w-]*)\s*:(?!=)", re.MULTILINE)

#: What to do, and a command for it or an empty text.
Step = tuple[str, str]


@dataclass(frozen=True)
class Adoption:
    """The result of an adoption, as it is printed."""

    written: list[str]  #: the override files
    steps: list[Step]  #: what the user must do
    notes: list[str]  #: what was seen in the project, but is not a service


def adopt(project: Path, template: Path) -> Adoption:
    """Write the override files of a project, and return what remains to do."""
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
        steps = [*steps_for_files(project, fresh, answers), *steps_for_services(answers)]
        ours = frozenset(unchanged_files(project, fresh))
    texts, notes = read_project(project, template, answers, ours)
    written = []
    for name, text in texts.items():
        path = project / name
        # Never over a file of the user, and never into a folder that the template did not create.
        if path.parent.is_dir() and not path.exists() and not path.is_symlink():
            path.write_text(text, encoding="utf-8")
            written.append(name)
    return Adoption(written, steps, notes)


def unchanged_files(project: Path, fresh: Path) -> Iterator[str]:
    """Yield the files of a project that the template has just written."""
    for path in fresh.rglob("*"):
        name = path.relative_to(fresh).as_posix()
        mine = project / name
        if path.is_file() and mine.is_file() and mine.read_bytes() == path.read_bytes():
            yield name


def read_project(
    project: Path, template: Path, answers: Mapping[str, Any], ours: frozenset[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the texts of the override files, and the notes, from the project's own files."""
    sys.path.insert(0, str(template))
    try:
        from extensions.discovery import found
        from extensions.override_files import override_files
        from extensions.services import resolve
    finally:
        sys.path.pop(0)
    known = found(project, ours)
    if answers["layout"] != "multi":
        return {}, known.notes
    names = ("layout", "services", "service_kind", "database", "cache", "project_slug", "registry")
    services = resolve(**{name: answers.get(name, "none") for name in names})
    texts = override_files(
        known,
        [asdict(service) for service in services],
        slug=answers["project_slug"],
        database=answers.get("database", "none"),
        cache=answers.get("cache", "none"),
    )
    return texts, known.notes


def steps_for_files(project: Path, fresh: Path, answers: Mapping[str, Any]) -> Iterator[Step]:
    """Yield the steps for existing files at the paths of the template's."""
    kept, workflows = [], []
    for path in sorted(path for path in fresh.rglob("*") if path.is_file()):
        name = path.relative_to(fresh).as_posix()
        text = path.read_text(encoding="utf-8")
        if MARK not in text or name in NOT_NEEDED or not (project / name).is_file():
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
        elif "/workflows/" in name:
            workflows.append(name)
        else:
            kept.append(name)
    if answers.get("makefile", "Makefile") != "Makefile":
        yield step_for_makefile(project, fresh / str(answers["makefile"]))
    if workflows:
        make = (
            "make" if answers.get("makefile", "Makefile") == "Makefile" else "make -f pipeline.mk"
        )
        yield f"{listed(workflows)}: yours, unchanged. Let it also run: {make} setup test", ""
    if kept:
        yield f"{listed(kept)}: yours, unchanged, although the template has such files", ""


def step_for_makefile(project: Path, ours: Path) -> Step:
    """Return the step that makes the template's targets the default ones of `make`."""
    mine = [project / name for name in ("GNUmakefile", "makefile", "Makefile")]
    file = next((path for path in mine if path.is_file()), None)
    if file is None:  # It is a folder.
        return (
            f"Makefile: yours, unchanged. The pipeline is in {ours.name}:",
            f"make -f {ours.name}",
        )
    theirs = set(TARGET.findall(file.read_text(encoding="utf-8", errors="replace")))
    same = sorted(theirs & set(TARGET.findall(ours.read_text(encoding="utf-8"))))
    if file.name == "GNUmakefile":
        return f"GNUmakefile: yours, unchanged. The pipeline is in {ours.name}:", (
            f"make -f {ours.name}"
        )
    clash = f" (both have {listed(same)}; `make own-{same[0]}` runs yours)" if same else ""
    text = f"{file.name}: yours, unchanged. To let `make` read {ours.name} first{clash}:"
    return text, f"echo 'include {ours.name}' > GNUmakefile"


def steps_for_services(answers: Mapping[str, Any]) -> Iterator[Step]:
    """Yield the step for services whose test command is unknown."""
    adopted = answers.get("adopted") or {}
    missing = [
        f"services/{name}/Makefile"
        for name, commands in adopted.items()
        if not commands.get("test_unit") and not commands.get("test_service")
    ]
    if missing:
        yield f"{listed(missing)}: add the command of the tests, if the service has some", ""


def listed(names: Sequence[str]) -> str:
    """List names in a line, and count those beyond the first few."""
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
