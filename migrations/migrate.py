#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "copier==9.19.1",
#     "copier-template-extensions==0.3.4",
#     "jinja2-time==0.2.0",
# ]
# ///
"""Update a project: one merge of what the template made, what the project is, and what it makes now.

It runs in two ways, with the same result:

- from a project's scripts/template.py, which fetches the newest template and runs this in it;
- from Copier, before and after `copier update`, whose own merge it then replaces.

The project's files are written once, at the end. Exit codes: 0 done, 1 done with conflicts,
2 refused, 3 failed, 130 interrupted; with the last three, the project is as it was.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import FrameType, ModuleType
from typing import Any

import answers as services
import copier
import plumbum
import yaml
from copier.errors import CopierError
from steps import Change, crossed
from trees import (
    EXECUTABLE,
    FILE,
    LABELS,
    LINK,
    MARK,
    ChangedError,
    File,
    GitError,
    Merge,
    MoveError,
    Repository,
    Result,
    Tree,
    edited,
    moved,
    undo_command,
)

ANSWERS = ".copier-answers.yml"

#: What is remembered without being asked; an update does not decide it anew.
REMEMBERED = frozenset({"year", "adopted"})

#: Folders and files at the root of a single project that stay there when it grows, by their names.
#: So does what is hidden, or has its place there in the new layout; all else is the service's.
STAYS = re.compile(
    r"(Makefile\.local|docs|README.*|LICENSE.*|CHANGELOG.*|CONTRIBUTING.*|"
    r"(docker-)?compose.*\.ya?ml)",
    re.IGNORECASE,
)

#: The test stack of a single project is its service's, and the whole project's: it becomes both.
STACK = re.compile(r"deploy/test/docker-compose(\.override)?\.ya?ml")

#: The signals that ask a process to end.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: How many of a long list are printed.
MANY = 20


class Refused(Exception):
    """What was asked for cannot be done. The text says why, and what can be."""


class Interrupted(BaseException):
    """A signal came that ends this, such as Ctrl-C."""


@dataclass
class Wish:
    """What an update is asked for, besides the template's version."""

    #: Answers that change.
    answers: dict[str, Any] = field(default_factory=dict)
    #: Services that get another name: old and new.
    names: dict[str, str] = field(default_factory=dict)
    #: Whether the folder of a removed service goes even if it holds the user's work.
    delete: bool = False


