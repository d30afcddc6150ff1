"""Real reasons why a file cannot be written: other owners, attributes, mounts, and filters that fail.

In each case the tree equals the commit, or the message says exactly how it does not.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT
from .conftest import NOW, Computed, Generate, Merged, Project
from .faults import snapshot
from .write_result import NOBODY

RENAME = ("rename-service", "engine", "--to=motor", f"--ref={NOW}")
ADD = ("add-service", "billing:custom", f"--ref={NOW}")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can set this up")


def can_mount() -> bool:
    """Return whether this process may make mounts that no other process sees."""
    command = ["unshare", "--mount", "true"]
    try:
        return os.geteuid() == 0 and not subprocess.run(command, capture_output=True).returncode
    except OSError:
        return False


with_mounts = pytest.mark.skipif(not can_mount(), reason="this system does not allow mounts")


@dataclass
class Case:
    """A project, its files, and the result that an update would write."""

    project: Project
    before: Any
    result: Any
    job: Path

    def give_to_nobody(self) -> None:
        """Make a user without rights the owner of the project."""
        owner = f"{NOBODY}:{NOBODY}"
        subprocess.run(["chown", "-R", "-h", owner, self.project.root], check=True)

    def snapshot(self) -> dict[str, tuple[int, bytes]]:
        """Return everything in the project."""
        return snapshot(self.project.root)

    def write(self, *options: str) -> tuple[str, str]:
        """Write the result in another process; return the outcome and the message."""
        content = (str(self.project.root), self.before, self.result)
        self.job.write_bytes(pickle.dumps(content))
        done = subprocess.run(
            [sys.executable, "-m", "tests.update.write_result", self.job, *options],
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT / "migrations")},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        outcome, _, message = done.stdout.partition("\n")
        return outcome, message.rstrip()


#: The results of the commands, which do not depend on a test.
known: dict[tuple[str, ...], tuple[Path, Any, Any]] = {}


@pytest.fixture
def case(
    generate: Generate, computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Case]]:
    """Return the function that computes what a command would write.

    The project is in a folder that every user can reach, unlike tmp_path.
    """
    # Root may read a repository that it gave to another user.
    for name, value in (("COUNT", "1"), ("KEY_0", "safe.directory"), ("VALUE_0", "*")):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    with tempfile.TemporaryDirectory(prefix="update-") as folder:
        Path(folder).chmod(0o755)

        def made(*arguments: str) -> Case:
            if arguments not in known:
                project = generate(services="engine:custom", database="none")
                project.append(".gitignore", "local.env\n")
                project.commit()
                known[arguments] = (project.root, *computed(project, *arguments))
            root, before, result = known[arguments]
            shutil.copytree(root, Path(folder, "project"))
            return Case(Project(Path(folder, "project")), before, result, tmp_path / "job")

        yield made
        subprocess.run(["chattr", "-R", "-ia", folder], capture_output=True)


def attribute(flag: str, path: Path) -> None:
    """Set an attribute of the file system, which even root must obey."""
    done = subprocess.run(["chattr", flag, path], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"chattr {flag} does not work here: {done.stderr.strip()}")


# OTHER OWNERS -----------------------------------------------------------------
@as_root
def test_a_folder_of_another_user_is_named_before_anything_is_written(
    case: Callable[..., Case],
) -> None:
    rename = case(*RENAME)
    rename.give_to_nobody()
    folder = rename.project.path("services/engine")
    os.chown(folder, 0, 0)
    old = rename.snapshot()
    assert rename.write("--as-nobody") == (
        "unchanged", "you may not write to services/engine/; change its owner or permissions"
    )  # fmt: skip
    assert rename.snapshot() == old
    os.chown(folder, NOBODY, NOBODY)
    assert rename.write("--as-nobody") == ("done", "")
    assert rename.project.path("services/motor/app.py").stat().st_uid == NOBODY


@as_root
def test_a_file_of_another_user_in_a_sticky_folder(case: Callable[..., Case]) -> None:
    """Only its owner may move it, which no check of the folder's permissions shows."""
    rename = case(*RENAME)
    rename.give_to_nobody()
    folder = rename.project.path("services/engine")
    for path in (folder, folder / "app.py"):
        os.chown(path, 0, 0)
    folder.chmod(0o1777)
    old = rename.snapshot()
    outcome, message = rename.write("--as-nobody")
    assert outcome == "unchanged"
    assert message.endswith("services/engine/app.py: Operation not permitted")
    assert rename.snapshot() == old


@as_root
def test_a_file_that_nobody_may_change(case: Callable[..., Case]) -> None:
    rename = case(*RENAME)
    attribute("+i", rename.project.path("services/engine/Dockerfile"))
    old = rename.snapshot()
    outcome, message = rename.write()
    assert outcome == "unchanged"
    assert message.endswith("services/engine/Dockerfile: Operation not permitted")
    assert rename.snapshot() == old


