"""Guesses the variables in which existing tests look for the address of a container.

The runner passes addresses to tests by labels on containers. Tests that existed before have names of
their own for them. These come from two places: the variables that the compose file sets to the name of
a container, and the defaults in the tests, such as `os.environ.get("API_URL", "http://localhost:8000")`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .discovery import Found
from .source_files import SourceFiles

#: Where a program reads a variable, with a default or without one, in several languages.
READS = (
    re.compile(
        r"(?:environ\.get|getenv|ENV\.fetch)\(\s*[\"'](\w+)[\"']"
        r"(?:(?:\s*,|\)\s*(?:or|\?:|\?\?|\|\||\{))\s*f?[\"']([^\"'\n]*)[\"'])?"
    ),
    re.compile(r"(?:environ|ENV)\[[\"'](\w+)[\"']\](?:\s*\|\|\s*[\"']([^\"'\n]*)[\"'])?"),
    re.compile(r"process\.env\.(\w+)(?:\s*(?:\?\?|\|\|)\s*[\"'`]([^\"'`\n]*)[\"'`])?"),
    re.compile(r"(?:Getenv|LookupEnv|GetEnvironmentVariable)\(\s*\"(\w+)\"(?:\)\s*\?\?\s*\"([^\"\n]*)\")?"),
    # Functions with a default, of libraries or of the tests themselves.
    re.compile(
        r"\b(?:[gG]et_?[eE]nv|env_?[oO]r|env(?:\.str)?|getOrDefault)\(\s*[\"'](\w+)[\"']"
        r"\s*,\s*(?:default\s*=\s*)?[\"']([^\"'\n]*)[\"']"
    ),
    re.compile(r"\$\{(\w+):-([^}\n]*)\}"),
)  # fmt: skip

#: A file without any of these words reads no variable.
WORDS_OF_READS = (
    "environ",
    "getenv",
    "Getenv",
    "ENV",
    "process.env",
    "LookupEnv",
    "GetEnvironmentVariable",
    "env(",
    "env.str(",
    "Env(",
    "envOr",
    "env_or",
    "OrDefault",
    "${",
)

#: The endings of files with sources.
SOURCES = (".py", ".js", ".ts", ".mjs", ".cjs", ".go", ".rb", ".php", ".java", ".rs", ".kt", ".cs")

#: A file that belongs to tests.
IS_TEST = re.compile(
    r"(^|[/._-])(tests?|specs?|e2e|integration|conftest|smoke|functional)([/._-]|$)", re.IGNORECASE
)

#: An address on the own machine, in a default.
LOCAL = re.compile(r"(?<![\w.-])(?:localhost|127\.0\.0\.1|0\.0\.0\.0):(\d+)")

#: Variables that name the system under test and no service.
GENERAL = re.compile(
    r"(BASE|APP|API|SERVER|SERVICE|TARGET|SUT|TEST|HOST)_?(BASE)?_?(URL|URI|ADDRESS|ENDPOINT)"
)

SUFFIX = re.compile(r"_?(BASE)?_?(URL|URI|API|ADDR|ADDRESS|ENDPOINT)$")

#: By backing service, the port of its container.
STORE_PORTS = {"database": 5432, "cache": 6379}

Labels = dict[str, dict[str, str]]


def address_labels(
    found: Found, services: Sequence[Mapping[str, Any]], scope: str, names: Sequence[str]
) -> Labels:
    """Return labels that give tests the addresses in their own variables, by container.

    Args:
        found: what the project contained before.
        services: the services with their properties, as in the answer `service_list`.
        scope: the service whose tests run, or `full` for the integration tests.
        names: the containers of the stack.
    """
    of_name = {str(service["name"]): service for service in services}
    reads = _reads(found, services, scope)
    labels: Labels = {}
    seen: set[str] = set()

    def add(container: str, kind: str, variable: str, value: str) -> None:
        if container in names and variable not in seen:
            seen.add(variable)
            labels.setdefault(container, {})[f"test.{kind}.{variable}"] = f"{variable}={value}"

    ports = _ports(found, services, scope)
    for variable, default in reads.items():
        if match := LOCAL.search(default):
            container, port = ports.get(int(match[1]), ("", 0))
            add(container, "url", variable, default.replace(match[0], f"HOST:{port}"))
    for name in [scope, *of_name] if scope != "full" else of_name:
        for variable, value in _settings(found, name):
            named = any(host in value for host in found.hosts) or variable.endswith("PORT")
            if not named or (
                variable not in reads and not _is_read(found, of_name.get(name), variable)
            ):
                continue
            for host, container in found.hosts.items():
                own_port = _container_port(container, of_name, found)
                if value == host and own_port:
                    add(container, "host", variable, str(own_port))
                elif match := re.search(
                    rf"(?:(?<=//)|(?<=[@,])){re.escape(host)}(?::(\d+))?(?=[/?,]|$)", value
                ):
                    port = int(match[1] or own_port)
                    url = value[: match.start()] + f"HOST:{port}" + value[match.end() :]
                    if port:
                        add(container, "url", variable, url)
                elif value == f"{host}:{own_port}":
                    add(container, "url", variable, f"HOST:{own_port}")
            if variable.endswith("PORT") and value.isdigit():
                partner = variable.removesuffix("PORT").rstrip("_")
                for label in [key for found_labels in labels.values() for key in found_labels]:
                    if label.startswith(f"test.host.{partner}"):
                        container = next(c for c, keys in labels.items() if label in keys)
                        if _container_port(container, of_name, found) == int(value):
                            add(container, "port", variable, value)
                            break
    for variable, default in reads.items():
        if default or variable in seen:
            continue
        container = _by_name(variable, scope, services)
        if container:
            add(container, "url", variable, f"http://HOST:{of_name[container]['container_port']}")
    return labels


def looks_for_addresses(
    found: Found, services: Sequence[Mapping[str, Any]], scope: str, names: Sequence[str]
) -> bool:
    """Whether the tests of a service use the address of a container, or skip without one."""
    labels = address_labels(found, services, scope, names)
    variables = {label.split(".")[2] for keys in labels.values() for label in keys}
    return bool(variables) and any(
        "skip" in text.lower() or any(variable in text for variable in variables)
        for text in map(found.files.read, _test_files(found, services, scope))
    )


def needs_addresses(
    found: Found, services: Sequence[Mapping[str, Any]], scope: str, names: Sequence[str]
) -> bool:
    """Whether the tests of a service fail without the address of a container.

    They read it without a default, and no test skips itself.
    """
    reads = _reads(found, services, scope)
    labels = address_labels(found, services, scope, names)
    variables = {label.split(".")[2] for keys in labels.values() for label in keys}
    texts = [found.files.read(name) for name in _test_files(found, services, scope)]
    is_read = any(variable in variables and not default for variable, default in reads.items())
    return is_read and not any("skip" in text.lower() for text in texts)


def _test_files(found: Found, services: Sequence[Mapping[str, Any]], scope: str) -> Iterator[str]:
    """Yield the files of the tests that run against a stack."""
    homes = [str(service["home"]) for service in services if service["name"] == scope]
    others = [str(service["home"]) for service in services if service["home"] != "."]
    for name in found.files.names:
        if not IS_TEST.search(name):
            continue
        if homes:
            inside = any(home == "." or name.startswith(f"{home}/") for home in homes)
        else:
            inside = not any(name.startswith(f"{home}/") for home in others)
        if inside:
            yield name


def _reads(found: Found, services: Sequence[Mapping[str, Any]], scope: str) -> dict[str, str]:
    """Return the variables that tests read, each with its default or an empty text."""
    names = tuple(_test_files(found, services, scope))
    known = found.files.memory.get(("reads", names))
    if known is None:
        known = {}
        for text in map(found.files.read, names):
            if any(word in text for word in WORDS_OF_READS):
                for pattern in READS:
                    for match in pattern.finditer(text):
                        # Another place may read the same variable without a default.
                        known[match[1]] = match[2] or known.get(match[1], "")
        found.files.memory["reads", names] = known
    reads: dict[str, str] = known
    return reads


def _is_read(found: Found, service: Mapping[str, Any] | None, variable: str) -> bool:
    """Whether the sources of a service contain a variable, in any case, as settings classes have it."""
    if service is None:
        return False
    files, home = found.files, str(service["home"])
    wanted = frozenset(
        name.lower() for entry in found.entries.values() for name in entry.plain.environment
    )
    key = ("variables", home, wanted)
    if key not in files.memory:
        files.memory[key] = _contained(files, home, wanted)
    return variable.lower() in files.memory[key]


def _contained(files: SourceFiles, home: str, words: Iterable[str]) -> set[str]:
    """Return those of some words, in lower case, that the sources in a folder contain."""
    missing = {word: re.compile(rf"\b{re.escape(word)}\b") for word in words}
    contained: set[str] = set()
    for name in files.below(home):
        if missing and name.endswith(SOURCES):
            text = files.read(name).lower()
            # Searching for a plain text takes far less time than a pattern.
            new = {word for word, p in missing.items() if word in text and p.search(text)}
            contained |= new
            for word in new:
                del missing[word]
    return contained


def _settings(found: Found, name: str) -> Iterator[tuple[str, str]]:
    """Yield the variables that the compose file sets for a service."""
    entry = found.entries.get(name)
    if entry is None:
        return
    for variable, value in entry.plain.environment.items():
        variables = found.composition.variables
        yield variable, variables.value(variable) if value is None else variables.fixed(value)


def _container_port(container: str, services: Mapping[str, Mapping[str, Any]], found: Found) -> int:
    if container in services:
        return int(services[container]["container_port"])
    if container in STORE_PORTS:
        return STORE_PORTS[container]
    entry = found.backing.get(container)
    ports = [port.container for port in entry.plain.ports] if entry else []
    return next(iter(ports), 0)


def _ports(
    found: Found, services: Sequence[Mapping[str, Any]], scope: str
) -> dict[int, tuple[str, int]]:
    """Return the container and its port behind each port of a developer's machine."""
    ports: dict[int, tuple[str, int]] = {}
    ordered = sorted(services, key=lambda service: service["name"] != scope)
    for key in ("port", "container_port"):
        for service in ordered:
            if service[key]:
                ports.setdefault(
                    int(service[key]), (str(service["name"]), int(service["container_port"]))
                )
    for name, port in STORE_PORTS.items():
        entry = found.stores.get(name)
        for stated in entry.plain.ports if entry else ():
            if stated.host:
                ports.setdefault(stated.host, (name, port))
        ports.setdefault(port, (name, port))
    for name, entry in found.backing.items():
        for stated in entry.plain.ports:
            ports.setdefault(stated.host or stated.container, (name, stated.container))
    return ports


def _by_name(variable: str, scope: str, services: Sequence[Mapping[str, Any]]) -> str:
    """Return the service that a variable names; empty if none is sure."""
    http = {str(service["name"]): service for service in services if service["container_port"]}
    word = SUFFIX.sub("", variable).lower().replace("_", "-")
    if not SUFFIX.search(variable):
        return ""
    for name, service in http.items():
        if word in (name, *service["aliases"]):
            return name
    if GENERAL.fullmatch(variable):
        if scope in http:
            return scope
        return next(iter(http)) if len(http) == 1 else ""
    return ""
