"""Each file belongs to the template or to the user. A line at the top of the file decides."""

from __future__ import annotations

import yaml
from pathspec import GitIgnoreSpec

from extensions.services import resolve

from . import pairwise
from .conftest import Project

MARK = b"Kept by the template"

#: Files of the template that cannot contain that line. `migrations/` has the same list.
UNMARKED = (".python-version", ".copier-answers.yml")

#: Files of a custom service that belong to the user, in addition to its source.
CUSTOM = ("Dockerfile", ".dockerignore", "Makefile")


def users() -> GitIgnoreSpec:
    """Return the patterns of the files that copier.yml lets Copier write only once."""
    patterns = [line for line in pairwise.settings()["_skip_if_exists"] if "{{" not in line]
    return GitIgnoreSpec.from_lines(patterns)


def custom_folders(project: Project) -> list[str]:
    answers = yaml.safe_load((project.root / ".copier-answers.yml").read_text())
    services = resolve(
        **{name: answers.get(name, "none") for name in pairwise.BOUND},
        project_slug="x",
        registry="x",
    )
    return [service.path for service in services if service.is_own]


def test_every_file_has_one_owner(project: Project) -> None:
    spec, problems = users(), []
    customs = {
        name if folder == "." else f"{folder}/{name}"
        for folder in custom_folders(project)
        for name in CUSTOM
        # The Makefile at a root is the project's.
        if (folder, name) != (".", "Makefile")
    }
    for path in sorted(path for path in project.root.rglob("*") if path.is_file()):
        name = path.relative_to(project.root).as_posix()
        marked = MARK in path.read_bytes()
        written_once = spec.match_file(name) or name in customs
        if path.name in UNMARKED:
            continue
        if marked and written_once:
            problems.append(f"{name}: is marked as the template's, but is written once")
        if not marked and not written_once:
            problems.append(f"{name}: is neither marked as the template's nor written once")
    project.check(problems)
