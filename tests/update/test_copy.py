"""A project as `copier copy` leaves it: from a tagged git repository, after the template's tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import plumbum
import pytest
import yaml
from pytest_copier.plugin import CopierFixture, CopierProject
from pytest_gitconfig.plugin import GitConfig

from ..conftest import TEMPLATE_PARTS
from .conftest import ANSWERS, files, git

#: The tag that pytest-copier gives to its copy of the template.
TAG = "99.99.99"

LOCK_FILES = {
    "services/api/uv.lock",
    "services/frontend/package-lock.json",
    "tests/integration/uv.lock",
}


@pytest.fixture(scope="session")
def copier_template_root(template_copy: Path) -> Path:
    """Return the folder that pytest-copier copies: without caches that git ignores."""
    return template_copy


@pytest.fixture(scope="session")
def copier_template_paths() -> list[str]:
    """Return the parts to copy.

    Without this list, pytest-copier also copies .git. In a linked worktree that is a file with the
    path of the real repository, so its commit and its tag would end up there.
    """
    return list(TEMPLATE_PARTS)


@pytest.fixture(scope="session")
def copier_template(request: pytest.FixtureRequest, default_gitconfig: GitConfig) -> Path:
    """Return pytest-copier's copy of the template, a git repository with a tag."""
    with pytest.MonkeyPatch.context() as patch:
        # tests/conftest.py clears git's configuration, and pytest-copier's commit needs an author.
        patch.setenv("GIT_CONFIG_GLOBAL", str(default_gitconfig))
        made: Path = request.getfixturevalue("copier_template")
    return made


@pytest.fixture(scope="module")
def project(copier_template: Path, tmp_path_factory: pytest.TempPathFactory) -> CopierProject:
    """Return a new project that all tests of this file share."""
    with pytest.MonkeyPatch.context() as patch, plumbum.local.env():
        # nox names its own Python to uv, and the project needs another one. Copier runs tasks with
        # the environment of plumbum.
        for variable in ("UV_PYTHON", "UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV"):
            plumbum.local.env.pop(variable, "")
        copier = CopierFixture(copier_template, {"python_version": "3.13"}, patch)
        return copier.copy(tmp_path_factory.mktemp("copy") / "shop", services="api, frontend")


def test_the_answers_record_the_tag_and_the_address(
    project: CopierProject, copier_template: Path
) -> None:
    answers: dict[str, Any] = yaml.safe_load((project / ANSWERS).read_text())
    assert answers["_commit"] == TAG
    assert answers["_src_path"] == str(copier_template)


def test_every_lock_file_exists(project: CopierProject) -> None:
    found = {name for name in files(project.path) if name.endswith((".lock", "-lock.json"))}
    assert found == LOCK_FILES


def test_exactly_the_scripts_are_executable(project: CopierProject) -> None:
    contents = files(project.path)
    scripts = {name for name, content in contents.items() if content.startswith(b"#!")}
    assert "scripts/stack.py" in scripts
    assert {name for name in contents if os.access(project / name, os.X_OK)} == scripts


def test_an_update_right_after_the_copy_changes_nothing(project: CopierProject) -> None:
    git("add", "--all", cwd=project.path)
    git("commit", "--quiet", "--message=Start", cwd=project.path)
    before = files(project.path)
    project.update()
    assert git("status", "--porcelain", cwd=project.path) == ""
    assert files(project.path) == before
