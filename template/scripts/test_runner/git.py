# Kept by the template: copier update merges its changes into this file.
"""Runs git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

#: Git sets these variables when it runs a hook. They would point git to another repository.
HOOK_VARIABLES = frozenset(
    "GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_PREFIX "
    "GIT_ALTERNATE_OBJECT_DIRECTORIES".split()
)


class GitError(Exception):
    """Git failed or is not installed. The text is one line; it may be empty."""


def git(folder: Path, *args: str, stdin: str = "") -> str:
    """Run git in a folder and return its output.

    Raises:
        GitError: git failed; the text is git's first line of error output.
    """
    env = {name: value for name, value in os.environ.items() if name not in HOOK_VARIABLES}
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=folder,
            # Without optional locks, `git diff` does not disturb a git command of the user.
            env=env | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
        )
    except OSError:
        raise GitError("git is not installed") from None
    if done.returncode:
        raise GitError(next(filter(None, map(str.strip, done.stderr.splitlines())), ""))
    return done.stdout
