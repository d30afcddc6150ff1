"""The project's Makefile: what its commands get from the environment."""

from __future__ import annotations

import os
import shutil
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


def test_the_names_of_folders_are_no_shell_code(
    render: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copy2(render({"services": "engine:custom"}) / "Makefile", tmp_path)
    names = ["$(touch pwned)", "a;touch pwned;", "a'b", "`touch pwned`", "a&b", "ok"]
    for name in [*names, "a b"]:
        (tmp_path / "services" / name).mkdir(parents=True)
        (tmp_path / "services" / name / "Makefile").write_text("show: ; @pwd -P\n")
    done = subprocess.run(
        ["make", "--eval=show: ; $(each)", "show"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not list(tmp_path.rglob("pwned"))
    for name in names:
        if " " not in name:
            assert f"{name}: show" in done.stdout.splitlines(), done
