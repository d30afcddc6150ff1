#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.2.9"]
# ///
"""The checks of this template. `nox` runs all of them, and `nox -s demo` generates a project.

Arguments after `--` go to the tool: `nox -s tests -- -k slug`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, words, shell scripts, workflows and Dockerfiles."""
    install(session, "lint")
    files = tracked_files()
    python = [name for name in files if is_ours(name) and is_script(name, ".py", b"python")]
    workflows = [name for name in files if name.startswith(".github/workflows/")]
    session.run("ruff", "check", *session.posargs, *python)
    session.run("ruff", "format", "--check", *python)
    for program in typed_programs(python, Path(session.create_tmp())):
        session.run("mypy", *program)
    # A service's own Python loads the plugins, and it may be an old version.
    plugins = [name for name in python if "/plugins/" in name]
    session.run("vermin", "--quiet", "--no-tips", "--target=3.8-", *plugins)
    # Templates of shell scripts are not valid shell code; tests/render checks the rendered ones.
    shell = [name for name in files if is_script(name, ".sh", b"sh") and ".jinja" not in name]
    session.run("shellcheck", *shell)
    # Without the command, which names every file.
    session.run("python", "tests/words.py", *files, log=False)
    session.run("yamllint", "--strict", "copier.yml", ".github")
    session.run("actionlint", *workflows)
    session.run("check-jsonschema", "--builtin-schema=vendor.github-workflows", *workflows)
    session.run("check-jsonschema", "--builtin-schema=vendor.renovate", ".github/renovate.json")
    session.run("zizmor", "--offline", "--quiet", "--persona=auditor", *workflows)
    session.run("hadolint", *[name for name in files if name.endswith("Dockerfile")])


@nox.session
def tests(session: nox.Session) -> None:
    """Run the fast tests: extensions, parts of the scripts, rendered files."""
    install(session, "test")
    quick = ("-m", "not docker and not programs")
    # They wait for no other program, and each process spends seconds on its start.
    pytest(session, *side_by_side(per_core=1), *quick, paths=["tests/unit", "tests/render"])


@nox.session
def programs(session: nox.Session) -> None:
    """Run the tests that start other programs: a project's scripts, Compose, workflow linters."""
    install(session, "test", "kubernetes")
    wanted = ("-m", "programs and not docker and not drills")
    paths = ["tests/adopt", "tests/render", "tests/scripts", "tests/terminal", "tests/unit"]
    pytest(session, *side_by_side(), *wanted, paths=paths)


@nox.session
def update(session: nox.Session) -> None:
    """Update projects from old versions to the working tree, and change their services."""
    install(session, "test")
    pytest(session, *side_by_side(), "-m", "not drills", paths=["tests/update"])


@nox.session(default=False)
def drills(session: nox.Session) -> None:
    """Run what takes hours: all updates, sample repositories, interruptions and cache mutations."""
    install(session, "test", "kubernetes")
    paths = ["tests/update", "tests/render", "tests/scripts/test_cache_mutations.py"]
    pytest(session, *side_by_side(), "-m", "drills", paths=paths)
    end_to_end(session, "-m", "drills")


@nox.session
def e2e(session: nox.Session) -> None:
    """Generate projects and run their own tests on a real Docker engine."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        missing = "no Docker engine answers `docker info`"
        # In CI, a skipped session would look like a passed one.
        session.error(missing) if os.environ.get("CI") else session.skip(missing)
    install(session, "test")
    end_to_end(session, "-m", "not drills")


@nox.session
def fresh(session: nox.Session) -> None:
    """Compare the versions that the template renders with the known releases and ends of life.

    `nox -s fresh -- --refresh` first looks up the newest packages, and writes tests/fresh/packages.toml.
    """
    install(session, "test")
    session.run("python", "-m", "tests.fresh", *session.posargs)


@nox.session(default=False)
def rendered(session: nox.Session) -> None:
    """Renew what tests/render/ keeps of rendered projects: lists of files, and the text of two."""
    install(session, "test")
    paths = ["tests/render/test_trees.py", "tests/render/test_rendered.py"]
    session.run("pytest", "--quiet", *session.posargs, *paths, env={"UPDATE_RENDERED": "1"})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the template and write docs/benchmarks.md."""
    install(session, "test")
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session(default=False)
def picture(session: nox.Session) -> None:
    """Draw docs/images/ with the display of the test runner."""
    install(session, "test")
    session.run("python", "-m", "tests.picture")


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Generate a project: `nox -s demo -- -d layout=single`."""
    install(session, "template")
    project = Path(tempfile.mkdtemp(prefix="demo-")) / "my-project"
    # HEAD with the uncommitted changes, instead of the newest release.
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


def install(session: nox.Session, *groups: str) -> None:
    """Install some of pyproject.toml's dependency groups."""
    session.install(*nox.project.dependency_groups(PROJECT, *groups))


