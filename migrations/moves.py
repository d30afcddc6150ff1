"""Where the files of a project move to: new names, new folders, and a single project that grows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from errors import MoveError
from steps import Change
from template_rules import Service
from trees import SUBMODULE, Tree

#: Files and folders of the user's that stay at the root when a single project grows. Hidden files,
#: and what the new layout has at the root, stay too. Everything else moves with the service.
STAYS_AT_ROOT = re.compile(
    r"(Makefile\.local|docs|README.*|LICENSE.*|CHANGELOG.*|CONTRIBUTING.*|AGENTS\.md|CLAUDE\.md|"
    r"(docker-)?compose.*\.ya?ml)",
    re.IGNORECASE,
)

#: A single project has one test stack. When it grows, the service and the whole project each get a
#: copy, so that both keep the user's changes.
TEST_STACK = re.compile(r"deploy/test/docker-compose(\.override)?\.ya?ml")

#: A file of one service in deploy/kubernetes.
MANIFEST = re.compile(r"deploy/kubernetes/(?P<folder>base|jobs)/(?P<name>[^/]+)\.yaml")


@dataclass(frozen=True)
class PathMap:
    """Maps the paths of the project to their new paths."""

    #: What the steps between the two versions move.
    change: Change
    #: The services that the project keeps: each one's old and new form.
    services: Sequence[tuple[Service, Service]]
    #: What the template generated last, and what it generates now.
    base: Tree
    theirs: Tree

    def __call__(self, path: str) -> list[str]:
        """Return the new paths of a file: one, except for a test stack that is copied."""
        path = self.change.new_path(path)
        for old, new in self.services:
            if (old.path, old.package) == (new.path, new.package):
                continue
            if manifest := moved_manifest(path, old, new):
                return [manifest]
            if old.path == ".":
                if TEST_STACK.fullmatch(path):
                    return [path, f"{new.path}/{path}"]
                if not self._stays_at_root(path):
                    return [path_in_service(path, old, new)]
            elif path.startswith(f"{old.path}/"):
                return [path_in_service(path.removeprefix(f"{old.path}/"), old, new)]
        return [path]

    @cached_property
    def _names_at_root(self) -> set[str]:
        """What the new version has at the project's root, except the folders of services' files."""
        return {PurePosixPath(path).parts[0] for path in self.theirs} - {"tests", "services"}

    def _stays_at_root(self, path: str) -> bool:
        name = PurePosixPath(path).parts[0]
        is_hidden = name.startswith(".") and path not in self.base
        stays = STAYS_AT_ROOT.fullmatch(name) is not None
        return name in self._names_at_root or is_hidden or stays


def moved_manifest(path: str, old: Service, new: Service) -> str:
    """Return the new path of a service's manifest; empty if the file is another one."""
    match = MANIFEST.fullmatch(path)
    if match and match["name"] == old.name:
        return f"deploy/kubernetes/{match['folder']}/{new.name}.yaml"
    # A single project calls it migrate.
    if match and match["name"] == ("migrate" if old.path == "." else f"{old.name}-migrate"):
        return f"deploy/kubernetes/{match['folder']}/{new.name}-migrate.yaml"
    return ""


def path_in_service(path: str, old: Service, new: Service) -> str:
    """Return the new path of a service's file, which is given relative to the old folder."""
    if old.language == "python":
        for before, after in ((old.source, new.source), (old.src_root, new.src_root)):
            if before != "." and path.startswith(f"{before}/"):
                rest = path.removeprefix(f"{before}/")
                path = rest if after == "." else f"{after}/{rest}"
                break
    return f"{new.path}/{path}"


def moved(tree: Tree, new_paths: Callable[[str], Iterable[str]]) -> Tree:
    """Return a tree with its files at their new paths.

    Raises:
        MoveError: two files would have the same path, or a submodule would move.
    """
    origins: dict[str, str] = {}
    for path, file in tree.items():
        for new_path in new_paths(path):
            if new_path in origins:
                mover = origins[new_path] if new_path == path else path
                raise MoveError(
                    f"cannot move {mover} to {new_path}, because another file has that path; "
                    "move that file away first"
                )
            if file.mode == SUBMODULE and new_path != path:
                raise MoveError(
                    f"{path} is a submodule, which an update cannot move; run 'git rm {path}' and "
                    f"commit first, and add it as {new_path} with 'git submodule add' afterwards"
                )
            origins[new_path] = path
    return {new_path: tree[path] for new_path, path in origins.items()}
