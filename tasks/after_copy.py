"""Finishes a project right after it is generated: git repository, lock files, next steps.

Copier deletes a new project if a task of its template fails, so this never fails: it reports what
failed, with the command to do it later, and exits with 0. All of its output fits on a
screen of 24 lines by 80 columns and ends with the next steps.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adoption import Adoption

#: Marks a file as the template's.
MARK = b"Kept by the template"

#: Seconds that one tool may take for one lock file. A slower registry counts as unreachable.
PATIENCE = 180

#: Without these, npm retries for more than a minute when it is offline.
NPM_OPTIONS = (
    *("--loglevel=error", "--no-audit", "--no-fund"),
    *("--fetch-retries=1", "--fetch-retry-mintimeout=1000"),
)

#: By manifest: its lock file, and the command that creates the lock file.
LOCKS = {
    "pyproject.toml": ("uv.lock", ("uv", "lock", "--quiet")),
    "package.json": ("package-lock.json", ("npm", "install", "--package-lock-only", *NPM_OPTIONS)),
}

#: The longest line that is printed, unless a command or a path is longer.
COLUMNS = 79

#: A tool's reason is cut after this many characters, so that it takes two or three lines.
MAX_REASON = 120

#: Folders that the template does not write to. Some have very many files.
FOREIGN = {".git", ".venv", "node_modules"}


def run(*command: str, cwd: Path) -> str:
    """Run a command. Return why it failed, in one line; empty if it passed."""
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
        return f"{command[0]} did not finish within {PATIENCE} seconds"
    except OSError as error:
        return f"{command[0]} failed to start: {error.strerror}"
    if done.returncode == 0:
        return ""
    # uv and npm print the reason first, then details.
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    reasons = [line for line in lines if "error" in line.lower()] or lines
    if not reasons:
        return f"{command[0]} failed with exit code {done.returncode}"
    causes = [line.partition(": ")[2] for line in lines if line.lower().startswith("cause")]
    return ": ".join([reasons[0].removeprefix("error: "), *causes[-1:]])


def say(mark: str, text: str, command: str = "") -> None:
    """Print a mark and a text, wrapped with a hanging indent, and a command on a separate line.

    A command is never wrapped, so that it can be copied.
    """
    indent = " " * (len(mark) + 1)
    for line in textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=f"{mark} ",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ):
        print(line)
    if command:
        print(textwrap.indent(command, f"{indent}  "))
    sys.stdout.flush()


def warn(problem: str, reason: str, later: str) -> None:
    """Report what was skipped, why, and the command that does it later."""
    if len(reason) > MAX_REASON:
        reason = f"{reason[:MAX_REASON]}…"
    say("!", f"{problem}: {reason}")
    say(" ", f"Later: {later}")


def count_written(project: Path, since: float) -> int:
    """Count the files that were written since a time, in seconds since the epoch."""
    count = 0
    for folder, folders, names in os.walk(project):
        folders[:] = [name for name in folders if name not in FOREIGN]
        count += sum(os.lstat(Path(folder) / name).st_mtime >= since for name in names)
    return count


def start_repository(project: Path) -> None:
    """Create a git repository, unless the folder is in one already."""
    if not run("git", "rev-parse", "--is-inside-work-tree", cwd=project):
        return
    problem = run("git", "init", "--quiet", cwd=project)
    if problem:
        warn("No git repository created", problem, "git init")
    else:
        say("✓", "Git repository created")


def make_executable(project: Path) -> None:
    """Give the scripts their executable bits, which some file systems and archives drop."""
    try:
        scripts = [*project.glob("scripts/**/*.sh"), *project.glob("scripts/*.py")]
        for script in [*scripts, *project.glob("deploy/*/*.sh")]:
            # The folder may also contain scripts of the user.
            if MARK in script.read_bytes():
                script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError as error:
        warn("Scripts not made executable", str(error), "chmod +x scripts/* deploy/*/*.sh")


def unlocked(project: Path, *, adopted: bool) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """Find the missing lock files, each with its folder, its name and the command that creates it.

    An adopted service may pin its dependencies in another way, so it gets no lock file.
    """
    folders = [project / "tests/integration"]
    if not adopted:
        folders = [project, *sorted(project.glob("services/*/")), *folders]
    for folder in folders:
        for manifest, (name, command) in LOCKS.items():
            if (folder / manifest).exists() and not (folder / name).exists():
                yield folder, name, command


def lock(project: Path, *, adopted: bool = False) -> None:
    """Create the missing lock files.

    A tool that failed once is not run again: offline, every further run would only take time.
    """
    missing = list(unlocked(project, adopted=adopted))
    if missing:
        say(" ", "Creating lock files. This can take a minute.")
    created: list[str] = []
    failures: dict[str, str] = {}
    for folder, name, command in missing:
        tool = command[0]
        if tool in failures:
            continue
        try:
            reason = run(*command, cwd=folder)
        except KeyboardInterrupt:
            # The project is complete without lock files. The next steps are still printed.
            failures[tool] = "interrupted"
            break
        if reason:
            where = folder.relative_to(project).as_posix()
            failures[tool] = reason if where == "." else f"in {where}/, {reason}"
        else:
            created.append(name)
    counts = [f"{created.count(name)} {name}" for name in dict.fromkeys(created)]
    if counts:
        say("✓", f"Lock files created: {', '.join(counts)}")
    for tool, reason in failures.items():
        warn(f"Some lock files of {tool} are missing", reason, "make lock")


def finish_adoption(project: Path, template: Path) -> Adoption | None:
    """Write the override files. Return what remains to do; None if that could not be found out."""
    from adoption import adopt

    try:
        return adopt(project, template)
    except Exception as error:  # noqa: BLE001 - the next steps are printed in any case
        warn("The remaining steps could not be listed", str(error), "read docs/adopt.md")
        return None


def list_manual_steps(found: Adoption) -> None:
    """Print what was not taken from the existing files, and what the user has to do by hand."""
    from adoption import MAX_NOTES

    if found.notes:
        say(" ", "Seen in your files:")
    for note in found.notes[:MAX_NOTES]:
        say("  -", note if len(note) <= 2 * MAX_REASON else f"{note[: 2 * MAX_REASON]}…")
    if len(found.notes) > MAX_NOTES:
        say("  -", f"and {len(found.notes) - MAX_NOTES} more")
    if found.steps:
        say(" ", "Do by hand:")
    for text, command in found.steps:
        say("  -", text, command)


def path_from_shell(project: Path) -> str:
    """Return the project's path, quoted for a shell, from where Copier was started."""
    start = os.environ.get("PWD", "")
    path = os.path.relpath(project, start) if start else str(project)
    return shlex.quote(path)