class Update:
    """One update of one project."""

    def __init__(self, project: Path, template: Path, ref: str, wish: Wish, work: Path) -> None:
        self.project, self.template, self.ref, self.wish = project, template, ref, wish
        self.work = work
        self.repository = Repository(project)
        self.notes: list[str] = []
        self.before = self.repository.tree()
        #: What is merged: the project's files, at their new places.
        self.ours = self.before
        self.old = read_answers(self.repository)
        self.new: dict[str, Any] = {}

    def run(self) -> Result:
        """Work out the result, and write it to the project.

        Raises:
            Refused, GitError, CopierError: it cannot be done; the project is as it was.
        """
        result = self.merged()
        self.locked(result)
        try:
            self.repository.apply(self.before, result)
            ignore_signals()
        except Interrupted:
            self.repository.undo()
            raise
        return result

    def merged(self) -> Result:
        """Work out what the project will be."""
        change = Change(dict(self.old))
        for function in crossed(self.old["_commit"], self.version(self.ref)):
            function(change)
        self.check_questions()
        old_services = services.resolved(self.old)
        base = self.rendered("base", self.old["_commit"], self.old, last={})
        theirs = self.rendered(
            "theirs", self.ref, self.wish.answers | self.adopted(), last=change.answers
        )
        self.new = answers_in(self.work / "theirs")
        self.note_lost_answers(change.answers)
        new_services = services.resolved(self.new)
        old_paths = {service.path for service in old_services.values()}
        for service in new_services.values():
            if service.path not in old_paths:
                self.refuse_to_mix(service)

        names = {name: self.wish.names.get(name, name) for name in old_services}
        if self.grows:
            names = {"app": self.successor(new_services)}
        carried = {old: new for old, new in names.items() if new in new_services}
        places = self.places(change, old_services, new_services, carried, base, theirs)
        at_new_places = {
            place for path in {*base, *self.before} for place in places(path) if place != path
        }
        base, self.ours = moved(base, places), moved(self.before, places)
        for old, new in carried.items():
            self.adapt(old_services[old], new_services[new])
        for service in (old_services[name] for name in names if name not in carried):
            base = self.without(service.path, base)
        has_moved = any(
            old_services[old].path != new_services[new].path for old, new in carried.items()
        )
        between = has_moved and self.old["_commit"] != self.new["_commit"]
        result = Merge(
            self.repository,
            base,
            self.ours,
            theirs,
            moved=at_new_places,
            theirs_moved=self.rendered_before(theirs) if between else theirs,
        ).run()
        result.tree[ANSWERS] = theirs[ANSWERS]
        self.note_moves(old_services, new_services, carried, result)
        self.note_needs(old_services, new_services, carried)
        return result

    @property
    def grows(self) -> bool:
        """Whether a single project becomes one of many services."""
        return bool(self.old.get("layout") == "single" and self.new.get("layout") == "multi")

    def check_questions(self) -> None:
        """Refuse answers to what is no question, which Copier would not notice."""
        settings = yaml.safe_load((self.exported(self.ref) / "copier.yml").read_text("utf-8"))
        asked = [
            key
            for key, question in settings.items()
            if not key.startswith("_") and question.get("when") is not False
        ]
        for key in self.wish.answers:
            if key not in asked:
                raise Refused(f"{key!r} is no question; choose from {', '.join(asked)}")

    def refuse_to_mix(self, service: Any) -> None:
        """Refuse to put a new service's skeleton into a folder with something else of the user's."""
        if service.path in self.before:
            raise Refused(f"{service.path} is there, and is no folder; move it away first")
        there = [
            file.blob
            for path, file in self.before.items()
            if path.startswith(f"{service.path}/") and file.mode in (FILE, EXECUTABLE)
        ]
        if not there or service.kind == "custom":
            return
        # One that was the template's, and was kept when it was removed, comes back.
        if not any(MARK in text for text in self.repository.read(there).values()):
            raise Refused(
                f"{service.path}/ is there already, and is no {service.kind} of the template's: "
                "add it as one of the kind custom, which keeps what it has, or choose another name"
            )

    def version(self, ref: str) -> str:
        """Say which version of the template a commit is, as Copier writes it down."""
        describe = ["git", "-C", str(self.template), "describe", "--tags", "--always", ref]
        return subprocess.run(describe, capture_output=True, check=True, text=True).stdout.strip()

    def exported(self, ref: str) -> Path:
        """Write the files of a version of the template into a folder without a repository."""
        folder = self.work / "versions" / ref
        if not folder.exists():
            folder.mkdir(parents=True)
            subprocess.run(
                [
                    *("git", "-C", str(self.template), f"--work-tree={folder}"),
                    *("-c", "core.autocrlf=false", "checkout", "--quiet", ref, "--", "."),
                ],
                check=True,
                env=os.environ | {"GIT_INDEX_FILE": f"{folder}.index"},
            )
        return folder

    def rendered(
        self, name: str, ref: str, data: Mapping[str, Any], last: Mapping[str, Any]
    ) -> Tree:
        """Render a version of the template, with some answers and the last ones, and store it."""
        folder = self.work / name
        folder.mkdir()
        path = folder / ANSWERS
        if last:
            path.write_text(dumped(last), encoding="utf-8")
        # Where Copier finds git, it starts it for every file, which is half of the time.
        with plumbum.local.env(PATH=""):
            copier.run_copy(
                str(self.exported(ref)),
                folder,
                data={key: value for key, value in data.items() if not key.startswith("_")},
                defaults=True,
                overwrite=True,
                quiet=True,
                skip_tasks=True,
                unsafe=True,
            )
        # What Copier writes down of the template is what it has seen of it; this is the truth.
        source = dumped({"_commit": self.version(ref), "_src_path": self.old["_src_path"]})
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"(?m)^_src_path: .*\n", lambda _: source, text, count=1)
        path.write_text(text, encoding="utf-8")
        return self.repository.stored(folder)

    def rendered_before(self, otherwise: Tree) -> Tree:
        """Render the version that the project has with the new answers.

        What a move changes in the user's files is taken from it, and nothing else that is new. The
        older version may not know these answers; then it has to be the newer one.
        """
        try:
            return self.rendered("between", self.old["_commit"], self.new, last={})
        except (CopierError, ValueError):
            return otherwise

    def adopted(self) -> dict[str, Any]:
        """Return the answer that remembers which custom services the user brought along."""
        found = list(self.old.get("adopted") or [])
        for name in self.wish.names:
            found = [self.wish.names[name] if one == name else one for one in found]
        if "services" in self.wish.answers:
            given = self.wish.answers["services"]
            # From a command line it comes as text, which Copier takes for YAML.
            wanted = from_yaml("services", given) if isinstance(given, str) else given
            known = services.resolved(self.old)
            after = services.resolved(
                {**self.old, **self.wish.answers, "services": wanted, "layout": "multi"}
            )
            for name, service in after.items():
                signs = {f"services/{name}/{sign}" for sign in services.rules.SIGNS}
                if name not in known and service.kind == "custom" and signs & self.before.keys():
                    found.append(name)
        return {"adopted": found}

    def successor(self, new_services: Mapping[str, Any]) -> str:
        """Return which of many services a single project's one becomes.

        Raises:
            Refused: none of them is of its kind.
        """
        kind = self.old["service_kind"]
        of_kind = [name for name, service in new_services.items() if service.kind == kind]
        for name in (*self.wish.names.values(), "app", *of_kind):
            if name in of_kind:
                return name
        raise Refused(
            f"this project's service is a {kind}, and none of {', '.join(new_services)} is: "
            f"give it one, such as 'app:{kind}'"
        )

    def places(
        self,
        change: Change,
        old_services: Mapping[str, Any],
        new_services: Mapping[str, Any],
        carried: Mapping[str, str],
        base: Tree,
        theirs: Tree,
    ) -> Callable[[str], Iterable[str]]:
        """Return the function that tells where a file goes."""
        at_root = {PurePosixPath(path).parts[0] for path in theirs} - {"tests", "services"}

        def stays(path: str) -> bool:
            name = PurePosixPath(path).parts[0]
            is_hidden = name.startswith(".") and path not in base
            return name in at_root or is_hidden or STAYS.fullmatch(name) is not None

        def places(path: str) -> list[str]:
            path = change.place(path)
            for old, new in carried.items():
                one, other = old_services[old], new_services[new]
                if (one.path, one.package) == (other.path, other.package):
                    continue
                if one.path == ".":
                    if STACK.fullmatch(path):
                        return [path, f"{other.path}/{path}"]
                    if stays(path):
                        continue
                    return [within(path, one, other)]
                if path.startswith(f"{one.path}/"):
                    return [within(path.removeprefix(f"{one.path}/"), one, other)]
            return [path]

        return places

    def adapt(self, old: Any, new: Any) -> None:
        """Let the Python files of a service call its package by the new name."""
        if old.package == new.package or not old.kind.startswith("python-"):
            return
        ours = self.ours
        paths = [path for path in ours if path.startswith(f"{new.path}/") and path.endswith(".py")]
        texts = self.repository.read(ours[path].blob for path in paths)
        for path in paths:
            text = texts[ours[path].blob]
            changed = with_package(text, old.package, new.package)
            if changed != text:
                ours[path] = File(ours[path].mode, self.repository.store(changed))

    def without(self, folder: str, base: Tree) -> Tree:
        """Take a removed service's folder out of the merge: it goes, or all of it stays."""

        def outside(tree: Tree) -> Tree:
            return {path: file for path, file in tree.items() if not path.startswith(f"{folder}/")}

        work = edited(base, self.ours, folder)
        if not work or self.wish.delete:
            self.ours = outside(self.ours)
        else:
            self.notes.append(
                f"kept {folder}/: it has changes of yours ({listed(work)}). Its tests still run; "
                "make remove-service with DELETE=1 removes it"
            )
        return outside(base)

    def locked(self, result: Result) -> None:
        """Write the lock files that are missing, and those of services with another name."""
        finish = load(self.template / "tasks/after_copy.py")
        tools = {
            "pyproject.toml": ("uv.lock", ("uv", "lock", "--quiet")),
            "package.json": (
                "package-lock.json",
                ("npm", "install", "--package-lock-only", *finish.NPM_OPTIONS),
            ),
        }
        failed: dict[str, str] = {}
        for path, file in sorted(result.tree.items()):
            name = PurePosixPath(path).name
            if name not in tools or self.before.get(path) == file or path in result.conflicts:
                continue
            lock_name, command = tools[name]
            lock = path.removesuffix(name) + lock_name
            if lock not in result.tree and path in self.ours:
                continue
            folder = self.work / "lock" / PurePosixPath(path).parent
            folder.mkdir(parents=True, exist_ok=True)
            for one in (path, lock, path.removesuffix(name) + ".python-version"):
                if one in result.tree:
                    [content] = self.repository.read([result.tree[one].blob]).values()
                    (folder / PurePosixPath(one).name).write_bytes(content)
            tool = command[0]
            reason = failed.get(tool) or finish.run(*command, cwd=folder)
            if reason:
                failed[tool] = reason
            elif (folder / lock_name).exists():
                content = (folder / lock_name).read_bytes()
                result.tree[lock] = File(FILE, self.repository.store(content))
        for tool, reason in failed.items():
            self.notes.append(
                f"not every lock file could be made by {tool} ({reason}); later: make lock"
            )

    def note_lost_answers(self, last: Mapping[str, Any]) -> None:
        """Say which answers the new version did not take as they were, and which it asks anew."""
        for key, value in last.items():
            changed = key in self.new and self.new[key] != value
            if changed and not key.startswith("_") and key not in (*self.wish.answers, *REMEMBERED):
                self.notes.append(
                    f"{key} is {self.new[key]!r} now: {value!r} is no answer any more"
                )
        if self.grows:
            return
        for key, value in self.new.items():
            if key not in last and key not in (*self.wish.answers, *REMEMBERED):
                self.notes.append(
                    f"{key} is a new question, answered with its default {value!r}; to change it: "
                    f"make template-update ARGS='-d {key}=…'"
                )

    def note_the_rest(self, result: Result) -> None:
        """Say what git does not know of, and may have to change too."""
        for path, file in sorted(result.tree.items()):
            if path.endswith("/.env.example") and self.before.get(path) not in (None, file):
                self.notes.append(f"{path} has changed: look whether your .env has to")
        for service in services.resolved(self.old).values():
            folder = service.path
            had = any(path.startswith(f"{folder}/") for path in self.before)
            has = any(path.startswith(f"{folder}/") for path in self.repository.index())
            if had and not has and (self.project / folder).exists():
                self.notes.append(
                    f"{folder}/ holds files that git ignores: they stay; rm -r {folder} removes them"
                )

    def note_moves(
        self,
        old_services: Mapping[str, Any],
        new_services: Mapping[str, Any],
        carried: Mapping[str, str],
        result: Result,
    ) -> None:
        """Say what a new name or place leaves to be done by hand."""
        self.note_links(result)
        for old, new in carried.items():
            one, other = old_services[old], new_services[new]
            if old == new:
                continue
            self.notes.append(f"{one.env}_… in your .env files is {other.env}_… now")
            if one.database:
                self.notes.append(
                    f"{new} looks for the database and the role {other.package!r}: rename "
                    f"{one.package!r} where data is to be kept (the template's docs/update.md says how)"
                )
            self.note_mentions(old, one.package, other.path, result)

    def note_needs(
        self,
        old_services: Mapping[str, Any],
        new_services: Mapping[str, Any],
        carried: Mapping[str, str],
    ) -> None:
        """Say which services no longer get the address of one that they needed."""
        for old, new in carried.items():
            needs = new_services[new].needs
            lost = [need for need in old_services[old].needs if carried.get(need) not in needs]
            if lost:
                self.notes.append(
                    f"{new} needed {listed(lost)}: its source may still ask for the address, which "
                    "is set no more"
                )

    def note_links(self, result: Result) -> None:
        """Say which of the links that have moved lead nowhere from where they are now."""
        links = {
            path: result.tree[path].blob
            for path in sorted(result.moved & result.tree.keys())
            if result.tree[path].mode == LINK
        }
        targets = self.repository.read(links.values())
        there = {*result.tree, *(str(one) for path in result.tree for one in Path(path).parents)}
        for path, blob in links.items():
            target = targets[blob].decode(errors="surrogateescape")
            place = os.path.normpath(Path(path).parent / target)
            if not target.startswith("/") and place not in there:
                self.notes.append(f"{path} is a link to {target}, which is not there: mend it")

    def note_mentions(self, name: str, package: str, folder: str, result: Result) -> None:
        """Say which lines of the user's own still call a service by its old name."""
        word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])".encode())
        quoted = re.compile(rf"[\"']{package}\.|^\s*(from|import)\s+{package}\b".encode())
        patterns = {
            path: word if is_users_place(path) else quoted
            for path in sorted(result.tree)
            if is_users_place(path) or (path.startswith(f"{folder}/") and path.endswith(".py"))
        }
        texts = self.repository.read(result.tree[path].blob for path in patterns)
        for path, pattern in patterns.items():
            for number, line in enumerate(texts[result.tree[path].blob].splitlines(), 1):
                if pattern.search(line):
                    self.notes.append(f"{path}:{number} still says {name!r}")


