"""What happens after a project is generated: the real task, with real git, uv and npm."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TASK = Path(__file__).parents[2] / "tasks" / "after_copy.py"
NOWHERE = "http://127.0.0.1:9/"

PYPROJECT = (
    '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = [{}]\n'
)
PACKAGE = '{{"name": "x", "version": "1.0.0", "dependencies": {{{}}}}}\n'


def finish(
    project: Path, *, python: tuple[str, ...] = (), stdout: str | None = None, **env: str
) -> str:
    """Run the task in a project; it must pass, whatever happens. Return what it says."""
    done = subprocess.run(
        [sys.executable, *python, TASK],
        cwd=project,
        env=os.environ | {"PWD": str(project.parent), "UV_PYTHON": sys.executable} | env,
        capture_output=True,
        encoding=stdout or "utf-8",
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "stopped" not in done.stdout
    assert "\x1b" not in done.stdout
    return done.stdout


@pytest.fixture
def path(tmp_path: Path) -> Callable[..., str]:
    """Return the function that makes a PATH of nothing but some programs."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def made(*programs: str) -> str:
        for program in programs:
            found = shutil.which(program)
            if found is None:
                pytest.skip(f"{program} is not installed")
            # Not a link: npm finds its library from where it is.
            (folder / program).write_text(f'#!/bin/sh\nexec "{found}" "$@"\n')
            (folder / program).chmod(0o755)
        return str(folder)

    return made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / "scripts").mkdir(parents=True)
    for name in ("a.sh", "b.py", "notes.txt"):
        (root / "scripts" / name).write_text("# Kept by the template\n")
        (root / "scripts" / name).chmod(0o644)
    return root


def test_a_repository_is_made_where_there_is_none(project: Path) -> None:
    assert "No git" not in finish(project)
    assert (project / ".git").is_dir()
    status = ["git", "status", "--porcelain"]
    # The first commit is the user's.
    assert b"?? scripts/" in subprocess.run(status, cwd=project, capture_output=True).stdout


def test_a_surrounding_repository_is_used(project: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=project.parent, check=True)
    finish(project)
    assert not (project / ".git").exists()


def test_a_repository_that_is_there_is_kept(project: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "-b", "mine"], cwd=project, check=True)
    before = (project / ".git/HEAD").read_text()
    finish(project)
    assert (project / ".git/HEAD").read_text() == before


def test_scripts_become_executable(project: Path) -> None:
    finish(project)
    modes = {path.name: path.stat().st_mode for path in (project / "scripts").iterdir()}
    for name in ("a.sh", "b.py"):
        assert modes[name] & stat.S_IXUSR and modes[name] & stat.S_IXOTH
    assert not modes["notes.txt"] & stat.S_IXUSR


def test_a_script_of_somebody_s_own_is_left_alone(project: Path) -> None:
    (project / "scripts/own.sh").write_text("echo mine\n")
    (project / "scripts/own.sh").chmod(0o644)
    finish(project)
    assert not (project / "scripts/own.sh").stat().st_mode & stat.S_IXUSR


def test_without_any_tool(project: Path, path: Callable[..., str]) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT.format(""))
    (project / "package.json").write_text(PACKAGE.format(""))
    said = finish(project, PATH=path())
    assert "! No git repository was made (git is not installed). Later: git init" in said
    assert "by uv (.: uv is not installed). Later: make lock" in said
    assert "by npm (.: npm is not installed). Later: make lock" in said
    assert "make test" in said
    assert not (project / ".git").exists()


def test_lock_files_are_made_in_every_folder(project: Path, path: Callable[..., str]) -> None:
    folders = [project / name for name in ("services/api", "services/core", "tests/integration")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(PYPROJECT.format(""))
    said = finish(project, PATH=path("git", "uv"), UV_DEFAULT_INDEX=NOWHERE)
    assert "!" not in said
    assert [folder for folder in folders if not (folder / "uv.lock").is_file()] == []


def test_a_lock_file_that_is_there_is_kept(project: Path, path: Callable[..., str]) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT.format(""))
    (project / "uv.lock").write_text("mine")
    finish(project, PATH=path("git", "uv"))
    assert (project / "uv.lock").read_text() == "mine"