def pytest(session: nox.Session, *options: str, paths: list[str], in_memory: bool = True) -> None:
    """Run pytest on the paths that the command line names, or else on `paths`.

    With `in_memory`, its temporary files are in memory. Environments and images are too large for that.
    """
    named = any(Path(argument.split("::")[0]).exists() for argument in session.posargs)
    # All test processes import the same modules. With bytecode files, Python compiles them once.
    env = {"PYTHONDONTWRITEBYTECODE": ""}
    with temporary_folder(in_memory=in_memory) as folder:
        env |= {"TMPDIR": folder} if folder else {}
        session.run("pytest", *options, *session.posargs, *([] if named else paths), env=env)


@contextmanager
def temporary_folder(*, in_memory: bool) -> Iterator[str]:
    """Yield a folder for temporary files in memory; empty if that is not wanted or not possible.

    The tests create and delete a million small files, for which ext4 takes a third of their processor time.
    """
    memory = Path("/dev/shm")
    if not in_memory or not os.access(memory, os.W_OK) or not is_usable(memory):
        yield ""
        return
    with tempfile.TemporaryDirectory(dir=memory, ignore_cleanup_errors=True) as folder:
        # Some tests run programs as another user.
        Path(folder).chmod(0o711)
        yield folder


def is_usable(folder: Path) -> bool:
    """Return whether a folder has room for all tests, and programs in it may be run."""
    enough = shutil.disk_usage(folder).free > 4 << 30
    return enough and not os.statvfs(folder).f_flag & os.ST_NOEXEC


def end_to_end(session: nox.Session, *options: str) -> None:
    """Run tests/e2e, and the tests of Swarm alone.

    An engine that is in a swarm asks the swarm about each network, and waits for it when it is busy.
    """
    swarm = "tests/e2e/test_swarm.py"
    if session.posargs:
        pytest(session, *by_group(), *options, paths=["tests/e2e"], in_memory=False)
    else:
        others = (*by_group(), *options, f"--ignore={swarm}")
        pytest(session, *others, paths=["tests/e2e"], in_memory=False)
        pytest(session, *options, paths=[swarm], in_memory=False)


def side_by_side(per_core: int = 2) -> list[str]:
    """Return the options that run tests in several processes.

    Two for each core, because some tests wait for programs that they started.
    """
    return ["--numprocesses", str(per_core * (os.cpu_count() or 1)), "--dist=worksteal"]


def by_group() -> list[str]:
    """Return the options that run groups of tests side by side. The tests of a group share a project.

    tests/e2e/conftest.py gives each test its group, and the groups start in its order.
    """
    return ["--numprocesses=4", "--dist=loadgroup", "--no-loadscope-reorder"]


def tracked_files() -> list[str]:
    """Return every file of ours that git does not ignore."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, capture_output=True, check=True, text=True).stdout.split("\0")
    # Sample repositories and schemas have the style of other people.
    theirs = ("tests/adopt/repositories/", "tests/render/schemas/")
    return sorted({n for n in names if not n.startswith(theirs) and Path(n).is_file()})


def is_script(name: str, suffix: str, interpreter: bytes) -> bool:
    """Return whether a file has a suffix, or has none and its first line names an interpreter."""
    # Templates of scripts have `{{ }}` only in strings, so the tools can parse them.
    path = Path(name.removesuffix(".jinja"))
    if path.suffix:
        return path.suffix == suffix
    with Path(name).open("rb") as file:
        first_line = file.readline()
    return first_line.startswith(b"#!") and interpreter in first_line


def is_ours(name: str) -> bool:
    """Return whether our lint rules apply; tests/render checks the code of a project."""
    return not name.startswith(("includes/", "template/")) or name.startswith("template/scripts/")


def typed_programs(python: list[str], folder: Path) -> list[list[str]]:
    """Return the paths for each run of the type checker.

    Each script is checked in its own run, because two scripts may have the same name. The scripts
    of a project import a module that is a template, so they are copied to a folder where that
    module has its rendered name.
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
    """Return whether a file is a script of a project, or a plugin of a test tool."""
    text = Path(name).read_bytes()
    return name.startswith("template/scripts/") and (text.startswith(b"#!") or "/plugins/" in name)
