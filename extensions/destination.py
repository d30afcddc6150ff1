"""The existing content of the destination: an older version of the project, or other files."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .addresses import looks_for_addresses, needs_addresses
from .commands import Commands, commands_of
from .discovery import Found
from .kinds import KINDS, kind_of
from .rules import AnswerError
from .services import BACKING_PORT
from .source_files import SourceFiles, source_files

#: The files of the placeholder with which a new custom service starts.
PLACEHOLDER = ("Dockerfile", ".dockerignore", "app.py", "tests")

#: A folder in services/ that contains one of these files is a service.
SIGNS = ("Dockerfile", "pyproject.toml", "package.json")

#: Answers that every project of this template has, and hardly any project of another template.
OURS = frozenset({"layout", "project_slug", "registry"})


def previous_answers(root: Path, answers_file: str) -> dict[str, Any]:
    """Read the answers that a project was generated with; empty if there are none."""
    try:
        found = yaml.safe_load((root / answers_file).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def holds_foreign_files(root: Path, previous: Mapping[str, Any]) -> bool:
    """Whether the destination has files, none of them from this template."""
    if previous or not root.is_dir():
        return False
    return any(path.name != ".git" for path in root.iterdir())


def check_folder(root: Path) -> None:
    """Refuse a destination that is a file, or in which the user may not write."""
    if root.exists() and not root.is_dir():
        raise AnswerError(f"{root} is a file; choose a folder for the project, or a new name")
    folder = next(path for path in (root, *root.absolute().parents) if path.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AnswerError(
            f"you may not write to {folder}; change its owner or permissions, or choose another folder"
        )


def check_answers_file(root: Path, name: str, previous: Mapping[str, Any]) -> None:
    """Refuse a folder whose answers file belongs to another template, as it would be overwritten."""
    if os.path.lexists(root / name) and not OURS <= previous.keys():
        raise AnswerError(
            f"{name} belongs to another template and would be overwritten; rename it, then run "
            "this again (to update the other template, add: --answers-file NEW-NAME)"
        )


def check_places(root: Path, layout: str) -> None:
    """Refuse a folder with a file where the template needs a folder, or the reverse."""
    folders, files = _fixed_places()
    if layout == "multi":
        folders |= {"services", "tests", "tests/integration"}
    for folder in sorted(folders):
        if os.path.lexists(root / folder) and not (root / folder).is_dir():
            raise AnswerError(
                f"{folder} is not a folder, and the template needs a folder of that name; rename it, "
                "then run this again"
            )
        if not (root / folder).resolve().is_relative_to(root.resolve()):
            raise AnswerError(
                f"{folder} is a link to a path outside the project, and the template needs a folder "
                "of that name; rename it, then run this again"
            )
    for file in sorted(files):
        if (root / file).is_dir():
            raise AnswerError(
                f"{file} is a folder, and the template needs a file of that name; rename it, then "
                "run this again"
            )


def _fixed_places() -> tuple[set[str], set[str]]:
    """Return the folders and the files that every project has, independent of the answers."""
    template = Path(__file__).parent.parent / "template"
    folders = {
        f"{forge}{folder}" for forge in (".github", ".gitea") for folder in ("", "/workflows")
    }
    files: set[str] = set()
    for path in template.rglob("*"):
        name = path.relative_to(template).as_posix().removesuffix(".jinja")
        if "{" not in name:
            (folders if path.is_dir() else files).add(name)
    return folders, files


def is_service(folder: Path) -> bool:
    """Whether a folder contains the Dockerfile or a manifest of a service."""
    return any((folder / sign).is_file() for sign in SIGNS)


def grown(previous: Mapping[str, Any], name: str = "app") -> list[Any]:
    """Convert the only service of a single project to a list of services.

    With the name `app`, it keeps its database and its addresses.
    """
    kind = str(previous.get("service_kind", "python-api"))
    if not KINDS[kind].is_own:
        return [name if kind == kind_of(name) else f"{name}:{kind}"]
    chosen = [backing for backing in BACKING_PORT if previous.get(backing, "none") != "none"]
    return [{"name": name, "kind": kind, "needs": chosen}]


def adopted(root: Path, services: Sequence[Mapping[str, Any]], known: Found) -> dict[str, Commands]:
    """Return the custom services that exist already, each with its guessed commands.

    Services that share a folder also share its tests, which only run once. Tests that look for an
    address run in the service stage too: without a container, such tests skip themselves.
    """
    files = known.files if known.files.names else source_files(root) if root.is_dir() else None
    found: dict[str, Commands] = {}
    existing = [
        service for service in services if files and service["is_own"] and _exists(files, service)
    ]
    owners: dict[str, str] = {}
    # The service with an HTTP server comes before its workers.
    for service in sorted(existing, key=lambda service: not service["container_port"]):
        owners.setdefault(service["home"], service["name"])
    for service in existing:
        name, home = service["name"], service["home"]
        owner = owners[home]
        if owner == name:
            item = {key: service[key] for key in ("name", "context", "dockerfile", "language")}
            found[name] = commands = commands_of(root, {**item, "path": home}, files)
            if "test_service" not in commands and "test_unit" in commands:
                names = (*service["stack"], *BACKING_PORT, *known.backing)
                if looks_for_addresses(known, services, name, names):
                    commands["test_service"] = commands["test_unit"]
                if needs_addresses(known, services, name, names):
                    note = f"{name}: its tests need containers, so they are service tests"
                    commands["test_unit"] = [f"@echo '{note}' >&2"]
        else:
            line = f"@echo '{name}: covered by {owner}, which has the same folder' >&2"
            targets = ("test_unit", "test_service", "lint", "format")
            found[name] = {target: [line] for target in targets}
    return found


def _exists(files: SourceFiles, service: Mapping[str, Any]) -> bool:
    """Whether a service has a Dockerfile or a manifest."""
    file = posixpath.join(service["context"], service["dockerfile"] or "Dockerfile")
    is_built = (files.root / file).is_file()
    return is_built or is_service(files.root / service["home"])


def kept_files(
    root: Path, services: Sequence[Mapping[str, Any]], names: Container[str]
) -> list[str]:
    """List patterns of files that are not rendered, because a service is adopted.

    Existing files stay unchanged, and an adopted service gets no placeholder files.
    """
    patterns = []
    for service in services:
        if service["name"] not in names:
            continue
        prefix = "" if service["path"] == "." else f"/{service['path']}"
        patterns += [f"{prefix}/{name}" for name in PLACEHOLDER]
        ours = ("Makefile", "deploy/test/docker-compose.yml") if prefix else ()
        patterns += [
            f"{prefix}/{name}" for name in ours if os.path.lexists(root / service["path"] / name)
        ]
    return patterns


def makefile(root: Path, *, adopting: bool) -> str:
    """Return the name of the project's Makefile, which must not be the name of an existing one.

    No existing file is replaced, and neither is a link without a target.
    """
    exists = any(os.path.lexists(root / name) for name in ("Makefile", "makefile", "GNUmakefile"))
    return "pipeline.mk" if adopting and exists else "Makefile"
