"""Reads the compose files of an existing project.

Docker Compose merges the files if it is installed, and PyYAML reads them otherwise. Both results
are converted to one form, in which every path is relative to the project's root. A file that cannot
be read results in a note; it never stops the adoption.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from .source_files import SourceFiles, is_foreign

#: Marks a file as the template's.
MARK = "Kept by the template"

#: The names of a main file, in the order in which Compose prefers them.
MAIN = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")

#: `docker-compose.dev.yml`, `docker-compose-dev.yml`, `compose.override.yaml`, `dev.compose.yml`.
NAME = re.compile(
    r"(?:docker-)?compose(?:[.\-_](?P<variant>[\w.\-]+?))?\.ya?ml"
    r"|(?P<before>[\w\-]+)\.(?:docker-)?compose\.ya?ml"
)

#: Folders besides the root that usually contain the compose files of a whole project.
FOLDERS = frozenset(
    "docker .docker deploy deployment deployments compose docker-compose infra infrastructure ops "
    "devops build ci .ci local dev environments".split()
)

#: Variants that describe development, and variants that describe production.
FOR_DEV = re.compile(r"\b(override|dev|develop|development|local|debug)\b")
FOR_PROD = re.compile(r"\b(prod|production|release|deploy|staging)\b")

#: Seconds that Docker Compose may take for one file.
PATIENCE = 5

#: How many sets of files are read at most.
MAX_SETS = 8

#: The words of a variable's name that say that its value is secret.
SECRET = re.compile(r"PASS|SECRET|KEY|TOKEN|CREDENTIAL", re.IGNORECASE)

#: The names of files with example values, which are committed although `.env` is not.
EXAMPLES = (".example", ".sample", ".dist", ".template", ".default", "-example", "-sample")


@dataclass(frozen=True)
class Mount:
    """A volume of a container."""

    kind: str  #: bind, volume or tmpfs
    source: str  #: of a bind mount, the path relative to the root; empty if it is anonymous
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Port:
    """A port that a container publishes."""

    container: int
    host: int | None = None


@dataclass(frozen=True)
class Grant:
    """A secret or a config that a container gets as a file."""

    name: str
    target: str
    is_secret: bool
    source: str = ""  #: its file, relative to the root; empty if it has none
    content: str = ""  #: of a config without a file
    variable: str = ""  #: the variable that has its value

    def placeholder(self) -> str:
        """Return a value for development and tests, from its name."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True)
class Definition:
    """One service of a compose file. An empty value means that the file does not set the key."""

    name: str
    build: dict[str, str] = field(default_factory=dict)  #: context, dockerfile, target
    build_args: dict[str, str] = field(default_factory=dict)
    image: str = ""
    ports: tuple[Port, ...] = ()
    expose: tuple[int, ...] = ()
    #: The services that it waits for, each with the condition.
    depends_on: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)  #: by service, another name for it
    environment: dict[str, str | None] = field(default_factory=dict)  #: not interpolated
    env_file: tuple[str, ...] = ()
    volumes: tuple[Mount, ...] = ()
    tmpfs: tuple[str, ...] = ()
    granted: tuple[Grant, ...] = ()  #: secrets and configs
    #: A shell command, a list as in `CMD`, `none`, or None if the file has no health check.
    health: str | list[str] | None = None
    command: str | list[str] | None = None
    entrypoint: str | list[str] | None = None
    restart: str = ""
    aliases: tuple[str, ...] = ()  #: container_name, hostname, and aliases in networks
    profiles: tuple[str, ...] = ()
    #: Other keys that change how a container runs, unchanged.
    more: dict[str, Any] = field(default_factory=dict)

    def merged(self, other: Definition) -> Definition:
        """Return this definition with the changes of a later file."""
        targets = {mount.target for mount in other.volumes}
        return replace(
            other,
            name=self.name,
            build=self.build | other.build,
            build_args=self.build_args | other.build_args,
            image=other.image or self.image,
            ports=tuple(dict.fromkeys((*self.ports, *other.ports))),
            expose=tuple(dict.fromkeys((*self.expose, *other.expose))),
            depends_on=self.depends_on | other.depends_on,
            links=self.links | other.links,
            environment=self.environment | other.environment,
            env_file=tuple(dict.fromkeys((*self.env_file, *other.env_file))),
            volumes=(
                *(mount for mount in self.volumes if mount.target not in targets),
                *other.volumes,
            ),
            tmpfs=tuple(dict.fromkeys((*self.tmpfs, *other.tmpfs))),
            granted=tuple({one.target: one for one in (*self.granted, *other.granted)}.values()),
            health=self.health if other.health is None else other.health,
            command=self.command if other.command is None else other.command,
            entrypoint=self.entrypoint if other.entrypoint is None else other.entrypoint,
            restart=other.restart or self.restart,
            aliases=tuple(dict.fromkeys((*self.aliases, *other.aliases))),
            profiles=tuple(dict.fromkeys((*self.profiles, *other.profiles))),
            more=self.more | other.more,
        )


