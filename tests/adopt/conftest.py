"""Sample repositories with the shapes of real ones, which other people could have written.

- `repository(name)`: a copy of one of repositories/, as a git repository with one commit.
- `expected(name)`: what adoption must find in it; README.md explains the keys.
- `snapshot(folder)`: everything about the files that adoption must not change.
- `copier_copy(repository, template)`: adopts as a user does, with the default answers.
- `stand_in(image)`: builds a small image that replaces a public one of the same name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from extensions.items import Item, parse

from ..conftest import once_in_children
from ..e2e.conftest import clean_environment

HERE = Path(__file__).resolve().parent
REPOSITORIES = HERE / "repositories"
NAMES = sorted(path.name for path in REPOSITORIES.iterdir())

#: The public images that this machine may not have, by the folder in stand-ins/ that replaces them.
STAND_INS = {"axllent/mailpit:v1.27": "mailpit", "memcached:1.6-alpine": "memcached"}

#: Their tests are not ours: pytest must not collect them here.
collect_ignore = ["repositories"]

#: The time of every file of a repository: long ago, so that a file written again is seen.
LONG_AGO = 1_600_000_000


@dataclass(frozen=True)
class FileState:
    """What adoption must not change about a file."""

    content: bytes  #: of a symbolic link, its target
    mode: int
    modified: int  #: in nanoseconds


def git(*args: str, cwd: Path) -> str:
    """Run a git command that must pass, with a fixed author. Return its output."""
    identity = ("-c", "user.name=Kim", "-c", "user.email=kim@example.com")
    return subprocess.run(
        ["git", *identity, *args], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout


def make_repository(name: str, folder: Path) -> Path:
    """Copy a sample repository into a folder and commit it. Return the repository's root."""
    root = folder / name
    # A test of a sample that ran in place leaves bytecode files behind.
    junk = shutil.ignore_patterns("__pycache__", ".pytest_cache", "node_modules", ".venv")
    shutil.copytree(REPOSITORIES / name, root, ignore=junk)
    git("init", "--quiet", "--initial-branch=main", cwd=root)
    git("add", "--all", cwd=root)
    git("commit", "--quiet", "--message=Initial commit", cwd=root)
    for path in root.rglob("*"):
        if ".git" not in path.relative_to(root).parts:
            os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    return root


def snapshot(root: Path) -> dict[str, FileState]:
    """Return the state of every file of a folder, except in .git."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if name.parts[0] == ".git" or (path.is_dir() and not path.is_symlink()):
            continue
        content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        found[name.as_posix()] = FileState(content, path.lstat().st_mode, path.lstat().st_mtime_ns)
    return found


#: The variables with which Copier works things out once, while tests of this folder run.
ONCE: dict[str, str] = {}


@pytest.fixture(scope="session", autouse=True)
def _copier_once(copier_once: Path) -> Iterator[None]:
    ONCE.update(once_in_children(copier_once))
    yield
    ONCE.clear()


def copier_copy(root: Path, template: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `copier copy --defaults` in a repository, as a user does. Return its result."""
    return subprocess.run(
        [sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--overwrite",
         *arguments, str(template), "."],
        cwd=root, env=clean_environment(**ONCE), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def answers(root: Path) -> dict[str, Any]:
    """Return the answers of an adopted repository, with Copier's own keys."""
    found: dict[str, Any] = yaml.safe_load((root / ".copier-answers.yml").read_text("utf-8"))
    return found


def complete(services: Any) -> dict[str, dict[str, Any]]:
    """Return each service of an answer with all keys, by name, so that two answers can be compared.

    A missing key gets its default. The order of `needs` and `aliases` has no meaning.
    """
    return {item.name: _complete(item) for item in parse(services)}


def _complete(item: Item) -> dict[str, Any]:
    path = item.path or f"services/{item.name}"
    return {
        "kind": item.kind,
        "path": path,
        "context": item.context or path,
        "dockerfile": item.dockerfile or "Dockerfile",
        "target": item.target,
        "port": item.container_port,
        "health": item.health,
        "http": item.http,
        "one_shot": item.one_shot,
        "aliases": sorted(item.aliases),
        "language": item.language,
        "needs": sorted(item.needs or []),
    }


@pytest.fixture
def repository(tmp_path: Path) -> Callable[[str], Path]:
    """Return the function that makes a git repository of a sample, in a folder of the test's own."""
    return lambda name: make_repository(name, tmp_path)


def expected(name: str) -> dict[str, Any]:
    """Return what adoption must find in a sample repository. Every service is a custom one."""
    text = (HERE / "expected" / f"{name}.yml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    found["services"] = [{"kind": "custom", **item} for item in found["services"]]
    return found


def stand_in(image: str) -> None:
    """Build the image that replaces a public one, if this machine has no image of that name."""
    there = subprocess.run(["docker", "image", "inspect", image], capture_output=True)
    if there.returncode:
        folder = HERE / f"stand-ins/{STAND_INS[image]}"
        subprocess.run(["docker", "build", "--quiet", "--tag", image, folder], check=True)


def run_tests(
    command: str, folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of a sample's tests, with our own Python and pytest. Return its result."""
    here = str(Path(sys.executable).parent)
    env = clean_environment(PYTHONDONTWRITEBYTECODE="1", **(variables or {}))
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=env | {"PATH": os.pathsep.join([here, env["PATH"]])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