@as_root
def test_an_undo_that_fails_names_exactly_what_is_left(case: Callable[..., Case]) -> None:
    """In a folder with the attribute `a`, files can be added, but not changed or removed."""
    add = case(*ADD)
    services, fixed = (add.project.path(name) for name in ("services", "deploy/prod/.env.example"))
    attribute("+a", services)
    attribute("+i", fixed)
    old = add.snapshot()
    outcome, message = add.write()
    subprocess.run(["chattr", "-i", fixed], check=True)
    left = {path for path, what in add.snapshot().items() if old.get(path) != what}
    assert left == {"services/billing"}
    assert outcome == "not undone"
    assert message.splitlines()[1:] == [
        "  services/billing: it is new and empty; run: rmdir -- services/billing"
    ]
    # What it says works.
    subprocess.run(["chattr", "-a", services], check=True)
    add.project.path("services/billing").rmdir()
    assert add.snapshot() == old


@as_root
def test_an_undo_that_cannot_take_files_away_names_each(case: Callable[..., Case]) -> None:
    rename = case(*RENAME)
    motor = rename.project.path("services/motor/deploy/test")
    motor.mkdir(parents=True)
    attribute("+a", motor)
    attribute("+i", rename.project.path("services/engine/app.py"))
    old = rename.snapshot()
    outcome, message = rename.write()
    assert outcome == "not undone"
    differs = {path for path, what in rename.snapshot().items() if old.get(path) != what}
    left = "services/motor/deploy/test/docker-compose.yml"
    [line] = message.splitlines()[1:]
    assert differs == {left}
    assert line == f"  {left}: Operation not permitted; to remove it, run: rm -- {left}"


# MOUNTS -----------------------------------------------------------------------
@with_mounts
@pytest.mark.parametrize("name", ["app.py", pytest.param("tests", marks=pytest.mark.drills)])
def test_something_mounted_in_a_renamed_service(
    name: str, case: Callable[..., Case], tmp_path: Path
) -> None:
    """A file or a folder, as a container or an editor's sandbox mounts it."""
    rename = case(*RENAME)
    target = rename.project.path(f"services/engine/{name}")
    source = tmp_path / name
    (shutil.copytree if target.is_dir() else shutil.copy2)(target, source)
    old = rename.snapshot()
    reason = "a mount point, which an update cannot replace; unmount it first"
    assert rename.write(f"--mount={source}={target}") == (
        "unchanged", f"services/engine/{name} is {reason}"
    )  # fmt: skip
    assert rename.snapshot() == old


@with_mounts
def test_a_mounted_file_that_does_not_move_is_no_problem(
    case: Callable[..., Case], tmp_path: Path
) -> None:
    rename = case(*RENAME)
    target, source = rename.project.path("services/engine/local.env"), tmp_path / "local.env"
    target.write_text("old\n")
    source.write_text("mounted\n")
    assert rename.write(f"--mount={source}={target}") == ("done", "")
    assert target.read_text() == "old\n"
    assert rename.project.path("services/motor/app.py").exists()


# FILTERS ----------------------------------------------------------------------
#: Stores contents outside the repository and commits pointers, as Git LFS does.
CLEAN = """\
#!/bin/sh
set -e
cat >"$1/new"
sum=$(sha256sum <"$1/new" | cut -d ' ' -f 1)
mv "$1/new" "$1/$sum"
echo "pointer $sum"
"""
SMUDGE = """\
#!/bin/sh
read -r word sum
[ "$word" = pointer ] || exit 1
cat "$1/$sum"
"""

CONTENT = bytes(range(256)) * 50


def with_filter(project: Project, folder: Path, attributes: dict[str, str]) -> Path:
    """Set up a required filter, and commit files that it stores; return its store."""
    store = folder / "store"
    store.mkdir()
    for name, text in (("clean", CLEAN), ("smudge", SMUDGE)):
        (folder / name).write_text(text)
        project.git("config", f"filter.big.{name}", f"sh {folder / name} {store}")
    project.git("config", "filter.big.required", "true")
    commit_big_files(project, attributes)
    return store


def commit_big_files(project: Project, attributes: dict[str, str]) -> None:
    for name, text in attributes.items():
        project.write(name, text)
    for name in ("model.bin", "data/table.bin"):
        project.write(f"services/engine/{name}", "")
        project.path(f"services/engine/{name}").write_bytes(CONTENT + name.encode())
    project.commit()