def print_next_steps(project: Path) -> None:
    """Print the commands that a user runs next."""
    # If the project had a Makefile, it may lack these targets, or `make test` may be another one.
    make = "make -f pipeline.mk" if (project / "pipeline.mk").is_file() else "make"
    steps = {
        "git add --all && git commit -m 'Start'": "template updates need a commit",
        f"{make} setup": "install what the tests need",
        f"{make} test": "run all tests, stage by stage",
        f"{make} dev": "start all services, with hot reload",
        make: "list all targets",
    }
    width = max(map(len, steps))
    print("\nNext steps:")
    path = path_from_shell(project)
    if path != ".":
        print(f"  cd {path}")
    for command, meaning in steps.items():
        print(f"  {command:{width}}  {meaning}")


def main() -> None:
    """Finish the project in the current folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--adopted-with", default="", metavar="TEMPLATE",
                        help="the template, if the folder had files before")  # fmt: skip
    parser.add_argument("--since", type=float, default=0, metavar="SECONDS",
                        help="when the generation started, in seconds since the epoch")  # fmt: skip
    options = parser.parse_args()
    project = Path.cwd()
    print()
    found = None
    if options.adopted_with:
        found = finish_adoption(project, Path(options.adopted_with))
    count = count_written(project, options.since)
    say("✓", f"{count} file{'' if count == 1 else 's'} written")
    start_repository(project)
    make_executable(project)
    lock(project, adopted=bool(options.adopted_with))
    if found:
        list_manual_steps(found)
    print_next_steps(project)


if __name__ == "__main__":
    # A terminal that cannot display a character shows a question mark.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        main()
    except Exception as error:  # noqa: BLE001 - a failing task would cost the user the project
        print(f"The project is generated, but finishing it failed: {error}")
