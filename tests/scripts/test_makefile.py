"""The project's Makefile: what its commands get from the environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SHOW = "show: ; @echo compile=$$UV_COMPILE_BYTECODE"


@pytest.mark.parametrize(("value", "compiles"), [("1", "1"), ("yes", "1"), ("", ""), (None, "")])
def test_packages_are_compiled_if_python_may_not_write_bytecode(
    render: Callable[..., Path], value: str | None, compiles: str
) -> None:
    env = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= {} if value is None else {"PYTHONDONTWRITEBYTECODE": value}
    done = subprocess.run(
        ["make", f"--eval={SHOW}", "show"],
        cwd=render({}), env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"compile={compiles}\n"


@pytest.mark.parametrize("layout", ["multi", "single"])
def test_the_list_of_targets_fits_a_terminal(render: Callable[..., Path], layout: str) -> None:
    done = subprocess.run(
        ["make"], cwd=render({"layout": layout}), capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) > 20
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
