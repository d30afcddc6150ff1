"""What happens once, right after a project is generated: git, lock files, and what to do next.

Copier removes a new project when a task of its template fails, so nothing here may fail: what does
not work is said, with the command that does it later, and the exit code is 0.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

#: Says that a file is the template's.
MARK = b"Kept by the template"

#: Seconds that one tool may take for one lock file; a registry that is slower than that counts as
#: out of reach.
PATIENCE = 180

#: Offline, npm would try again for more than a minute.
NPM_OPTIONS = (
    *("--loglevel=error", "--no-audit", "--no-fund"),
    *("--fetch-retries=1", "--fetch-retry-mintimeout=1000"),
)


def run(*command: str, cwd: Path) -> str:
    """Run a command; return why it failed, in a line, or nothing where it passed."""
    if shutil.which(command[0]) is None:
        return f"{command[0]} is not installed"
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} gave no answer within {PATIENCE} seconds"
    except OSError as error:
        return f"{command[0]} could not be started: {error.strerror}"
    if done.returncode == 0:
        return ""
    # uv and npm give the reason first and the circumstances after.
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    told = [line for line in lines if "error" in line.lower()] or lines
    if not told:
        return f"{command[0]} failed with exit code {done.returncode}"
    causes = [line.partition(": ")[2] for line in lines if line.lower().startswith("cause")]
    return ": ".join([told[0], *causes[-1:]])


def start_repository(project: Path) -> str:
    """Make a git repository, unless one surrounds the folder already. Return what went wrong."""
    if not run("git", "rev-parse", "--is-inside-work-tree", cwd=project):
        return ""
    return run("git", "init", "--quiet", cwd=project)


def make_executable(project: Path) -> None:
    """Give the scripts their executable bits, which some file systems and archives drop."""
    for script in [*project.glob("scripts/*.sh"), *project.glob("scripts/*.py")]:
        # In a folder of that name there may be somebody's own.
        if MARK in script.read_bytes():
            script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def unlocked(project: Path, *, adopted: bool) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Find the folders that lack a lock file, each with the command that makes it.

    Somebody's own services may have another way to pin what they depend on.
    """
    folders = [project / "tests/integration"]
    if not adopted:
        folders = [project, *sorted(project.glob("services/*/")), *folders]
    for folder in folders:
        if (folder / "pyproject.toml").exists() and not (folder / "uv.lock").exists():
            yield folder, ("uv", "lock", "--quiet")
        if (folder / "package.json").exists() and not (folder / "package-lock.json").exists():
            yield folder, ("npm", "install", "--package-lock-only", *NPM_OPTIONS)


def lock(project: Path, *, adopted: bool = False) -> dict[str, str]:
    """Make the missing lock files. Return, by tool, why it could not.

    A tool that failed once is not asked again: offline, each further try would only take time.
    """
    failures: dict[str, str] = {}
    for folder, command in unlocked(project, adopted=adopted):
        tool = command[0]
        if tool not in failures:
            reason = run(*command, cwd=folder)
            if reason:
                failures[tool] = f"{folder.relative_to(project)}: {reason}"
    return failures


def printer() -> Callable[..., None]:
    """Return what prints a line of parts: with rich, or plain where rich is not installed."""
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        return lambda *parts: print("".join(text for text, _ in parts))
    console = Console(highlight=False, soft_wrap=True)
    return lambda *parts: console.print(Text.assemble(*parts))


def way_to(project: Path) -> str:
    """Return what leads a shell to the project from where Copier was started."""
    start = os.environ.get("PWD", "")
    way = os.path.relpath(project, start) if start else str(project)
    return shlex.quote(way)


def main() -> None:
    """Finish the project in the current folder."""
    project = Path.cwd()
    # Given where somebody's own project was there.
    template = "".join(sys.argv[1:2])
    say: Callable[..., None] = printer()

    def warn(what: str, why: str, later: str) -> None:
        say(("!", "yellow"), (f" {what} ({why}). Later: ", ""), (later, "bold"))

    say()
    problem = start_repository(project)
    if problem:
        warn("No git repository was made", problem, "git init")
    try:
        make_executable(project)
    except OSError as error:
        warn("Scripts could not be made executable", str(error), "chmod +x scripts/*")
    for tool, why in lock(project, adopted=bool(template)).items():
        warn(f"Not every lock file could be made by {tool}", why, "make lock")
    if template:
        from adoption import by_hand

        say(("!", "yellow"), (" Every file that was there is as it was. By hand:", ""))
        for line in by_hand(project, Path(template)):
            say((f"  - {line}", ""))

    steps = [
        ("git add --all && git commit -m 'Start'", "updates of the template need a commit"),
        ("make setup", "installs what the tests need"),
        ("make test", "runs all tests, stage by stage"),
        ("make dev", "starts everything, with hot reload"),
        ("make", "lists all there is"),
    ]
    way = way_to(project)
    if way != ".":
        steps.insert(0, (f"cd {way}", ""))
    say(("✓", "green"), (" The project is in ", ""), (project.name, "bold"), (". Next:", ""))
    say()
    for command, meaning in steps:
        say((f"  {command.ljust(42 if meaning else 0)}", "bold"), (meaning, ""))
    say()


if __name__ == "__main__":
    # Where the terminal cannot show a character, another one does.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        main()
    except Exception as error:  # noqa: BLE001 - a failing task would cost the user the project
        print(f"The project is generated; finishing it stopped: {error}")
