"""Writes the override files of an adopted project: what its compose files say beyond the answers.

These are environment variables, mounts, commands, and public images other than PostgreSQL and the
cache. The files belong to the user: they are written once, and never changed again.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from .addresses import address_labels
from .backing_images import (
    OTHER_POSTGRES,
    TOOLS,
    known_image,
    last_part,
    major,
)
from .compose_reader import (
    SECRET,
    Definition,
    Entry,
    Grant,
    Mount,
    committed_env_file,
    read_env_file,
    words_of,
)
from .discovery import Found, hosts_in, hosts_in_variables
from .dockerfiles import Stage, parse_dockerfile

#: A command that serves sources for development, and reloads them.
DEV_SERVER = re.compile(
    r"--reload|--watch|--debug\b|--hot|\bnodemon|\b(npm|pnpm|yarn|bun)( run)? (run )?([\w:-]+[:-])?(dev|watch|serve)\b"
    r"|\bvite\b(?! (build|preview))|\bnext dev|\bnuxt dev|\bng serve|webpack-dev-server|\bwatchmedo|\bwatchfiles"
    r"|\bair\b|cargo watch|cargo-watch|dotnet watch|tsx watch|ts-node-dev|debugpy|--inspect|manage\.py runserver"
    r"|flask( --app \S+)? run|php artisan serve|spring-boot:run|fastapi dev"
)

#: Folders of a container whose content is configuration, not sources.
CONFIGURATION = ("/etc/", "/docker-entrypoint", "/config", "/usr/share/nginx", "/run/secrets")

#: Schemes of addresses, by the last part of an image's name.
SCHEMES = {
    "mysql": "mysql", "mariadb": "mysql", "mongo": "mongodb", "rabbitmq": "amqp", "nats": "nats",
    "elasticsearch": "http", "opensearch": "http", "minio": "http", "localstack": "http",
    "clickhouse-server": "http", "keycloak": "http", "meilisearch": "http", "qdrant": "http",
    "nginx": "http", "nginx-unprivileged": "http", "httpd": "http", "caddy": "http",
    "mailpit": "smtp", "mailhog": "smtp", "redis": "redis", "postgres": "postgresql",
}  # fmt: skip

#: Keys that only help a person at a terminal.
INTERACTIVE = ("tty", "stdin_open")

HEADS = {
    "dev": """\
# Yours: written once, from {files}. The template never changes this file.
#
# Compose merges it over docker-compose.yml in this folder. It has what your compose file says about
# your services that the template does not know: variables, mounts, commands and other images.
# A variable in ${{...}} gets its value from .env in this folder, or else the value after `:-`.
""",
    "test": """\
# Yours: written once, from {files}. The template never changes this file.
#
# Compose merges it over docker-compose.yml in this folder. All values are fixed, data is in memory,
# and sources are not mounted: the tests use what is in the images.
""",
    "prod": """\
# Yours: written once, from {files}. The template never changes this file.
#
# Compose merges it over docker-compose.yml in this folder. It has the commands of your services, and
# the variables that they read. Set each ${{...:?}} in .env on the host, or delete its line: no value is
# copied, because the values in your repository are those of development.
#
# DATABASE_URL, CACHE_URL and QUEUE_URL have no password. It is in the file that the variable
# DATABASE_PASSWORD_FILE, CACHE_PASSWORD_FILE or QUEUE_PASSWORD_FILE names. If a service needs a complete
# address, build it at its start, with its usual program as `command`:
#   entrypoint: [sh, -c, 'export DATABASE_URL="postgresql://api:$$(cat "$$DATABASE_PASSWORD_FILE")@database:5432/api"; exec "$$@"', sh]
""",
}


@dataclass(frozen=True)
class Stack:
    """The compose file that an override file belongs to."""

    env: str  #: dev, test or prod
    folder: str  #: of the file, relative to the root
    scope: str  #: in test, the service of the stack, or `full`
    services: tuple[str, ...]  #: the names of its own services
    stores: tuple[str, ...]  #: which of database and cache it has


def override_files(
    found: Found, services: Sequence[Mapping[str, Any]], *, slug: str, database: str, cache: str
) -> dict[str, str]:
    """Return the text of each override file, by its path.

    Args:
        found: what the project contained before.
        services: the services with their properties, as in the answer `service_list`.
        slug: the answer `project_slug`.
        database: the answer `database`.
        cache: the answer `cache`.
    """
    if not found.composition.entries:
        return {}
    stores = {"database": database != "none", "cache": cache != "none"}
    backing = dict(found.backing)
    for name, entry in found.stores.items():
        if not stores[name]:
            backing[entry.name] = entry
    kept = {name: entry for name, entry in found.stores.items() if stores[name]}
    found = replace(found, stores=kept, backing=backing)
    names = tuple(str(service["name"]) for service in services)
    there = tuple(name for name, is_there in stores.items() if is_there)
    stacks = [
        Stack("dev", "deploy/dev", "dev", names, there),
        Stack("test", "deploy/test", "full", names, there),
        Stack("prod", "deploy/prod", "prod", names, there),
    ]
    for service in services:
        if service["path"] == ".":
            continue
        stack = tuple(name for name in names if name in service["stack"])
        members = [other for other in services if other["name"] in stack]
        used = tuple(name for name in there if any(other[name] for other in members))
        folder = f"{service['path']}/deploy/test"
        stacks.append(Stack("test", folder, str(service["name"]), stack, used))
    texts = {
        f"{stack.folder}/docker-compose.override.yml": _Writer(found, services, slug, stack).text()
        for stack in stacks
    }
    return {path: text for path, text in texts.items() if text}


class _Flow(list[Any]):
    """A list that is written in one line."""


class _Instead(list[Any]):
    """A list that replaces that of the template's file, where Compose would append it."""


