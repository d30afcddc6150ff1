"""Each rendered file is tidy, contains no Jinja, and passes its linters."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from yamllint import linter
from yamllint.config import YamlLintConfig

from . import files
from .conftest import Project
from .contracts import texts

ROOT = Path(__file__).resolve().parents[2]


def new_files(
    project: Project, tool: str, names: Iterator[str], first: Callable[[str], bool]
) -> list[str]:
    """Return the files whose content a tool has not checked yet."""
    return [
        name
        for name in names
        if first(f"{tool} {(project.root / name).read_text(encoding='utf-8')}")
    ]


def program(tool: str) -> str:
    """Return the path of a linter, which is installed beside Python."""
    beside = Path(sys.executable).with_name(tool)
    command = str(beside) if beside.exists() else shutil.which(tool)
    assert command, f"{tool} is not installed: run this through nox -s tests"
    return command


def run(tool: str, *args: str, cwd: Path) -> list[str]:
    """Return the problems that a linter reports."""
    # A linter must read the project's configuration, and no cache.
    env = os.environ | {"RUFF_NO_CACHE": "true", "NO_COLOR": "1", "SHELLCHECK_OPTS": ""}
    done = subprocess.run([program(tool), *args], cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode == 0:
        return []
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def linted(root: Path) -> set[str]:
    """Return what `make lint` and `make format` give ruff, which finds each file's configuration."""
    call = re.compile(
        r"^\t(?:cd (\S+) && )?(?:uv run|uvx) ruff check(?: --\S+)*((?: \w\S*)*)", re.MULTILINE
    )
    return {
        str((makefile.parent / folder / path).relative_to(root))
        for makefile in root.rglob("Makefile")
        for folder, paths in call.findall(makefile.read_text(encoding="utf-8"))
        for path in paths.split() or ["."]
    }


@functools.cache
def untidy(name: str, text: str) -> list[str]:
    """Return the problems of a file. Most files are the same in many projects."""
    return [line for check in files.CHECKS for line in check(name, text)]


def test_every_file_is_tidy(project: Project) -> None:
    project.check([line for name, text in texts(project.root) for line in untidy(name, text)])


