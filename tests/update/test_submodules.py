"""The user's work in a submodule survives updates, although git is set to hide it and to recurse."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import NEXT, NOW, OLD, Generate, Merged, Project, git

LIB = "vendor/lib"


def with_submodule(project: Project, folder: Path, ignore: str) -> dict[str, bytes]:
    """Add a submodule with work that is in no commit; return all its files."""
    origin = folder / "origin"
    origin.mkdir()
    git("init", "--quiet", "--initial-branch=main", cwd=origin)
    for name in ("code.txt", "staged.txt", "deleted.txt"):
        (origin / name).write_text("theirs\n")
    git("add", "--all", cwd=origin)
    git("commit", "--quiet", "--message=Start", cwd=origin)
    project.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(origin), LIB)
    project.git("config", "--file=.gitmodules", f"submodule.{LIB}.ignore", ignore)
    project.git("config", "submodule.recurse", "true")
    project.commit("Add a submodule")
    lib = project.path(LIB)
    if ignore == "all":  # Hides even another commit.
        git("commit", "--quiet", "--allow-empty", "--message=mine", cwd=lib)
    (lib / "code.txt").write_text("my work\n")
    (lib / "staged.txt").write_text("my staged work\n")
    git("add", "staged.txt", cwd=lib)
    (lib / "new.txt").write_text("my new file\n")
    (lib / "deleted.txt").unlink()
    assert project.status() == []
    return state(project)


def state(project: Project) -> dict[str, bytes]:
    """Return the files of the submodule, its index and its commit."""
    lib = project.path(LIB)
    listing = git("ls-files", "--stage", cwd=lib) + git("rev-parse", "HEAD", cwd=lib)
    return project.files() | {"index": listing.encode()}


def fail_at(
    patch: pytest.MonkeyPatch, writer: Any, step: str, error: type[BaseException], written: Path
) -> None:
    """Let a step of writing fail once."""
    original, calls = getattr(writer, step), []

    def failing(*args: Any) -> None:
        calls.append(written.exists())
        if len(calls) == 1:
            assert written.exists()
            raise error
        original(*args)

    patch.setattr(writer, step, failing)


@pytest.mark.parametrize("ignore", ["dirty", pytest.param("all", marks=pytest.mark.drills)])
def test_failures_interruptions_and_the_printed_undo_leave_it_alone(
    ignore: str, generate: Generate, merge: Merged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = generate(services="engine:custom", database="none")
    before = with_submodule(project, tmp_path, ignore)
    arguments = ("add-service", "billing:custom", f"--ref={NOW}")
    writer, errors = sys.modules["writer"], sys.modules["errors"]
    # Everything is written by then, except git's index, and then that too.
    failures = {"_write_index": OSError, "_unlock": errors.SignalInterrupt}
    for step, error in failures.items():
        with monkeypatch.context() as patch, pytest.raises(error):
            fail_at(patch, writer.Writer, step, error, project.path("services/billing/app.py"))
            merge(project, *arguments)
        assert state(project) == before
        assert project.status() == []
    code, output = merge(project, *arguments)
    assert code == 0
    assert (
        state(project).items()
        > {name: text for name, text in before.items() if name.startswith((LIB, "index"))}.items()
    )
    [command] = [line for line in output.splitlines() if line.startswith("Undo: ")]
    program = shlex.split(command)[-1]
    subprocess.run([sys.executable, program], cwd=project.root, check=True, capture_output=True)
    assert state(project) == before
    assert project.status() == []


@pytest.mark.drills
def test_plain_copier_leaves_it_alone(generate: Generate, tmp_path: Path) -> None:
    project = generate(services="engine:custom", database="none", version=OLD[0])
    before = with_submodule(project, tmp_path, "dirty")
    project.copier(f"--vcs-ref={NEXT}")
    after = state(project)
    assert after.items() > {n: t for n, t in before.items() if n.startswith((LIB, "index"))}.items()
    project.undo()
    assert state(project) == before