def check_moved(project: Project, pointer: bytes) -> None:
    """Check that the files moved, and still are pointers in git and contents in the tree."""
    for name in ("model.bin", "data/table.bin"):
        assert not project.path(f"services/engine/{name}").exists()
        assert project.path(f"services/motor/{name}").read_bytes() == CONTENT + name.encode()
        stored = project.git("show", f":services/motor/{name}")
        assert stored.encode().startswith(pointer)
    project.git("update-index", "--refresh")
    assert project.git("diff", "--stat") == ""
    project.commit()
    # Git makes the same pointer from the file at its new path.
    project.git("rm", "--quiet", "--cached", "services/motor/model.bin")
    project.git("add", "services/motor/model.bin")
    assert project.status() == []


#: Where the filter is chosen: for all files, by the folder's path, or in the folder.
ATTRIBUTES = {
    "everywhere": {".gitattributes": "*.bin filter={0} -text\n"},
    "by the path": {".gitattributes": "/services/engine/**/*.bin filter={0} -text\n"},
    "in the folder": {
        "services/engine/.gitattributes": "/model.bin filter={0}\ndata/* filter={0}\n"
    },
}


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(where, marks=() if where == "by the path" else pytest.mark.drills)
        for where in ATTRIBUTES
    ],
)
def test_filtered_files_are_still_filtered_after_a_rename(
    where: str, generate: Generate, merge: Merged, tmp_path: Path
) -> None:
    project = generate(services="engine:custom", database="none")
    attributes = {name: text.format("big") for name, text in ATTRIBUTES[where].items()}
    with_filter(project, tmp_path, attributes)
    assert merge(project, *RENAME)[0] == 0
    check_moved(project, b"pointer ")


def test_a_required_filter_that_fails_changes_nothing(
    generate: Generate, merge: Merged, tmp_path: Path
) -> None:
    project = generate(services="engine:custom", database="none")
    store = with_filter(project, tmp_path, {".gitattributes": "*.bin filter=big -text\n"})
    store.rename(tmp_path / "gone")
    old = snapshot(project.root)
    with pytest.raises(
        sys.modules["errors"].GitError, match=r"filter 'big' failed|filter big failed"
    ):
        merge(project, *RENAME)
    assert snapshot(project.root) == old
    assert not project.path(".git/template-update").exists()
    (tmp_path / "gone").rename(store)
    code, output = merge(project, *RENAME)
    assert code == 0
    check_undo_without_filter(project, output, store, old)


def check_undo_without_filter(
    project: Project, output: str, store: Path, old: dict[str, Any]
) -> None:
    """Check that the printed undo restores everything, although the filter fails again."""
    assert "Undo: uv run --script .git/template-update/undo.py" in output
    shutil.rmtree(store)
    project.undo()
    assert snapshot(project.root) == old


# GIT LFS ----------------------------------------------------------------------
with_lfs = pytest.mark.skipif(
    not shutil.which("git-lfs"),
    reason="Git LFS is not installed; the filter above behaves as it does",
)


def with_lfs_files(project: Project, folder: Path, where: str) -> Path:
    """Set up Git LFS with a remote, and push files; return the remote."""
    project.git("init", "--quiet", "--bare", str(folder / "remote.git"))
    project.git("remote", "add", "origin", str(folder / "remote.git"))
    project.git("lfs", "install", "--local")
    text = {name: text.format("lfs") for name, text in ATTRIBUTES[where].items()}
    commit_big_files(project, text)
    project.git("push", "--quiet", "origin", "main")
    return folder / "remote.git"


@with_lfs
@pytest.mark.drills
@pytest.mark.parametrize("where", ATTRIBUTES)
def test_lfs_files_stay_lfs_files(
    where: str, generate: Generate, merge: Merged, tmp_path: Path
) -> None:
    project = generate(services="engine:custom", database="none")
    with_lfs_files(project, tmp_path, where)
    assert merge(project, *RENAME)[0] == 0
    check_moved(project, b"version https://git-lfs")


@with_lfs
@pytest.mark.drills
def test_lfs_without_its_remote_changes_nothing(
    generate: Generate, merge: Merged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = generate(services="engine:custom", database="none")
    remote = with_lfs_files(project, tmp_path, "everywhere")
    shutil.rmtree(project.path(".git/lfs/objects"))
    shutil.rmtree(remote)
    old = snapshot(project.root)
    with pytest.raises(sys.modules["errors"].GitError, match=r"filter '?lfs'? failed"):
        merge(project, *RENAME)
    assert snapshot(project.root) == old
    # A clone without the contents has pointers in its tree, and they move as they are.
    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    for path in ("model.bin", "data/table.bin"):
        project.path(f"services/engine/{path}").unlink()
    project.git("checkout", "--quiet", "--", ".")
    assert merge(project, *RENAME)[0] == 0
    moved = project.path("services/motor/model.bin").read_bytes()
    assert moved.startswith(b"version https://git-lfs")
    assert project.git("diff", "--stat") == ""