class _Dumper(yaml.SafeDumper):
    """Writes YAML as people do: indented lists, and texts of several lines as blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _flow_node(dumper: yaml.SafeDumper, items: _Flow) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)


_Dumper.add_representer(str, _text_node)


def _instead_node(dumper: yaml.SafeDumper, items: _Instead) -> yaml.SequenceNode:
    return dumper.represent_sequence("!override", items)


_Dumper.add_representer(_Flow, _flow_node)
_Dumper.add_representer(_Instead, _instead_node)


class _Writer:
    """Writes one override file."""

    def __init__(
        self, found: Found, services: Sequence[Mapping[str, Any]], slug: str, stack: Stack
    ) -> None:
        self.found, self.slug, self.stack = found, slug, stack
        self.services = {str(service["name"]): service for service in services}
        self.is_test = stack.env == "test"
        self.volumes: dict[str, Any] = {}
        self.configs: dict[str, Any] = {}
        self.files: dict[str, None] = {}
        self.entries = self._entries()
        self.taken = {int(service.get("port") or 0) for service in services}
        self.taken |= {5432 for name in stack.stores if name == "database"}
        self.taken |= {6379 for name in stack.stores if name == "cache"}

    def _entries(self) -> dict[str, Entry]:
        """Return their service for each of ours. A renamed one is found by its Dockerfile."""
        result: dict[str, Entry] = {}
        places = {
            name: (entry.plain.build or entry.dev.build).get("context", "")
            for name, entry in self.found.entries.items()
        }
        for name, service in self.services.items():
            if name in self.found.entries:
                result[name] = self.found.entries[name]
                continue
            same = [
                other for other, context in places.items()
                if context == service["context"] and other not in self.services
            ]  # fmt: skip
            if len(same) == 1:
                result[name] = self.found.entries[same[0]]
        return result

    def text(self) -> str:
        """Return the text of the file; empty if it would have no content."""
        blocks: list[str] = []
        if self.stack.env == "prod":
            blocks = [self._block(name, self._in_production(name)) for name in self.stack.services]
            if any(blocks):
                aliases = {name: self._aliases(name) for name in self.stack.stores}
                blocks += [
                    self._block(name, {"networks": networks}) for name, networks in aliases.items()
                ]
        else:
            backing = self._backing_of_stack()
            labels = self._address_labels(backing)
            for name in self.stack.services:
                if name in self.entries:
                    body = self._own(name, self.entries[name], backing)
                    body["labels"] = labels.get(name)
                    body["ports"] = body.get("ports") or self._ports_of_labels(name, labels)
                    blocks.append(self._block(name, body, self.entries[name]))
            for name in self.stack.stores:
                if name in self.found.stores:
                    entry = self.found.stores[name]
                    body = self._database(entry) if name == "database" else self._cache(entry)
                    body["labels"] = {**(body.get("labels") or {}), **labels.get(name, {})}
                    blocks.append(self._block(name, body, entry))
                    if name == "database":
                        blocks.append(self._block("database-setup", self._database_setup(entry)))
            for name, entry in backing.items():
                body = self._image(name, entry, backing)
                if more := labels.get(name):
                    own = body["labels"]
                    body["labels"] = {**(own if isinstance(own, dict) else {"<<": own}), **more}
                blocks.append(self._block(name, body, entry))
        services = "\n".join(block for block in blocks if block)
        if not services:
            return ""
        files = " and ".join(self.files) or "your compose file"
        text = HEADS[self.stack.env].format(files=files) + self._left_out()
        if "*labels" in services or any(
            "*labels" in str(volume) for volume in self.volumes.values()
        ):
            text += (
                "x-labels: &labels\n"
                f"  test.project: {self.slug}\n"
                "  test.instance: ${TEST_INSTANCE_ID}\n"
                f"  test.scope: {self.stack.scope}\n\n"
            )
        if "*healthcheck" in services:
            times = ("5s", "500ms") if self.is_test else ("30s", "1s")
            text += (
                "x-healthcheck: &healthcheck\n"
                f"  interval: {times[0]}\n  timeout: 5s\n  retries: 3\n  start_period: 120s\n"
                f"  start_interval: {times[1]}\n\n"
            )
        text += f"services:\n{services}"
        for key, value in (("volumes", self.volumes), ("configs", self.configs)):
            if value:
                text += f"\n{_dumped({key: value})}"
        return text

    def _block(self, name: str, body: Mapping[str, Any], entry: Entry | None = None) -> str:
        body = {key: value for key, value in body.items() if value not in (None, "", [], {})}
        if not body:
            return ""
        comment = ""
        if entry is not None:
            self.files[entry.file] = None
            if entry.name != name:
                comment = f"  # `{entry.name}` in {entry.file}\n"
        lines = _dumped({name: body}).splitlines()
        return comment + "".join(f"  {line}\n" if line else "\n" for line in lines)

    def _address_labels(self, backing: Mapping[str, Entry]) -> dict[str, dict[str, str]]:
        """Return the labels that give tests addresses in their own variables, by container."""
        if not self.is_test:
            return {}
        names = (*self.stack.services, *self.stack.stores, *backing)
        return address_labels(self.found, list(self.services.values()), self.stack.scope, names)

    def _ports_of_labels(self, name: str, labels: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Return the ports that the addresses for tests use and the template does not publish."""
        values = " ".join(labels.get(name, {}).values())
        found = {int(port) for port in re.findall(r"HOST:(\d+)", values)}
        published = int(self.services[name].get("container_port") or 0)
        return [f"127.0.0.1::{port}" for port in sorted(found - {published})]

    # Values -----------------------------------------------------------------------

    def _value(self, text: str) -> str:
        """Return a value for this environment: fixed in test, a default in dev."""
        variables = self.found.composition.variables
        if self.is_test or self.stack.env == "prod":
            return variables.fixed(text).replace("$", "$$")
        return variables.kept(text)

    def _command(self, command: str | list[str] | None) -> Any:
        if command is None:
            return None
        if isinstance(command, str):
            return self._value(command)
        return _Flow(self._value(word) for word in command)

    def _environment(self, definition: Definition) -> dict[str, str]:
        result = {}
        for key, value in definition.environment.items():
            if value is None:
                # Compose takes such a variable from the shell.
                fixed = self.found.composition.variables.value(key)
                value = fixed if self.is_test else f"${{{key}:-{fixed}}}"
            else:
                value = self._value(value)
            result[key] = value
        return result

    def _env_files(self, definition: Definition) -> list[Any]:
        """Return the files with variables. A file that git ignores may be missing elsewhere."""
        result: list[Any] = []
        for path in definition.env_file:
            if path.startswith(("/", "~")):
                continue
            committed = committed_env_file(self.found.files, path)
            if committed:
                result.append(self._relative(committed))
            if committed != path and not self.is_test:
                result.append({"path": self._relative(path), "required": False})
        return result

    def _relative(self, path: str) -> str:
        """Return a path of the project, relative to the file's folder."""
        return posixpath.relpath(path, self.stack.folder)

    def _more(self, definition: Definition) -> dict[str, Any]:
        return {
            key: value
            for key, value in definition.more.items()
            if not (self.is_test and key in INTERACTIVE) and key != "platform"
        }

    def _is_file(self, grant: Grant) -> bool:
        """Whether a secret or a config has a file. A file that git ignores does not exist in CI."""
        if self.is_test:
            return grant.source in self.found.files.known
        return bool(grant.source) and (self.found.files.root / grant.source).is_file()

    def _granted_files(self, definition: Definition) -> list[str]:
        """Return the mounts of the secrets and configs that are files."""
        mounts = (
            Mount("bind", grant.source, grant.target, read_only=True)
            for grant in definition.granted
            if self._is_file(grant)
        )
        return [text for text in map(self._bind, mounts) if text]

    def _granted_texts(self, definition: Definition) -> list[dict[str, str]]:
        """Return the secrets and configs without a file. A secret gets a placeholder."""
        result = []
        for grant in definition.granted:
            if self._is_file(grant) or not (grant.content or grant.is_secret):
                continue
            text = self._value(grant.content) if grant.content else grant.placeholder()
            if grant.variable and not self.is_test:
                text = f"${{{grant.variable}:-{text}}}"
            self.configs[grant.name] = {"content": text}
            result.append({"source": grant.name, "target": grant.target})
        return result

    # Own services -----------------------------------------------------------------

    def _own(self, name: str, entry: Entry, backing: Mapping[str, Entry]) -> dict[str, Any]:
        definition = entry.plain if self.is_test else entry.dev
        target = "" if self.is_test else definition.build.get("target", "")
        service = self.services[name]
        if target == service.get("target") or self._is_last_stage(service, target):
            target = ""
        build: dict[str, Any] = {}
        if target:
            build["target"] = target
        if definition.build_args:
            build["args"] = {key: self._value(v) for key, v in definition.build_args.items()}
        return {
            "build": build,
            "entrypoint": self._command(self._kept(name, definition.entrypoint)),
            "command": self._command(self._kept(name, definition.command)),
            **self._more(definition),
            "env_file": self._env_files(definition),
            "environment": self._environment(definition),
            "volumes": [*self._own_mounts(name, definition), *self._granted_files(definition)],
            "configs": self._granted_texts(definition),
            "tmpfs": list(definition.tmpfs),
            "depends_on": self._waits(entry, backing),
            **(self._other_port(service, definition, target) if target else {}),
        }

    def _other_port(
        self, service: Mapping[str, Any], definition: Definition, target: str
    ) -> dict[str, Any]:
        """Return the port of a stage for development that listens on another one than the image."""
        ports = [port.container for port in definition.ports]
        ours = int(service.get("container_port") or 0)
        if not ports or not ours or ours in ports:
            return {}
        published = f"127.0.0.1:${{{service['env']}_PORT:-{service['port']}}}:{ports[0]}"
        found: dict[str, Any] = {"ports": _Instead([published])}
        if "node" in last_part(self._stage(service, target).image) and service.get("has_health"):
            address = f"http://127.0.0.1:{ports[0]}/"
            script = f"fetch('{address}').then(r => process.exit(r.ok ? 0 : 1))"
            found["healthcheck"] = {"test": _Flow(["CMD", "node", "-e", script])}
        return found

    def _stage(self, service: Mapping[str, Any], target: str = "") -> Stage:
        file = posixpath.join(service["context"], service.get("dockerfile") or "Dockerfile")
        return parse_dockerfile(self.found.files.read(posixpath.normpath(file))).stage(target)

    def _is_last_stage(self, service: Mapping[str, Any], target: str) -> bool:
        return self._stage(service).name == target

    def _kept(self, name: str, command: str | list[str] | None) -> str | list[str] | None:
        """Return a command. In test, a development server is replaced by that of the image."""
        if command is None or not self.is_test or not DEV_SERVER.search(words_of(command)):
            return command
        service = self.services[name]
        stage = self._stage(service, str(service.get("target") or ""))
        # An entry point often starts what the command says, so it needs one.
        return None if stage.command else command

    # Production -------------------------------------------------------------------

    def _in_production(self, name: str) -> dict[str, Any]:
        """Return the command of a service, and the variables that the host must set."""
        entry = self.entries.get(name)
        if entry is None:
            return {}
        self.files[entry.file] = None
        keys = {"entrypoint": entry.plain.entrypoint, "command": entry.plain.command}
        body: dict[str, Any] = {
            key: self._command(command)
            for key, command in keys.items()
            if not DEV_SERVER.search(words_of(command))
        }
        values = self._settings(entry.plain)
        body["environment"] = {
            key: self._production_value(name, key, value)
            for key, value in values.items()
            if not self._is_set(name, key, value)
        }
        return body

    def _is_set(self, name: str, key: str, value: str) -> bool:
        """Whether the template's file already sets a variable of a service in production."""
        service = self.services[name]
        if key == "DATABASE_URL":
            scheme = value.partition("://")[0]
            return bool(service["database"]) and scheme == service["database_scheme"]
        doors = {
            f"{door['env']}_URL": f"http://{door['name']}:{door['container_port']}"
            for door in service["doors"]
        }
        return doors.get(key) == value or (key == "CACHE_URL" and bool(service["cache"]))

    def _production_value(self, name: str, key: str, value: str) -> str:
        """Return the value of a variable: fixed if it only depends on the containers themselves."""
        service = self.services[name]
        hosts = list(hosts_in([value], self.found.hosts))
        is_inside = bool(hosts) and all(
            # An address of a backing service needs the password of production.
            self.found.hosts[host] in self.services
            or (host == value and self.found.hosts[host] in self.stack.stores)
            for host in hosts
        )
        is_port = key.endswith("PORT") and value == str(service["container_port"])
        if (is_inside or is_port) and not SECRET.search(key) and "@" not in value:
            return value.replace("$", "$$")
        if value in [grant.target for grant in self.entries[name].plain.granted]:
            return value
        others = {
            self._settings(entry.plain).get(key, value)
            for other, entry in self.entries.items()
            if other in self.services
        }
        # The same variable of two services may have two values.
        is_shared = others == {value} and key not in ("VERSION", "BIND_ADDRESS")
        variable = key if is_shared else f"{service['env']}_{key}"
        ours = ("PORT", "CPUS", "MEMORY", "PIDS", "DATABASE_PASSWORD")
        if variable in {f"{s['env']}_{end}" for s in self.services.values() for end in ours}:
            variable = f"OWN_{variable}"
        return f"${{{variable}:?set it in .env}}"

    def _left_out(self) -> str:
        """Return the comment that names what production does not have."""
        if self.stack.env != "prod":
            return ""
        text = ""
        images = [
            f"{name} ({entry.plain.image})" for name, entry in self.found.backing.items()
            if last_part(entry.plain.image) not in TOOLS
        ]  # fmt: skip
        grants = dict.fromkeys(
            grant.name for entry in self.entries.values() for grant in entry.plain.granted
        )
        if images:
            text += f"# Not here: {', '.join(images)}.\n# Add these services, or use those of a provider.\n"
        if grants:
            text += f"# Not here: the secrets and configs {', '.join(grants)}. Mount their files.\n"
        return f"#\n{text}" if text else ""

    # Mounts -----------------------------------------------------------------------

    def _own_mounts(self, name: str, definition: Definition) -> list[str]:
        service = self.services[name]
        sources = (str(service["home"]), str(service["context"]))
        result = []
        for mount in definition.volumes:
            if mount.kind == "bind":
                is_source = any(_contains(mount.source, source) for source in sources) or (
                    any(_contains(source, mount.source) for source in sources if source != ".")
                    and not (self.found.files.root / mount.source).is_file()
                )
                if is_source and self.is_test:
                    continue
                text = self._bind(mount)
            else:
                text = self._own_volume(mount)
            if text:
                result.append(text)
        return result

    def _own_volume(self, mount: Mount) -> str:
        # In test, an empty volume would hide the image's content, unless another container reads it.
        if self.is_test and len(self._users(mount)) < 2:
            return ""
        if not mount.source:
            return mount.target
        self.volumes[mount.source] = {"labels": "*labels"} if self.is_test else None
        return f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")

    def _users(self, mount: Mount) -> list[str]:
        """Return the names of the containers that share a named volume."""
        if not mount.source:
            return []
        return [
            entry.name
            for entry in self.found.composition.entries.values()
            if any(other.source == mount.source for other in entry.plain.volumes)
        ]

    def _bind(self, mount: Mount) -> str:
        """Return a bind mount with its path relative to this file; empty if it is not kept."""
        if mount.source.startswith(("/", "~", "..")):
            is_socket = mount.source == "/var/run/docker.sock" and not self.is_test
            return f"{mount.source}:{mount.target}" if is_socket else ""
        path = self.found.files.root / mount.source
        if not path.exists():
            return ""
        is_configuration = (
            path.is_file() or mount.read_only or mount.target.startswith(CONFIGURATION)
        )
        if self.is_test and not is_configuration:
            return ""
        if self.is_test and path.is_file() and mount.source not in self.found.files.known:
            # A file that git ignores does not exist in CI.
            return ""
        source = self._relative(mount.source)
        source = source if source.startswith(".") else f"./{source}"
        return f"{source}:{mount.target}" + (":ro" if self.is_test or mount.read_only else "")

    def _waits(self, entry: Entry, backing: Mapping[str, Entry]) -> dict[str, Any]:
        """Return what a container waits for, of the images in this file."""
        result = {}
        for need in sorted(self._needs(entry)):
            if need in backing and not self._waits_for(backing[need], entry):
                result[need] = {"condition": self._condition(need, entry)}
        return result

    def _waits_for(self, entry: Entry, other: Entry) -> bool:
        """Whether a container waits for another one, so that the other one cannot wait for it."""
        if entry is other:
            return True

        def stated(one: Entry, two: Entry) -> bool:
            return two.name in {*one.plain.depends_on, *one.dev.depends_on, *one.plain.links}

        return stated(entry, other) and not stated(other, entry)

    def _condition(self, need: str, entry: Entry) -> str:
        other = self.found.backing[need]
        stated = {
            self.found.hosts.get(host, host): condition
            for host, condition in (*entry.plain.depends_on.items(), *entry.dev.depends_on.items())
        }
        if stated.get(need) == "service_completed_successfully":
            return "service_completed_successfully"
        return "service_healthy" if self._health(other) else "service_started"

    def _needs(self, entry: Entry) -> set[str]:
        """Return our names of everything that a container needs."""
        hosts = self.found.hosts
        found = set(self.found.in_sources.get(hosts.get(entry.name, entry.name), ()))
        for definition in (entry.plain, entry.dev):
            found |= {hosts.get(name, name) for name in (*definition.depends_on, *definition.links)}
            values = {
                key: self.found.composition.variables.fixed(value or "")
                for key, value in definition.environment.items()
            }
            for path in definition.env_file:
                committed = committed_env_file(self.found.files, path)
                values = read_env_file(self.found.files.read(committed)) | values
            found |= {hosts[host] for host in hosts_in_variables(values, hosts)}
        return found

    # PostgreSQL and the cache -----------------------------------------------------

    def _settings(self, *definitions: Definition) -> dict[str, str]:
        """Return the fixed variables of a container."""
        values: dict[str, str] = {}
        for definition in definitions:
            for path in definition.env_file:
                values |= read_env_file(
                    self.found.files.read(committed_env_file(self.found.files, path))
                )
            values |= {
                key: self.found.composition.variables.fixed(value or "")
                if value is not None
                else self.found.composition.variables.value(key)
                for key, value in definition.environment.items()
            }
        return values

    def _role(self, entry: Entry) -> tuple[str, str, str]:
        """Return the role, its password and the database that their PostgreSQL has."""
        values = self._settings(entry.plain, entry.dev)
        for grant in (*entry.plain.granted, *entry.dev.granted):
            # The official images read a variable from the file that `<variable>_FILE` names.
            committed = grant.source in self.found.files.known
            text = self.found.files.read(grant.source).strip() if committed else ""
            for key in [k for k, v in values.items() if v == grant.target]:
                values[key.removesuffix("_FILE")] = text or grant.placeholder()
        prefix = "POSTGRESQL_" if last_part(entry.plain.image) in OTHER_POSTGRES else "POSTGRES_"

        def of(*keys: str) -> str:
            return next((values[prefix + key] for key in keys if values.get(prefix + key)), "")

        user = of("USER", "USERNAME") or "postgres"
        return user, of("PASSWORD", "POSTGRES_PASSWORD") or "postgres", of("DB", "DATABASE") or user

    def _written(self, entry: Entry, key: str, value: str) -> str:
        """Return a value of the database: fixed in test; in dev as their file has it, with a default."""
        stated = entry.dev.environment.get(key)
        if self.is_test or not stated or "$" not in stated:
            return value.replace("$", "$$")
        return self._value(stated)

    def _database(self, entry: Entry) -> dict[str, Any]:
        user, password, database = self._role(entry)
        secret = self._written(entry, "POSTGRES_PASSWORD", password)
        body: dict[str, Any] = {"image": self._store_image(entry, "postgres")}
        image = body["image"] or our_image("postgres")
        body["command"] = self._database_command(entry)
        environment = {"POSTGRES_DB": database} if database != "postgres" else {}
        labels: Any = None
        if user == "postgres" and password != "postgres":
            environment["POSTGRES_PASSWORD"] = secret
            if self.is_test:
                labels = {
                    "test.url": f"TEST_DATABASE_URL=postgresql://postgres:{secret}@HOST:5432/postgres"
                }
        body["environment"] = environment
        body["volumes"] = self._init_scripts(entry)
        if (major(image) or 18) < 18:
            # Older images declare a volume for this deeper folder.
            if self.is_test:
                body["tmpfs"] = ["/var/lib/postgresql/data"]
            else:
                body["volumes"].insert(0, "database-data:/var/lib/postgresql/data")
                self.volumes["database-data"] = None
        if user != "postgres":
            body["configs"] = [
                {"source": "own-role", "target": "/docker-entrypoint-initdb.d/00-own-role.sql"}
            ]
            self.configs["own-role"] = {"content": _role_sql(user, secret, database)}
            self._leave_out(user, database)
        elif database != "postgres":
            self._leave_out("", database)
        body["labels"] = labels
        body["networks"] = self._aliases("database")
        return body

    def _leave_out(self, user: str, database: str) -> None:
        """Replace the template's script if it would create a role or a database a second time."""
        if not self.is_test:
            return
        stack = [self.services[name] for name in self.stack.services]
        packages = [str(service["package"]) for service in stack if service["database"]]
        clash = {user, database} & set(packages)
        if clash:
            lines = "".join(
                f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{name}';\n"
                f'CREATE DATABASE "{name}" OWNER "{name}";\n'
                for name in packages
                if name not in clash
            )
            self.configs["databases"] = {"content": lines or "SELECT 1;\n"}

    def _database_setup(self, entry: Entry) -> dict[str, Any]:
        """Return the passwords of the container that creates the services' databases in dev."""
        has_databases = any(service["database"] for service in self.services.values())
        if self.is_test or not has_databases:
            return {}
        user, password, _ = self._role(entry)
        secret = self._written(entry, "POSTGRES_PASSWORD", password)
        if user == "postgres":
            return {"environment": {"PGPASSWORD": secret} if password != "postgres" else {}}
        return {
            "environment": {
                f"{service['env']}_PASSWORD": secret
                for service in self.services.values()
                if service["database"] and service["package"] == user
            }
        }

    def _database_command(self, entry: Entry) -> Any:
        command = words_of(entry.plain.command if self.is_test else entry.dev.command)
        if not re.match(r"(postgres\s+)?-c\s", command):
            return None
        fast = " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        text = command if command.startswith("postgres") else f"postgres {command}"
        return self._value(text) + (fast if self.is_test else "")

    def _init_scripts(self, entry: Entry) -> list[str]:
        mounts = (entry.plain if self.is_test else entry.dev).volumes
        kept = (
            self._bind(mount) for mount in mounts
            if mount.kind == "bind"
            and (mount.target.startswith(CONFIGURATION) or (self.found.files.root / mount.source).is_file())
        )  # fmt: skip
        return [text for text in kept if text]

    def _store_image(self, entry: Entry, name: str) -> str:
        """Return their image, unless ours is the same version of the same program."""
        image = entry.plain.image or entry.dev.image
        if last_part(image) in OTHER_POSTGRES:
            version = major(image)
            return "" if version in (None, major(our_image(name))) else f"postgres:{version}-alpine"
        same = last_part(image) == last_part(our_image(name))
        return "" if same and major(image) in (None, major(our_image(name))) else image

    def _cache(self, entry: Entry) -> dict[str, Any]:
        definition = entry.plain if self.is_test else entry.dev
        name = last_part(entry.plain.image or entry.dev.image)
        command = words_of(definition.command)
        plain = re.sub(r"--(appendonly|save)\s+(\"\"|''|\S+)(\s+\d+)?", "", command)
        body: dict[str, Any] = {"image": self._store_image(entry, name)}
        if plain.strip() not in ("", f"{name}-server"):
            body["command"] = self._command(definition.command)
            body["environment"] = self._environment(definition)
            fixed = self.found.composition.variables.fixed(command)
            if match := re.search(r"--requirepass[ =]+[\"']?([^\s\"']+)", fixed):
                password = match[1]
                settings = self._settings(entry.plain, entry.dev)
                if match_variable := re.fullmatch(r"\$\{?(\w+)\}?", password):
                    password = settings.get(match_variable[1], password)
                # The client in the health check reads this variable.
                body["environment"]["REDISCLI_AUTH"] = password.replace("$", "$$")
                if self.is_test:
                    body["labels"] = {"test.url": f"TEST_CACHE_URL=redis://:{password}@HOST:6379/0"}
        body["volumes"] = self._init_scripts(entry)
        body["networks"] = self._aliases("cache")
        return body

    def _aliases(self, name: str) -> dict[str, Any]:
        """Return the names by which their containers know one of our backing services."""
        names = [
            host for host, ours in self.found.hosts.items()
            if ours == name and host != name and re.fullmatch(r"[A-Za-z0-9]([\w.\-]*[A-Za-z0-9])?", host)
        ]  # fmt: skip
        return {"default": {"aliases": _Flow(names)}} if names else {}

    # Other images -----------------------------------------------------------------

    def _backing_of_stack(self) -> dict[str, Entry]:
        """Return the images that this environment has."""
        backing = self.found.backing
        if not self.is_test:
            return dict(backing)
        wanted: set[str] = set()
        waiting = [need for name in self.stack.services if name in self.entries
                   for need in self._needs(self.entries[name])]  # fmt: skip
        if self.stack.scope == "full":
            # Such as a proxy in front of the services.
            waiting += [
                name for name, entry in backing.items()
                if last_part(entry.plain.image) not in TOOLS
                and any(need in self.services for need in self._needs(entry))
            ]  # fmt: skip
        while waiting:
            name = waiting.pop()
            if name in backing and name not in wanted:
                wanted.add(name)
                waiting += self._needs(backing[name])
        for name, entry in backing.items():
            # A container that prepares another one, for example creates its buckets.
            needs = self._needs(entry) - {name}
            is_helper = known_image(entry.plain.image) is None and entry.plain.restart in ("", "no")
            if (
                needs
                and needs <= wanted
                and is_helper
                and last_part(entry.plain.image) not in TOOLS
            ):
                wanted.add(name)
        return {name: entry for name, entry in backing.items() if name in wanted}

    def _health(self, entry: Entry) -> Any:
        """Return the health check of an image, as Compose writes it; None if there is none."""
        known = known_image(entry.plain.image or entry.dev.image)
        if known is not None and known.health:
            if isinstance(known.health, str):
                return _Flow(["CMD-SHELL", known.health])
            return _Flow(["CMD", *known.health])
        stated = entry.plain.health
        if stated in (None, "none"):
            return None
        words = ["CMD-SHELL", stated] if isinstance(stated, str) else ["CMD", *(stated or [])]
        return _Flow(self._value(word) for word in words)

    def _image(self, name: str, entry: Entry, backing: Mapping[str, Entry]) -> dict[str, Any]:
        definition = entry.plain if self.is_test else entry.dev
        image = definition.image or entry.dev.image
        known = known_image(image)
        ports = [port.container for port in definition.ports]
        if known is not None and known.port:
            # The first one is the port of the address that the tests get.
            ports = [known.port, *(port for port in ports if port != known.port)]
        health = self._health(entry)
        waits = self._waits(entry, backing)
        for need in sorted(self._needs(entry)):
            if need in self.stack.services:
                other = self.entries.get(need)
                if other and name in self._needs(other) and not self._waits_for(entry, other):
                    continue
                service = self.services[need]
                condition = (
                    "service_completed_successfully" if service.get("one_shot")
                    else "service_healthy" if service.get("has_health") else "service_started"
                )  # fmt: skip
                waits[need] = {"condition": condition}
            elif need in self.stack.stores:
                waits[need] = {"condition": "service_healthy"}
        data = list(known.data) if known else []
        volumes, tmpfs = self._image_mounts(name, definition, data)
        names = [
            host for host, ours in self.found.hosts.items() if ours == name and host != name
        ]  # fmt: skip
        return {
            "image": image,
            "entrypoint": self._command(definition.entrypoint),
            "command": self._command(definition.command),
            **self._more(definition),
            "labels": self._labels(name, image, ports),
            "env_file": self._env_files(definition),
            "environment": self._environment(definition),
            "ports": self._ports(name, definition, ports),
            "volumes": [*volumes, *self._granted_files(definition)],
            "configs": self._granted_texts(definition),
            "tmpfs": [*definition.tmpfs, *tmpfs],
            "networks": {"default": {"aliases": _Flow(names)}} if names else {},
            "depends_on": waits,
            "healthcheck": {"<<": "*healthcheck", "test": health} if health else None,
        }

    def _labels(self, name: str, image: str, ports: Iterable[int]) -> Any:
        if not self.is_test:
            return None
        port = next(iter(ports), 0)
        if not port:
            return "*labels"
        scheme = SCHEMES.get(last_part(image), "tcp")
        variable = re.sub(r"\W", "_", name.upper())
        return {"<<": "*labels", "test.url": f"TEST_{variable}_URL={scheme}://HOST:{port}"}

    def _ports(self, name: str, definition: Definition, ports: Sequence[int]) -> list[str]:
        if self.is_test:
            return [f"127.0.0.1::{port}" for port in dict.fromkeys(ports)]
        result: list[str] = []
        for port in definition.ports:
            if port.host is None or port.host in self.taken:
                continue
            self.taken.add(port.host)
            variable = re.sub(r"\W", "_", name.upper()) + (
                "_PORT" if not result else f"_PORT_{port.container}"
            )
            result.append(f"127.0.0.1:${{{variable}:-{port.host}}}:{port.container}")
        return result

    def _image_mounts(
        self, name: str, definition: Definition, data: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """Return the volumes and the folders in memory of an image."""
        volumes: list[str] = []
        memory: list[str] = []
        for mount in definition.volumes:
            path = self.found.files.root / mount.source if mount.source else None
            is_data = mount.target in data or mount.kind == "volume" or (
                mount.kind == "bind" and path is not None and not path.exists()
            )  # fmt: skip
            if mount.kind == "bind" and not is_data:
                if text := self._bind(mount):
                    volumes.append(text)
            elif self.is_test and mount.kind == "volume" and len(self._users(mount)) > 1:
                self.volumes[mount.source] = {"labels": "*labels"}
                volumes.append(f"{mount.source}:{mount.target}")
            elif self.is_test:
                memory.append(mount.target)
            elif mount.kind == "volume" and mount.source:
                self.volumes[mount.source] = None
                volumes.append(f"{mount.source}:{mount.target}")
            else:
                self.volumes[f"{name}-data"] = None
                volumes.append(f"{name}-data:{mount.target}")
        used = {mount.target for mount in definition.volumes}
        for number, folder in enumerate(folder for folder in data if folder not in used):
            if self.is_test:
                memory.append(folder)
            else:
                volume = f"{name}-data" if not number else f"{name}-data-{number + 1}"
                self.volumes[volume] = None
                volumes.append(f"{volume}:{folder}")
        return volumes, memory


def _role_sql(user: str, password: str, database: str) -> str:
    """Return the script that creates their role, so that their connection strings work."""
    quoted = password.replace("'", "''")
    return (
        f"CREATE ROLE \"{user}\" LOGIN SUPERUSER PASSWORD '{quoted}';\n"
        f'ALTER DATABASE "{database}" OWNER TO "{user}";\n'
    )


def our_image(name: str) -> str:
    """Return the template's own image of PostgreSQL or a cache."""
    text = (Path(__file__).parent.parent / "includes/images.jinja").read_text(encoding="utf-8")
    match = re.search(rf"set {name} = '([^']+)'", text)
    return match[1] if match else ""


def _contains(folder: str, path: str) -> bool:
    """Whether a path is a folder, or is inside it."""
    return folder in (".", path) or path.startswith(f"{folder}/")


def _dumped(value: Mapping[str, Any]) -> str:
    text: str = yaml.dump(
        dict(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000
    )
    # Anchors are in the head of the file.
    text = re.sub(r"'(\*labels|\*healthcheck|<<)'", r"\1", text)
    return re.sub(r": null$", ":", text, flags=re.MULTILINE)
