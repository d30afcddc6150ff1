# Kept by the template: copier update merges its changes into this file.
"""Finds the services and tests that a change affects, with plain git.

A change is the difference between the merge base and the head, so new commits on the base branch do
not count. If git cannot determine the difference, everything counts as changed.

| a changed file in | affects |
| --- | --- |
| services/NAME/, or the folder of a service that is elsewhere | that service, and every service whose test stack contains it |
| tests/ | the integration tests |
| docs/, deploy/ without deploy/test/; Markdown and the license at the root | no test |
| anything else: Makefile, scripts/, deploy/test/, workflows, unknown files | everything |

A single-service project has no services/: a change affects all its tests or none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .git import GitError, git
from .project import FOLDERS

#: The files that no test uses.
UNTESTED = re.compile(
    r"docs/.*|deploy/(?!test/)[^/]+/.*|(services/)?[^/]+\.md|LICENSE[^/]*|renovate\.json"
    # Issue forms, code owners and similar files of the forge.
    r"|\.(github|gitea|forgejo)/(?!workflows/|actions/).*",
    re.DOTALL,
)

#: Candidates for the default branch, those of the remote first.
DEFAULT_BRANCHES = (
    "refs/remotes/origin/main",
    "refs/remotes/origin/master",
    "refs/heads/main",
    "refs/heads/master",
)


@dataclass(frozen=True)
class Changes:
    """What a change affects. Services are folder names under services/, sorted."""

    services: list[str]  #: services with a changed file in their folder
    affected: list[str]  #: those, and every service whose test stack contains one of them
    integration: bool  #: a file that tests use has changed
    everything: bool  #: a shared file has changed, or the changes are unknown
    reason: str  #: one line for people: what changed, or why everything counts as changed


class UnknownChangesError(Exception):
    """Git cannot determine the changes. The text gives the reason."""


def changes(root: Path, base: str | None = None, head: str | None = "HEAD") -> Changes:
    """Return what changed in the project at `root` between the merge base of `base` and `head`.

    Args:
        root: the project's folder, which may be a subfolder of the repository.
        base: a commit or branch; None: the default branch (see `default_base`). Everything counts
            as changed if it is empty, all zeros (forges send that for the first push of a branch) or
            not in this clone.
        head: a commit or branch; None: the working tree, untracked files included.
    """
    try:
        label, names = changed_files(root, base, head)
    except UnknownChangesError as reason:
        return everything(root, f"everything counts as changed: {reason}")
    return affected_by(root, names, f"changed since {label}")


def affected_by(root: Path, names: Iterable[str], how: str) -> Changes:
    """Return what a change of some files affects.

    Args:
        root: the project's folder.
        names: paths relative to the project's folder; the files may no longer exist.
        how: what happened to the files, for the reason: "changed since main".
    """
    multi = (root / "services").is_dir()
    touched: set[str] = set()
    integration = False
    for name in sorted(names):
        if UNTESTED.fullmatch(name):
            continue
        integration = True
        found = services_of(root, name)
        if found:
            touched |= found
        elif multi and not name.startswith("tests/"):
            return everything(root, f"everything is affected: {one_line(name)} {how}")
    known = all_services(root)
    affected = [
        name for name in known if name in touched or touched.intersection(stack_of(root, name))
    ]
    if touched:
        reason = f"{', '.join(one_line(name) for name in sorted(touched))} {how}"
    elif integration:
        reason = f"a file that tests use {how}"
    else:
        reason = f"no file that tests use {how}"
    return Changes(
        services=[name for name in known if name in touched],
        affected=affected,
        integration=integration,
        everything=False,
        reason=reason,
    )


def everything(root: Path, reason: str) -> Changes:
    """Return the result for: all services count as changed."""
    known = all_services(root)
    return Changes(known, known, integration=True, everything=True, reason=reason)


def all_services(root: Path) -> list[str]:
    """List the folders under services/, except those whose names start with a dot or underscore."""
    return sorted(path.name for path in root.glob("services/[!._]*/"))


def services_of(root: Path, name: str, folders: Mapping[str, str] = FOLDERS) -> set[str]:
    """Return the services that a file belongs to, even if they no longer exist.

    Args:
        root: the project's folder.
        name: the file's path, relative to the project's folder.
        folders: the folders of the services that are not in services/.
    """
    # Of nested folders, the innermost counts. A service at the root shares its files with all others.
    inside = [folder for folder in folders.values() if name.startswith(f"{folder}/")]
    if inside:
        innermost = max(inside, key=len)
        return {service for service, folder in folders.items() if folder == innermost}
    parts = PurePosixPath(name).parts
    if len(parts) < 2 or parts[0] != "services" or parts[1][0] in "._":
        return set()
    # services/NAME alone is a submodule if it is a folder, else a file next to the services.
    return {parts[1]} if len(parts) > 2 or (root / name).is_dir() else set()


def stack_of(root: Path, service: str, folders: Mapping[str, str] = FOLDERS) -> set[str]:
    """Return the services in a service's test stack.

    Each word of the compose files is tried as a path. This finds at least all paths that Compose uses.
    A service that is not in services/ may share its build context, so it is found by its name.
    """
    found = set()
    folder = PurePosixPath("services", service, "deploy/test")
    for file in sorted((root / folder).glob("*.y*ml")):
        text = file.read_text("utf-8", errors="replace")
        found |= {name for name in folders if re.search(rf"^  {name}:\s*$", text, re.MULTILINE)}
        for word in re.split(r"[\s'\",:=\[\]{}]+", text):
            parts = PurePosixPath(os.path.normpath(folder / word)).parts
            if len(parts) > 1 and parts[0] == "services":
                found.add(parts[1])
    return found


def changed_files(root: Path, base: str | None, head: str | None) -> tuple[str, set[str]]:
    """Return a name for the base, and the files that differ from it.

    A renamed file counts as two files: the old one and the new one.

    Raises:
        UnknownChangesError: there is no commit to compare with.
    """
    ask_git(root, "rev-parse", "--git-dir", error="this is not a git repository")
    commit(root, "HEAD", error="there is no commit yet")
    label, start = (base, base) if base is not None else default_base(root)
    if not start.strip("0 "):
        raise UnknownChangesError("there is no commit to compare with")
    label = one_line(label[:12] if re.fullmatch("[0-9a-f]{40,}", label) else label)
    end = commit(root, head or "HEAD", error=f"{head} is not in this clone")
    start = commit(root, start, error=f"{label} is not in this clone")
    fork = ask_git(
        *(root, "merge-base", start, end),
        error=f"{label} and {head or 'HEAD'} have no common commit in this clone",
    ).strip()
    options = ("--name-only", "-z", "--relative", "--no-renames", "--ignore-submodules=none")
    found = ask_git(root, "diff", *options, fork, *([end] if head else []), "--")
    if head is None:
        found += ask_git(root, "ls-files", "-z", "--others", "--exclude-standard")
    return label, set(found.split("\0")) - {""}


def default_base(root: Path) -> tuple[str, str]:
    """Return the name of the default base, for people, and its revision, for git.

    The default base is the default branch of origin, else a local main or master. On the default
    branch itself it is the upstream of the branch, else the previous commit.

    Raises:
        UnknownChangesError: there is no such branch.
    """
    current = ask_git(root, "symbolic-ref", "--quiet", "HEAD", error=None).strip()
    origin = ("symbolic-ref", "--quiet", "refs/remotes/origin/HEAD")
    for ref in filter(None, (ask_git(root, *origin, error=None).strip(), *DEFAULT_BRANCHES)):
        if not has(root, ref):
            continue
        branch = re.sub("^refs/(heads|remotes/origin)/", "", ref)
        if current == f"refs/heads/{branch}":
            if has(root, "@{upstream}"):
                name = ask_git(root, "rev-parse", "--abbrev-ref", "@{upstream}").strip()
                return name, "@{upstream}"
            if current == ref:
                if not has(root, "HEAD~1"):
                    raise UnknownChangesError("there is only one commit")
                return "the previous commit", "HEAD~1"
        return ref.removeprefix("refs/remotes/").removeprefix("refs/heads/"), ref
    raise UnknownChangesError("there is no branch main or master")


def commit(root: Path, name: str, *, error: str) -> str:
    """Return the hash of a commit.

    Raises:
        UnknownChangesError: there is no such commit; the text is `error`.
    """
    # Git would read a name that starts with a hyphen as an option.
    if name.startswith("-"):
        raise UnknownChangesError(error)
    revision = name + "^{commit}"
    return ask_git(root, "rev-parse", "--verify", "--quiet", revision, error=error).strip()


def has(root: Path, name: str) -> bool:
    """Whether a name resolves to a commit."""
    try:
        return bool(commit(root, name, error=""))
    except UnknownChangesError:
        return False


def ask_git(root: Path, *args: str, error: str | None = "") -> str:
    """Run git in the project's folder and return its output.

    Raises:
        UnknownChangesError: git failed. The text is `error`, or git's own message if that is empty.
            With None, a failure returns an empty string instead.
    """
    try:
        return git(root, *args)
    except GitError as failure:
        message = str(failure)
    if message == "git is not installed":
        raise UnknownChangesError(message)
    if error is None:
        return ""
    # Git refuses a repository of another user, and its message says how to allow it.
    if "dubious ownership" in message:
        raise UnknownChangesError(message)
    raise UnknownChangesError(error or message or "git failed")


def one_line(name: str) -> str:
    """Return a name on one line, with control characters escaped."""
    return name if name.isprintable() else ascii(name)
