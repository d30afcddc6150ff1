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
)
from .compose_reader import (
    FOR_PROD,
    Composition,
    Definition,
    Entry,
    Port,
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
    language_of,
    manifest_text,
    manifests_in,
    port_in_command,
)
from .rules import MAX_NAME, AnswerError, check_name
from .source_files import FOREIGN, SourceFiles, is_foreign, source_files

#: Folders that say where a Dockerfile is, but not what it builds.
GENERIC = frozenset("docker .docker build deploy deployment src app container containers".split())

#: Ports of debuggers.
DEBUG_PORTS = frozenset({9229, 9230, 5678, 5005, 2345, 40000, 35729, 24678})

#: A command that takes jobs from a queue, and so does not listen.
WORKER = re.compile(
    r"\b(celery|rqworker|dramatiq|huey|arq|sidekiq|resque|delayed_job|good_job|bull\w*|horizon|"
    r"queue:(work|listen)|workers?|consumers?|beat|schedulers?|cron|jobs?|locust)\b"
)

#: A command or a name of something that runs once.
ONCE = re.compile(
    r"\b(migrate|migrations?|seed|seeder|seed-data|prestart|bootstrap|fixtures?|loaddata|initdb|"
    r"init-db|db-init|createbuckets?|setup-db|upgrade head|db:(migrate|seed|prepare|setup)|"
    r"migrate:(latest|up|deploy)|migration:run|prisma migrate)\b"
)

#: The names of containers that only run tests.
TESTS = re.compile(
    r"tests?|test-runner|e2e|e2e-tests?|integration-tests?|cypress|playwright|sut|lint"
)
TEST_COMMAND = re.compile(r"\b(pytest|npm (run )?test|yarn test|cypress|playwright|go test|tox)\b")

