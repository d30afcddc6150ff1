"""The report of an update: what it did, what it left alone, and what the user has to do."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from answers_file import ANSWERS_FILE, make_command
from merge import LABELS
from path_patterns import PATTERN_FILES
from repository import Repository
from template_rules import Service, reserved_as
from trees import EXECUTABLE, FILE, LINK, Result, Tree

#: How many paths of a long list are printed.
LONG_LIST = 20

#: Files whose lines may name a service without its folder.
EXTENSION_POINTS = {"Makefile.local", *PATTERN_FILES}


def listed(paths: Sequence[str], most: int = 3) -> str:
    """Return some paths as one line, and how many more there are."""
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more


# ANSWERS ----------------------------------------------------------------------
def lost_answers(
    last: Mapping[str, Any], new: Mapping[str, Any], chosen: Collection[str]
) -> Iterator[str]:
    """Yield a note for each last answer that the new version replaced, except the chosen ones."""
    for key, value in last.items():
        is_replaced = key in new and new[key] != value
        if is_replaced and not key.startswith("_") and key not in chosen:
            yield f"{key} is now {new[key]!r}, because {value!r} is no longer a valid answer"


def new_questions(
    last: Mapping[str, Any], new: Mapping[str, Any], chosen: Collection[str]
) -> Iterator[str]:
    """Yield a note for each new question, which the update answered by default."""
    for key, value in new.items():
        if key not in last and key not in chosen:
            yield (
                f"{key} is a new question, answered with its default {value!r}. To change it: "
                f"{make_command(new)} template-update ARGS='-d {key}=…'"
            )


# SERVICES ---------------------------------------------------------------------
def reserved_names(names: Iterable[str], make: str) -> Iterator[str]:
    """Yield a note for each service whose name a new service could not have."""
    for name in names:
        if what := reserved_as(name):
            yield (
                f"service {name!r} keeps its name, but a new service could not have it: it is {what}. To "
                f"rename it: {make} rename-service NAME={name} TO={name}-service"
            )


def kept_folder(folder: str, changed: Sequence[str]) -> str:
    """Return the note on a removed service whose folder was kept."""
    return (
        f"kept {folder}/, because you changed files in it ({listed(changed)}). Its tests still run. "
        f"To remove it: git rm -r {folder}"
    )


def lost_needs(old: Service, new: Service, names: Mapping[str, str]) -> Iterator[str]:
    """Yield a note if a service no longer gets the address of a service that it needed."""
    lost = [need for need in old.needs if names.get(need) not in new.needs]
    if lost:
        yield (
            f"{new.name} no longer gets the address of {listed(lost)}; check whether its source "
            "still reads it"
        )


def renamed_service(
    repository: Repository, old: Service, new: Service, result: Result
) -> Iterator[str]:
    """Yield what the user has to do after a service was renamed."""
    yield f"in your .env files, rename {old.env}_… to {new.env}_…"
    if old.database:
        yield (
            f"{new.name} now uses the database {new.package!r} and the role {new.package!r}. To keep "
            f"its data, rename the database and the role {old.package!r} (the template's "
            "docs/update.md says how)"
        )
    if any(path.startswith("deploy/kubernetes/") for path in result.tree):
        yield (
            "deploy/kubernetes/overlays/*/release/ has no digest of the new image yet: pin the next "
            "release"
            + (f", and create the Secret {new.name}-database-password" if old.database else "")
        )
    if old.database and any(path.startswith("deploy/swarm/") for path in result.tree):
        yield (
            f"before the next deploy to Swarm, run ./deploy.sh init there: it creates the secret "
            f"{new.package}_database_password"
        )
    yield from _mentions(repository, old, new, result)


def _mentions(repository: Repository, old: Service, new: Service, result: Result) -> Iterator[str]:
    """Yield the lines of the user's files that still contain a service's old name."""
    word = re.compile(rf"(?<![\w-]){re.escape(old.name)}(?![\w-])".encode())
    package = re.escape(old.package)
    folder = re.compile(rf"(?<![\w./-]){re.escape(old.path)}(?![\w-])".encode())
    in_python = re.compile(rf"[\"']{package}\.|^\s*(from|import)\s+{package}\b".encode())
    found = repository.mentions(old.path) if old.path != "." else set()
    mentions = {
        new.path + path.removeprefix(old.path) if path.startswith(f"{old.path}/") else path
        for path in found
    }
    for path, file in sorted(result.tree.items()):
        patterns = [word] if _is_extension_point(path) else []
        if path.startswith(f"{new.path}/") and path.endswith(".py"):
            patterns.append(in_python)
        if path in mentions and path != ANSWERS_FILE:
            patterns.append(folder)
        if patterns and file.mode in (FILE, EXECUTABLE):
            [text] = repository.read([file.blob]).values()
            for number, line in enumerate(text.splitlines(), 1):
                # The update repeats the patterns that contain the folder for the new one.
                if PurePosixPath(path).name in PATTERN_FILES and folder.search(line):
                    continue
                if any(pattern.search(line) for pattern in patterns):
                    yield f"{path}:{number} still says {old.name!r}"


def _is_extension_point(path: str) -> bool:
    """Return whether a file is one in which users extend the template's files, or name paths."""
    name = PurePosixPath(path).name
    return name in EXTENSION_POINTS or re.fullmatch(r".*\.override\.ya?ml", name) is not None