def test_the_guide_for_agents_is_short(project: Project) -> None:
    lines = (project.root / "AGENTS.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
    assert (project.root / "CLAUDE.md").read_text(encoding="utf-8") == "@AGENTS.md\n"


@pytest.mark.programs
def test_every_dockerfile_passes_hadolint(project: Project, first: Callable[[str], bool]) -> None:
    names = (name for name, _ in texts(project.root) if Path(name).name == "Dockerfile")
    if found := new_files(project, "hadolint", names, first):
        project.check(run("hadolint", "--no-color", *found, cwd=project.root))


@pytest.mark.programs
def test_every_script_passes_shellcheck(project: Project, first: Callable[[str], bool]) -> None:
    names = (
        name
        for name, text in texts(project.root)
        if name.endswith(".sh")
        or (text.startswith("#!") and "sh\n" in text[: text.index("\n") + 1])
    )
    if found := new_files(project, "shellcheck", names, first):
        project.check(run("shellcheck", "--format=gcc", *found, cwd=project.root))


@pytest.mark.programs
def test_every_yaml_file_passes_yamllint(project: Project, first: Callable[[str], bool]) -> None:
    # Image names and the messages in `:?` cannot be wrapped.
    rules = {"extends": str(ROOT / ".yamllint.yaml"), "rules": {"line-length": "disable"}}
    config = YamlLintConfig(json.dumps(rules))
    names = (name for name, _ in texts(project.root) if name.endswith((".yml", ".yaml")))
    problems = []
    for name in new_files(project, "yamllint", names, first):
        if name == ".copier-answers.yml":  # Copier writes it.
            continue
        text = (project.root / name).read_text(encoding="utf-8")
        found = linter.run(text, config, name)
        problems += [f"{name}:{p.line}: {p.message} ({p.rule})" for p in found]
    project.check(problems)


@pytest.mark.programs
def test_every_python_file_passes_ruff(project: Project, first: Callable[[str], bool]) -> None:
    problems = []
    commands = (["check", "--output-format=concise"], ["format", "--check"])
    paths = sorted(linted(project.root))
    for command in commands if paths else ():
        problems += run("ruff", *command, *paths, cwd=project.root)
    # Our own lint rules apply to the scripts of a project, in any language.
    config = ["--config", str(ROOT / "pyproject.toml")]
    names = (name for name, _ in texts(project.root) if name.startswith(("scripts/", "deploy/")))
    if scripts := new_files(project, "ruff", (n for n in names if n.endswith(".py")), first):
        for command in commands:
            problems += run("ruff", *command, *config, *scripts, cwd=project.root)
    project.check(problems)


BAD = {
    "an empty line too many": ("a.yml", "a: 1\n\n\nb: 2\n", "a.yml:1: has 2 empty lines in a row"),
    "three empty lines in Python": ("a.py", "a = 1\n\n\n\nb = 2\n", "has 3 empty lines in a row"),
    "an empty line at the end": ("a.sh", "a\n\n", "an empty line at its end"),
    "an empty line at the start": ("a.sh", "\na\n", "an empty line at its start"),
    "no newline at the end": ("a.sh", "a", "does not end with a newline"),
    "spaces at the end of a line": ("a.sh", "a \n", "a.sh:1: ends with spaces"),
    "a tab": ("a.sh", "\ta\n", "a.sh:1: has a tab"),
    "a tab inside a recipe": ("Makefile", "a:\n\ta\tb\n", "Makefile:2: has a tab"),
    "a carriage return": ("a.sh", "a\r\n", "carriage returns"),
    "an expression": ("a.md", "{{ name }}\n", "has Jinja in it"),
    "a statement": ("a.md", "{% if a %}\n", "has Jinja in it"),
    "a comment of the template": ("a.md", "{# a #}\n", "has Jinja in it"),
    "YAML": ("a.yml", "a: [\n", "a.yml: "),
    "TOML": ("a.toml", "a = \n", "a.toml: "),
    "JSON": ("a.json", "{,}\n", "a.json: "),
    "a script for a newer Python": ("scripts/a.py", "type A = int\n", "scripts/a.py: "),
    "a script without its Python": ("scripts/a.py", "#!x\na = 1\n", "does not require Python"),
    "a plugin for a newer Python": ("scripts/a/plugins/b.py", "match a:\n case 1: b\n", "b.py: "),
    "a disabled rule without a reason": ("Dockerfile", "# hadolint ignore=DL3008\n", "no reason"),
    "a name that is invalid on Windows": ("a/b:c", "a\n", "not valid everywhere"),
    "a name that ends with a dot": ("a./b", "a\n", "not valid everywhere"),
}


@pytest.mark.parametrize(("name", "text", "problem"), BAD.values(), ids=BAD)
def test_a_bad_file_is_found(name: str, text: str, problem: str) -> None:
    found = [line for check in files.CHECKS for line in check(name, text)]
    assert any(problem in line for line in found), found


GOOD = {
    "a Makefile": ("Makefile", "a:\n\tb\n"),
    "two empty lines in Python": ("a.py", "a = 1\n\n\nb = 2\n"),
    "an empty file": ("a/__init__.py", ""),
    "a module of the scripts": ("scripts/a/b.py", "a = 1\n"),
    "GitHub's expressions": (".github/workflows/a.yml", "a: ${{ github.ref }}\n"),
    "Docker's format strings": ("a.sh", "docker ps --format '{{.Names}}' '{{json .}}'\n"),
    "the length of an array": ("a.sh", "echo ${#a[@]}\n"),
    "a disabled rule with a reason": (
        "Dockerfile",
        "# We need the newest patch.\n# hadolint ignore=DL3008\n",
    ),
}


@pytest.mark.parametrize(("name", "text"), GOOD.values(), ids=GOOD)
def test_a_good_file_has_no_problem(name: str, text: str) -> None:
    assert [line for check in files.CHECKS for line in check(name, text)] == []