#: A stage that is only for development.
DEV_STAGE = re.compile(
    r"(dev|devel|development|local|debug|hot-?reload|watch)([-_]?\w+)?", re.IGNORECASE
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

    def result(self) -> Found:
        """Search, and return what was found."""
        listed = self._listed_dockerfiles()
        builds = self._from_compose(listed)
        stores, backing = self._backing({build.entry.name for build in builds if build.entry})
        if not builds:
            builds = self._from_dockerfiles(listed)
        else:
            self._note_uncovered(listed, builds)
        self._note_bare_manifests(builds)
        self._note_submodules()
        names = self._names(builds, stores)
        hosts = self._hosts(builds, names, stores, backing)
        items = self._items(builds, names, hosts, stores)
        return Found(
            items=items,
            database="postgres" if "database" in stores else "none",
            cache=cache_of(stores["cache"].plain.image) if "cache" in stores else "none",
            entries={names[id(build)]: build.entry for build in builds if build.entry},
            stores=stores,
            backing=backing,
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
                continue
            same = next((other for other in builds if other.key[:2] == found.key[:2]), None)
            if same and same.entry and _repeats(found, same, first_file):
                self.notes.append(
                    f"{entry.name} in {entry.file}: not taken, because {same.name} is built from the "
                    "same Dockerfile"
                )
                continue
            builds.append(found)
        return builds

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
        if DEV_STAGE.fullmatch(target) and self._parsed(file).stages[-1:] != (
            self._parsed(file).stage(target),
        ):
            # Test and prod build the last stage; the override file for dev builds this one.
            target = ""
        if target and target == self._parsed(file).stage().name:
            target = ""
        return _Build(entry.name, context, file, target, entry)

    def _from_dockerfiles(self, listed: list[str]) -> list[_Build]:
        """Return one service for each Dockerfile that is not a variant of another one."""
        builds = []
        folders: dict[str, list[str]] = {}
        for path in listed:
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
                context = context_of(path, self._parsed(path), self.files)
                builds.append(_Build(variant or self._name_of(folder, context), context, path))
        return builds

    def _name_of(self, folder: str, context: str) -> str:
        """Return a name for a service in a folder."""
        parts = [part for part in folder.split("/") if part]
        while len(parts) > 1 and parts[-1].lower() in GENERIC:
            parts.pop()
        if parts and not (len(parts) == 1 and parts[0].lower() in GENERIC and context == "."):
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
        images = {
            entry.name: entry
            for entry in self.composition.entries.values()
            if entry.name not in built and not (entry.plain.build or entry.dev.build)
        }
        for entry in images.values():
            image = entry.plain.image or entry.dev.image
            last = last_part(image)
            if not image:
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
            elif last in TOOLS or known_image(image) or not _is_own_image(image, entry):
                backing[entry.name] = entry
            else:
                self.notes.append(
                    f"{entry.name} in {entry.file}: not taken, because nothing in this project builds "
                    f"its image {image}"
                )
        return stores, backing

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
        backing = known_image(stage.image)
        is_store = backing is not None and last_part(stage.image) not in SERVERS
        port = 0
        if not one_shot and not is_store:
            port = self._port(definition, ports, stage, language, manifests, build, builds)
        if one_shot:
            item["one_shot"] = True
        elif not port:
            item["http"] = False
        elif port != 8000:
            item["port"] = port
        health: Any = None
        if not one_shot:
            health = self._health(build, stage, path, port, language, manifests)
        if health is not None:
            item["health"] = health
        if language:
            item["language"] = language
        return item, [p for p in ports if p.container == port] if port else []

    def _path(self, build: _Build, dockerfile: Dockerfile) -> str:
        """Return the folder of a service's manifest."""
        folder = posixpath.dirname(build.file) or "."
        if folder != "." and manifests_in(self.files, folder):
            return folder
        if build.context != "." and (
            manifests_in(self.files, build.context) or not folder.startswith(build.context)
        ):
            return build.context
        # The Dockerfile is not beside the sources: `docker/api.Dockerfile`, or `Dockerfile.api`.
        name = build.name.lower()
        options = [
            f"{parent}{name}" for parent in ("", "services/", "apps/", "packages/", "src/", "cmd/")
        ]
        copied = [source.lstrip("./").rstrip("/") for source in dockerfile.copied]
        for source in copied:
            options += [source, posixpath.dirname(source)]
        if build.context == "." and manifests_in(self.files, ".") and name == "app":
            return "."
        for option in options:
            option = posixpath.normpath(posixpath.join(build.context, option)) if option else "."
            is_own = PATH.fullmatch(option) and not is_foreign(f"{option}/x") and option != "."
            if is_own and self.files.is_folder(option) and manifests_in(self.files, option):
                return option
        if build.context != ".":
            return build.context
        # A folder such as backend/ without a manifest that is known.
        if folder != "." and posixpath.basename(folder).lower() not in GENERIC:
            return folder
        return build.context

    def _port(
        self,
        definition: Definition,
        ports: list[Port],
        stage: Stage,
        language: str,
        manifests: str,
        build: _Build,
        builds: list[_Build],
    ) -> int:
        """Return the port that a container listens on; 0 if it does not listen."""
        numbers = [port.container for port in ports] or list(definition.expose)
        if numbers:
            return next((number for number in numbers if number in stage.expose), numbers[0])
        own = words_of(definition.command) or words_of(definition.entrypoint)
        shares = any(other is not build and other.key[:2] == build.key[:2] for other in builds)
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
        for key in ("PORT", "HTTP_PORT", "SERVER_PORT", "APP_PORT", "ASPNETCORE_HTTP_PORTS"):
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
        port = framework_port(language, manifests)
        if port == 8080 and language == "dotnet" and (match := re.search(r":(\d+)", stage.image)):
            return 8080 if int(match[1]) >= 8 else 80
        return port

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
        self, build: _Build, stage: Stage, path: str, port: int, language: str, manifests: str
    ) -> Any:
        """Return the health check of an item; None if it is that of the image."""
        stated = None
        if build.entry:
            stated = build.entry.plain.health
            stated = build.entry.dev.health if stated is None else stated
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
                values = [
                    *self._environment(build.entry.plain).values(),
                    *self._environment(build.entry.dev).values(),
                ]
                for host in hosts_in(values, hosts):
                    add(names[id(build)], host)
        for found in needs.values():
            found.sort(key=lambda need: (need not in stores, need))
        return needs

    # Notes ------------------------------------------------------------------------

    def _note_uncovered(self, listed: list[str], builds: list[_Build]) -> None:
        """Note the Dockerfiles that no compose file builds."""
        used = {build.file for build in builds}
        folders = {posixpath.dirname(path) for path in used}
        rest = [
            path
            for path in listed
            if path not in used
            and not (
                posixpath.dirname(path) in folders
                and VARIANT.fullmatch(variant_of(posixpath.basename(path)))
            )
        ]
        if rest:
            self.notes.append(f"{_listed(rest)}: not taken, because no compose file builds it")

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


def _is_own_image(image: str, entry: Entry) -> bool:
    """Whether an image is probably the project's own, and was built elsewhere."""
    head = image.partition("/")[0]
    private = "$" in image or (head.count(".") and head not in (
        "docker.io", "quay.io", "mcr.microsoft.com", "gcr.io", "docker.elastic.co", "docker.redpanda.com",
        "public.ecr.aws", "registry.k8s.io", "cr.weaviate.io",
    ))  # fmt: skip
    return bool(private) or last_part(image) == entry.name and "/" in image


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