# FILES ------------------------------------------------------------------------
def lock_files(failed: Mapping[str, str], make: str) -> Iterator[str]:
    """Yield a note for each package manager that failed, given with the reason."""
    for tool, reason in failed.items():
        yield f"{tool} could not make every lock file ({reason}). Later, run: {make} lock"


def dead_links(repository: Repository, before: Tree, result: Result) -> Iterator[str]:
    """Yield a note for each link that moved and has no target, and for each whose target moved away."""
    links = {path: file.blob for path, file in sorted(result.tree.items()) if file.mode == LINK}
    targets = repository.read(links.values())

    def existing(tree: Tree) -> set[str]:
        return {*tree, *(str(one) for path in tree for one in Path(path).parents)}

    then, now = existing(before), existing(result.tree)
    for path, blob in links.items():
        target = targets[blob].decode(errors="surrogateescape")
        resolved = os.path.normpath(Path(path).parent / target)
        if target.startswith("/") or resolved in now:
            continue
        if path in result.moved or resolved in then:
            yield f"{path} is a link to {target}, which does not exist; fix the link"


def no_longer_ignored(repository: Repository) -> Iterator[str]:
    """Yield a note on files that git ignored before the update, and no longer does."""
    listing = repository.git("ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    paths = listing.decode(errors="replace").split("\0")[:-1]
    if paths:
        yield (
            f"git no longer ignores {listed(paths, LONG_LIST)}; move, delete or ignore what must stay "
            "private before you run git add"
        )


def untracked_files(
    project: Path, before: Tree, index: Iterable[str], folders: Iterable[str]
) -> Iterator[str]:
    """Yield a note for each removed folder that still has files, which git ignores.

    Args:
        project: the project's folder.
        before: the project's last commit.
        index: the files that git tracks now.
        folders: the folders of the services before the update.
    """
    tracked = list(index)
    for folder in folders:
        was_tracked = any(path.startswith(f"{folder}/") for path in before)
        is_tracked = any(path.startswith(f"{folder}/") for path in tracked)
        if was_tracked and not is_tracked and (project / folder).exists():
            yield (
                f"{folder}/ still has files that git ignores; move what you need, then remove the "
                f"rest: rm -r {folder}"
            )


def env_examples(before: Tree, result: Result) -> Iterator[str]:
    """Yield a note for each example of a .env file that changed."""
    for path, file in sorted(result.tree.items()):
        if path.endswith("/.env.example") and before.get(path) not in (None, file):
            yield f"{path} has changed; check whether your .env needs the same change"


# REPORT -----------------------------------------------------------------------
def report(
    repository: Repository, old: str, new: str, result: Result, notes: Sequence[str]
) -> Iterator[str]:
    """Yield the lines of the report.

    Args:
        repository: the project, with the result staged.
        old: the template's version before.
        new: the template's version now.
        result: the result.
        notes: the notes of the update itself.
    """
    yield f"{new}, same version as before" if old == new else f"{old} -> {new}"
    stat = repository.git(
        *("diff", "--cached", "--stat=100", "--find-renames", "--diff-filter=u", "HEAD", "--", ".")
    ).decode(errors="replace")
    yield from stat.rstrip().splitlines() or ["No file has changed."]
    yield ""
    lines = [*_notes_on_files(result), *notes]
    yield from (f"- {line}" for line in lines)
    if lines:
        yield ""
    for path, conflict in sorted(result.conflicts.items()):
        [text] = repository.read([conflict.text.blob]).values()
        marker = f"<<<<<<< {LABELS[0]}".encode()
        numbers = [n for n, line in enumerate(text.splitlines(), 1) if line.startswith(marker)]
        yield from (f"conflict: {path}:{number}" for number in numbers or [1])


def _notes_on_files(result: Result) -> Iterator[str]:
    reasons = (
        (result.kept, "kept, because you changed it; the template no longer has it"),
        (result.taken, "not updated, because you took it over; the template's has changed"),
        (
            result.deleted,
            "not updated, because you deleted or moved it; the template's has changed",
        ),
        (result.blocked, "not added, because another file or folder of yours is in its place"),
        (result.ignored, "not written, because git ignores it and could not restore your file"),
    )
    for paths, reason in reasons:
        yield from (f"{path} ({reason})" for path in paths)
    if result.left_out:
        yield (
            "New in the template, but not added, because these folders belong to you: "
            f"{listed(result.left_out, LONG_LIST)}"
        )
    if result.differs:
        yield (
            "Your files, unchanged. The template now generates them differently; copy what you "
            f"need: {listed(result.differs, LONG_LIST)}"
        )