def test_uv_offline(project: Path, path: Callable[..., str], tmp_path: Path) -> None:
    for name in ("services/api", "services/core"):
        (project / name).mkdir(parents=True)
        (project / name / "pyproject.toml").write_text(PYPROJECT.format('"left-pad"'))
    said = finish(
        project,
        PATH=path("git", "uv"),
        UV_DEFAULT_INDEX=NOWHERE,
        UV_CACHE_DIR=str(tmp_path / "cache"),
        UV_HTTP_RETRIES="0",
    )
    [warning] = [line for line in said.splitlines() if line.startswith("!")]
    assert warning.startswith("! Not every lock file could be made by uv (services/api: error: ")
    assert "refused" in warning
    assert warning.endswith("Later: make lock")
    assert list(project.rglob("uv.lock")) == []
    assert "make test" in said


def test_npm_offline(project: Path, path: Callable[..., str], tmp_path: Path) -> None:
    (project / "package.json").write_text(PACKAGE.format('"left-pad": "*"'))
    said = finish(
        project,
        PATH=os.pathsep.join([path("git", "node", "npm"), "/bin"]),
        npm_config_registry=NOWHERE,
        npm_config_cache=str(tmp_path / "cache"),
    )
    [warning] = [line for line in said.splitlines() if line.startswith("!")]
    assert warning.startswith("! Not every lock file could be made by npm (.: npm error code E")
    assert not (project / "package-lock.json").exists()
    assert not (project / "node_modules").exists()


def test_a_broken_manifest(project: Path, path: Callable[..., str]) -> None:
    (project / "pyproject.toml").write_text("[project\n")
    said = finish(project, PATH=path("git", "uv"))
    assert "! Not every lock file could be made by uv" in said


def test_scripts_that_cannot_be_changed(project: Path) -> None:
    (project / "scripts" / "gone.sh").symlink_to("nowhere")
    assert "! Scripts could not be made executable" in finish(project)


@pytest.mark.parametrize("python", [(), ("-S",)], ids=["with rich", "without rich"])
@pytest.mark.parametrize(
    "name",
    [
        "shop",
        "we[bold]ird",
        "[red",
        "[x]",
        "back\\",
        "with space",
        "quote'",
        ":smile:",
        "ü🚀",
        "x" * 90,
    ],
)
def test_the_folder_is_named_as_it_is(tmp_path: Path, name: str, python: tuple[str, ...]) -> None:
    (tmp_path / name).mkdir()
    said = finish(tmp_path / name, python=python)
    assert f"✓ The project is in {name}. Next:\n" in said
    [step] = [line for line in said.splitlines() if line.startswith("  cd ")]
    shell = subprocess.run(
        ["sh", "-c", f"{step.strip()} && pwd -P"], cwd=tmp_path, capture_output=True, text=True
    )
    assert shell.stdout == f"{(tmp_path / name).resolve()}\n"


def test_both_ways_to_print_say_the_same(project: Path) -> None:
    assert finish(project) == finish(project, python=("-S",))


def test_the_way_there_is_from_where_copier_was_started(project: Path, tmp_path: Path) -> None:
    assert "  cd shop\n" in finish(project, PWD=str(tmp_path))
    assert f"  cd {tmp_path.name}/shop\n" in finish(project, PWD=str(tmp_path.parent))
    assert "  cd " not in finish(project, PWD=str(project))
    assert f"  cd {project}\n" in finish(project, PWD="")


def test_a_terminal_that_knows_only_ascii(project: Path) -> None:
    said = finish(project, stdout="ascii", PYTHONIOENCODING="ascii")
    assert "make test" in said


def test_the_last_word_is_what_to_do_next(project: Path) -> None:
    said = finish(project)
    steps = [line.split()[:2] for line in said.splitlines() if line.startswith("  ")]
    assert steps[:2] == [["cd", "shop"], ["git", "add"]]
    assert steps[2:] == [["make", "setup"], ["make", "test"], ["make", "dev"], ["make", "lists"]]


def test_copier_runs_it(template_copy: Path, tmp_path: Path, path: Callable[..., str]) -> None:
    answers = {"services": "core:custom", "database": "none", "cache": "none"}
    environment = os.environ | {"PATH": path("git"), "PWD": str(tmp_path)}
    program = (
        "import copier, sys; copier.run_copy(sys.argv[1], sys.argv[2], data=eval(sys.argv[3]),"
        " defaults=True, quiet=True, unsafe=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, template_copy, tmp_path / "shop", repr(answers)],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "  cd shop\n" in done.stdout
    assert (tmp_path / "shop" / ".git").is_dir()
    assert (tmp_path / "shop" / ".copier-answers.yml").is_file()
