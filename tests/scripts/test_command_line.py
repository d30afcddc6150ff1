"""`copier copy` as a program: messages for invalid answers, and answers from a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

COPY = ("copier", "copy", "--trust", "--defaults", "--quiet", "--skip-tasks")


def run_copier(template: Path, project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    }
    return subprocess.run(
        [*COPY, *options, str(template), str(project)],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    "options",
    [
        ["services=api, web: node-web"],
        ["services=Api"],
        ["project_name="],
        ["project_slug=My Shop"],
        ["registry=https://ghcr.io/me"],
        ["services=worker", "database=none", "cache=none"],
    ],
    ids=repr,
)
def test_a_refused_answer_prints_one_line(
    template_copy: Path, tmp_path: Path, options: list[str]
) -> None:
    project = tmp_path / "project"
    data = [part for option in options for part in ("--data", option)]
    done = run_copier(template_copy, project, *data)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    [line] = done.stderr.splitlines()
    assert options[0].split("=")[1].split(" ")[0].split(":")[0] in line
    assert done.stdout == ""
    assert not project.exists()


def test_a_refusal_does_not_change_an_existing_folder(template_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = run_copier(template_copy, tmp_path, "--data", "services=Api")
    assert done.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_answers_from_a_file(template_copy: Path, tmp_path: Path) -> None:
    answers = {
        "services": [{"name": "orders", "port": 8100}, "web"],
        "project_name": "Shop </title><b>",
    }
    (tmp_path / "answers.yml").write_text(yaml.safe_dump(answers))
    done = run_copier(template_copy, tmp_path / "p", "--data-file", str(tmp_path / "answers.yml"))
    assert done.returncode == 0, done.stderr
    stored = yaml.safe_load((tmp_path / "p" / ".copier-answers.yml").read_text())
    assert answers.items() <= stored.items()


@pytest.mark.parametrize("safe_path", ["", "1"])
def test_scripts_start_beside_modules_of_the_user(
    render: Callable[..., Path], tmp_path: Path, safe_path: str
) -> None:
    scripts = shutil.copytree(render({"services": "api"}) / "scripts", tmp_path / "scripts")
    (scripts / "types.py").write_text("raise SystemExit('this is not the standard library')\n")
    for script in sorted(scripts.glob("*.py")):
        if script.name in ("types.py", "test-watch.py"):  # watchfiles may not be installed
            continue
        done = subprocess.run(
            [sys.executable, script, "--help"],
            env=os.environ | {"PYTHONSAFEPATH": safe_path}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("usage: ")


def test_another_answers_file_is_refused(template_copy: Path, tmp_path: Path) -> None:
    done = run_copier(
        template_copy, tmp_path / "p", "--answers-file", "other.yml", "-d", "services=api"
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "the answers file must be .copier-answers.yml, not other.yml; leave out --answers-file"
    ]
    assert not (tmp_path / "p").exists()
