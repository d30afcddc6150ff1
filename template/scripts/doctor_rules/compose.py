# Kept by the template: copier update merges its changes into this file.
"""Compose files as services that know their lines."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from .images import Image, image
from .located_yaml import List, Map


class Environment(StrEnum):
    """What a compose file is for."""

    DEV = "dev"
    TEST = "test"
    PROD = "prod"
    UNKNOWN = ""


#: The words in a file's name or in the name of a folder that decide this.
WORDS = {
    Environment.TEST: "ci e2e integration integration-test integration-tests test testing tests",
    Environment.PROD: "live prod production staging",
    Environment.DEV: "dev develop development local",
}

BASES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")

ONE_SHOT_NAME = re.compile(
    r"(?:.*[-_])?(?:migrate|migrations?|migrator|seed|seeds|seeder|prestart|db-?init|init-?db|"
    r"db-?setup)(?:[-_].*)?|.+[-_](?:init|setup|bootstrap)|(?:init|setup|bootstrap)[-_].+"
)
ONE_SHOT_COMMAND = re.compile(
    r"""alembic\s+(-\S+\s+\S+\s+)*upgrade|manage\.py\s+migrate\s*$|prisma\s+(migrate|db\s+push)
    |db:(migrate|seed|setup|prepare)\s*$|knex\s+(migrate|seed)|sequelize\S*\s+db:
    |typeorm\S*\s+(-\S+\s+)*migration:run|dotnet\s+ef\s+database\s+update|flyway\s+.*migrate\s*$
    |liquibase\s+.*update\s*$|goose\s+.*\sup\s*$|dbmate\s+(-\S+\s+)*(up|migrate)\s*$
    |artisan\s+migrate(\s+-\S+)*\s*$|migrate\s+.*-database\s+.*\sup\s*$""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Build:
    """How a service's image is built. Paths are relative to the root."""

    context: str
    dockerfile: str
    target: str


@dataclass(frozen=True)
class Port:
    """A published port. Each part is text, and may contain variables."""

    line: int
    column: int  #: from 0; of the text in a short form
    text: str  #: the short form, without quotes; empty in the long form
    address: str  #: empty: all interfaces
    published: str  #: empty: Docker chooses it
    container: str
    protocol: str

    @property
    def default_published(self) -> str:
        """The port on the host, with the defaults of variables."""
        return default_of(self.published)

    @property
    def is_public(self) -> bool:
        """Whether the port is published on all interfaces of the host."""
        return default_of(self.address) in ("", "0.0.0.0", "::", "[::]")


@dataclass(frozen=True)
class Mount:
    """A volume or a bind mount."""

    line: int
    source: str
    target: str
    read_only: bool
    kind: str  #: bind, volume, tmpfs


