# Kept by the template: copier update merges its changes into this file.
"""The checkouts of this repository, and the `.env` of a checkout's development environment."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from test_runner.git import GitError, git
from test_runner.project import SLUG

#: The folder of the compose file, in a checkout.
FOLDER = Path("deploy/dev")

PROJECT_NAME = "COMPOSE_PROJECT_NAME"

#: The Compose project of a main checkout.
DEFAULT_NAME = f"{SLUG}-dev"

#: A line of an `.env` that sets a variable.
ASSIGNMENT = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*[=:]\s*(?P<value>.*?)\s*")

#: Stands above the name in an `.env`.
COMMENT = "# The environment of this checkout. `make dev` has chosen its name and its ports."


@dataclass(frozen=True)
class Repository:
    """The checkouts of the git repository of a folder. Their paths are those of the project."""

    root: Path  #: this checkout
    linked: bool = False  #: this checkout is a linked worktree
    main: Path | None = None  #: the main checkout; None: a bare repository, or no git
    checkouts: tuple[Path, ...] = ()  #: those that exist, including this one

    @property
    def others(self) -> tuple[Path, ...]:
        """The other checkouts."""
        return tuple(path for path in self.checkouts if path != self.root)


def repository(root: Path) -> Repository:
    """Read the checkouts of a folder's repository from git."""
    try:
        # Relative paths are relative to the folder.
        where = git(root, "rev-parse", "--git-dir", "--git-common-dir", "--show-prefix")
        listing = git(root, "worktree", "list", "--porcelain")
    except GitError:
        return without_git(root)
    own, common, prefix = where.split("\n")[:3]
    main, checkouts = None, []
    for number, entry in enumerate(listing.strip().split("\n\n")):
        lines = entry.splitlines()
        if "bare" in lines:
            continue
        path = Path(lines[0].removeprefix("worktree ")).resolve() / prefix
        if number == 0:
            main = path
        if path.is_dir():
            checkouts.append(path)
    linked = (root / own).resolve() != (root / common).resolve()
    return Repository(root, linked, main, tuple(checkouts))


def without_git(root: Path) -> Repository:
    """Return what a worktree's file `.git` says. In a dev container, the rest of git is missing."""
    for folder in (root, *root.parents):
        try:
            text = (folder / ".git").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if match := re.match(r"gitdir: (.+)/\.git/worktrees/[^/\n]+", text):
            return Repository(root, linked=True, main=Path(match[1]) / root.relative_to(folder))
    return Repository(root)


def branch(root: Path) -> str:
    """Return the branch of a checkout, or the short commit if it has none; empty without git."""
    for command in (["symbolic-ref", "--quiet", "--short"], ["rev-parse", "--short"]):
        try:
            return git(root, *command, "HEAD").strip()
        except (GitError, OSError):
            continue
    return ""


def exists(root: Path) -> bool:
    """Return whether a checkout exists. In doubt, such as without permission, it does."""
    try:
        root.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def this_machine() -> str:
    """Return where paths are valid: empty on a host, or the name of the container that this is in."""
    inside = Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()
    return socket.gethostname() if inside else ""


def own_name(root: Path) -> str:
    """Return the Compose project of a checkout that must not use the default name.

    It has the folder's name, at most 20 characters, and six digits that differ for each path.
    """
    digits = hashlib.sha256(f"{root}{this_machine()}".encode()).hexdigest()[:6]
    folder = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).removeprefix(f"{SLUG}-")
    return re.sub("-+", "-", f"{DEFAULT_NAME}-{folder[:20]}-{digits}")


def read_env(root: Path) -> dict[str, str]:
    """Return the variables of a checkout's `.env`; empty if it cannot be read."""
    try:
        text = (root / FOLDER / ".env").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return {match["name"]: match["value"] for match in map(assignment, text.splitlines()) if match}


def assignment(line: str) -> re.Match[str] | None:
    """Parse a line of an `.env`, without quotes and without the comment at its end."""
    match = ASSIGNMENT.fullmatch(line)
    if not match:
        return None
    value = re.sub(r"\s#.*$", "", match["value"]).strip()
    if value[:1] in ("'", '"') and value[-1:] == value[:1]:
        value = value[1:-1]
    return ASSIGNMENT.fullmatch(f"{match['name']}={value}")


def write_env(root: Path, values: Mapping[str, str]) -> None:
    """Set variables in a checkout's `.env`, and keep all other lines.

    A variable replaces its line, or the comment that shows its default; else it is a new line. A
    missing `.env` is made from `.env.example`. A link becomes a file, because what it points to
    belongs to another checkout.

    Raises:
        OSError: the file cannot be read or written.
    """
    path = root / FOLDER / ".env"
    source = path if path.exists() else path.with_name(".env.example")
    text = source.read_text(encoding="utf-8") if source.exists() else ""
    lines = text.splitlines()
    for name, value in values.items():
        line = f"{name}={value}"
        place = position(lines, name)
        if place is not None:
            lines[place] = line
        elif name == PROJECT_NAME:
            lines += [*([""] if lines else []), COMMENT, line]
        else:
            lines.append(line)
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=".env.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        if path.exists():
            shutil.copymode(path, made)
        Path(made).replace(path)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise


def position(lines: list[str], name: str) -> int | None:
    """Return the last line that sets a variable, or else the first comment that shows it."""
    found = [n for n, line in enumerate(lines) if (m := assignment(line)) and m["name"] == name]
    if found:
        return found[-1]
    comment = re.compile(rf"#\s*{name}=")
    return next((n for n, line in enumerate(lines) if comment.match(line)), None)


def configured_name(root: Path) -> str:
    """Return the Compose project that a checkout's `.env` sets; empty if it does not."""
    return read_env(root).get(PROJECT_NAME, "")


def claims(found: Repository) -> Iterator[tuple[Path, str]]:
    """Yield the Compose project of each checkout of the repository, where it is known."""
    for path in found.checkouts:
        name = configured_name(path)
        if name or path == found.main:
            yield path, name or DEFAULT_NAME
