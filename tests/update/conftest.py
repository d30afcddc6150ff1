"""Projects in real git repositories, updated by the commands that users run.

- `template`: a repository with every old version of this template as a tag, the working tree as
  v99.0.0, and v99.1.0, which changes a line of `.editorconfig` and adds one to the skeleton's sources.
  All xdist workers share it.
- `generate(answers, version)`: returns a committed project of the test's own.
- `fresh(answers, version)`: returns a new project that all tests share; do not change it.
- `Project`: runs commands in a project as users do, through uv.
- `merge(project, …)`: updates in this process, which is faster. For tests of many answer sets.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import copier
import plumbum
import pytest
import yaml

from ..conftest import ROOT, TEMPLATE_PARTS, copy_template, once_in_children, shared_folder
from ..e2e.conftest import clean_environment
from . import forked

#: The versions that updates start from as long as nothing is released: the first complete one, and
#: the last one before each kind of service got its own folder in the template.
BEFORE_RELEASES = {"v0.0.1": "19f32c4", "v0.0.2": "5eae6e3"}

#: The working tree, and a later version that changes a line which the tests' users change, too.
NOW, NEXT = "v99.0.0", "v99.1.0"
NEXT_FILE, NEXT_LINES = ".editorconfig", ("indent_size = 2\n", "indent_size = 3\n")

#: Files of the user's that the later version changes. An update must not change them.
NEXT_SOURCES = {"main.py.jinja": "#", "app.py": "#", "main.ts.jinja": "//"}

SCRIPT = ROOT / "template/scripts/template.py"
ANSWERS = ".copier-answers.yml"
MARK = "Kept by the template"

Generate = Callable[..., "Project"]
Fresh = Callable[..., Path]
Merged = Callable[..., tuple[int, str]]
Computed = Callable[..., tuple[Any, Any]]


def git(*args: str, cwd: Path, **env: str) -> str:
    """Run a git command that must succeed, with a fixed author."""
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *args],
        cwd=cwd, capture_output=True, text=True, env=os.environ | env,
    )  # fmt: skip
    assert done.returncode == 0, f"git {args}: {done.stderr}"
    return done.stdout


def releases() -> dict[str, str]:
    """Return the commits that updates start from, by their tag in `template`."""
    tags = git("tag", "--list", "v[0-9]*", cwd=ROOT).split()
    return {tag: tag for tag in tags} or BEFORE_RELEASES


#: The versions that projects are updated from, oldest first.
OLD = list(releases())


@dataclass
class Project:
    """A generated project in git."""

    root: Path

    def git(self, *args: str) -> str:
        """Run git in the project."""
        return git(*args, cwd=self.root)

    def commit(self, message: str = "edit") -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def template(
        self, *arguments: str, code: int | None = 0, script: Path = SCRIPT, **env: str
    ) -> str:
        """Run scripts/template.py; return its output, stderr included.

        With another script or environment, it runs as a user runs it, with uv.
        """
        if script == SCRIPT and not env:
            found, said = forked.run(str(script), arguments, self.root, clean_environment())
        else:
            done = subprocess.run(
                ["uv", "run", "--quiet", "--script", str(script), *arguments],
                cwd=self.root, env=clean_environment(**env), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            found, said = done.returncode, done.stdout
        assert code in (None, found), f"{arguments}: {found}\n{said}"
        return said

    def make(self, *arguments: str, code: int = 0) -> str:
        """Run make in the project."""
        done = subprocess.run(
            ["make", *arguments],
            cwd=self.root, env=clean_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def copier(self, *arguments: str, code: int = 0) -> str:
        """Run plain Copier's update."""
        command = ("update", "--trust", "--defaults", *arguments)
        found, said = forked.run("copier", command, self.root, clean_environment())
        assert found == code, said
        return said

    def path(self, name: str) -> Path:
        """Return the path of a file."""
        return self.root / name

    def read(self, name: str) -> str:
        """Return a file's text."""
        return self.path(name).read_text(encoding="utf-8")

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a file."""
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text, encoding="utf-8")
        self.path(name).chmod(mode)

    def append(self, name: str, text: str) -> None:
        """Append text to a file."""
        self.write(name, self.read(name) + text, self.path(name).stat().st_mode & 0o777)

    def answers(self) -> dict[str, Any]:
        """Return the answers."""
        found: dict[str, Any] = yaml.safe_load(self.read(ANSWERS))
        return found

    def status(self) -> list[str]:
        """Return the lines of `git status`."""
        return self.git("status", "--porcelain", "--untracked-files=all").splitlines()

    def files(self) -> dict[str, bytes]:
        """Return the content of every file, also of ignored ones."""
        return files(self.root)

    def ports(self) -> dict[str, str]:
        """Return the ports of the services in development, by variable."""
        text = self.read("deploy/dev/docker-compose.yml")
        found = dict(re.findall(r"127\.0\.0\.1:\$\{(\w+_PORT):-(\d+)\}", text))
        found.pop("TRACES_PORT", None)
        return found

    def given(self) -> dict[str, Any]:
        """Return the answers without Copier's own keys."""
        return {key: value for key, value in self.answers().items() if not key.startswith("_")}

    def undo(self) -> None:
        """Undo an update of a project at the root of its repository, as its report says."""
        program = self.root / ".git/template-update/undo.py"
        done = subprocess.run([sys.executable, program], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def files(root: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder, except in .git."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] != ".git"
    }


def is_templates(name: str, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> bool:
    """Return whether a file belongs to the template: it has the mark, or its format has no comments."""
    text = new.get(name, old.get(name, b""))
    return MARK.encode() in text or PurePosixPath(name).name in (".python-version", ANSWERS)


def expected(
    old: Mapping[str, bytes], new: Mapping[str, bytes], *new_folders: str
) -> dict[str, bytes]:
    """Return an updated project: the template's files from `new`, the user's files from `old`.

    In new folders, the user's files are as in a new project.
    """
    found = {}
    for name in sorted({*old, *new}):
        if is_templates(name, old, new) or name.startswith(new_folders):
            if name in new:
                found[name] = new[name]
        elif name in old:
            found[name] = old[name]
    return found


def same_answers(found: dict[str, bytes], wanted: dict[str, bytes]) -> None:
    """Compare the answers of two projects regardless of their order, and remove them from both."""
    assert yaml.safe_load(found.pop(ANSWERS)) == yaml.safe_load(wanted.pop(ANSWERS))


def once(path: Path, make: Callable[[Path], None], own: Path) -> Path:
    """Make a folder, unless another worker has already made it."""
    if not path.exists():
        make(own)
        try:
            own.rename(path)
        except OSError:
            shutil.rmtree(own)
    return path


def exported(ref: str, folder: Path) -> None:
    """Write the files of a commit that Copier reads, and the changelog."""
    known = git("ls-tree", "--name-only", ref, cwd=ROOT).split()
    parts = [part for part in (*TEMPLATE_PARTS, "CHANGELOG.md") if part in known]
    archive = subprocess.run(
        ["git", "archive", ref, *parts], cwd=ROOT, check=True, capture_output=True
    ).stdout
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)


def write_versions(folder: Path) -> None:
    """Write each version of the template to its own folder."""
    for tag, ref in releases().items():
        exported(ref, folder / tag)
    for tag in (NOW, NEXT):
        (folder / tag).mkdir()
        copy_template(folder / tag)
        shutil.copy2(ROOT / "CHANGELOG.md", folder / tag)
    changed = folder / NEXT / "template" / NEXT_FILE
    assert NEXT_LINES[0] in changed.read_text()
    changed.write_text(changed.read_text().replace(*NEXT_LINES))
    for name, comment in NEXT_SOURCES.items():
        sources = list((folder / NEXT / "template").rglob(name))
        assert sources
        for source in sources:
            source.write_text(f"{source.read_text()}{comment} newer\n")


def commit_version(repository: Path, version: Path) -> None:
    """Commit a version to a repository, and tag it."""
    for path in repository.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    junk = shutil.ignore_patterns("__pycache__")
    shutil.copytree(version, repository, ignore=junk, dirs_exist_ok=True)
    git("add", "--all", "--force", cwd=repository)
    git("commit", "--quiet", "--allow-empty", "--message", version.name, cwd=repository)
    git("tag", version.name, cwd=repository)


@pytest.fixture(scope="session", autouse=True)
def copier_once_in_children(copier_once: Path) -> Iterator[None]:
    """Let Copier work things out once in the updates, too: this halves their time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in once_in_children(copier_once).items():
            patch.setenv(name, value)
        yield
        forked.end()


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a folder for each version of the template, without git."""
    own = tmp_path_factory.mktemp("own") / "versions"
    return once(shared_folder(tmp_path_factory, "update") / "versions", write_versions, own)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, versions: Path) -> Path:
    """Return a repository with all versions of the template as tags."""

    def make(repository: Path) -> None:
        repository.mkdir()
        git("init", "--quiet", "--initial-branch=main", cwd=repository)
        for tag in (*OLD, NOW, NEXT):
            commit_version(repository, versions / tag)

    own = tmp_path_factory.mktemp("own") / "template"
    return once(shared_folder(tmp_path_factory, "update") / "template", make, own)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory, versions: Path, template: Path) -> Fresh:
    """Return the function that generates a shared project from answers and a version."""
    shared = shared_folder(tmp_path_factory, "update")

    def made(answers: Mapping[str, Any], version: str) -> Path:
        def make(project: Path) -> None:
            # If Copier finds git, it starts git for every file.
            with plumbum.local.env(PATH=""):
                copier.run_copy(
                    str(versions / version), project, data=dict(answers), defaults=True,
                    quiet=True, skip_tasks=True, unsafe=True,
                )  # fmt: skip
            path = project / ANSWERS
            source = f"_commit: {version}\n_src_path: {template}\n"
            path.write_text(re.sub(r"(?m)^_src_path: .*\n", source, path.read_text("utf-8")))
            git("init", "--quiet", "--initial-branch=main", cwd=project)
            git("add", "--all", cwd=project)
            git("commit", "--quiet", "--message=Start", cwd=project)

        key = json.dumps([answers, version], sort_keys=True)
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        return once(shared / name, make, tmp_path_factory.mktemp("own") / name)

    return made