@dataclass(frozen=True)
class Entry:
    """A service, as the project's compose files describe it."""

    name: str
    file: str  #: the compose file, relative to the root
    plain: Definition  #: without the override file, or from the file for production
    dev: Definition  #: with the override file, or from the file for development


@dataclass(frozen=True)
class Composition:
    """What the compose files of a project contain."""

    entries: dict[str, Entry] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    variables: Variables = field(default_factory=lambda: Variables({}))


# Variables ------------------------------------------------------------------------

#: Variables that have another value in our environments than in theirs.
OUR_VARIABLES = frozenset({"COMPOSE_PROJECT_NAME", "POSTGRES_PASSWORD"})


class Variables:
    """The values of variables in compose files, from committed files with variables.

    A file that git ignores may contain secrets, so its values are never used. A secret without a
    known value gets a value from its name, which is only for development and tests.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)

    def value(self, name: str) -> str:
        """Return the value of a variable; empty if there is none."""
        if self.values.get(name):
            return self.values[name]
        return name.lower().replace("_", "-") if SECRET.search(name) else ""

    def fixed(self, text: str) -> str:
        """Replace each variable by its value."""
        return substitute(text, lambda name, op, rest: self._resolved(name, op, rest))

    def kept(self, text: str) -> str:
        """Give each variable its value as the default, so that a text works without a `.env`.

        A variable of ours gets its value in their files, because deploy/dev/.env sets another one.
        """

        def default(name: str, op: str, rest: str) -> str:
            if op.endswith("+"):
                return self.fixed(rest) if self.values.get(name) else ""
            value = self._resolved(name, op, rest)
            if name in OUR_VARIABLES or "}" in value:
                return value.replace("$", "$$")
            return f"${{{name}:-{value}}}"

        return substitute(text, default, escaped="$$")

    def _resolved(self, name: str, op: str, rest: str) -> str:
        if op.endswith("+"):
            return self.fixed(rest) if self.values.get(name) else ""
        if self.values.get(name):
            return self.values[name]
        return self.fixed(rest) if op.endswith("-") and rest else self.value(name)


def substitute(text: str, value: Callable[[str, str, str], str], *, escaped: str = "$") -> str:
    """Replace the variables in a text: `$NAME`, `${NAME}`, `${NAME:-default}` and similar.

    Args:
        text: the text.
        value: returns the replacement for a name, an operator such as `:-`, and the text after it.
        escaped: the replacement of `$$`.
    """
    result, at = "", 0
    while (dollar := text.find("$", at)) >= 0:
        result, rest = result + text[at:dollar], text[dollar + 1 :]
        if rest.startswith("$"):
            result, at = result + escaped, dollar + 2
        elif plain := re.match(r"[A-Za-z_]\w*", rest):
            result, at = result + value(plain[0], "", ""), dollar + 1 + plain.end()
        elif (inner := _braced(rest)) is not None and (
            parts := re.match(r"([A-Za-z_]\w*)(:?[-?+])?(.*)", inner, re.DOTALL)
        ):
            result += value(parts[1], parts[2] or "", parts[3])
            at = dollar + 3 + len(inner)
        else:
            result, at = result + "$", dollar + 1
    return result + text[at:]


def _braced(text: str) -> str | None:
    """Return what is between a brace at the start and its closing brace; None without them."""
    if not text.startswith("{"):
        return None
    depth = 0
    for index, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[1:index]
    return None


def read_env_file(text: str) -> dict[str, str]:
    """Read the variables of a text in the form of a `.env` file."""
    values = {}
    for line in text.splitlines():
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_][\w.]*)\s*=\s*(.*)", line)
        if not match:
            continue
        value = match[2].strip()
        if value[:1] in ("'", '"') and value.find(value[0], 1) > 0:
            value = value[1 : value.find(value[0], 1)]
        else:
            value = re.split(r"\s#", value, maxsplit=1)[0].strip()
        values[match[1]] = value
    return values


def committed_env_file(files: SourceFiles, path: str) -> str:
    """Return a committed file with the variables of a `.env` file, or its example; else empty."""
    folder, name = posixpath.split(path)
    candidates = [
        name,
        *(f"{name}{suffix}" for suffix in EXAMPLES),
        *(f"{suffix.strip('.-')}{name}" for suffix in EXAMPLES),
        *(f"{suffix.strip('-')}.env" for suffix in EXAMPLES if name == ".env"),
        *(["env.example", "env.sample"] if name == ".env" else []),
    ]
    for candidate in candidates:
        where = posixpath.join(folder, candidate)
        if where in files.known and (files.root / where).is_file():
            return where
    return ""


# Files ----------------------------------------------------------------------------


@dataclass(frozen=True)
class ComposeFiles:
    """The compose files of one folder, in the order in which they apply."""

    plain: tuple[str, ...]
    dev: tuple[str, ...]


def compose_files(files: SourceFiles) -> list[ComposeFiles]:
    """Find the sets of compose files of a project: first those of the main file, then variants."""
    by_folder: dict[str, list[tuple[str, str]]] = {}
    for path in files.names:
        folder, name = posixpath.split(path)
        match = NAME.fullmatch(name)
        if not match or is_foreign(path) or MARK in files.read(path):
            continue
        by_folder.setdefault(folder, []).append(
            (name, (match["variant"] or match["before"] or "").lower())
        )
    named = [folder for folder in by_folder if not folder or folder.split("/")[0] in FOLDERS]
    # Only without files for the whole project, the files of single services are read.
    wanted = named or [folder for folder in by_folder if folder.count("/") < 2]
    sets: list[ComposeFiles] = []
    for folder in sorted(wanted, key=lambda folder: (folder.count("/") + bool(folder), folder)):
        sets += _sets_in(folder, by_folder[folder], files)
    return sets[:MAX_SETS]


def _sets_in(
    folder: str, found: Sequence[tuple[str, str]], files: SourceFiles
) -> Iterator[ComposeFiles]:
    """Yield the sets of one folder."""
    names = {name: posixpath.join(folder, name) for name, _ in found}
    variants = {name: variant for name, variant in found if variant}
    main = next((name for name in MAIN if name in names), "")
    chosen = read_env_file(files.read(posixpath.join(folder, ".env"))).get("COMPOSE_FILE", "")
    listed = [posixpath.normpath(name) for name in re.split(r"[:;]", chosen) if name]
    if listed and all(name in names for name in listed):
        paths = tuple(names[name] for name in listed)
        yield ComposeFiles(paths, paths)
    elif main:
        plain = (names[main],)
        overrides = [n for n, variant in variants.items() if variant == "override"]
        yield ComposeFiles(plain, (*plain, *(names[name] for name in overrides[:1])))
    rest = [name for name, variant in variants.items() if variant != "override"]

    def order(name: str) -> tuple[int, str]:
        words = re.sub(r"[._\-]", " ", variants[name])
        return (0 if FOR_PROD.search(words) else 1 if FOR_DEV.search(words) else 2), name

    for name in sorted(rest, key=order):
        if name not in listed:
            yield ComposeFiles((names[name],), (names[name],))


def read_compose(files: SourceFiles) -> Composition:
    """Read the compose files of a project.

    A service that several files describe is one entry. The first file that builds it wins, and
    later files only add what the first one does not say.
    """
    notes: list[str] = []
    sets = compose_files(files)
    variables = _variables(files, sets)
    entries: dict[str, Entry] = {}
    for number, chosen in enumerate(sets):
        plain = _read_set(files, chosen.plain, variables, notes)
        is_main = chosen.plain != chosen.dev
        dev = _read_set(files, chosen.dev, variables, notes) if is_main else plain
        words = re.sub(r"[._\-/]", " ", chosen.plain[0].lower())
        for name in dict.fromkeys((*plain, *dev)):
            entry = Entry(
                name, chosen.plain[0], plain.get(name, dev.get(name) or plain[name]),
                dev.get(name) or plain[name],
            )  # fmt: skip
            if number and not (entry.plain.build or entry.plain.image) and name not in entries:
                continue
            known = entries.get(name)
            if known and (note := _other_dockerfile(known, entry)):
                notes.append(note)
            entries[name] = _combined(known, entry, bool(FOR_DEV.search(words))) if known else entry
    return Composition(entries, list(dict.fromkeys(notes)), variables)


def _other_dockerfile(first: Entry, second: Entry) -> str:
    """Return a note if a file for production builds a service from another Dockerfile."""
    builds = [
        posixpath.normpath(
            posixpath.join(build.get("context", ""), build.get("dockerfile", "Dockerfile"))
        )
        for build in (first.plain.build, second.plain.build)
        if build
    ]
    is_prod = FOR_PROD.search(re.sub(r"[._\-/]", " ", second.file.lower()))
    if len(set(builds)) < 2 or not is_prod:
        return ""
    return (
        f"{first.name}: {builds[0]} is taken, as in {first.file}, although {second.file} builds "
        f"{builds[1]}"
    )


def _combined(first: Entry, second: Entry, for_dev: bool) -> Entry:
    """Combine two descriptions of one service from different files."""
    plain, dev = first.plain, first.dev
    if not plain.build and second.plain.build:
        plain = second.plain.merged(replace(plain, image=plain.image or second.plain.image))
        dev = second.dev.merged(dev)
    if for_dev:
        dev = dev.merged(second.dev)
    if not (plain.ports or plain.expose):
        plain = replace(plain, ports=second.plain.ports, expose=second.plain.expose)
    if plain.health is None:
        plain = replace(plain, health=second.plain.health)
    return replace(first, plain=plain, dev=dev)


def _variables(files: SourceFiles, sets: Iterable[ComposeFiles]) -> Variables:
    folders = dict.fromkeys(["", *(posixpath.dirname(chosen.plain[0]) for chosen in sets)])
    values: dict[str, str] = {}
    for folder in folders:
        path = committed_env_file(files, posixpath.join(folder, ".env"))
        values = read_env_file(files.read(path)) | values if path else values
    return Variables(values)


# Reading --------------------------------------------------------------------------


def _read_set(
    files: SourceFiles, paths: Sequence[str], variables: Variables, notes: list[str]
) -> dict[str, Definition]:
    """Read compose files that apply together; a file that cannot be read results in a note."""
    reader = _Reader(files, variables, notes)
    merged = _with_docker(files.root, paths)
    for data in [merged] if merged is not None else map(reader.parsed, paths):
        reader.remember(data, posixpath.dirname(paths[0]))
    services = merged.get("services") if merged is not None else None
    if not isinstance(services, Mapping):
        result: dict[str, Definition] = {}
        for path in paths:
            for name, definition in reader.from_file(path, frozenset()).items():
                result[name] = result[name].merged(definition) if name in result else definition
        return result
    folder = posixpath.dirname(paths[0])
    texts = "".join(files.read(path) for path in paths)

    first = re.search(r"^services:[^\n]*\n(?:\s*(?:#[^\n]*)?\n)*([ \t]+)", texts, re.MULTILINE)
    # A deeper line with the same name is an entry of depends_on.
    indent = first[1] if first else " +"

    def place(name: object) -> int:
        # Docker Compose sorts the services by name. Their order in the files is easier to follow.
        match = re.search(rf"^{indent}[\"']?{re.escape(str(name))}[\"']?:", texts, re.MULTILINE)
        return match.start() if match else len(texts)

    services = {name: services[name] for name in sorted(services, key=place)}
    return {
        str(name): reader.definition(str(name), service, folder)
        for name, service in services.items()
        if isinstance(service, Mapping)
    }


def _with_docker(root: Path, paths: Sequence[str]) -> Mapping[str, Any] | None:
    """Let Docker Compose merge files. Returns the whole result; None if it cannot read them."""
    command = ["docker", "compose", "--project-name=adopted", "--profile=*"]
    for path in paths:
        command += ["--file", str(root / path)]
    command += ["config", "--format=json", "--no-interpolate", "--no-normalize"]
    command += ["--no-env-resolution", "--no-consistency"]
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_")
    }
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=PATIENCE, check=True,
        )  # fmt: skip
        found = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    is_valid = isinstance(found, Mapping) and isinstance(found.get("services"), Mapping)
    return found if is_valid else None


class _Loader(yaml.SafeLoader):
    """Reads YAML with the tags of Compose, `!reset` and `!override`, as if they were absent."""


def _untagged(loader: _Loader, _suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_multi_constructor("!", _untagged)


class _Reader:
    """Converts the services of compose files to definitions."""

    def __init__(self, files: SourceFiles, variables: Variables, notes: list[str]) -> None:
        self.files, self.variables, self.notes = files, variables, notes
        #: The top-level entries of secrets and configs, each with the folder of its file.
        self.grants: dict[tuple[str, str], tuple[Mapping[str, Any], str]] = {}

    def remember(self, data: Mapping[str, Any], folder: str) -> None:
        """Keep the secrets and configs of a compose file, for the services that use them."""
        for key in ("secrets", "configs"):
            entries = data.get(key)
            for name, entry in entries.items() if isinstance(entries, Mapping) else ():
                if isinstance(entry, Mapping):
                    self.grants[key, str(name)] = (entry, folder)

    def from_file(self, path: str, seen: frozenset[str]) -> dict[str, Definition]:
        """Read a file, the files that it includes, and the services that it extends."""
        path = posixpath.normpath(path)
        if path in seen or len(seen) > 10:
            return {}
        seen |= {path}
        data = self.parsed(path)
        folder = posixpath.dirname(path)
        self.remember(data, folder)
        result: dict[str, Definition] = {}
        for included in _as_list(data.get("include")):
            names = included.get("path") if isinstance(included, Mapping) else included
            for name in _as_list(names):
                result |= self.from_file(self._text(posixpath.join(folder, str(name))), seen)
        services = data.get("services")
        if services is None and data and "version" not in data:
            # The first format of Compose has the services at the top.
            services = {
                key: value
                for key, value in data.items()
                if isinstance(value, Mapping) and ({"image", "build"} & value.keys())
            }
        if not isinstance(services, Mapping):
            return result
        for name in services:
            found = self._extended(services, str(name), path, seen)
            if found:
                result[str(name)] = result[str(name)].merged(found) if name in result else found
        return result

    def parsed(self, path: str) -> Mapping[str, Any]:
        """Return the content of a compose file; empty, with a note, if it cannot be read."""
        file = self.files.root / path
        try:
            if not file.is_file():
                self.notes.append(f"{path}: named in a compose file, but missing")
                return {}
            data = yaml.load(file.read_text(encoding="utf-8-sig"), _Loader)
        except UnicodeDecodeError:
            self.notes.append(f"{path}: not read, because it is not UTF-8 text")
            return {}
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            self.notes.append(f"{path}: not read, because it is not valid YAML{line}")
            return {}
        except (OSError, ValueError, RecursionError):
            self.notes.append(f"{path}: not readable")
            return {}
        return data if isinstance(data, Mapping) else {}

    def _extended(
        self, services: Mapping[Any, Any], name: str, path: str, seen: frozenset[str]
    ) -> Definition | None:
        """Return a service with what it inherits by `extends`."""
        service = services.get(name)
        if not isinstance(service, Mapping):
            return None
        definition = self.definition(name, service, posixpath.dirname(path))
        extends = service.get("extends")
        if isinstance(extends, str):
            extends = {"service": extends}
        key = f"{path}#{name}"
        if not isinstance(extends, Mapping) or key in seen:
            return definition
        parent_name = str(extends.get("service", ""))
        parent: Definition | None
        if extends.get("file"):
            other = self._text(posixpath.join(posixpath.dirname(path), str(extends["file"])))
            parent_services = self.parsed(posixpath.normpath(other)).get("services")
            if not isinstance(parent_services, Mapping):
                return definition
            parent = self._extended(parent_services, parent_name, other, seen | {key})
        else:
            parent = self._extended(services, parent_name, path, seen | {key})
        return replace(parent.merged(definition), name=name) if parent else definition

    def _text(self, value: object) -> str:
        return self.variables.fixed(str(value))

    def _place(self, value: object, folder: str) -> str:
        """Return a path relative to the root; an absolute path if it is outside the root."""
        text = self._text(value)
        if text.startswith("~"):
            return text
        root = str(self.files.root)
        path = posixpath.normpath(posixpath.join(root, folder, text))
        relative = posixpath.relpath(path, root)
        if relative.startswith("../") or relative == "..":
            real = posixpath.relpath(path, os.path.realpath(root))
            if real.startswith("../") or real == "..":
                return path
            relative = real
        if folder and not os.path.lexists(path):
            # The file is run with `--project-directory`, from the root.
            from_root = posixpath.relpath(relative, folder)
            if not from_root.startswith("..") and (self.files.root / from_root).exists():
                return from_root
        return relative

    def definition(self, name: str, service: Mapping[str, Any], folder: str) -> Definition:
        """Convert a service to a definition. `folder` is the folder of its compose file."""
        build = service.get("build")
        if isinstance(build, str):
            build = {"context": build}
        build = build if isinstance(build, Mapping) else {}
        return Definition(
            name=name,
            build=self._build(build, folder),
            build_args={
                key: self._text(value)
                for key, value in _as_mapping(build.get("args")).items()
                if value is not None
            },
            image=self._text(service.get("image") or ""),
            ports=tuple(self._ports(service.get("ports"))),
            expose=tuple(
                int(port)
                for value in (*_as_list(service.get("expose")), *_proxy_ports(service.get("labels")))
                if (port := self._text(value).partition("/")[0]).isdigit()
            ),
            depends_on=_conditions(service.get("depends_on")),
            links=_links(service.get("links")),
            environment=_as_mapping(service.get("environment")),
            env_file=tuple(
                self._place(entry.get("path") if isinstance(entry, Mapping) else entry, folder)
                for entry in _as_list(service.get("env_file"))
            ),
            volumes=tuple(self._mounts(service.get("volumes"), folder)),
            tmpfs=tuple(str(path).partition(":")[0] for path in _as_list(service.get("tmpfs"))),
            granted=tuple(self._granted(service)),
            health=_health(service.get("healthcheck")),
            command=_command(service.get("command")),
            entrypoint=_command(service.get("entrypoint")),
            restart=_restart(service),
            aliases=tuple(self._aliases(service)),
            profiles=tuple(str(profile) for profile in _as_list(service.get("profiles"))),
            more={
                key: service[key]
                for key in ("user", "working_dir", "cap_add", "ulimits", "shm_size", "sysctls",
                            "extra_hosts", "privileged", "tty", "stdin_open", "platform")
                if service.get(key)
            },
        )  # fmt: skip

    def _build(self, build: Mapping[str, Any], folder: str) -> dict[str, str]:
        if not build:
            return {}
        context = str(build.get("context") or ".")
        if re.match(r"[a-z+]+://|git@|github\.com/", self._text(context)):
            return {}
        result = {"context": self._place(context, folder)}
        for key in ("dockerfile", "target"):
            if build.get(key):
                result[key] = self._text(build[key])
        if build.get("dockerfile_inline"):
            result["inline"] = "yes"
        if posixpath.isabs(result.get("dockerfile", "")):
            file = self._place(result["dockerfile"], folder)
            result["dockerfile"] = posixpath.relpath(file, result["context"])
        return result

    def _ports(self, ports: object) -> Iterator[Port]:
        for entry in _as_list(ports):
            if isinstance(entry, Mapping):
                if entry.get("protocol", "tcp") == "tcp":
                    target = self._text(entry.get("target", ""))
                    host = self._text(entry.get("published") or "")
                    if target.isdigit():
                        yield Port(int(target), int(host) if host.isdigit() else None)
                continue
            text, _, protocol = self._text(entry).partition("/")
            if protocol == "udp":
                continue
            *before, target = text.rsplit(":", 2)
            host = before[-1] if before else ""
            target, host = target.partition("-")[0], host.partition("-")[0]
            if target.isdigit():
                yield Port(int(target), int(host) if host.isdigit() else None)

    def _mounts(self, volumes: object, folder: str) -> Iterator[Mount]:
        for entry in _as_list(volumes):
            if isinstance(entry, Mapping):
                kind, source = str(entry.get("type", "volume")), str(entry.get("source") or "")
                target, read_only = str(entry.get("target") or ""), bool(entry.get("read_only"))
            else:
                parts = self._text(entry).split(":")
                source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
                kind = "bind" if source.startswith((".", "/", "~")) else "volume"
                read_only = len(parts) > 2 and "ro" in parts[2].split(",")
            if kind == "bind":
                source = self._place(source, folder)
            yield Mount(kind, self._text(source), self._text(target), read_only)

    def _granted(self, service: Mapping[str, Any]) -> Iterator[Grant]:
        for key, folder in (("secrets", "/run/secrets"), ("configs", "/")):
            for entry in _as_list(service.get(key)):
                stated = entry if isinstance(entry, Mapping) else {"source": entry}
                name = str(stated.get("source") or "")
                target = posixpath.join(folder, self._text(stated.get("target") or name))
                definition, base = self.grants.get((key, name), ({}, ""))
                grant = Grant(
                    name,
                    target,
                    key == "secrets",
                    self._place(definition["file"], base) if definition.get("file") else "",
                    str(definition.get("content") or ""),
                    str(definition.get("environment") or ""),
                )
                if grant.source not in self.files.known and not grant.content:
                    what = "the secret" if grant.is_secret else "the config"
                    then = (
                        "has no committed file, so development and tests get a placeholder"
                        if grant.is_secret
                        else "has no committed file, so the test stacks do not have it"
                    )
                    self.notes.append(f"{what} {name} {then}")
                yield grant

    def _aliases(self, service: Mapping[str, Any]) -> Iterator[str]:
        for key in ("container_name", "hostname"):
            if service.get(key):
                yield self._text(service[key])
        networks = service.get("networks")
        if isinstance(networks, Mapping):
            for network in networks.values():
                if isinstance(network, Mapping):
                    yield from (self._text(alias) for alias in _as_list(network.get("aliases")))


def _as_list(value: object) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _as_mapping(value: object) -> dict[str, str | None]:
    """Convert an environment, in either form, to a mapping."""
    if isinstance(value, Mapping):
        return {str(key): None if item is None else _plain(item) for key, item in value.items()}
    result: dict[str, str | None] = {}
    for entry in _as_list(value):
        key, equals, text = str(entry).partition("=")
        result[key] = text if equals else None
    return result


def _proxy_ports(labels: object) -> Iterator[str]:
    """Yield the ports to which Traefik sends requests, from the labels of a container."""
    for key, value in _as_mapping(labels).items():
        if re.fullmatch(r"traefik\.http\.services\..+\.loadbalancer\.server\.port", key) and value:
            yield value


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _conditions(value: object) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {
            str(name): str(entry.get("condition", "service_started"))
            if isinstance(entry, Mapping)
            else "service_started"
            for name, entry in value.items()
        }
    return {str(name): "service_started" for name in _as_list(value)}


def _links(value: object) -> dict[str, str]:
    pairs = (str(entry).partition(":") for entry in _as_list(value))
    return {name: alias or name for name, _, alias in pairs}


def _health(value: object) -> str | list[str] | None:
    if not isinstance(value, Mapping):
        return None
    test = value.get("test")
    if value.get("disable") or test in ("NONE", ["NONE"]):
        return "none"
    if isinstance(test, str):
        return test
    if isinstance(test, list) and len(test) > 1:
        words = [_plain(word) for word in test]
        return words[1] if words[0] == "CMD-SHELL" else words[1:] if words[0] == "CMD" else None
    return None


def _command(value: object) -> str | list[str] | None:
    if isinstance(value, list):
        return [_plain(word) for word in value]
    return None if value is None else str(value)


def _restart(service: Mapping[str, Any]) -> str:
    if "restart" in service:
        return "no" if service["restart"] in (False, None) else str(service["restart"])
    deploy = service.get("deploy")
    policy = deploy.get("restart_policy") if isinstance(deploy, Mapping) else None
    condition = policy.get("condition") if isinstance(policy, Mapping) else None
    return "no" if condition == "none" else ""


def words_of(command: str | list[str] | None) -> str:
    """Return a command as one line."""
    if command is None:
        return ""
    return command if isinstance(command, str) else shlex.join(command)
