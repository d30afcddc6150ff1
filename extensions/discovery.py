"""Finds the services of an existing project: in its compose files, or else by its Dockerfiles.

Nothing is built, started or changed. Whatever is seen but not taken results in a note of one line.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .backing_images import (
    CACHES,
    OF_THE_HOST,
    TOOLS,
    cache_of,
    is_postgres,
    known_image,
    last_part,
    split_image,
)
from .compose_reader import (
    FOR_PROD,
    Composition,
    Definition,
    Entry,
    Port,
    Variables,
    read_compose,
    read_env_file,
    words_of,
)
from .dockerfiles import (
    VARIANT,
    Dockerfile,
    Stage,
    context_of,
    is_dockerfile,
    parse_dockerfile,
    variant_of,
)
from .items import ALIAS, PATH, is_url_path
from .languages import (
    SERVERS,
    framework_port,
    health_route,
    hosts_in_sources,
    language_of,
    manifest_text,
    manifests_in,
    port_in_command,
    port_in_sources,
)
from .rules import MAX_NAME, AnswerError, check_name
from .source_files import FOREIGN, SourceFiles, is_foreign, source_files

#: Folders that say where a Dockerfile is, but not what it builds.
GENERIC = frozenset("docker .docker build deploy deployment src app container containers".split())

#: Folders of images of one service for several systems, or of its packages.
FOLDER_VARIANT = re.compile(
    r"alpine|debian|ubuntu|slim|distroless|scratch|windows|linux|arm|arm32|arm64|armhf|amd64|x86|gpu|"
    r"cuda|cpu|rpm|deb|packages?|packaging|prod|production|dev|development|ci",
    re.IGNORECASE,
)

#: Ports of debuggers.
DEBUG_PORTS = frozenset({9229, 9230, 5678, 5005, 2345, 40000, 35729, 24678})

#: A command that takes jobs from a queue, and so does not listen.
WORKER = re.compile(
    r"\b(celery|rqworker|dramatiq|huey|arq|sidekiq|resque|delayed_job|good_job|bull\w*|horizon|"
    r"queue:(work|listen)|workers?|consumers?|beat|schedulers?|cron|jobs?|locust|"
    r"load-?gen\w*)\b"
)

#: A command or a name of something that runs once.
ONCE = re.compile(
    r"\b(migrate|migrations?|seed|seeder|seed-data|prestart|bootstrap|fixtures?|loaddata|initdb|"
    r"init-db|db-init|createbuckets?|setup-db|upgrade head|db:(migrate|seed|prepare|setup)|"
    r"migrate:(latest|up|deploy)|migration:run|prisma migrate)\b"
)

#: The names of variables whose value is a name, but not that of a host.
NO_HOST = re.compile(
    r"(USER|USERNAME|PASSWORD|PASS|DB|DATABASE|SCHEMA|VHOST|BUCKET|TOPIC|QUEUE|REALM|(?<!HOST)(?<!SERVER)NAME)$",
    re.IGNORECASE,
)

#: A health check that never fails.
ALWAYS_TRUE = re.compile(r"\s*((/usr)?/bin/)?true\s*|\s*exit 0\s*")

#: The names of containers that only run tests.
TESTS = re.compile(
    r"tests?|test-runner|e2e|e2e-tests?|integration-tests?|cypress|playwright|sut|lint"
)
TEST_COMMAND = re.compile(r"\b(pytest|npm (run )?test|yarn test|cypress|playwright|go test|tox)\b")

#: A stage that is only for development.
DEV_STAGE = re.compile(
    r"(dev|devel|development|local|debug|hot-?reload|watch)([-_]?\w+)?", re.IGNORECASE
)

#: Registries whose images anybody can use.
PUBLIC_HOSTS = frozenset(
    "docker.io quay.io mcr.microsoft.com gcr.io docker.elastic.co docker.redpanda.com "
    "public.ecr.aws registry.k8s.io cr.weaviate.io".split()
)

#: How many names a note lists.
MAX_NAMES = 5


@dataclass(frozen=True)
class Found:
    """What an existing project contains."""

    items: list[dict[str, Any]] = field(default_factory=list)  #: entries for the answer `services`
    database: str = "none"  #: the answer `database`
    cache: str = "none"  #: the answer `cache`
    #: By the name of an item, what their compose file says about it. Without one, it is missing.
    entries: dict[str, Entry] = field(default_factory=dict)
    #: Their PostgreSQL and Redis, by our names: database and cache.
    stores: dict[str, Entry] = field(default_factory=dict)
    backing: dict[str, Entry] = field(default_factory=dict)  #: other public images
    #: By the name of an item, the public images that only its sources name.
    in_sources: dict[str, set[str]] = field(default_factory=dict)
    #: Every name by which a container is reached in the network, with our name for it.
    hosts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    composition: Composition = field(default_factory=Composition)
    files: SourceFiles = field(default_factory=lambda: SourceFiles(Path(), ()))


_cache: dict[Path, tuple[object, Found]] = {}


def found(root: Path, ignored: frozenset[str] = frozenset()) -> Found:
    """Find the services of a project. Copier asks several times, so the result is kept.

    Args:
        root: the project.
        ignored: files that are not part of the project, relative to its root.
    """
    root = root.resolve()
    if not root.is_dir():
        return Found()
    state = (_state(root), ignored)
    if root not in _cache or _cache[root][0] != state:
        _cache[root] = (state, _Search(root, ignored).result())
    return _cache[root][1]


def _state(root: Path) -> object:
    """Return what changes if a file at the root or a folder at the root changes."""
    entries = sorted(root.iterdir())
    return [root.stat().st_mtime_ns, *((path.name, path.lstat().st_mtime_ns) for path in entries)]


@dataclass
class _Build:
    """A service that is built from this project, before it is an item."""

    name: str
    context: str
    file: str  #: the Dockerfile, relative to the root
    target: str = ""
    entry: Entry | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.context, self.file, self.target


class _Search:
    """One search through a project."""

    def __init__(self, root: Path, ignored: frozenset[str]) -> None:
        files = source_files(root)
        names = tuple(name for name in files.names if name not in ignored)
        self.files = replace(files, names=names)
        self.composition = read_compose(self.files)
        self.notes = list(self.composition.notes)
        self.dockerfiles: dict[str, Dockerfile] = {}
        #: The Dockerfiles of containers that are not taken, for a reason that a note states.
        self.left_out: set[str] = set()
        #: By compose file and service, the containers that are the same service again.
        self.repeated: dict[tuple[str, str], list[str]] = {}

    def result(self) -> Found:
        """Search, and return what was found."""
        listed = self._listed_dockerfiles()
        builds = self._from_compose(listed)
        stores, backing = self._backing({build.entry.name for build in builds if build.entry})
        if not builds:
            builds = self._from_dockerfiles([path for path in listed if path not in self.left_out])
        else:
            self._note_uncovered(listed, builds)
        self._note_bare_manifests(builds)
        self._note_submodules()
        names = self._names(builds, stores)
        self._note_mounted_sources(builds, names)
        self._note_development_stages(builds, names)
        hosts = self._hosts(builds, names, stores, backing)
        items = self._items(builds, names, hosts, stores)
        return Found(
            items=items,
            database="postgres" if "database" in stores else "none",
            cache=cache_of(stores["cache"].plain.image) if "cache" in stores else "none",
            entries={names[id(build)]: build.entry for build in builds if build.entry},
            stores=stores,
            backing=backing,
            in_sources=self._in_sources(builds, names, backing),
            hosts=hosts,
            notes=list(dict.fromkeys(self.notes)),
            composition=self.composition,
            files=self.files,
        )

    # What is built ----------------------------------------------------------------

    def _listed_dockerfiles(self) -> list[str]:
        """List the Dockerfiles that are neither vendored nor examples, and note the others."""
        found: list[str] = []
        foreign: list[str] = []
        for path in self.files.names:
            if (
                not is_dockerfile(posixpath.basename(path))
                or not (self.files.root / path).is_file()
            ):
                continue
            (foreign if is_foreign(path) else found).append(path)
        if foreign:
            folders = dict.fromkeys(_foreign_part(path) for path in foreign)
            self.notes.append(
                f"{_listed(folders)}: {_counted(len(foreign), 'Dockerfile')} not taken, because such "
                "folders usually contain examples or the code of others"
            )
        return found

    def _parsed(self, path: str) -> Dockerfile:
        if path not in self.dockerfiles:
            self.dockerfiles[path] = parse_dockerfile(self.files.read(path))
        return self.dockerfiles[path]

    def _from_compose(self, listed: list[str]) -> list[_Build]:
        """Return what the compose files build."""
        builds: list[_Build] = []
        configured: dict[str, list[str]] = {}
        shared: dict[str, dict[str, str]] = {}
        for entry in self.composition.entries.values():
            for definition in (entry.plain, entry.dev):
                if definition.image and definition.build:
                    shared.setdefault(definition.image, definition.build)
        by_folder = {
            posixpath.basename(posixpath.dirname(path)): path
            for path in listed
            if posixpath.basename(path) == "Dockerfile" and "/" in path
        }
        first_file = next((entry.file for entry in self.composition.entries.values()), "")
        for entry in self.composition.entries.values():
            image = entry.plain.image or entry.dev.image
            build = entry.plain.build or entry.dev.build or shared.get(image, {})
            if not build and entry.name in by_folder and not _is_backing(image):
                build = {"context": posixpath.dirname(by_folder[entry.name])}
            if not build:
                continue
            found = self._build_of(entry, build)
            if found is None:
                continue
            command = words_of(entry.plain.command)
            if TESTS.fullmatch(entry.name) or (
                TEST_COMMAND.search(command) and entry.plain.command
            ):
                self.notes.append(f"{entry.name} in {entry.file}: not taken, because it runs tests")
                self.left_out.add(found.file)
                continue
            stage = self._parsed(found.file).stage(found.target)
            if last_part(stage.image) in TOOLS and not manifests_in(self.files, found.context):
                configured.setdefault(entry.file, []).append(entry.name)
                self.left_out.add(found.file)
                continue
            same = next((other for other in builds if other.key[:2] == found.key[:2]), None)
            if same and same.entry and _repeats(found, same, first_file):
                self.repeated.setdefault((entry.file, same.name), []).append(entry.name)
                continue
            builds.append(found)
        for file, names in configured.items():
            self.notes.append(
                f"{_listed(names)} in {file}: not taken, because {'they are' if len(names) > 1 else 'it is'}"
                f" monitoring with a configuration"
            )
        for (file, name), repeats in self.repeated.items():
            self.notes.append(
                f"{_listed(repeats)} in {file}: not taken, because {name} is built from the same "
                "Dockerfile"
            )
        return self._without_parts(builds) or self._built_elsewhere(listed)

    def _built_elsewhere(self, listed: list[str]) -> list[_Build]:
        """Return the services whose image another tool builds, from the only Dockerfile at the root."""
        files = [
            path
            for path in listed
            if posixpath.dirname(path).lower() in ("", *GENERIC)
            and not VARIANT.fullmatch(variant_of(posixpath.basename(path)))
        ]
        entries = [
            entry
            for entry in self.composition.entries.values()
            if entry.plain.image and not _is_backing(entry.plain.image) and self._is_named(entry)
        ]
        images = {split_image(entry.plain.image)[0] for entry in entries}
        if len(files) != 1 or len(images) != 1:
            return []
        [file], image = files, entries[0].plain.image
        self.notes.append(
            f"{_listed(entry.name for entry in entries)} in {entries[0].file}: {file} is taken for "
            f"the Dockerfile of its image {image}"
        )
        context = self._context(file)
        return [_Build(entry.name, context, file, "", entry) for entry in entries]

    def _is_named(self, entry: Entry) -> bool:
        """Whether an image has the name of its container, of its owner, or of the project."""
        name = split_image(entry.plain.image)[0]
        owner, _, last = name.rpartition("/")
        return bool(owner) and last in (entry.name, owner, self.files.root.name.lower())

    def _without_parts(self, builds: list[_Build]) -> list[_Build]:
        """Leave out the stages whose files the image of another service contains."""
        kept: list[_Build] = []
        for build in builds:
            definition = build.entry.plain if build.entry else Definition("")
            parts = self._parsed(build.file).copied_stages
            whole = next(
                (
                    other
                    for other in builds
                    if other.key[:2] == build.key[:2] and other.target.lower() not in parts
                ),
                None,
            )
            is_part = build.target.lower() in parts
            if whole and build.entry and is_part and not (definition.ports or definition.expose):
                self.notes.append(
                    f"{build.name} in {build.entry.file}: not taken, because the image of "
                    f"{whole.name} contains the files of its stage {build.target}"
                )
            else:
                kept.append(build)
        return kept

    def _build_of(self, entry: Entry, build: Mapping[str, str]) -> _Build | None:
        """Return a build of a compose file; None, with a note, if it is not possible."""
        context = build["context"]
        where = f"{entry.name} in {entry.file}"
        if posixpath.isabs(context) or context.startswith(("..", "~")):
            self.notes.append(
                f"{where}: not taken, because its build context is outside the project"
            )
            return None
        if not self.files.is_folder(context):
            self.notes.append(f"{where}: not taken, because its build context {context} is missing")
            return None
        if build.get("inline"):
            self.notes.append(
                f"{where}: not taken, because its Dockerfile is inside the compose file"
            )
            return None
        file = posixpath.normpath(posixpath.join(context, build.get("dockerfile", "Dockerfile")))
        if file.startswith(".."):
            self.notes.append(f"{where}: not taken, because its Dockerfile is outside the project")
            return None
        if not (self.files.root / file).is_file():
            self.notes.append(f"{where}: not taken, because its Dockerfile {file} is missing")
            return None
        if not PATH.fullmatch(context) or not PATH.fullmatch(file):
            self.notes.append(
                f"{where}: not taken, because its path contains a space or another special character"
            )
            return None
        target = build.get("target", "")
        last = self._parsed(file).stage()
        is_dev = DEV_STAGE.fullmatch(target) and not DEV_STAGE.fullmatch(last.name)
        if is_dev and self._parsed(file).stage(target) is not last:
            # Test and prod build the last stage; the override file for dev builds this one.
            target = ""
        if target and target == self._parsed(file).stage().name:
            target = ""
        return _Build(entry.name, context, file, target, entry)

    def _from_dockerfiles(self, listed: list[str]) -> list[_Build]:
        """Return one service for each Dockerfile that is not a variant of another one."""
        builds = []
        folders: dict[str, list[str]] = {}
        for path in self._without_variants(listed):
            folders.setdefault(posixpath.dirname(path), []).append(path)
        for folder, paths in folders.items():
            if not PATH.fullmatch(folder or "."):
                self.notes.append(
                    f"{folder}: not taken, because its path contains a space or another special "
                    "character"
                )
                continue
            by_variant = {variant_of(posixpath.basename(path)): path for path in paths}
            services = {
                name: path for name, path in by_variant.items() if not VARIANT.fullmatch(name)
            }
            variants = {name: path for name, path in by_variant.items() if name not in services}
            if not services:
                # The image for production is the one that the pipeline tests.
                best = min(variants, key=lambda name: (not FOR_PROD.search(name), name))
                services = {"": variants.pop(best)}
            for path in variants.values():
                self.notes.append(
                    f"{path}: not taken, because it looks like a variant of a service"
                )
            for variant, path in services.items():
                if missing := self._parsed(path).open_arguments:
                    self.notes.append(
                        f"{path}: not taken, because it needs the build argument {missing[0]}, and no "
                        "compose file gives it a value"
                    )
                    continue
                context = self._context(path)
                builds.append(_Build(variant or self._name_of(folder, context), context, path))
        return builds

    def _context(self, path: str) -> str:
        """Find the build context of a Dockerfile that no compose file names."""
        context = context_of(path, self._parsed(path), self.files)
        if any(not is_dockerfile(name) for name in self.files.files_in(context)):
            return context
        # A folder with nothing but the Dockerfile: the sources are further up.
        folder = context
        while folder != "." and not manifests_in(self.files, folder):
            folder = posixpath.dirname(folder) or "."
        return folder if manifests_in(self.files, folder) else context

    def _without_variants(self, listed: list[str]) -> list[str]:
        """Leave out Dockerfiles in folders such as docker/alpine and docker/debian, except the best."""
        families: dict[str, list[str]] = {}
        for path in listed:
            parent, _, folder = posixpath.dirname(path).rpartition("/")
            if FOLDER_VARIANT.fullmatch(folder):
                while FOLDER_VARIANT.fullmatch(posixpath.basename(parent)) or (
                    posixpath.basename(parent).lower() in GENERIC
                ):
                    parent = posixpath.dirname(parent)
                families.setdefault(parent, []).append(path)
        for parent, paths in families.items():
            whole = [path for path in listed if posixpath.dirname(path) == parent]
            # An image that builds a package has no server.
            best = min(paths, key=lambda path: (not self._parsed(path).stage().expose, path))
            rest = [path for path in paths if whole or path != best]
            if rest:
                self.notes.append(
                    f"{_listed(rest)}: not taken, because {'they look' if len(rest) > 1 else 'it looks'}"
                    f" like a variant of {(whole or [best])[0]}"
                )
            listed = [path for path in listed if path not in rest]
        return listed

    def _name_of(self, folder: str, context: str) -> str:
        """Return a name for a service in a folder."""
        parts = [part for part in folder.split("/") if part]

        def is_generic(part: str) -> bool:
            return part.lower() in GENERIC or FOLDER_VARIANT.fullmatch(part) is not None

        while len(parts) > 1 and is_generic(parts[-1]):
            parts.pop()
        if parts and not (len(parts) == 1 and is_generic(parts[0]) and context == "."):
            return parts[-1]
        return "app"

    # Names ------------------------------------------------------------------------

    def _names(self, builds: list[_Build], stores: Mapping[str, Entry]) -> dict[int, str]:
        """Return a valid and unique name for each build, by its identity."""
        names: dict[int, str] = {}
        for build in builds:
            folder = posixpath.basename(posixpath.dirname(posixpath.dirname(build.file)))
            options = [build.name, f"{folder}-{build.name}" if folder else build.name]
            options += [f"{build.name}-{number}" for number in range(2, 100)]
            valid = (valid_name(option) for option in options)
            names[id(build)] = next(name for name in valid if name not in names.values())
        return names

    def _hosts(
        self,
        builds: list[_Build],
        names: Mapping[int, str],
        stores: Mapping[str, Entry],
        backing: Mapping[str, Entry],
    ) -> dict[str, str]:
        """Return every name in the network with our name of the container."""
        hosts: dict[str, str] = {}
        for build in builds:
            hosts.setdefault(build.name, names[id(build)])
            hosts.setdefault(names[id(build)], names[id(build)])
        for ours, entry in (*stores.items(), *backing.items()):
            hosts.setdefault(entry.name, ours)
        for ours, entry in (
            *((names[id(build)], build.entry) for build in builds if build.entry),
            *stores.items(),
            *backing.items(),
        ):
            for alias in (*entry.plain.aliases, *entry.dev.aliases):
                hosts.setdefault(alias, ours)
        for build in builds:
            for entry in [build.entry] if build.entry else []:
                for service, alias in entry.plain.links.items():
                    if service in hosts:
                        hosts.setdefault(alias, hosts[service])
        return hosts

    # Backing services -------------------------------------------------------------

    def _backing(self, built: set[str]) -> tuple[dict[str, Entry], dict[str, Entry]]:
        """Return PostgreSQL and the cache by our names, and every other public image."""
        stores: dict[str, Entry] = {}
        backing: dict[str, Entry] = {}
        unbuilt: dict[str, dict[str, str]] = {}
        images = {
            entry.name: entry
            for entry in self.composition.entries.values()
            if entry.name not in built and not (entry.plain.build or entry.dev.build)
        }
        # Another environment, for example several servers that talk to each other.
        again = {file for file, _ in self.repeated} - {
            entry.file
            for entry in self.composition.entries.values()
            if entry.name in built or posixpath.dirname(entry.file) == self._main_folder()
        }
        for entry in images.values():
            image = entry.plain.image or entry.dev.image
            last = last_part(image)
            if not image or entry.file in again:
                continue
            if last in OF_THE_HOST:
                self.notes.append(
                    f"{entry.name} in {entry.file}: not taken, because {last} manages a host, and the "
                    "stacks publish their own ports"
                )
            elif is_postgres(image) and "database" not in stores:
                stores["database"] = entry
            elif last in CACHES and "cache" not in stores:
                stores["cache"] = entry
            elif last in TOOLS or known_image(image) or not self._is_own_image(image):
                backing[entry.name] = entry
            else:
                unbuilt.setdefault(entry.file, {})[entry.name] = image
        for file, found in unbuilt.items():
            image = next(iter(found.values()))
            more = " and the others" if len(set(found.values())) > 1 else ""
            self.notes.append(
                f"{_listed(found)} in {file}: not taken, because no compose file builds {image}{more}"
            )
        return stores, backing

    def _main_folder(self) -> str:
        first = next(iter(self.composition.entries.values()), None)
        return posixpath.dirname(first.file) if first else ""

    def _is_own_image(self, image: str) -> bool:
        """Whether an image is probably the project's own, and was built elsewhere."""
        head = image.partition("/")[0]
        if "$" in image or (head.count(".") and head not in PUBLIC_HOSTS):
            return True
        last = last_part(image)
        folders = {posixpath.basename(folder) for folder in self.files.by_folder if folder}
        return "/" in image and last in folders

    # Items ------------------------------------------------------------------------

    def _items(
        self,
        builds: list[_Build],
        names: Mapping[int, str],
        hosts: Mapping[str, str],
        stores: Mapping[str, Entry],
    ) -> list[dict[str, Any]]:
        one_shots = self._one_shots(builds)
        taken = {5432 for name in stores if name == "database"}
        taken |= {6379 for name in stores if name == "cache"}
        items: dict[str, dict[str, Any]] = {}
        ports: dict[str, list[Port]] = {}
        for build in builds:
            name = names[id(build)]
            items[name], ports[name] = self._item(build, name, builds, build.name in one_shots)
        self._publish(items, ports, taken)
        _add_aliases(items, hosts)
        for name, needs in self._needs(builds, names, hosts, stores).items():
            if needs:
                items[name]["needs"] = needs
        return list(items.values())

    def _one_shots(self, builds: list[_Build]) -> set[str]:
        """Return the names of the containers that run once."""
        waited_for = {
            name
            for entry in self.composition.entries.values()
            for definition in (entry.plain, entry.dev)
            for name, condition in definition.depends_on.items()
            if condition == "service_completed_successfully"
        }
        found = set(waited_for)
        for build in builds:
            if build.entry is None:
                continue
            definition = build.entry.plain
            command = words_of(definition.command)
            listens = definition.ports or definition.expose
            is_once = ONCE.search(build.name.replace("_", "-")) or (
                ONCE.search(command) and not re.search(r"&&|;|\|\|", command)
            )
            if is_once and not listens and definition.restart in ("", "no", "on-failure"):
                found.add(build.name)
        return found

    def _item(
        self, build: _Build, name: str, builds: list[_Build], one_shot: bool
    ) -> tuple[dict[str, Any], list[Port]]:
        """Return the entry of a service without its needs, and the ports that it publishes."""
        dockerfile = self._parsed(build.file)
        stage = dockerfile.stage(build.target)
        path = self._path(build, dockerfile)
        folders = dict.fromkeys([path, build.context, posixpath.dirname(build.file) or "."])
        language = language_of(self.files, folders, dockerfile.stages)
        manifests = manifest_text(self.files, path)
        definition = build.entry.plain if build.entry else Definition(name)
        file = posixpath.relpath(build.file, build.context)
        item: dict[str, Any] = {"name": name, "kind": "custom"}
        if path != f"services/{name}":
            item["path"] = path
        if build.context != path:
            item["context"] = build.context
        if file != "Dockerfile":
            item["dockerfile"] = file
        if build.target:
            item["target"] = build.target
        ports = [port for port in definition.ports if port.container not in DEBUG_PORTS]
        if not ports and build.entry:
            ports = [p for p in build.entry.dev.ports if p.container not in DEBUG_PORTS]
        is_store = self._is_store(build)
        port = 0
        if not one_shot and not is_store:
            port = self._port(definition, ports, stage, path, language, manifests, build, builds)
        if one_shot:
            item["one_shot"] = True
        elif not port:
            item["http"] = False
            words = f"{words_of(definition.command)} {stage.entrypoint} {stage.command}"
            # The image of .NET without ASP.NET has no web server.
            is_known = is_store or "dotnet/runtime" in stage.image
            if not (is_known or WORKER.search(build.name) or WORKER.search(words)):
                self.notes.append(
                    f"{name}: taken for a service without HTTP, because {build.file} and the compose "
                    "files name no port; if it listens, answer with its port"
                )
        elif port != 8000:
            item["port"] = port
        health: Any = None
        if not one_shot:
            health = self._health(build, stage, path, port, language, manifests, builds)
        if health is not None:
            item["health"] = health
        if language:
            item["language"] = language
        published = [p for p in ports if p.container == port]
        if not published and self._server_instead(build, stage, [p.container for p in ports]):
            published = ports[:1]
        return item, published if port else []

    def _path(self, build: _Build, dockerfile: Dockerfile) -> str:
        """Return the folder of a service's manifest."""
        folder = posixpath.dirname(build.file) or "."
        if folder != "." and manifests_in(self.files, folder):
            return folder
        if mounted := self._mounted_sources(build):
            return mounted
        if build.context != "." and (
            manifests_in(self.files, build.context) or not folder.startswith(build.context)
        ):
            return build.context
        # The Dockerfile is not beside the sources: `docker/api.Dockerfile`, or `Dockerfile.api`.
        name = build.name.lower()
        named = [
            f"{parent}{name}" for parent in ("", "services/", "apps/", "packages/", "src/", "cmd/")
        ]
        copied = [source.lstrip("./").rstrip("/") for source in dockerfile.copied]
        if build.context == "." and manifests_in(self.files, ".") and name == "app":
            return "."
        if option := self._with_manifest(build.context, named):
            return option
        if build.context == "." and "" in copied and manifests_in(self.files, "."):
            # `COPY . .`: the application is at the root.
            return "."
        parents = [option for source in copied for option in (source, posixpath.dirname(source))]
        if option := self._with_manifest(build.context, parents):
            return option
        if build.context != ".":
            return build.context
        # A folder such as backend/ without a manifest that is known.
        if folder != "." and posixpath.basename(folder).lower() not in GENERIC:
            return folder
        return build.context

    def _mounted_sources(self, build: _Build) -> str:
        """Return the folder that a container without sources of its own works in; empty if none."""
        if build.entry is None or manifests_in(self.files, build.context):
            return ""
        work = str(build.entry.dev.more.get("working_dir", ""))
        for mount in build.entry.dev.volumes:
            inside = posixpath.relpath(work or mount.target, mount.target)
            if (
                mount.kind != "bind"
                or inside.startswith("..")
                or mount.source.startswith(("/", "~"))
            ):
                continue
            folder = posixpath.normpath(posixpath.join(mount.source, inside))
            if PATH.fullmatch(folder) and manifests_in(self.files, folder):
                return folder
        return ""

    def _note_mounted_sources(self, builds: list[_Build], names: Mapping[int, str]) -> None:
        """Note the services whose images do not contain their sources."""
        without = [
            names[id(build)]
            for build in builds
            if (path := self._mounted_sources(build))
            and build.context != "."
            and not f"{path}/".startswith(f"{build.context}/")
        ]
        if without:
            self.notes.insert(
                0,
                f"{_listed(without)}: the sources are mounted and not in the image, so tests and "
                "production need a Dockerfile that copies them",
            )

    def _note_development_stages(self, builds: list[_Build], names: Mapping[int, str]) -> None:
        """Note the services for which the Dockerfile has no other stage than one for development."""
        for build in builds:
            if re.fullmatch(rf"(\w+[-_])?{DEV_STAGE.pattern}", build.target, re.IGNORECASE):
                self.notes.insert(
                    0,
                    f"{names[id(build)]}: its stage {build.target} is for development, and tests and "
                    "production use it too; answer with another target if there is one",
                )

    def _with_manifest(self, context: str, options: Iterable[str]) -> str:
        """Return the first of some folders that has a manifest; empty if none has one."""
        for option in options:
            option = posixpath.normpath(posixpath.join(context, option)) if option else "."
            is_own = PATH.fullmatch(option) and not is_foreign(f"{option}/x") and option != "."
            if is_own and self.files.is_folder(option) and manifests_in(self.files, option):
                return option
        return ""

    def _port(
        self,
        definition: Definition,
        ports: list[Port],
        stage: Stage,
        path: str,
        language: str,
        manifests: str,
        build: _Build,
        builds: list[_Build],
    ) -> int:
        """Return the port that a container listens on; 0 if it does not listen."""
        numbers = [port.container for port in ports] or list(definition.expose)
        if server := self._server_instead(build, stage, numbers):
            return server
        if numbers:
            return next((number for number in numbers if number in stage.expose), numbers[0])
        own = words_of(definition.command) or words_of(definition.entrypoint)
        shares = self._shares(build, builds)
        if own:
            if port := port_in_command(own):
                return port
            if WORKER.search(own) or (
                shares and not re.search(r"serve|start|uvicorn|gunicorn", own)
            ):
                return 0
        elif WORKER.search(build.name) and (shares or not stage.expose):
            return 0
        exposed = [port for port in stage.expose if port not in DEBUG_PORTS]
        if exposed:
            return exposed[0]
        if port := port_in_command(f"{stage.entrypoint} {stage.command}"):
            return port
        environment = {**stage.env, **self._environment(definition)}
        for key in (
            "PORT",
            "VIRTUAL_PORT",
            "HTTP_PORT",
            "SERVER_PORT",
            "APP_PORT",
            "ASPNETCORE_HTTP_PORTS",
        ):
            if (environment.get(key) or "").isdigit():
                return int(environment[key])
        if match := re.search(r":(\d{2,5})", environment.get("ASPNETCORE_URLS", "")):
            return int(match[1])
        server = SERVERS.get(last_part(stage.image), 0)
        if last_part(stage.image) == "php" and "apache" in stage.image:
            server = 80
        if server:
            return server
        if WORKER.search(f"{stage.entrypoint} {stage.command}"):
            return 0
        if port := port_in_sources(self.files, path, language):
            return port
        port = framework_port(language, manifests)
        if port == 8080 and language == "dotnet" and (match := re.search(r":(\d+)", stage.image)):
            return 8080 if int(match[1]) >= 8 else 80
        return port

    def _server_instead(self, build: _Build, stage: Stage, numbers: list[int]) -> int:
        """Return the port of a web server that serves what another stage serves in development.

        It is 0 if the compose file does not build such a stage, or if the ports are the same.
        """
        target = build.entry.plain.build.get("target", "") if build.entry else ""
        server = SERVERS.get(last_part(stage.image), 0)
        if not target or not server or target.lower() == (build.target or stage.name).lower():
            return 0
        ports = stage.expose or [server]
        return 0 if set(ports) & set(numbers) else ports[0]

    def _is_store(self, build: _Build) -> bool:
        """Whether an image of the project is a public image of a database or a similar service."""
        image = self._parsed(build.file).stage(build.target).image
        return known_image(image) is not None and last_part(image) not in SERVERS

    def _shares(self, build: _Build, builds: list[_Build]) -> bool:
        """Whether another service is built from the same Dockerfile."""
        return any(other is not build and other.key[:2] == build.key[:2] for other in builds)

    def _environment(self, definition: Definition) -> dict[str, str]:
        """Return the values of a container's variables, as far as they are committed."""
        values: dict[str, str] = {}
        for path in definition.env_file:
            if path in self.files.known:
                values |= read_env_file(self.files.read(path))
        for key, value in definition.environment.items():
            values[key] = self.composition.variables.fixed(value or "")
        return values

    def _health(
        self,
        build: _Build,
        stage: Stage,
        path: str,
        port: int,
        language: str,
        manifests: str,
        builds: list[_Build],
    ) -> Any:
        """Return the health check of an item; None if it is that of the image."""
        stated = None
        if build.entry:
            stated = build.entry.plain.health
            stated = build.entry.dev.health if stated is None else stated
        if isinstance(stated, str) and ALWAYS_TRUE.fullmatch(
            self.composition.variables.fixed(stated)
        ):
            # Such a value in `.env` replaces the check, which is the default in the compose file.
            stated = Variables({}).fixed(stated)
            stated = None if ALWAYS_TRUE.fullmatch(stated) else stated
        if isinstance(stated, list):
            return [self.composition.variables.fixed(word) for word in stated]
        if stated == "none":
            return "none" if port else None
        if stated:
            text = self.composition.variables.fixed(stated).strip()
            # A shell command that is one word looks like a path of the HTTP server.
            return ["sh", "-c", text] if is_url_path(text) else text
        if stage.health and stage.health != "NONE":
            return None
        known = known_image(stage.image)
        if known is not None and known.health:
            health = known.health
            words = [health] if isinstance(health, str) else list(health)
            words = [word.replace("$$", "$") for word in words]
            if port and port != known.port:
                words = [word.replace(f":{known.port}/", f":{port}/") for word in words]
            return words[0] if isinstance(health, str) else words
        if not port:
            return None
        if build.entry and build.entry.plain.command and self._shares(build, builds):
            # Several servers run from one image, and the sources do not say whose route it is.
            return "none"
        return self._health_of_route(stage, path, port, language, manifests)

    def _health_of_route(
        self, stage: Stage, path: str, port: int, language: str, manifests: str
    ) -> str:
        """Return a health check that uses a route of the sources and a program in the image."""
        route = health_route(self.files, path, manifests)
        if not route:
            return "none"
        image = stage.image.lower()
        runs = {"python": "python|/uv:", "node": r"(^|/)node\b"}.get(language)
        if runs and re.search(runs, image):
            return route
        has_client = "alpine" in image or re.search(r"\b(curl|wget)\b", stage.run)
        if not has_client:
            return "none"
        url = f"http://127.0.0.1:{port}{route}"
        if runs:
            return f"wget -q -O /dev/null {url} || curl -fsS -o /dev/null {url}"
        return route

    def _publish(
        self, items: Mapping[str, dict[str, Any]], ports: Mapping[str, list[Port]], taken: set[int]
    ) -> None:
        """Add the ports on the developer's machine that differ from those of the containers."""
        for name, item in items.items():
            if "http" in item or "one_shot" in item:
                continue
            port = item.get("port", 8000)
            host = next((p.host for p in ports[name] if p.host), None)
            if host and host not in taken:
                taken.add(host)
                others = [other.get("port", 8000) for key, other in items.items() if key != name]
                if host != port or port < 1024 or "port" not in item or host in others:
                    item["published"] = host

    def _needs(
        self,
        builds: list[_Build],
        names: Mapping[int, str],
        hosts: Mapping[str, str],
        stores: Mapping[str, Entry],
    ) -> dict[str, list[str]]:
        """Return the services and backing services that each service needs, without cycles."""
        ours = {*names.values(), *stores}
        needs: dict[str, list[str]] = {names[id(build)]: [] for build in builds}

        def reaches(start: str, goal: str) -> bool:
            return start == goal or any(reaches(need, goal) for need in needs.get(start, []))

        def add(name: str, host: str) -> None:
            need = hosts.get(host, "")
            if need in ours and need not in needs[name] and not reaches(need, name):
                needs[name].append(need)

        for build in builds:
            if build.entry:
                for definition in (build.entry.plain, build.entry.dev):
                    for host in (*definition.depends_on, *definition.links):
                        add(names[id(build)], host)
        for build in builds:
            if build.entry:
                for definition in (build.entry.plain, build.entry.dev):
                    for host in hosts_in_variables(self._environment(definition), hosts):
                        add(names[id(build)], host)
        reached = {need for found in needs.values() for need in found}
        unreached = {host for host, name in hosts.items() if name in ours and name not in reached}
        for build in builds if unreached else ():
            path = self._path(build, self._parsed(build.file)) if build.entry else ""
            if not path:
                continue
            for host in hosts_in_sources(
                self.files, path, unreached, hosts.keys() - names.values()
            ):
                add(names[id(build)], host)
        if not any(build.entry for build in builds):
            self._note_unknown_needs(builds, names, stores)
            if len(builds) == 1:
                # The compose file only has what the application uses.
                for entry in stores.values():
                    add(names[id(builds[0])], entry.name)
        reached = {need for found in needs.values() for need in found}
        alone = [
            names[id(build)]
            for build in builds
            if build.entry and names[id(build)] not in reached and self._is_store(build)
        ]
        if alone and len(builds) > len(alone):
            step = "add {} to the `needs` of those that use {}"
            self._note_unused(alone, next(b.entry.file for b in builds if b.entry), step)
        for store, entry in stores.items():
            if builds and store not in reached:
                step = f"add {store} to the `needs` of those that use it"
                self._note_unused([entry.name], entry.file, step)
        for found in needs.values():
            found.sort(key=lambda need: (need not in stores, need))
        return needs

    def _in_sources(
        self, builds: list[_Build], names: Mapping[int, str], backing: Mapping[str, Entry]
    ) -> dict[str, set[str]]:
        """Return the images that no compose file connects to a service, by the services that use them."""
        stated: set[str] = set()
        for entry in self.composition.entries.values():
            for definition in (entry.plain, entry.dev):
                variables = self._environment(definition)
                stated |= {*definition.depends_on, *definition.links}
                stated |= set(hosts_in_variables(variables, {name: name for name in backing}))
        alone = {
            name for name, entry in backing.items()
            if name not in stated and not entry.plain.depends_on
            and last_part(entry.plain.image) not in TOOLS | SERVERS.keys()
        }  # fmt: skip
        found: dict[str, set[str]] = {}
        for build in builds if alone else ():
            path = self._path(build, self._parsed(build.file))
            found[names[id(build)]] = hosts_in_sources(self.files, path, alone, alone)
        unused = sorted(alone.difference(*found.values()))
        if unused and any(build.entry for build in builds):
            self._note_unused(unused, backing[unused[0]].file, "name {} in `depends_on` there")
        return found

    # Notes ------------------------------------------------------------------------

    def _note_unused(self, images: list[str], file: str, step: str) -> None:
        them = "them" if len(images) > 1 else "it"
        self.notes.insert(
            0,
            f"{_listed(images)} in {file}: no service says that it needs {them}; {step.format(them, them)}",
        )

    def _note_unknown_needs(
        self, builds: list[_Build], names: Mapping[int, str], stores: Mapping[str, Entry]
    ) -> None:
        listed = _listed(names[id(build)] for build in builds)
        if len(builds) > 1:
            text = "no compose file describes them, so add their `needs` and their variables"
        elif stores:
            used = " and ".join(sorted(stores))
            text = f"its need of {used} is a guess, because no compose file describes it; add its variables"
        else:
            return
        self.notes.insert(0, f"{listed}: {text}")

    def _note_uncovered(self, listed: list[str], builds: list[_Build]) -> None:
        """Note the Dockerfiles that no compose file builds."""
        used = {build.file for build in builds}
        folders = {posixpath.dirname(path) for path in used}
        rest = [
            path
            for path in listed
            if path not in used | self.left_out
            and not (
                posixpath.dirname(path) in folders
                and VARIANT.fullmatch(variant_of(posixpath.basename(path)))
            )
        ]
        if rest:
            self.notes.append(
                f"{_listed(rest)}: not taken, because the compose files that were read do not build "
                f"{'them' if len(rest) > 1 else 'it'}"
            )

    def _note_bare_manifests(self, builds: list[_Build]) -> None:
        """Note folders with a manifest, but without a Dockerfile."""
        used = {build.context for build in builds}
        used |= {self._path(build, self._parsed(build.file)) for build in builds}
        parents = tuple(f"{folder}/" for folder in used if folder != ".")
        bare: list[str] = []
        for folder in sorted(self.files.by_folder):
            if (
                not folder
                or folder in used
                or folder.startswith(parents)
                or is_foreign(f"{folder}/x")
            ):
                continue
            if folder.count("/") > 2 or posixpath.basename(folder) in ("tests", "docs", "e2e"):
                continue
            if any(other.startswith(f"{folder}/") for other in used):
                continue
            found = manifests_in(self.files, folder)
            if found and not any(folder.startswith(f"{other}/") for other in bare):
                bare.append(folder)
        if bare:
            shown = [f"{folder}/" for folder in bare]
            self.notes.append(
                f"{_listed(shown)}: not taken, because {'they have' if len(bare) > 1 else 'it has'} a "
                "manifest but no Dockerfile"
            )

    def _note_submodules(self) -> None:
        if self.files.submodules:
            self.notes.append(
                f"{_listed(sorted(self.files.submodules))}: not searched, because it is a git submodule"
            )


