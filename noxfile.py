#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.2.9"]
# ///
"""What can be done with this template: `nox` checks all of it, `nox -s demo` shows it.

What follows `--` goes to the tool: `nox -s tests -- -k slug`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style, the types, the shell scripts, the workflows and the Dockerfiles."""
    install(session, "lint")
    files = tracked_files()
    python = [name for name in files if is_ours(name) and is_script(name, ".py", b"python")]
    workflows = [name for name in files if name.startswith(".github/workflows/")]
    session.run("ruff", "check", *session.posargs, *python)
    session.run("ruff", "format", "--check", *python)
    for program in typed_programs(python, Path(session.create_tmp())):
        session.run("mypy", *program)
    # What is loaded into a service's own Python must run on an old one.
    plugins = [name for name in python if "/plugins/" in name]
    session.run("vermin", "--quiet", "--no-tips", "--target=3.8-", *plugins)
    # A rendered script's `{% %}` would be no shell; tests/render checks those.
    shell = [name for name in files if is_script(name, ".sh", b"sh") and ".jinja" not in name]
    session.run("shellcheck", *shell)
    session.run("yamllint", "--strict", "copier.yml", ".github")
    session.run("actionlint", *workflows)
    session.run("check-jsonschema", "--builtin-schema=vendor.github-workflows", *workflows)
    session.run("check-jsonschema", "--builtin-schema=vendor.renovate", ".github/renovate.json")
    session.run("zizmor", "--offline", "--quiet", "--pedantic", *workflows)
    session.run("hadolint", *[name for name in files if name.endswith("Dockerfile")])


@nox.session
def tests(session: nox.Session) -> None:
    """Test the extensions, the parts of the scripts, and the rendered files: the fast tests."""
    install(session, "test")
    quick = ("-m", "not docker and not programs")
    pytest(session, *side_by_side(), *quick, paths=["tests/unit", "tests/render"])


@nox.session
def programs(session: nox.Session) -> None:
    """Test what other programs do: a project's scripts as a whole, Compose, workflow linters."""
    install(session, "test")
    wanted = ("-m", "programs and not docker")
    paths = ["tests/render", "tests/scripts", "tests/terminal"]
    pytest(session, *side_by_side(), *wanted, paths=paths)


@nox.session
def update(session: nox.Session) -> None:
    """Update projects of every release to what is here, and change their services."""
    install(session, "test")
    pytest(session, *side_by_side(), paths=["tests/update"])


@nox.session
def e2e(session: nox.Session) -> None:
    """Generate projects and run their own tests on a real Docker engine."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        missing = "no Docker engine answers `docker info`"
        # Where nobody looks, a skip would read as a pass.
        session.error(missing) if os.environ.get("CI") else session.skip(missing)
    install(session, "test")
    # The tests of a file share a project.
    several = ("--numprocesses=3", "--dist=loadfile")
    pytest(session, *several, paths=["tests/unit/test_stack.py", "tests/e2e"])


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the template and write docs/benchmarks.md."""
    install(session, "test")
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Generate a project to look at: `nox -s demo -- -d layout=single`."""
    install(session, "template")
    project = Path(tempfile.mkdtemp(prefix="demo-")) / "my-project"
    # HEAD with what is not committed yet, instead of the newest release.
    session.run(
        *("copier", "copy", "--trust", "--defaults", "--quiet", "--vcs-ref=HEAD"),
        *(*session.posargs, ".", str(project)),
    )
    hidden = {".git", ".venv", "node_modules"}
    for path in sorted(project.rglob("*")):
        parts = path.relative_to(project).parts
        if not hidden.intersection(parts):
            print("    " * (len(parts) - 1) + path.name + "/" * path.is_dir())
    session.log(f"The project is in {project}")


def install(session: nox.Session, group: str) -> None:
    """Install one of pyproject.toml's dependency groups."""
    session.install(*nox.project.dependency_groups(PROJECT, group))


def pytest(session: nox.Session, *options: str, paths: list[str]) -> None:
    """Run pytest on the paths, or on those that the command line names instead."""
    named = any(Path(argument.split("::")[0]).exists() for argument in session.posargs)
    # Every test process imports the same: it is compiled once, even where Python was told not to.
    env = {"PYTHONDONTWRITEBYTECODE": ""}
    session.run("pytest", *options, *session.posargs, *([] if named else paths), env=env)


def side_by_side() -> list[str]:
    """Options that run tests in several processes."""
    # Twice as many as there are cores: some of the tests wait for processes that they started.
    return ["--numprocesses", str(2 * (os.cpu_count() or 1)), "--dist=worksteal"]


def tracked_files() -> list[str]:
    """Every file of the repository that git does not ignore."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, capture_output=True, check=True, text=True).stdout.split("\0")
    return sorted({name for name in names if Path(name).is_file()})


def is_script(name: str, suffix: str, interpreter: bytes) -> bool:
    """Whether a file is in a language, by its suffix or by the interpreter its first line names."""
    # A template's `{{ }}` stand within strings, so that the tools can read it as it is.
    path = Path(name.removesuffix(".jinja"))
    if path.suffix:
        return path.suffix == suffix
    with Path(name).open("rb") as file:
        first_line = file.readline()
    return first_line.startswith(b"#!") and interpreter in first_line


def is_ours(name: str) -> bool:
    """Whether our rules hold here: a project's code has its own, checked as it is rendered."""
    return not name.startswith(("includes/", "template/")) or name.startswith("template/scripts/")


def typed_programs(python: list[str], folder: Path) -> list[list[str]]:
    """What the type checker reads, one program at a time: scripts may share a name.

    The scripts of a project import one that is rendered, so they are copied to where it has its name.
    """
    scripts = Path("template/scripts")
    copy = Path(shutil.copytree(scripts, folder / "scripts", dirs_exist_ok=True))
    for path in copy.rglob("*.py.jinja"):
        path.rename(path.with_suffix(""))
    own = [name for name in python if name.startswith(".ci/")]
    modules = [name for name in python if name.startswith(("extensions/", "tasks/", "noxfile"))]
    programs = [Path(name.removesuffix(".jinja")) for name in python if is_program(name)]
    theirs = [str(copy / path.relative_to(scripts)) for path in programs]
    migrations = [name for name in python if name.startswith("migrations/")]
    return [modules, migrations, ["tests"], *([script] for script in own + theirs)]


def is_program(name: str) -> bool:
    """Whether a file is a script of a project, or is loaded into another program."""
    text = Path(name).read_bytes()
    return name.startswith("template/scripts/") and (text.startswith(b"#!") or "/plugins/" in name)
