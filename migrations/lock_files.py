"""Makes the lock files that a merge result lacks."""

from __future__ import annotations

import importlib.util
from pathlib import Path, PurePosixPath
from types import ModuleType

from merge import MARK
from repository import Repository
from trees import FILE, File, Result, Tree


def _load_task() -> ModuleType:
    """Load the task that makes lock files in a new project: updates use its table of commands."""
    path = Path(__file__).parent.parent / "tasks/after_copy.py"
    spec = importlib.util.spec_from_file_location("after_copy", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


task = _load_task()


def add_lock_files(
    repository: Repository, before: Tree, ours: Tree, result: Result, work: Path
) -> dict[str, str]:
    """Add the missing lock files to a result: those of new services and of services that moved.

    Args:
        repository: stores the new files.
        before: the project's last commit.
        ours: the same, with its files at their new paths.
        result: gets the lock files.
        work: an empty folder for the package managers.

    Returns:
        For each package manager that failed, the reason.
    """
    failed: dict[str, str] = {}
    for path, file in sorted(result.tree.items()):
        manifest = PurePosixPath(path).name
        if manifest not in task.LOCKS or before.get(path) == file or path in result.conflicts:
            continue
        lock_name, command = task.LOCKS[manifest]
        lock = path.removesuffix(manifest) + lock_name
        if lock not in result.tree and path in ours:
            continue
        # The template pins exact versions in its own manifests, such as that of the linters.
        if MARK in repository.read([file.blob])[file.blob]:
            continue
        folder = work / PurePosixPath(path).parent
        folder.mkdir(parents=True, exist_ok=True)
        for name in (path, lock, path.removesuffix(manifest) + ".python-version"):
            if name in result.tree:
                [content] = repository.read([result.tree[name].blob]).values()
                (folder / PurePosixPath(name).name).write_bytes(content)
        tool = command[0]
        # A tool that failed once is not tried again: offline, each attempt only takes time.
        reason = failed.get(tool) or task.run(*command, cwd=folder)
        if reason:
            failed[tool] = reason
        elif (folder / lock_name).exists():
            content = (folder / lock_name).read_bytes()
            result.tree[lock] = File(FILE, repository.store(content))
    return failed
