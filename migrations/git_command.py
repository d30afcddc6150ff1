"""Runs git commands."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from errors import GitError


def git(*args: str, cwd: Path, input: bytes | None = None, **env: str) -> bytes:
    """Run git in a folder and return its output.

    Raises:
        GitError: git failed.
    """
    done = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", *args],
        cwd=cwd,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        env=os.environ | env,
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitError(f"git {args[0]}: {(lines or ['it gave no reason'])[-1]}")
    return done.stdout