def valid_name(text: str) -> str:
    """Convert any text to a valid name of a service."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).lstrip("-0123456789").strip("-") or "app"
    name = name[:MAX_NAME].strip("-")
    try:
        check_name(name)
    except AnswerError as refusal:
        if name.endswith("-migrate"):
            return valid_name(name.removesuffix("-migrate") + "-mover")
        if name.startswith("pg-"):
            return valid_name("postgres" + name.removeprefix("pg"))
        del refusal
        return f"{name[: MAX_NAME - 8].strip('-')}-service"
    return name


def hosts_in(values: Iterable[str], hosts: Mapping[str, str]) -> Iterator[str]:
    """Yield the hosts that values name, as in `db`, `db:5432`, `http://api/x`, `a@db`, `x,db:1`."""
    for value in values:
        if len(value) > 2000:
            continue
        for match in re.finditer(r"(?:^|//|@|,)([A-Za-z][\w.\-]*)(?=$|[:/,?])", value):
            if match[1] in hosts:
                yield match[1]


def hosts_in_variables(
    variables: Mapping[str, str | None], hosts: Mapping[str, str]
) -> Iterator[str]:
    """Yield the hosts that variables name. A user or a database can have the name of a container."""
    for key, value in variables.items():
        if value and not (NO_HOST.search(key) and re.fullmatch(r"[\w.\-]+", value)):
            yield from hosts_in([value], hosts)


def _add_aliases(items: Mapping[str, dict[str, Any]], hosts: Mapping[str, str]) -> None:
    """Add the names by which others reach a service, if they differ from its name."""
    for host, name in hosts.items():
        is_free = host not in items and host not in ("database", "cache")
        if name in items and is_free and ALIAS.fullmatch(host):
            items[name].setdefault("aliases", []).append(host)


def _repeats(found: _Build, same: _Build, first_file: str) -> bool:
    """Whether a build is the same service as an earlier one, under another name."""
    assert found.entry and same.entry
    if found.entry.file != first_file:
        return True
    suffix = re.sub(rf"^{re.escape(same.name)}[-_.]", "", found.name)
    return suffix != found.name and VARIANT.fullmatch(suffix) is not None


def _is_backing(image: str) -> bool:
    return known_image(image) is not None or last_part(image) in TOOLS | OF_THE_HOST


def _foreign_part(path: str) -> str:
    """Return a path up to the folder that is not the project's own: `a/examples/` of a longer one."""
    parts = path.split("/")
    end = next(index for index, part in enumerate(parts) if part in FOREIGN)
    return "/".join(parts[: end + 1]) + "/"


def _listed(names: Iterable[str]) -> str:
    """List names in a line, and count those beyond the first few."""
    all_names = list(names)
    more = len(all_names) - MAX_NAMES
    return ", ".join(all_names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