@dataclass
class Service:
    """A service of a compose file."""

    name: str
    line: int  #: of its name
    own: Map  #: as the file says
    merged: Map  #: with the file's base, its override and what it extends
    partial: bool  #: the base has the rest, so what is missing here is not missing

    @property
    def image(self) -> str:
        """The name of its image, as written."""
        return text(self.merged.get("image"))

    @cached_property
    def public_image(self) -> Image:
        """The image that is pulled; its name is empty if the image is built."""
        return image("" if self.merged.get("build") else self.image)

    def build(self, folder: str) -> Build | None:
        """Return how its image is built, or None if it is pulled."""
        build = self.merged.get("build")
        if isinstance(build, str):
            build = {"context": build}
        if not isinstance(build, dict):
            return None
        if build.get("dockerfile_inline"):
            return None
        context = default_of(text(build.get("context")) or ".")
        if "://" in context or context.startswith("git@") or "$" in context:
            return None
        context = normal(posixpath.join(folder, context))
        dockerfile = default_of(text(build.get("dockerfile")) or "Dockerfile")
        return Build(
            context,
            normal(posixpath.join(context, dockerfile)),
            default_of(text(build.get("target"))),
        )

    @property
    def health_check(self) -> str | list[Any] | None:
        """The command of its health check; None if the compose file has none."""
        check = self.merged.get("healthcheck")
        test = check.get("test") if isinstance(check, dict) else None
        return test if isinstance(test, str | list) and test not in ([], "", ["NONE"]) else None

    @property
    def has_no_check(self) -> bool:
        """Whether the compose file switches the health check off."""
        check = self.merged.get("healthcheck")
        disabled = isinstance(check, dict) and (
            check.get("disable") is True or check.get("test") in (["NONE"], "NONE")
        )
        return bool(disabled)

    def ports(self, source: Map) -> Iterator[Port]:
        """Yield the published ports of `own` or `merged`."""
        ports = source.get("ports")
        if not isinstance(ports, List):
            return
        for (line, column), item in zip(ports.places, ports, strict=True):
            if isinstance(item, dict):
                yield Port(
                    line,
                    column,
                    "",
                    text(item.get("host_ip")),
                    text(item.get("published")),
                    text(item.get("target")),
                    text(item.get("protocol")) or "tcp",
                )
            elif isinstance(item, str):
                yield short_port(line, column, item)

    def mounts(self, source: Map) -> Iterator[Mount]:
        """Yield the volumes and bind mounts of `own` or `merged`."""
        volumes = source.get("volumes")
        if not isinstance(volumes, List):
            return
        for line, item in volumes.numbered():
            if isinstance(item, dict):
                yield Mount(
                    line,
                    text(item.get("source")),
                    text(item.get("target")),
                    item.get("read_only") is True,
                    text(item.get("type")) or "volume",
                )
            elif isinstance(item, str):
                yield short_mount(line, item)

    @property
    def tmpfs(self) -> list[str]:
        """The folders that are in memory."""
        found = self.merged.get("tmpfs")
        paths = [text(item) for item in (found if isinstance(found, list) else [found]) if item]
        paths += [mount.target for mount in self.mounts(self.merged) if mount.kind == "tmpfs"]
        return [path.partition(":")[0].rstrip("/") for path in paths]

    def dependencies(self, source: Map) -> dict[str, tuple[int, str]]:
        """Return the line and the condition of each service that must start before this one."""
        wanted = source.get("depends_on")
        if isinstance(wanted, List):
            return {text(name): (line, "") for line, name in wanted.numbered()}
        if isinstance(wanted, Map):
            return {
                name: (
                    wanted.places[name][0],
                    text(value.get("condition")) if isinstance(value, dict) else "",
                )
                for name, value in wanted.items()
            }
        return {}

    @property
    def command(self) -> str:
        """Its entry point and command in one line; empty if the image decides."""
        parts = [self.merged.get("entrypoint"), self.merged.get("command")]
        return " ".join(
            " ".join(map(text, part)) if isinstance(part, list) else text(part)
            for part in parts
            if part
        )

    @property
    def environment(self) -> dict[str, tuple[int, str]]:
        """The line and the value of each variable that this file sets."""
        found = self.own.get("environment")
        if isinstance(found, Map):
            return {name: (found.places[name][0], text(value)) for name, value in found.items()}
        if isinstance(found, List):
            pairs = [(line, text(item).partition("=")) for line, item in found.numbered()]
            return {name: (line, value) for line, (name, _, value) in pairs}
        return {}

    @property
    def is_one_shot(self) -> bool:
        """Whether the container surely runs to its end: by its name or its command."""
        if self.merged.get("ports") or self.merged.get("profiles") or self.health_check:
            return False
        if text(self.merged.get("restart")) in ("always", "unless-stopped"):
            return False
        if ONE_SHOT_COMMAND.search(self.command):
            # `alembic upgrade head && uvicorn …` goes on to run a server.
            last = re.split(r"&&|;|\n", self.command.strip().strip("'\""))[-1]
            return bool(ONE_SHOT_COMMAND.search(last))
        return bool(ONE_SHOT_NAME.fullmatch(self.name))


@dataclass
class ComposeFile:
    """A compose file."""

    path: str
    environment: Environment
    documents: list[Map]
    services: dict[str, Service]

    @property
    def folder(self) -> str:
        """The folder of the file, relative to the root."""
        return posixpath.dirname(self.path)

    @property
    def is_base(self) -> bool:
        """Whether Compose reads this file by default, together with its override."""
        return posixpath.basename(self.path) in BASES

    @property
    def is_override(self) -> bool:
        """Whether Compose merges this file into the one beside it."""
        return ".override." in self.path

    @property
    def is_partial(self) -> bool:
        """Whether the file changes services of the file beside it."""
        return self.is_override or any(service.partial for service in self.services.values())

    @property
    def name(self) -> str:
        """The project name that the file sets; empty if it sets none."""
        return next((text(doc.get("name")) for doc in self.documents if doc.get("name")), "")

    def line_of(self, key: str) -> int:
        """Return the line of a key at the top level."""
        return next((doc.places[key][0] for doc in self.documents if key in doc.places), 1)

    def section(self, key: str) -> Iterator[tuple[str, int, Any]]:
        """Yield the names, lines and contents of a section such as `networks`."""
        for document in self.documents:
            section = document.get(key)
            if isinstance(section, Map):
                for name, value in section.items():
                    yield name, section.places[name][0], value


def environment_of(path: str) -> Environment:
    """Return what a compose file is for. The words in its name count more than its folders."""
    parts = PurePosixPath(path).parts
    name = re.sub(r"\.ya?ml$|(docker-)?compose", "", parts[-1])
    for word in filter(None, re.split(r"[^a-z0-9]+", name.lower())):
        for environment, words in WORDS.items():
            if word in words.split():
                return environment
        if word == "deploy":
            return Environment.PROD
        if word == "override":
            folder = environment_of("/".join([*parts[:-1], "compose.yml"]))
            return folder if folder is not Environment.UNKNOWN else Environment.DEV
    for part in reversed(parts[:-1]):
        for environment, words in WORDS.items():
            if part.lower().strip("_.") in words.split():
                return environment
    return Environment.UNKNOWN


