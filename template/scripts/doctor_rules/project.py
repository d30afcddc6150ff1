# Kept by the template: copier update merges its changes into this file.
"""The files of a repository, and what each of them is."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from . import dockerfile, located_yaml
from .compose import ComposeFile, Service, environment_of, services_of
from .dockerfile import Dockerfile, Stage
from .located_yaml import InvalidYamlError, Map
from .model import Finding

#: Folders that contain other people's code, or examples that no one runs.
SKIPPED = frozenset(
    """
    .cache .devcontainer .examples .git .hg .idea .mypy_cache .nox .pytest_cache .ruff_cache
    .test-results .tox .venv .vscode __pycache__ bower_components example examples
    fixtures node_modules sample samples site-packages testdata third_party third-party vendor venv
    """.split()
)

COMPOSE = re.compile(r"(docker-)?compose([-_.][\w.-]+)?\.ya?ml")
DOCKERFILE = re.compile(r"(Dockerfile|Containerfile)([-.][\w.-]+)?|[\w.-]+\.[Dd]ockerfile")
NOT_DOCKERFILE = re.compile(r"\.(dockerignore|jinja2?|j2|template|tmpl|tpl|erb|md|orig|bak)$")
SCRIPT = re.compile(r"(GNUm|M|m)akefile(\.\w+)?|[\w.-]+\.(mk|sh|bash)|[Jj]ustfile")
WORKFLOWS = (".github/workflows", ".gitea/workflows", ".forgejo/workflows")
#: The names of the file that lists a compose file's variables.
EXAMPLES = ("example", "sample", "template", "dist", "defaults")

#: The file that lists what is ignored.
SETTINGS = ".doctor.toml"

IGNORE = re.compile(r"(?:#|//)\s*doctor:\s*ignore=([\w,-]+)")

#: A file that is larger was not written by a person.
LARGEST = 1_000_000


class SettingsError(Exception):
    """The settings are wrong. The text is one line."""


@dataclass(frozen=True)
class Image:
    """An image that the repository builds."""

    path: str  #: of its Dockerfile
    dockerfile: Dockerfile
    stage: Stage
    context: str
    services: tuple[tuple[ComposeFile, Service], ...] = ()


@dataclass
class Project:
    """A repository. Its files are read once."""

    root: Path
    today: date = field(default_factory=date.today)
    exclude: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()  #: a rule's name, or `name:glob` for some files

    @cached_property
    def files(self) -> list[str]:
        """The files that git does not ignore, without those of others."""
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        try:
            done = subprocess.run(listing, cwd=self.root, capture_output=True, text=True)
            names = done.stdout.split("\0") if done.returncode == 0 else list(self.walk())
        except OSError:
            names = list(self.walk())
        # Git also lists deleted files, and links that have no target.
        ours = (name for name in set(names) if name and self.is_ours(name))
        return sorted(name for name in ours if os.path.exists(self.root / name))  # noqa: PTH110

    def walk(self) -> Iterator[str]:
        """Yield all files, without those in skipped folders."""
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name not in SKIPPED]
            for name in names:
                yield Path(folder, name).relative_to(self.root).as_posix()

    def is_ours(self, name: str) -> bool:
        """Return whether a file is checked."""
        if SKIPPED.intersection(PurePosixPath(name).parts[:-1]):
            return False
        return not any(fnmatch.fnmatch(name, pattern) for pattern in self.exclude)

    def text(self, name: str) -> str:
        """Return a file's text; empty if it is no regular file, or too large."""
        if name not in self.texts:
            path = self.root / name
            try:
                readable = path.is_file() and path.stat().st_size <= LARGEST
                text = path.read_text(encoding="utf-8", errors="replace") if readable else ""
            except OSError:
                text = ""
            self.texts[name] = text
        return self.texts[name]

    @cached_property
    def texts(self) -> dict[str, str]:
        """The texts of the files that were read."""
        return {}

    @cached_property
    def unreadable(self) -> list[tuple[str, int, str]]:
        """The compose files and workflows that are not YAML: path, line and problem."""
        found = []
        for name in [*self.compose_names, *self.workflow_names]:
            try:
                located_yaml.parse(self.text(name))
            except InvalidYamlError as error:
                found.append((name, error.line, str(error)))
        return found

    def documents(self, name: str) -> list[Map]:
        """Return the mappings of a YAML file; none if it cannot be read."""
        try:
            return [d for d in located_yaml.parse(self.text(name)) if isinstance(d, Map)]
        except InvalidYamlError:
            return []

    @cached_property
    def compose_names(self) -> list[str]:
        """The names of the compose files."""
        return [name for name in self.files if COMPOSE.fullmatch(PurePosixPath(name).name)]

    @cached_property
    def workflow_names(self) -> list[str]:
        """The names of the workflows."""
        return [
            name
            for name in self.files
            if name.endswith((".yml", ".yaml")) and str(PurePosixPath(name).parent) in WORKFLOWS
        ]

    @cached_property
    def script_names(self) -> list[str]:
        """The names of the Makefiles and shell scripts."""
        return [
            name
            for name in self.files
            if SCRIPT.fullmatch(PurePosixPath(name).name)
            or ("." not in PurePosixPath(name).name and self.is_shell(name))
        ]

    def is_shell(self, name: str) -> bool:
        """Return whether a file's first line names a shell."""
        path = self.root / name
        try:
            with path.open("rb") as file:
                return bool(re.match(rb"#!.*\b(ba|da|k|z)?sh\b", file.readline(200)))
        except OSError:
            return False

    @cached_property
    def compose_files(self) -> list[ComposeFile]:
        """The compose files that have services, each with what its base and override add."""
        own = {name: self.documents(name) for name in self.compose_names}
        return [
            ComposeFile(name, environment_of(name), documents, services_of(name, own))
            for name, documents in own.items()
            if any(isinstance(document.get("services"), Map) for document in documents)
        ]

    @cached_property
    def dockerfiles(self) -> dict[str, Dockerfile]:
        """The Dockerfiles, by path: those with a Dockerfile's name, and those that Compose names."""
        names = {
            name
            for name in self.files
            if DOCKERFILE.fullmatch(PurePosixPath(name).name) and not NOT_DOCKERFILE.search(name)
        }
        for file in self.compose_files:
            for service in file.services.values():
                build = service.build(file.folder)
                if build and self.text(build.dockerfile):
                    names.add(build.dockerfile)
        parsed = {name: dockerfile.parse(self.text(name)) for name in sorted(names)}
        return {name: file for name, file in parsed.items() if file.stages}

    @cached_property
    def images(self) -> list[Image]:
        """The images that are built: one for each Dockerfile and stage that Compose builds."""
        users: dict[tuple[str, str, str], list[tuple[ComposeFile, Service]]] = {}
        for file in self.compose_files:
            for service in file.services.values():
                build = service.build(file.folder)
                if build and build.dockerfile in self.dockerfiles:
                    key = (build.dockerfile, build.target, build.context)
                    users.setdefault(key, []).append((file, service))
        named = {path for path, _, _ in users}
        for path in self.dockerfiles:
            if path not in named:
                users[path, "", self.guessed_context(path)] = []
        return [
            Image(path, self.dockerfiles[path], stage, context, tuple(services))
            for (path, target, context), services in users.items()
            if (stage := self.dockerfiles[path].stage(target))
        ]

    def guessed_context(self, path: str) -> str:
        """Return the context of a Dockerfile that no compose file names, or `` for the root."""
        return str(PurePosixPath(path).parent)

    def image_of(self, file: ComposeFile, service: Service) -> Image | None:
        """Return the image that a service builds or that another service of its file builds."""
        build = service.build(file.folder)
        if build is None:
            same = [
                other
                for other in file.services.values()
                if other.image and other.image == service.image and other.build(file.folder)
            ]
            build = same[0].build(file.folder) if same else None
        if build is None or build.dockerfile not in self.dockerfiles:
            return None
        parsed = self.dockerfiles[build.dockerfile]
        stage = parsed.stage(build.target)
        return Image(build.dockerfile, parsed, stage, build.context) if stage else None

    def examples_for(self, folder: str) -> list[str]:
        """Return the files that list variables for the compose files in a folder.

        A `.env` in git counts. Compose reads the `.env` in the folder of the first compose file, and
        the one in its working directory.
        """
        names = {".env"} if posixpath.join(folder, ".env") in self.files else set[str]()
        names |= {f".env.{ending}" for ending in EXAMPLES}
        names |= {f"{ending}.env" for ending in EXAMPLES}
        names |= {f"env.{ending}" for ending in EXAMPLES}
        here = [posixpath.join(folder, name) for name in sorted(names)]
        return [name for name in here if name in self.files]

    def is_ignored(self, finding: Finding) -> bool:
        """Return whether a comment in the file or a setting of the project ignores a finding."""
        for entry in self.ignore:
            name, _, pattern = entry.partition(":")
            if name == finding.rule and fnmatch.fnmatch(finding.path, pattern or "*"):
                return True
        lines = self.text(finding.path).splitlines()
        nearby = lines[max(finding.line - 1, 0) : finding.line]
        number = finding.line - 2
        # Comments directly above the line, and the line itself.
        while 0 <= number < len(lines) and lines[number].lstrip().startswith(("#", "//")):
            nearby.append(lines[number])
            number -= 1
        return any(
            finding.rule in found.split(",") for line in nearby for found in IGNORE.findall(line)
        )


def read_settings(root: Path, rules: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Read `.doctor.toml`: the lists `ignore` and `exclude`.

    Raises:
        SettingsError: it is not TOML, or has an unknown key or rule.
    """
    path = root / SETTINGS
    if not path.is_file():
        return {}
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{SETTINGS}: {error}") from None
    settings = {}
    for key, value in content.items():
        if key not in ("ignore", "exclude"):
            raise SettingsError(f"{SETTINGS}: unknown key {key!r}; choose from ignore, exclude")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise SettingsError(f"{SETTINGS}: {key} must be a list of strings")
        settings[key] = tuple(value)
    check_rules((item.partition(":")[0] for item in settings.get("ignore", ())), rules, SETTINGS)
    return settings


def check_rules(names: Iterable[str], rules: Iterable[str], place: str) -> None:
    """Check that rules exist.

    Raises:
        SettingsError: a rule does not exist.
    """
    known = set(rules)
    for name in names:
        if name not in known:
            raise SettingsError(f"{place}: unknown rule {name!r}; list the rules with --rules")
