# Kept by the template: copier update merges its changes into this file.
"""Which services a change concerns, decided with git and nothing else.

What counts is what differs between the merge base and the head: what the base got meanwhile is no
change of ours. Where that cannot be known, everything counts as changed.

| a file in | concerns |
| --- | --- |
| services/NAME/ | that service, and every service whose test stack holds it |
| tests/ | the integration tests |
| docs/, deploy/dev/, deploy/prod/; Markdown and the license at the root | no test |
| anything else: Makefile, scripts/, deploy/test/, workflows, a file that nobody knows | everything |

A project of a single service has no services/: there the tests are concerned, or they are not.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

#: What no test reads.
UNTESTED = re.compile(
    r"docs/.*|deploy/(dev|prod)/.*|(services/)?[^/]+\.md|LICENSE[^/]*|renovate\.json"
    # Issue forms, code owners and the like.
    r"|\.(github|gitea|forgejo)/(?!workflows/|actions/).*",
    re.DOTALL,
)

#: Where the default branch is looked for, the remote's first.
DEFAULT_BRANCHES = (
    "refs/remotes/origin/main",
    "refs/remotes/origin/master",
    "refs/heads/main",
    "refs/heads/master",
)

#: Set where git runs a hook, they would lead it to another folder than ours.
HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


@dataclass(frozen=True)
class Changes:
    """What a change concerns. Services are named by their folders, and sorted."""

    services: list[str]  #: whose own folder changed
    affected: list[str]  #: those, and every service whose test stack holds one of them
    integration: bool  #: anything changed that tests could notice
    everything: bool  #: a shared file changed, or what changed is not known
    reason: str  #: one line for people: what changed, or why everything counts


class Unknown(Exception):
    """What changed cannot be told. The text says why."""


def changes(root: Path, base: str | None = None, head: str | None = "HEAD") -> Changes:
    """Return what changed in the project at `root` since `head` left `base`.

    Args:
        root: the project's folder, which may lie deep in a repository.
        base: a commit or branch; None is the default branch (see `default_base`). Empty, all zeros
            (what a forge gives for a first push) or not in this clone: everything counts.
        head: a commit or branch; None is the working tree, untracked files included.
    """
    try:
        label, names = changed_files(root, base, head)
    except Unknown as reason:
        return everything(root, f"everything counts as changed: {reason}")
    multi = (root / "services").is_dir()
    touched: set[str] = set()
    integration = False
    for name in sorted(names):
        if UNTESTED.fullmatch(name):
            continue
        integration = True
        service = service_of(root, name)
        if service:
            touched.add(service)
        elif multi and not name.startswith("tests/"):
            return everything(root, f"everything: {shown(name)} changed since {label}")
    there = all_services(root)
    affected = [
        name for name in there if name in touched or touched.intersection(stack_of(root, name))
    ]
    what = "what tests read" if integration else "nothing that tests read"
    if touched:
        what = ", ".join(shown(name) for name in sorted(touched))
    return Changes(
        services=[name for name in there if name in touched],
        affected=affected,
        integration=integration,
        everything=False,
        reason=f"{what} changed since {label}",
    )


def everything(root: Path, reason: str) -> Changes:
    """Return that all there is counts as changed."""
    there = all_services(root)
    return Changes(there, there, integration=True, everything=True, reason=reason)


def all_services(root: Path) -> list[str]:
    """Name the folders under services/; a dot or an underscore in front hides one."""
    return sorted(path.name for path in root.glob("services/[!._]*/"))


def service_of(root: Path, name: str) -> str:
    """Name the service that a file belongs to, whether or not that is still there; else nothing."""
    parts = PurePosixPath(name).parts
    if len(parts) < 2 or parts[0] != "services" or parts[1][0] in "._":
        return ""
    # Without a file below it, this is a submodule, or a file beside the services.
    return parts[1] if len(parts) > 2 or (root / name).is_dir() else ""


def stack_of(root: Path, service: str) -> set[str]:
    """Name the services whose folders a service's test stack names, itself among them.

    Every word of its compose files is tried as a path, which is more than Compose would read.
    """
    found = set()
    folder = PurePosixPath("services", service, "deploy/test")
    for file in sorted((root / folder).glob("*.y*ml")):
        for word in re.split(r"[\s'\",:=\[\]{}]+", file.read_text("utf-8", errors="replace")):
            parts = PurePosixPath(os.path.normpath(folder / word)).parts
            if len(parts) > 1 and parts[0] == "services":
                found.add(parts[1])
    return found


def changed_files(root: Path, base: str | None, head: str | None) -> tuple[str, set[str]]:
    """Return what they are compared with, for people, and the files that differ from it.

    A renamed file is two: the one that is gone and the one that is new.

    Raises:
        Unknown: there is no commit to compare with.
    """
    git(root, "rev-parse", "--git-dir", otherwise="this is no git repository")
    commit(root, "HEAD", otherwise="there is no commit yet")
    label, start = (base, base) if base is not None else default_base(root)
    if not start.strip("0 "):
        raise Unknown("there is nothing to compare with")
    label = shown(label[:12] if re.fullmatch("[0-9a-f]{40,}", label) else label)
    end = commit(root, head or "HEAD", otherwise=f"{head} is not in this clone")
    start = commit(root, start, otherwise=f"{label} is not in this clone")
    fork = git(
        *(root, "merge-base", start, end),
        otherwise=f"this clone knows no commit that {label} and {head or 'HEAD'} share",
    ).strip()
    options = ("--name-only", "-z", "--relative", "--no-renames", "--ignore-submodules=none")
    found = git(root, "diff", *options, fork, *([end] if head else []), "--")
    if head is None:
        found += git(root, "ls-files", "-z", "--others", "--exclude-standard")
    return label, set(found.split("\0")) - {""}


def default_base(root: Path) -> tuple[str, str]:
    """Return what the working tree is compared with, for people and for git.

    That is the default branch of origin, else a local main or master. On the default branch itself
    it is the branch's upstream, and where there is none, the commit before the last.

    Raises:
        Unknown: there is no such branch.
    """
    current = git(root, "symbolic-ref", "--quiet", "HEAD", otherwise=None).strip()
    named = git(root, "symbolic-ref", "--quiet", "refs/remotes/origin/HEAD", otherwise=None).strip()
    for ref in filter(None, (named, *DEFAULT_BRANCHES)):
        if not has(root, ref):
            continue
        branch = re.sub("^refs/(heads|remotes/origin)/", "", ref)
        if current == f"refs/heads/{branch}":
            if has(root, "@{upstream}"):
                name = git(root, "rev-parse", "--abbrev-ref", "@{upstream}").strip()
                return name, "@{upstream}"
            if current == ref:
                if not has(root, "HEAD~1"):
                    raise Unknown("there is only one commit")
                return "the commit before the last", "HEAD~1"
        return ref.removeprefix("refs/remotes/").removeprefix("refs/heads/"), ref
    raise Unknown("there is no branch main or master to compare with")


def commit(root: Path, name: str, *, otherwise: str) -> str:
    """Return the hash of a commit; Unknown where there is none of that name."""
    # A name that starts with a hyphen would be an option.
    if name.startswith("-"):
        raise Unknown(otherwise)
    return git(
        root, "rev-parse", "--verify", "--quiet", name + "^{commit}", otherwise=otherwise
    ).strip()


def has(root: Path, name: str) -> bool:
    """Whether there is a commit of that name."""
    try:
        return bool(commit(root, name, otherwise=""))
    except Unknown:
        return False


def git(root: Path, *args: str, otherwise: str | None = "") -> str:
    """Run git in the project's folder and return what it prints.

    Raises:
        Unknown: it failed, which means what `otherwise` says; git's own words stand in for an empty
            one, and with None the failure is an empty answer.
    """
    env = {name: value for name, value in os.environ.items() if name not in HOOK_VARIABLES}
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=root,
            # Reading needs no lock, which others may hold.
            env=env | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
        )
    except OSError:
        raise Unknown("git is not installed") from None
    if done.returncode == 0:
        return done.stdout
    if otherwise is None:
        return ""
    told = first_line(done.stderr)
    # A folder of somebody else is a repository that git refuses, and it says what to do.
    raise Unknown(told if "dubious ownership" in told else otherwise or told or "git failed")


def first_line(text: str) -> str:
    """Return the first line that says something."""
    return next(filter(None, map(str.strip, text.splitlines())), "")


def shown(name: str) -> str:
    """Write a name for people: on one line, whatever it holds."""
    return name if name.isprintable() else ascii(name)
