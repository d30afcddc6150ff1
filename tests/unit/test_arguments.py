"""Arguments of the test scripts reach the test tool unchanged, through make and its shell."""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SHIMS = {
    "docker": 'case "$*" in compose*) echo 2.40.3 ;; *) echo 28.0.0 ;; esac',
    "uv": "printf '%s\\n' \"$@\"",
}
ARGUMENTS = pytest.mark.parametrize(
    "arguments", [[], ["-k", "a or b"], ["it's", '"$HOME"', "*", "$$5", "é\t"]]
)


@pytest.mark.parametrize(
    ("answers", "command"),
    [
        ({"services": "worker"}, ["scripts/test-service.sh", "worker"]),
        ({"layout": "single"}, ["scripts/run-integration-tests.sh"]),
    ],
)
@ARGUMENTS
def test_the_scripts_pass_arguments_on(
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
    passed_on = done.stdout.splitlines()
    assert passed_on[len(passed_on) - len(arguments) :] == arguments
    assert passed_on.count("--") == 2


@pytest.fixture
def stack(runner: Callable[[str], ModuleType]) -> ModuleType:
    runner("project")  # This makes the scripts importable.
    return importlib.import_module("stack")


@ARGUMENTS
def test_make_passes_arguments_on(stack: ModuleType, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "Makefile").write_text("all:\n\t@printf '%s\\n' $(ARGS) x\n")
    command = stack.with_arguments(["make", "--silent", "--", *arguments])
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().splitlines() == [*arguments, "x"]
    for other in (["make", "all"], ["npm", "test", "--", "-t", "x"]):
        assert stack.with_arguments(other) == other