def with_package(text: bytes, old: str, new: str) -> bytes:
    """Return a Python file that imports a package by another name.

    Only names change, never what is in a string or a comment. A file that is no Python to this
    version of it stays as it is.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return text
    lines = text.splitlines(keepends=True)
    # From the end, so that the places before stay where they are.
    for line, column in sorted(set(mentions(tree, old)), reverse=True):
        before, after = lines[line - 1][:column], lines[line - 1][column:]
        # A `from` has no place for the module's name of its own.
        found = re.match(rb"(from\s+)?" + re.escape(old.encode()) + rb"(?!\w)", after)
        if found:
            name = (found[1] or b"") + new.encode()
            lines[line - 1] = before + name + after[found.end() :]
    return b"".join(lines)


def mentions(tree: ast.AST, package: str) -> Iterator[tuple[int, int]]:
    """Yield where a Python file names a package: the line, and the column in bytes."""
    bound = False
    part = f"{package}."
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if f"{alias.name}.".startswith(part):
                    yield alias.lineno, alias.col_offset
                    bound = bound or alias.asname is None
        if (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and f"{node.module}.".startswith(part)
        ):
            yield node.lineno, node.col_offset
    # After `import old.part`, the name itself stands for the package.
    if bound:
        yield from names(tree, package)


def names(tree: ast.AST, name: str) -> Iterator[tuple[int, int]]:
    """Yield where a variable is named, except in functions that have an argument of that name."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        arguments = getattr(node, "args", None)
        own = ast.walk(arguments) if isinstance(arguments, ast.arguments) else ()
        if any(isinstance(one, ast.arg) and one.arg == name for one in own):
            continue
        if isinstance(node, ast.Name) and node.id == name:
            yield node.lineno, node.col_offset
        waiting += ast.iter_child_nodes(node)


