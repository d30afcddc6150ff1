"""Runs git commands."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from errors import GitError

#: The user's hooks must not run in the template's clone, and no command of ours needs them. Commands
#: must not change submodules.
OPTIONS = (
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"),
    *("-c", "submodule.recurse=false"),
)

#: Variables that git sets for its hooks. They would make our commands use another repository.
VARIABLES = frozenset(
    "GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_PREFIX "
    "GIT_ALTERNATE_OBJECT_DIRECTORIES".split()
)


def git(*args: str, cwd: Path, input: bytes | None = None, **env: str) -> bytes:
    """Run git in a folder and return its output.

    Raises:
        GitError: git failed.
    """
    done = subprocess.run(
        ["git", *OPTIONS, *args],
        cwd=cwd,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        env={**{k: v for k, v in os.environ.items() if k not in VARIABLES}, **env},
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        # Git explains an error after it.
        marked = [
            line for kind in ("fatal: ", "error: ") for line in lines if line.startswith(kind)
        ]
        raise GitError(f"git {args[0]}: {(marked or lines[-1:] or ['it gave no reason'])[0]}")
    return done.stdout
