"""Whose file is whose: the template's say so on top, and an update goes by that."""

from __future__ import annotations

import yaml
from pathspec import GitIgnoreSpec

from extensions.services import resolve

from . import pairwise
from .conftest import Project

MARK = b"Kept by the template"

#: The template's files that have no place to say so; `migrations/` knows them too.
UNMARKED = (".python-version", ".copier-answers.yml")

#: What is the user's of a custom service, besides its source.
CUSTOM = ("Dockerfile", ".dockerignore", "Makefile")


def users() -> GitIgnoreSpec:
    """What copier.yml says is written once."""
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


def test_every_file_is_somebody_s(project: Project) -> None:
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
            problems.append(f"{name}: says it is the template's, and is written once")
        if not marked and not written_once:
            problems.append(f"{name}: does not say that it is the template's")
    project.check(problems)
