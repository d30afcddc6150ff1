"""Writes one result of an update, as another user or with mounted files.

A program of its own, because it gives up rights: `python -m tests.update.write_result JOB`, where JOB
is a pickle of the project's folder, its files and the result. It prints the outcome and the message.
"""

from __future__ import annotations

import argparse
import codecs
import ctypes
import os
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

MIGRATIONS = Path(__file__).parents[2] / "migrations"

#: The user without rights, as in most systems.
NOBODY = 65534

#: For Linux's unshare(2): a mount namespace of its own.
NEW_MOUNTS = 0x20000


def attempt(repository: Any, before: Any, result: Any) -> tuple[str, str]:
    """Write a result; return the outcome and the message, as migrate.py reports them."""
    names = ("errors", "signals", "writer")
    errors, signals, writers = (import_module(name) for name in names)
    try:
        writer = writers.Writer(repository, before, result)
        writer.prepare()
        try:
            writer.write()
            signals.ignore_signals()
        except BaseException as error:
            writer.undo(error)
            raise
    except errors.UndoError as error:
        return "not undone", str(error)
    except errors.SignalInterrupt:
        return "unchanged", "interrupted"
    except (errors.RefusedError, errors.GitError, OSError) as error:
        return "unchanged", writers.reason_of(error)
    return "done", ""


def mount(sources: list[str]) -> None:
    """Mount `SOURCE=TARGET` pairs where only this process and its children see them."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for pair in sources:
        subprocess.run(["mount", "--bind", *pair.split("=")], check=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=Path)
    parser.add_argument("--as-nobody", action="store_true")
    parser.add_argument("--mount", action="append", default=[])
    options = parser.parse_args()
    sys.path.insert(0, str(MIGRATIONS))
    project, before, result = pickle.loads(options.job.read_bytes())
    repositories = import_module("repository")
    import_module("writer")
    # The user without rights may not be able to read Python's own files.
    codecs.lookup("ascii")
    if options.mount:
        mount(options.mount)
    if options.as_nobody:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os.environ["HOME"] = os.environ["XDG_CONFIG_HOME"] = "/"
        os.environ["GIT_CONFIG_GLOBAL"] = os.environ["GIT_CONFIG_SYSTEM"] = os.devnull
    os.chdir(project)
    print(*attempt(repositories.Repository(Path(project)), before, result), sep="\n")


if __name__ == "__main__":
    main()