def is_users_place(path: str) -> bool:
    """Tell whether a path is one that the template leaves to the user, to add to its files."""
    name = PurePosixPath(path).name
    return name == "Makefile.local" or re.fullmatch(r".*\.override\.ya?ml", name) is not None


def within(path: str, old: Any, new: Any) -> str:
    """Return the place, in a service's new folder, of a file of its old one."""
    if old.kind.startswith("python-"):
        for one, other in ((old.source, new.source), (old.src_root, new.src_root)):
            if one != "." and path.startswith(f"{one}/"):
                rest = path.removeprefix(f"{one}/")
                path = rest if other == "." else f"{other}/{rest}"
                break
    return f"{new.path}/{path}"


def load(path: Path) -> ModuleType:
    """Load a file of the template as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_answers(repository: Repository) -> dict[str, Any]:
    """Return the answers of a project's last commit."""
    found: dict[str, Any] = yaml.safe_load(repository.git("show", f"HEAD:./{ANSWERS}"))
    return found


def answers_in(folder: Path) -> dict[str, Any]:
    """Return the answers of a project in a folder."""
    found: dict[str, Any] = yaml.safe_load((folder / ANSWERS).read_text(encoding="utf-8"))
    return found


def from_yaml(key: str, text: str) -> Any:
    """Read an answer that is given as YAML.

    Raises:
        Refused: it is none.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        why = getattr(error, "problem", None) or "it cannot be read"
        raise Refused(
            f"{key} {text!r} is no YAML ({why}); write a line such as 'api, worker', or [api, worker]"
        ) from None


def dumped(answers: Mapping[str, Any]) -> str:
    """Write answers as YAML, in their order."""
    return yaml.safe_dump(dict(answers), allow_unicode=True, sort_keys=False, width=sys.maxsize)


def listed(paths: list[str], most: int = 3) -> str:
    """Write some paths in a line."""
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more


def report(update: Update, result: Result) -> Iterator[str]:
    """Say what was done, and what is left to do."""
    old, new = update.old["_commit"], update.new["_commit"]
    yield f"{new}, as before" if old == new else f"{old} -> {new}"
    stat = update.repository.git(
        *("diff", "--cached", "--stat=100", "--find-renames", "--diff-filter=u", "HEAD", "--", ".")
    ).decode(errors="replace")
    yield from stat.rstrip().splitlines() or ["Nothing changes."]
    yield ""
    lists = (
        (result.kept, "kept: the template no longer has it, and you have changed it"),
        (result.taken, "yours, left as it is: the template's has changed"),
        (result.blocked, "left out: something of yours is in its place"),
        (result.ignored, "left as it is: git ignores it, so it could not be brought back"),
    )
    notes = [f"{path} ({what})" for paths, what in lists for path in paths]
    if result.left_out:
        notes.append(
            f"not added, because what is beside it is yours: {listed(result.left_out, MANY)}"
        )
    if result.differs:
        notes.append(
            "yours, and left as they are, but made otherwise now: take over what you need: "
            f"{listed(result.differs, MANY)}"
        )
    notes += update.notes
    yield from (f"- {note}" for note in notes)
    if notes:
        yield ""
    for path, conflict in sorted(result.conflicts.items()):
        [text] = update.repository.read([conflict.text.blob]).values()
        marker = f"<<<<<<< {LABELS[0]}".encode()
        lines = [n for n, line in enumerate(text.splitlines(), 1) if line.startswith(marker)]
        yield from (f"conflict: {path}:{number}" for number in lines or [1])


def report_and_exit_code(update: Update, result: Result) -> int:
    """Print the report; return what the process ends with."""
    count = len(result.conflicts)
    try:
        update.note_the_rest(result)
        print(*report(update, result), sep="\n")
        if count:
            files = "a file" if count == 1 else f"{count} files"
            print(f"Both sides changed the same lines of {files}: edit, then git add.")
        print("Next: git diff --cached, make setup test, git commit")
        print(f"Undo: {undo_command(update.repository.prefix)}", flush=True)
    except (GitError, OSError) as error:
        print(f"all is done and staged, but the report is cut off: {error}", file=sys.stderr)
    return 1 if count else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line. A project's scripts/template.py of any release writes it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--project", type=Path, required=True, help="the project's folder")
    common.add_argument("--template", type=Path, required=True, help="a clone of the template")
    common.add_argument("--ref", required=True, help="the version to update to")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("update", parents=[common])
    verb.add_argument("-d", "--data", action="append", default=[], metavar="KEY=VALUE")
    verb = verbs.add_parser("add-service", parents=[common])
    verb.add_argument("names", nargs="+")
    verb.add_argument("--kind")
    verb.add_argument("--needs", type=words)
    verb.add_argument("--needed-by", type=words, default=[])
    verb = verbs.add_parser("remove-service", parents=[common])
    verb.add_argument("names", nargs="+")
    verb.add_argument("--delete", action="store_true")
    verb = verbs.add_parser("rename-service", parents=[common])
    verb.add_argument("names", nargs="+")
    verb.add_argument("--to", nargs="+", required=True)
    verb = verbs.add_parser("grow", parents=[common])
    verb.add_argument("--name", default="app")
    return parser.parse_args(arguments)


def words(text: str) -> list[str]:
    """Split a list of names at commas and spaces."""
    return text.replace(",", " ").split()


def wish_of(options: argparse.Namespace, old: dict[str, Any], tree: Tree) -> Wish:
    """Return what the command line asks for.

    Raises:
        Refused, Refusal: it breaks a rule.
    """
    if options.verb == "update":
        for pair in options.data:
            if "=" not in pair:
                raise Refused(f"{pair!r} must be KEY=VALUE, such as cache=redis")
        return Wish(dict(pair.split("=", 1) for pair in options.data))
    if options.verb == "add-service":
        new = []
        for name in options.names:
            name, _, kind = name.partition(":")
            given = {"name": name, "kind": kind or options.kind, "needs": options.needs}
            new.append({key: value for key, value in given.items() if value is not None})
        return Wish({"services": services.added(old, new, options.needed_by)})
    if options.verb == "remove-service":
        return Wish({"services": services.removed(old, options.names)}, delete=options.delete)
    if options.verb == "rename-service":
        if len(options.names) != len(options.to):
            raise Refused(f"{len(options.names)} services cannot get {len(options.to)} names")
        for given in (options.names, options.to):
            for name in given:
                if given.count(name) > 1:
                    raise Refused(f"{name!r} is given twice; each service gets a name of its own")
        names = dict(zip(options.names, options.to, strict=True))
        wish = Wish({"services": services.renamed(old, names)}, names=names)
        for name in names.values():
            refuse_folder(f"services/{name}", tree)
        return wish
    if old.get("layout") != "single":
        raise Refused("this project has many services already: 'make add-service NAME=…' adds one")
    services.rules.check_name(options.name)
    refuse_folder(f"services/{options.name}", tree)
    backing = {key: old.get(key, "none") for key in ("database", "cache")}
    grown = services.rules.grown(old, options.name)
    return Wish({"layout": "multi", "services": grown} | backing, names={"app": options.name})


def refuse_folder(folder: str, tree: Tree) -> None:
    """Refuse to move something to where something is."""
    if any(path == folder or path.startswith(f"{folder}/") for path in tree):
        raise Refused(f"{folder}/ is there already; move it away, or choose another name")


def after_copier(template: Path, stage: str) -> int:
    """Do what Copier's own update does not, when it is that which runs: see the module's text."""
    project = Path.cwd()
    repository = Repository(project)
    if stage == "before":
        untracked = repository.git("ls-files", "--others", "--exclude-standard", "-z", "--", ".")
        if untracked:
            name = untracked.decode(errors="replace").partition("\0")[0]
            raise Refused(f"{name} is not committed; commit it, or move it away")
        old = read_answers(repository)
        change = Change(dict(old))
        for function in crossed(old["_commit"], os.environ["VERSION_TO"]):
            function(change)
        if change.answers != old:
            (project / ANSWERS).write_text(dumped(change.answers), encoding="utf-8")
        return 0
    new = answers_in(project)
    wish = Wish({k: v for k, v in new.items() if not k.startswith("_") and k not in REMEMBERED})
    # All that Copier has written: copier.yml excludes the rest.
    repository.git("restore", "--source=HEAD", "--staged", "--worktree", "--", ANSWERS)
    with tempfile.TemporaryDirectory(prefix="template-", ignore_cleanup_errors=True) as work:
        update = Update(project, template, "HEAD", wish, Path(work))
        report_and_exit_code(update, update.run())
    # Copier would show a conflict's exit code as a failure of the template.
    return 0


def from_project(options: argparse.Namespace) -> int:
    """Do what a project's scripts/template.py asks for."""
    project = options.project.resolve()
    repository = Repository(project)
    wish = wish_of(options, read_answers(repository), repository.tree())
    with tempfile.TemporaryDirectory(prefix="template-", ignore_cleanup_errors=True) as work:
        update = Update(project, options.template.resolve(), options.ref, wish, Path(work))
        return report_and_exit_code(update, update.run())


def ignore_signals() -> None:
    """Let no signal stop what comes now, nor what is started from now on."""
    for number in ENDING:  # One may have come already, and be told next.
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Unwind once; a second signal must not stop what is being undone."""
    ignore_signals()
    raise Interrupted


def main() -> int:
    """Run, and say in one line why where it cannot be done."""
    # What a terminal cannot show, such as an unusual file's name, must not stop this.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for number in ENDING:
        signal.signal(number, interrupt)
    try:
        if sys.argv[1:2] in (["before"], ["after"]):
            return after_copier(Path(sys.argv[2]), sys.argv[1])
        return from_project(parse(sys.argv[1:]))
    except (
        *(Refused, MoveError, ChangedError),
        *(CopierError, services.rules.Refusal, ValueError),
    ) as error:
        print(str(error).strip().splitlines()[-1] + "; nothing is changed", file=sys.stderr)
        return 2
    except (GitError, OSError) as error:
        print(f"{error}; nothing is changed", file=sys.stderr)
        return 3
    except Interrupted:
        print("Interrupted; nothing is changed", file=sys.stderr)
        return 130
    except Exception:  # noqa: BLE001 - an exit code of 1 would mean conflicts
        traceback.print_exc()
        print("This is a fault of the template; nothing is changed", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
