"""Arguments of the test scripts reach the test tool as they were given, through make's shell."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

SHIMS = {
    "docker": 'case "$*" in compose*) echo 2.40.3 ;; *) echo 28.0.0 ;; esac',
    "uv": "printf '%s\\n' \"$@\"",
}


@pytest.mark.parametrize(
    ("answers", "command"),
    [
        ({"services": "worker"}, ["scripts/test-service.sh", "worker"]),
        ({"layout": "single"}, ["scripts/run-integration-tests.sh"]),
    ],
)
@pytest.mark.parametrize("arguments", [[], ["-k", "a or b"], ["it's", '"$HOME"', "*"]])
def test_arguments_arrive_whole(
    render: Callable[[Mapping[str, Any]], Path],
    tmp_path: Path,
    answers: dict[str, str],
    command: list[str],
    arguments: list[str],
) -> None:
    for name, body in SHIMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [*command, *arguments],
        cwd=render(answers),
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    handed_on = done.stdout.splitlines()[-1]
    assert handed_on.startswith("ARGS=")
    assert shlex.split(handed_on.removeprefix("ARGS=")) == arguments
