"""Writes one result of an update many times, with one fault each, and compares the project afterwards.

A program of its own, because it forks: `python -m tests.update.faults JOB`, where JOB is a pickle of `Job`. The
fault replaces one call of the operating system or of git, counted from the first one. The result is
one line of JSON for each fault.

Faults: an error before the call (EACCES, ENOSPC), Ctrl-C before or after it, kill -9 before or after
it, an edit by someone else before or after it, and errors of every later call, so that the undo
fails, too.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from .write_result import MIGRATIONS, attempt

#: The calls that can fail. pathlib and shutil use them.
CALLS = ("rename", "replace", "link", "symlink", "unlink", "mkdir", "rmdir", "chmod")

#: What the calling process does for each fault.
KINDS = (
    "EACCES", "ENOSPC", "INT before", "INT after", "KILL before", "KILL after", "edit before",
    "edit after", "EACCES from here",
)  # fmt: skip

EDIT = b"an edit of the user's\n"


@dataclass
class Job:
    """What to write, and with which faults."""

    project: str
    before: Any
    result: Any
    #: The faults: a number of a call, the kind of the fault, and the file that an edit changes.
    faults: list[tuple[int, str, str]]


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file, link and folder of a project, and the lines of its index."""
    found: dict[str, tuple[int, bytes]] = {}
    for folder, folders, names in os.walk(root):
        if ".git" in folders:
            folders.remove(".git")
        for name in (*folders, *names):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if path.is_symlink():
                content = os.fsencode(path.readlink())
            else:
                content = b"" if path.is_dir() else path.read_bytes()
            found[path.relative_to(root).as_posix()] = (mode, content)
    for name, command in (("index", "ls-files --stage -v"), ("HEAD", "rev-parse HEAD")):
        done = subprocess.run(["git", *command.split()], cwd=root, capture_output=True, check=True)
        found[f".git/{name}"] = (0, done.stdout)
    return found


def count_calls(before: Callable[[int], None], after: Callable[[int], None]) -> list[str]:
    """Wrap every call that can fail; return the list to which the names of calls are added."""
    calls: list[str] = []

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **more: Any) -> Any:
            number = len(calls)
            calls.append(name)
            before(number)
            try:
                return real(*args, **more)
            finally:
                after(number)

        return called

    for name in CALLS:
        setattr(os, name, wrap(name, getattr(os, name)))
    real_open = os.open

    def opened(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if not flags & os.O_CREAT:
            return real_open(path, flags, *args, **more)
        opened_file: int = wrap("open", real_open)(path, flags, *args, **more)
        return opened_file

    os.open = opened
    subprocess.run = wrap("git", subprocess.run)
    return calls


def write(project: Path, job: Job, number: int, kind: str, edited: str) -> str:
    """Write the result with one fault; return the outcome, as migrate.py reports it."""
    repository = import_module("repository").Repository(project)
    import_module("signals").raise_on_signal()

    def edit() -> None:
        path = project / edited
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = real["open"](path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, EDIT)
        os.close(descriptor)

    def before(call: int) -> None:
        if kind == "EACCES from here" and call >= number:
            raise OSError(errno.EACCES, "Permission denied")
        if call != number:
            return
        if kind in ("EACCES", "ENOSPC"):
            raise OSError(getattr(errno, kind), "injected")
        if kind == "edit before":
            edit()
        elif kind.endswith(" before"):
            os.kill(os.getpid(), getattr(signal, f"SIG{kind.split()[0]}"))

    def after(call: int) -> None:
        if call != number:
            return
        if kind == "edit after":
            edit()
        elif kind.endswith(" after"):
            os.kill(os.getpid(), getattr(signal, f"SIG{kind.split()[0]}"))

    real = {"open": os.open}
    calls = count_calls(before, after)
    outcome, message = attempt(repository, job.before, job.result)
    return f"{outcome} {len(calls)}\n{message}"


def inject(job: Job, root: Path, number: int, kind: str, edited: str) -> dict[str, Any]:
    """Write a result with one fault in a new process, and describe what is left."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(job.project, root, symlinks=True)
    subprocess.run(["git", "update-index", "-q", "--refresh"], cwd=root, check=False)
    old = snapshot(root)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            outcome = write(root, job, number, kind, edited)
        except BaseException:  # noqa: BLE001 - the parent prints it.
            outcome = f"crashed 0\n{traceback.format_exc()}"
        os.write(writing, outcome.encode()[:60000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    outcome, _, message = text.partition("\n")
    was_killed = not text
    undo = root / ".git/template-update/undo.py"
    if was_killed and undo.with_name("journal.json").exists():
        done = subprocess.run([sys.executable, undo], capture_output=True, text=True, check=False)
        message = done.stdout + done.stderr
        outcome = "killed" if done.returncode == 0 else "killed, not undone"
    new = snapshot(root)
    differs = sorted(path for path in {*old, *new} if old.get(path) != new.get(path))
    return {
        "number": number,
        "kind": kind,
        "edited": edited,
        "outcome": outcome or "killed",
        "message": message,
        "differs": differs,
        "edit": new[edited][1].count(EDIT) if edited in new else 0,
        "left": (root / ".git/template-update").exists(),
    }


def main() -> None:
    """Run the job of the command line."""
    sys.path.insert(0, str(MIGRATIONS))
    path = Path(sys.argv[1])
    job: Job = pickle.loads(path.read_bytes())
    for number, kind, edited in job.faults:
        print(json.dumps(inject(job, path.parent / "copy", number, kind, edited)), flush=True)


if __name__ == "__main__":
    main()
