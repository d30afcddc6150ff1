"""A project that grew, got more services and contains a user's code passes all its tests.

tests/update/test_grow.py compares such a project with a new one, file by file.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import NOTHING, PYTHON_VERSION, Project, remove, sh, template_repository

OWN = """\
import app.settings
from app import main


def names() -> list[str]:
    return [main.__name__, app.settings.__name__]
"""
OWN_TEST = """\
from app.own import names


def test_own_code_moves_along() -> None:
    assert [name.split(".")[-1] for name in names()] == ["main", "settings"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Generate a single project from a template that is a git repository, so updates work."""
    template = template_repository(tmp_path / "template")
    slug = f"e2e-{secrets.token_hex(3)}"
    answers = {
        "project_slug": slug, "layout": "single", "service_kind": "python-api",
        "database": "none", "python_version": PYTHON_VERSION,
    }  # fmt: skip
    done = sh(
        *(sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--quiet"),
        *(f"--data={key}={value}" for key, value in answers.items()),
        *(str(template), str(tmp_path / slug)),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    project = Project(tmp_path / slug, slug)
    yield project
    remove(f"test.project={slug}")


@pytest.mark.drills
def test_it_passes_its_tests(project: Project) -> None:
    (project.path / "src/app/own.py").write_text(OWN)
    (project.path / "tests/unit/test_own.py").write_text(OWN_TEST)
    project.commit()
    project.make("template-grow", "NAME=price-feed")
    project.commit("grow")
    project.make("add-service", "NAME=engine:custom")
    project.commit("add")
    project.make("setup")
    project.make("lint")
    assert "test_own.py" in project.make("test-verbose")
    assert project.run("git", "status", "--porcelain") == ""
    assert project.left() == NOTHING
