"""What happens once, right after a project is generated: git, lock files, and what to do next.

Copier removes a new project when a task of its template fails, so nothing here may fail: what does
not work is said, with the command that does it later, and the exit code is 0.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

#: Seconds that one tool may take for one lock file; a registry that is slower than that counts as
#: out of reach.
PATIENCE = 180


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
    return told[0] if told else f"{command[0]} failed with exit code {done.returncode}"


def start_repository(project: Path) -> str:
    """Make a git repository, unless one surrounds the folder already. Return what went wrong."""
    if not run("git", "rev-parse", "--is-inside-work-tree", cwd=project):
        return ""
    return run("git", "init", "--quiet", cwd=project)


def make_executable(project: Path) -> None:
    """Give the scripts their executable bits, which some file systems and archives drop."""
    for script in [*project.glob("scripts/*.sh"), *project.glob("scripts/*.py")]:
        script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def unlocked(project: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Find the folders that lack a lock file, each with the command that makes it."""
    folders = [project, *sorted(project.glob("services/*/")), project / "tests/integration"]
    for folder in folders:
        if (folder / "pyproject.toml").exists() and not (folder / "uv.lock").exists():
            yield folder, ("uv", "lock", "--quiet")
        if (folder / "package.json").exists() and not (folder / "package-lock.json").exists():
            yield folder, ("npm", "install", "--package-lock-only", "--silent")


def lock(project: Path) -> dict[str, str]:
    """Make the missing lock files. Return, by tool, why it could not.

    A tool that failed once is not asked again: offline, each further try would only take time.
    """
    failures: dict[str, str] = {}
    for folder, command in unlocked(project):
        tool = command[0]
        if tool not in failures:
            reason = run(*command, cwd=folder)
            if reason:
                failures[tool] = f"{folder.relative_to(project)}: {reason}"
    return failures


def printer() -> Callable[[str], None]:
    """Return what prints a line of markup: rich, or plain text where rich is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        import re

        return lambda line: print(re.sub(r"(?<!\\)\[/?[a-z ]*\]", "", line).replace(r"\[", "["))
    console = Console(highlight=False, soft_wrap=True)
    return lambda line: console.print(line)


def main() -> None:
    """Finish the project in the current folder."""
    project = Path.cwd()
    say = printer()

    def warn(what: str, why: str, later: str) -> None:
        why = why.replace("[", r"\[")
        say(f"[yellow]![/] {what} ({why}). Later: [bold]{later}[/]")

    say("")
    problem = start_repository(project)
    if problem:
        warn("No git repository was made", problem, "git init")
    try:
        make_executable(project)
    except OSError as error:
        warn("Scripts could not be made executable", str(error), "chmod +x scripts/*")
    for tool, why in lock(project).items():
        warn(f"Not every lock file could be made by {tool}", why, "make lock")

    name = project.name.replace("[", r"\[")
    say(f"[green]✓[/] The project is in [bold]{name}[/]. What to do next:")
    say("")
    say(f"  [bold]cd {name}[/]")
    for command, meaning in (
        ("git add --all && git commit -m 'Start'", "updates of the template need a commit"),
        ("make setup", "installs what the tests need"),
        ("make test", "unit, service and integration tests"),
        ("make dev", "starts everything, with hot reload"),
        ("make", "lists all there is"),
    ):
        say(f"  [bold]{command:<41}[/] {meaning}")
    say("")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # A task that fails would cost the user the project.
        print(f"The project is generated; finishing it stopped: {error}")