def services_of(path: str, files: Mapping[str, list[Map]]) -> dict[str, Service]:
    """Return the services of a compose file, each merged with its base and its override."""
    folder = posixpath.dirname(path)
    beside = [other for other in files if posixpath.dirname(other) == folder]
    base = next((n for name in BASES for n in beside if posixpath.basename(n) == name), "")
    overrides = [n for n in beside if ".override." in n] if path == base else []
    found = {}
    for name, own in raw_services(files[path]).items():
        below = raw_services(files[base]).get(name) if base and base != path else None
        # A file with an image or a build is complete in itself, except an override.
        complete = any(own.get(key) for key in ("image", "build", "extends"))
        # A file that only builds the images of the base runs no container.
        complete = complete and not (below is not None and set(own) <= {"build", "image"})
        partial = below is not None and (".override." in path or not complete)
        merged = own
        if partial and below is not None:
            merged = merge(below, own)
        for override in overrides:
            if name in raw_services(files[override]):
                merged = merge(merged, raw_services(files[override])[name])
        merged = extended(merged, path, files, 0)
        partial = partial or not (complete or base in ("", path))
        found[name] = Service(name, line_of(name, files[path]), own, merged, partial)
    return found


def line_of(service: str, documents: list[Map]) -> int:
    """Return the line of a service's name."""
    sections = (document.get("services") for document in documents)
    places = (section.places for section in sections if isinstance(section, Map))
    return next((found[service][0] for found in places if service in found), 1)


def raw_services(documents: list[Map]) -> dict[str, Map]:
    """Return the services of a file as they are written."""
    return {
        name: value
        for document in documents
        if isinstance(document.get("services"), Map)
        for name, value in document["services"].items()
        if isinstance(value, Map)
    }


def extended(service: Map, path: str, files: Mapping[str, list[Map]], depth: int) -> Map:
    """Return a service with what it extends."""
    extends = service.get("extends")
    if isinstance(extends, str):
        extends = {"service": extends}
    if not isinstance(extends, dict) or depth > 5:
        return service
    other = text(extends.get("file"))
    source = normal(posixpath.join(posixpath.dirname(path), other)) if other else path
    below = raw_services(files.get(source, [])).get(text(extends.get("service")))
    if below is None or below is service:
        return service
    return merge(extended(below, source, files, depth + 1), service)


def merge(below: Map, above: Map) -> Map:
    """Return a mapping with the keys of both. The upper one decides, and mappings are merged."""
    found = Map()
    found.line = above.line
    found.places = {**below.places, **above.places}
    found.values_at = {**below.values_at, **above.values_at}
    for key in [*below, *(key for key in above if key not in below)]:
        if key not in above:
            found[key] = below[key]
        elif isinstance(below.get(key), Map) and isinstance(above[key], Map):
            found[key] = merge(below[key], above[key])
        elif key in ("ports", "volumes", "expose") and isinstance(below.get(key), List):
            found[key] = joined(below[key], above[key])
        else:
            found[key] = above[key]
    return found


def joined(below: List, above: Any) -> List:
    """Return two lists as one."""
    found = List([*below, *(above if isinstance(above, List) else [])])
    found.line = below.line
    found.places = [*below.places, *(above.places if isinstance(above, List) else [])]
    return found


def text(value: Any) -> str:
    """Return a scalar as text; empty for None, lists and mappings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ""


def default_of(value: str) -> str:
    """Replace the variables that have a default by it."""
    previous = ""
    while previous != value:
        previous = value
        value = re.sub(r"\$\{\w+:?-([^{}]*)\}", r"\1", value)
    return value


def normal(path: str) -> str:
    """Return a path relative to the root, without `.` and `..`."""
    return posixpath.normpath(path)


def split_outside_variables(value: str) -> list[str]:
    """Split at the colons that are not in `${…}` or `[…]`."""
    parts, depth = [""], 0
    for character in value:
        depth += (character in "{[") - (character in "}]")
        if character == ":" and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def short_port(line: int, column: int, item: str) -> Port:
    """Read a port such as 127.0.0.1:8000:80/tcp."""
    value, _, protocol = (
        item.partition("/") if "${" not in item.rpartition("/")[2] else (item, "", "")
    )
    parts = split_outside_variables(value)
    address, published, container = (
        (["", "", *parts])[-3:] if len(parts) < 3 else (":".join(parts[:-2]), parts[-2], parts[-1])
    )
    return Port(line, column, item, address, published, container, protocol or "tcp")


def short_mount(line: int, item: str) -> Mount:
    """Read a volume such as ./data:/data:ro."""
    parts = split_outside_variables(item)
    if len(parts) == 1:
        return Mount(line, "", parts[0], False, "volume")
    source = parts[0]
    options = parts[2].split(",") if len(parts) > 2 else []
    is_path = default_of(source).startswith((".", "/", "~", "$"))
    return Mount(line, source, parts[1], "ro" in options, "bind" if is_path else "volume")


def words_of(command: str | list[Any]) -> list[str]:
    """Return the words of a command; of a health check, without CMD or CMD-SHELL."""
    if isinstance(command, list):
        words = [text(word) for word in command]
        if words[:1] in (["CMD"], ["CMD-SHELL"]):
            words = words[1:]
        return words
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()
