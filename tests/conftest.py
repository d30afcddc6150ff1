"""Fixtures for all tests.

- `template_copy`: the template without its git history, so that Copier uses the files as they are.
- `render(answers)`: the project that Copier generates from answers, without the tasks. Each set of
  answers is rendered once for all tests and all of xdist's workers. Do not change the folder: copy
  it first (`shutil.copytree`).
- `load(path)`: one of the template's Python files as a module.
- `runner(name)`: a module of a project's scripts/test_runner.
- `docker_engine`: a running engine. Without one the test is skipped; in CI it fails.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import copier
import plumbum
import pytest
from hypothesis import HealthCheck, settings

from . import once

ROOT = Path(__file__).resolve().parent.parent

#: The parts of the repository that Copier reads.
TEMPLATE_PARTS = ("copier.yml", "extensions", "includes", "migrations", "tasks", "template")

# Random tests are not timed: the machine may be slow.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def isolated_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the settings of git and Copier that come from the user or from a git hook.

    HOME stays, because it contains the caches of uv and npm, and Docker's plugins.
    """
    folder = tmp_path_factory.mktemp("settings")
    for_git, for_copier = folder / "gitconfig", folder / "copier.yml"
    # Each commit would start two more programs, and wait for the disk.
    for_git.write_text("[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[core]\n\tfsync = none\n")
    for_copier.write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(variable)
        patch.delenv("TEST_INSTANCE_ID", raising=False)
        patch.setenv("TEST_RESULT_CACHE", "off")
        patch.setenv("GIT_CONFIG_GLOBAL", str(for_git))
        patch.setenv("GIT_CONFIG_SYSTEM", str(for_git))
        patch.setenv("COPIER_SETTINGS_PATH", str(for_copier))
        yield


@pytest.fixture(scope="session", autouse=True)
def copier_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let Copier work things out once. Return the folder that all of xdist's workers share for it."""
    folder = shared_folder(tmp_path_factory, "once") / version("copier")
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        once.compile_once(patch.setattr, folder)
        once.work_out_once(patch.setattr)
        yield folder


def once_in_children(folder: Path) -> dict[str, str]:
    """Return the variables with which Copier works things out once in the programs of a test."""
    return {"PYTHONPATH": str(ROOT / "tests/children"), "COPIER_ONCE": str(folder)}


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """Return a folder that all of xdist's workers share."""
    base = factory.getbasetemp()
    # Each of xdist's workers has its own folder, inside one that they share.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    shared.mkdir(exist_ok=True)
    return shared


def copy_template(folder: Path) -> Path:
    """Copy the parts of the working tree that Copier reads, without the git history."""
    junk = shutil.ignore_patterns("__pycache__", ".*_cache")
    for part in TEMPLATE_PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=junk)
        elif source.exists():
            shutil.copy2(source, folder / part)
    return folder


@pytest.fixture(scope="session")
def template_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the template without a git repository."""
    return copy_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def render(
    template_copy: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Mapping[str, Any]], Path]:
    """Return the function that renders a project, once for each set of answers."""
    own = tmp_path_factory.mktemp("render")
    shared = shared_folder(tmp_path_factory, "rendered")

    def rendered(answers: Mapping[str, Any]) -> Path:
        key = hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:16]
        project = shared / key
        if not project.exists():
            # If Copier finds git, it starts git for every file, which doubles the time.
            with plumbum.local.env(PATH=""):
                copier.run_copy(
                    str(template_copy),
                    # The folder's name is the default for the project's.
                    own / key / "my-project",
                    data=dict(answers),
                    defaults=True,
                    quiet=True,
                    skip_tasks=True,
                    unsafe=True,
                )
            try:
                (own / key / "my-project").rename(project)
            except OSError:  # Another worker has just rendered the same project.
                shutil.rmtree(own / key)
        return project

    return rendered


@pytest.fixture(scope="session")
def load() -> Callable[[str], ModuleType]:
    """Return the function that loads one of the template's Python files."""

    def loaded(path: str) -> ModuleType:
        name = f"loaded_{Path(path).stem}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, ROOT / path)
            assert spec is not None and spec.loader is not None
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]

    return loaded


@pytest.fixture(scope="session")
def runner(render: Callable[..., Path]) -> Iterator[Callable[[str], ModuleType]]:
    """Return the function that imports a module of scripts/test_runner, of a project called shop."""
    scripts = render({"project_slug": "shop", "services": "api"}) / "scripts"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(scripts)
        patch.setattr(sys, "dont_write_bytecode", True)
        yield lambda name: import_module(f"test_runner.{name}")


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """Skip the test if no Docker engine is running; in CI, fail it."""
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=60)
        missing = done.returncode != 0
    except (OSError, subprocess.TimeoutExpired):
        missing = True
    if missing:
        reason = "no Docker engine answers `docker info`"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