@pytest.fixture
def merge(
    template: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Return the function that runs the template's part of an update in this process.

    Starting programs takes most of an update's time. Returns the exit code and the output.
    """
    monkeypatch.syspath_prepend(str(ROOT / "migrations"))
    migrate = importlib.import_module("migrate")
    # An update ignores signals until its process ends; this process goes on.
    monkeypatch.setattr(importlib.import_module("update"), "ignore_signals", lambda: None)

    def merged(project: Project, *arguments: str) -> tuple[int, str]:
        where = (f"--project={project.root}", f"--template={template}")
        code = migrate.from_project(migrate.parse([*arguments, *where]))
        return code, capsys.readouterr().out

    return merged


class Stop(Exception):
    """The result of an update is known, and must not be written."""


@pytest.fixture
def computed(merge: Merged, monkeypatch: pytest.MonkeyPatch) -> Computed:
    """Return the function that computes the result of an update.

    Returns the project's files and the result, which the update would pass to its writer.
    """

    def made(project: Project, *arguments: str) -> tuple[Any, Any]:
        found: list[Any] = []

        def stop(repository: Any, before: Any, result: Any) -> None:
            found.extend((before, result))
            raise Stop

        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["update"], "Writer", stop)
            with pytest.raises(Stop):
                merge(project, *arguments)
        before, result = found
        return before, result

    return made


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return migrations/steps.py."""
    monkeypatch.syspath_prepend(str(ROOT / "migrations"))
    return importlib.import_module("steps")


@pytest.fixture
def generate(tmp_path: Path, fresh: Fresh) -> Generate:
    """Return the function that generates a project for one test."""

    def made(answers: Mapping[str, Any] | None = None, version: str = NOW, **more: Any) -> Project:
        made = fresh({"python_version": "3.13"} | dict(answers or {}) | more, version)
        root = tmp_path / "project"
        shutil.copytree(made, root)
        return Project(root)

    return made
