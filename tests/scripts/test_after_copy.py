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
    project: Path,
    *,
    python: tuple[str, ...] = (),
    arguments: tuple[str, ...] = (),
    stdout: str | None = None,
    **env: str,
) -> str:
    """Run the task in a project; it must pass, whatever happens. Return what it says."""
    done = subprocess.run(
        [sys.executable, *python, TASK, *arguments],
        cwd=project,
        env=os.environ | {"PWD": str(project.parent), "UV_PYTHON": sys.executable} | env,
        capture_output=True,
        encoding=stdout or "utf-8",
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "finishing it failed" not in done.stdout
    assert "\x1b" not in done.stdout
    return done.stdout


def warnings_in(said: str) -> list[str]:
    """Return each warning as one line, with the command that follows it."""
    found: list[str] = []
    for line in said.splitlines():
        if line.startswith("! "):
            found.append(line)
        elif line.startswith("  ") and found and " Later: " not in found[-1]:
            found[-1] += f" {line.strip()}"
    return found


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
    assert "✓ Git repository created\n" in finish(project)
    assert (project / ".git").is_dir()
    status = ["git", "status", "--porcelain"]
    # The first commit is the user's.
    assert b"?? scripts/" in subprocess.run(status, cwd=project, capture_output=True).stdout


def test_a_surrounding_repository_is_used(project: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=project.parent, check=True)
    assert "Git" not in finish(project)
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
    for line in (
        "! No git repository created: git is not installed\n  Later: git init\n",
        "! Some lock files of uv are missing: uv is not installed\n  Later: make lock\n",
        "! Some lock files of npm are missing: npm is not installed\n  Later: make lock\n",
    ):
        assert line in said
    assert "make test" in said
    assert not (project / ".git").exists()


def test_lock_files_are_made_in_every_folder(project: Path, path: Callable[..., str]) -> None:
    folders = [project / name for name in ("services/api", "services/core", "tests/integration")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(PYPROJECT.format(""))
    said = finish(project, PATH=path("git", "uv"), UV_DEFAULT_INDEX=NOWHERE)
    assert "!" not in said
    assert "✓ Lock files created: 3 uv.lock\n" in said
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
    [warning] = warnings_in(said)
    assert warning.startswith("! Some lock files of uv are missing: in services/api/, ")
    assert "refused" in warning or warning.endswith("… Later: make lock")
    assert warning.endswith(" Later: make lock")
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
    [warning] = warnings_in(said)
    assert warning.startswith("! Some lock files of npm are missing: npm error code E")
    assert not (project / "package-lock.json").exists()
    assert not (project / "node_modules").exists()


def test_a_broken_manifest(project: Path, path: Callable[..., str]) -> None:
    (project / "pyproject.toml").write_text("[project\n")
    said = finish(project, PATH=path("git", "uv"))
    assert "! Some lock files of uv are missing: " in said


def test_an_interruption_skips_the_lock_files(project: Path, tmp_path: Path) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT.format(""))
    (project / "package.json").write_text(PACKAGE.format(""))
    (tmp_path / "bin").mkdir()
    for program in ("uv", "npm"):
        (tmp_path / "bin" / program).write_text("#!/bin/sh\nkill -INT $PPID\nexec sleep 60\n")
        (tmp_path / "bin" / program).chmod(0o755)
    said = finish(project, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert "! Some lock files of uv are missing: interrupted\n  Later: make lock\n" in said
    assert "\nNext steps:\n" in said


def test_scripts_that_cannot_be_changed(project: Path) -> None:
    (project / "scripts" / "gone.sh").symlink_to("nowhere")
    assert "! Scripts not made executable: " in finish(project)


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
def test_the_way_to_the_folder_works_in_a_shell(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    said = finish(tmp_path / name)
    [step] = [line for line in said.splitlines() if line.startswith("  cd ")]
    shell = subprocess.run(
        ["sh", "-c", f"{step.strip()} && pwd -P"], cwd=tmp_path, capture_output=True, text=True
    )
    assert shell.stdout == f"{(tmp_path / name).resolve()}\n"


def test_only_the_standard_library_is_needed(project: Path) -> None:
    assert "make test" in finish(project, python=("-S",))


def test_the_way_there_is_from_where_copier_was_started(project: Path, tmp_path: Path) -> None:
    assert "  cd shop\n" in finish(project, PWD=str(tmp_path))
    assert f"  cd {tmp_path.name}/shop\n" in finish(project, PWD=str(tmp_path.parent))
    assert "  cd " not in finish(project, PWD=str(project))
    assert f"  cd {project}\n" in finish(project, PWD="")


def test_a_terminal_that_knows_only_ascii(project: Path) -> None:
    said = finish(project, stdout="ascii", PYTHONIOENCODING="ascii")
    assert "make test" in said


def test_the_last_words_are_the_next_steps(project: Path) -> None:
    said = finish(project).rpartition("\nNext steps:\n")[2]
    steps = [line.split()[:2] for line in said.splitlines()]
    assert steps[:2] == [["cd", "shop"], ["git", "add"]]
    assert steps[2:] == [["make", "setup"], ["make", "test"], ["make", "dev"], ["make", "list"]]


def test_the_next_steps_work_beside_an_existing_makefile(project: Path) -> None:
    (project / "pipeline.mk").write_text("setup:\n")
    said = finish(project).rpartition("\nNext steps:\n")[2]
    assert "  make -f pipeline.mk setup  " in said
    assert "  make setup" not in said
    assert max(map(len, said.splitlines())) <= 80


def test_only_files_that_were_written_are_counted(project: Path) -> None:
    assert "✓ 3 files written\n" in finish(project)
    since = 1_000_000_000
    for path in project.rglob("*"):
        os.utime(path, (since - 1, since - 1))
    (project / "new.txt").write_text("")
    os.utime(project / "new.txt", (since, since))
    (project / "node_modules").mkdir()
    (project / "node_modules/new.js").write_text("")
    assert "✓ 1 file written\n" in finish(project, arguments=(f"--since={since}",))


def test_a_long_reason_is_cut_and_wrapped(project: Path, tmp_path: Path) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT.format(""))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/uv").write_text(f"#!/bin/sh\necho 'error: {'why not ' * 50}' >&2\nexit 1\n")
    (tmp_path / "bin/uv").chmod(0o755)
    said = finish(project, PATH=str(tmp_path / "bin"))
    assert "are missing: why not why not" in said
    assert "…\n  Later: make lock\n" in said
    assert max(map(len, said.splitlines())) <= 80
    assert len(said.splitlines()) < 24


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
