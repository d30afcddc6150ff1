"""The list of services: read from the answers, checked as a whole, and resolved once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from .kinds import KINDS, Kind, kind_of
from .rules import AnswerError, check_name

#: The host ports that the backing services use in dev.
BACKING_PORT = {"database": 5432, "cache": 6379}


@dataclass(frozen=True)
class Door:
    """The address of an HTTP service, for the services that need it."""

    name: str
    env: str
    container_port: int
    port: int  #: on the developer's machine
    is_api: bool


@dataclass(frozen=True)
class Service:
    """One service, with everything that a template needs to know about it."""

    name: str
    kind: str
    language: str  #: the language of its tools: python, node, or empty if unknown
    minimum_version: list[int]  #: the oldest Node.js that its commands run on
    path: str  #: its folder, relative to the project's root
    package: str  #: its name as a Python package
    source: str  #: the folder of its code, relative to `path`
    src_root: str  #: the folder on PYTHONPATH, relative to `path`
    env: str  #: the prefix of its environment variables
    image: str  #: its name in the registry
    container_port: int  #: 0: it has no HTTP server
    dev_port: int  #: the same in dev
    port: int  #: on the developer's machine; 0: none
    needs: list[str]  #: the services that it calls
    doors: list[Door]  #: the needed services with an HTTP server
    database: bool  #: has its own database
    database_scheme: str  #: the scheme of its database's address
    migrate: str  #: the command, as a YAML list, that migrates its database; empty if there is none
    cache: bool  #: uses the cache
    worker: str  #: the service that runs its jobs
    does_jobs: bool
    queue: str  #: where its jobs are stored: redis, postgres, or empty if it has none
    calls_api: bool  #: calls the external API, which a stub replaces in tests
    is_page: bool  #: runs in a browser, so its container needs variables only in dev
    is_own: bool  #: written by the user; the template has at most a placeholder
    stack: list[str]  #: the services of its service tests: itself and its direct needs
    published: bool  #: has a public port in prod, because no other service needs it
    sections: list[str]  #: its routes under /api, or the sections of its page
    api: Door | None  #: the service to which a page forwards /api
    dev_target: bool  #: its Dockerfile has a stage `dev`
    mounts: list[str]  #: paths that dev mounts, relative to `path`
    commands: dict[str, list[str]]  #: the commands of its Makefile, by target
    select: str  #: how its test tool selects tests by name


@dataclass
class _Item:
    """A service from the answers, not yet checked against the other services."""

    name: str
    kind: str
    needs: list[str] | None = None
    port: int | None = None

    @property
    def row(self) -> Kind:
        return KINDS[self.kind]


def parse(services: Any) -> list[_Item]:
    """Parse the answer to `services`, in any of its forms.

    Raises:
        AnswerError: the answer has no valid form, or a service breaks a rule.
    """
    if services is None:  # YAML parses an empty text as None.
        services = ""
    if isinstance(services, str):
        services = [part for part in re.split(r"[,\n]", services) if part.strip()]
    if not isinstance(services, Sequence):
        raise AnswerError(
            f"services {services!r} is of type {type(services).__name__}; enter a line such as "
            "'api, worker, frontend' or 'api:python-api, web:node-web' (without a space after the "
            "colon), or a YAML list"
        )
    if not services:
        raise AnswerError("services is empty; name at least one service, such as 'api'")
    items = [_parse_item(item) for item in services]
    seen: set[str] = set()
    for item in items:
        if item.name in seen:
            raise AnswerError(
                f"service {item.name!r} is named twice; give each service its own name"
            )
        seen.add(item.name)
    return items


def _parse_item(item: Any) -> _Item:
    if isinstance(item, str):
        before, colon, after = (part.strip() for part in item.partition(":"))
        item = {"name": before, "kind": after} if colon else {"name": before}
    if not isinstance(item, Mapping):
        raise AnswerError(
            f"service {item!r} is of type {type(item).__name__}; write its name, 'NAME:KIND', or a "
            "mapping with name, kind, needs and port"
        )
    unknown = sorted(str(key) for key in item if key not in ("name", "kind", "needs", "port"))
    if unknown:
        hint = ""
        [(key, value), *more] = item.items()
        if not more and isinstance(value, str) and value in KINDS:
            hint = f"; to choose the kind, write {f'{key}:{value}'!r}"
        raise AnswerError(
            f"service {dict(item)!r} has the unknown key {unknown[0]!r}; the keys are name, kind, "
            f"needs and port{hint}"
        )
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise AnswerError(f"service {dict(item)!r} has no name; give it one, such as 'api'")
    check_name(name)
    kind = item.get("kind", kind_of(name))
    if not isinstance(kind, str) or kind not in KINDS:
        raise AnswerError(
            f"service {name!r} has the unknown kind {kind!r}; choose one of {', '.join(KINDS)}"
        )
    needs = item.get("needs")
    if isinstance(needs, str):
        needs = [need.strip() for need in needs.split(",") if need.strip()]
    if needs is not None and not (
        isinstance(needs, Sequence) and all(isinstance(need, str) for need in needs)
    ):
        raise AnswerError(f"service {name!r} needs {needs!r}; give a list of service names")
    return _Item(name, kind, None if needs is None else list(dict.fromkeys(needs)), _port(item))


def _port(item: Mapping[str, Any]) -> int | None:
    port = item.get("port")
    if port is None:
        return None
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise AnswerError(
            f"service {item['name']!r} has the port {port!r}; give a whole number from 1 to 65535"
        )
    return port


def _assign_ports(items: list[_Item], taken: dict[int, str]) -> dict[str, int]:
    """Assign the ports in dev: the port in the answer, else the next free port of the kind.

    Each kind has its own range, so that a new API does not change the port of the web page.
    """
    ports: dict[str, int] = {}
    for item in items:
        if item.port is None:
            continue
        if not item.row.container_port:
            raise AnswerError(
                f"service {item.name!r} is a {item.kind}, which does not answer HTTP; remove its port"
            )
        if item.port in taken:
            raise AnswerError(
                f"service {item.name!r} has the port {item.port}, which {taken[item.port]} uses; "
                "give it another port"
            )
        taken[item.port] = item.name
        ports[item.name] = item.port
    for item in items:
        if item.name in ports or not item.row.container_port:
            continue
        port = item.row.first_port
        while port in taken:
            port += 1
        taken[port] = item.name
        ports[item.name] = port
    return ports


def _resolve_needs(items: list[_Item], backing: Mapping[str, bool]) -> dict[str, list[str]]:
    """Complete the needs of each service; refuse unknown names and cycles."""
    names = [item.name for item in items]
    for item in items:
        for need in item.needs or []:
            if need in backing and item.row.is_own:
                if not backing[need]:
                    raise AnswerError(
                        f"service {item.name!r} needs the {need}, which this project does not "
                        f"have; choose one in the question {need!r}"
                    )
            elif need == item.name:
                raise AnswerError(f"service {item.name!r} needs itself; remove this need")
            elif need not in names:
                others = ", ".join(name for name in names if name != item.name)
                raise AnswerError(
                    f"service {item.name!r} needs {need!r}, which is not a service of this project; "
                    + (f"choose from {others}" if others else "remove this need")
                )
    needs = {item.name: item.needs or [] for item in items}
    _refuse_cycle(needs)
    for item in items:
        if item.needs is not None:
            continue
        for kind in item.row.needs:
            default = next((other.name for other in items if other.kind == kind), None)
            if default is None:
                continue
            try:
                _refuse_cycle({**needs, item.name: [default]})
            except AnswerError:  # Explicit needs take precedence over a default.
                continue
            needs[item.name] = [default]
            break
    return needs


def _refuse_cycle(needs: Mapping[str, list[str]]) -> None:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise AnswerError(
            f"services need one another in a cycle ({cycle}); remove one of these needs"
        ) from None


def resolve(
    *,
    layout: str,
    services: Any,
    service_kind: str,
    database: str,
    cache: str,
    project_slug: str,
    registry: str,
) -> list[Service]:
    """Compute the list of services from the answers.

    Raises:
        AnswerError: an answer breaks a rule, alone or together with another answer.
    """
    multi = layout == "multi"
    backing = {"database": database != "none", "cache": cache != "none"}
    if multi:
        items = parse(services)
    else:
        # A single service uses every backing service that was chosen.
        chosen = [name for name, there in backing.items() if there]
        items = [_Item("app", service_kind)]
        if items[0].row.is_own:
            items[0].needs = chosen
    queue = "redis" if backing["cache"] else "postgres" if backing["database"] else ""
    workers = [item.name for item in items if item.row.does_jobs]
    if workers and not queue:
        raise AnswerError(
            f"service {workers[0]!r} runs background jobs, which are stored in the cache or in "
            "the database; choose a cache, or database=postgres"
        )
    taken = {port: f"the {name}" for name, port in BACKING_PORT.items() if backing[name]}
    ports = _assign_ports(items, taken)
    needs = _resolve_needs(items, backing)
    wanted = {need for all_needs in needs.values() for need in all_needs}
    doors = {
        item.name: Door(
            item.name,
            _env(item.name),
            item.row.container_port,
            ports[item.name],
            item.row.is_api,
        )
        for item in items
        if item.row.container_port
    }

    found: dict[str, Service] = {}
    # A page shows what its API offers, so the pages come last.
    for item in sorted(items, key=lambda item: item.row.is_page):
        row = item.row
        package = item.name.replace("-", "_")
        source = "src" if row.language == "node" else package if multi else f"src/{package}"
        own_needs = [need for need in needs[item.name] if need not in backing]
        own_doors = [doors[need] for need in own_needs if need in doors]
        worker = next((need for need in own_needs if row.defers_jobs and need in workers), "")
        own_queue = queue if worker or row.does_jobs else ""
        has_database = (
            (row.has_database and backing["database"])
            or (row.does_jobs and queue == "postgres")
            or "database" in needs[item.name]
        )
        api = None
        sections: list[str] = []
        if row.is_api:
            offers = {"items": has_database, "rates": True, "jobs": bool(worker)}
            sections = [name for name, is_offered in offers.items() if is_offered]
        if row.is_page:
            api = next((door for door in own_doors if door.is_api), None)
            sections = found[api.name].sections if api else ["greeting"]
            api = api or next(iter(own_doors), None)
        found[item.name] = Service(
            name=item.name,
            kind=item.kind,
            language=row.language,
            minimum_version=list(row.minimum_version),
            path=f"services/{item.name}" if multi else ".",
            package=package,
            source=source,
            src_root="." if multi else "src",
            env=_env(item.name),
            image=f"{registry}/{project_slug}-{item.name}"
            if multi
            else f"{registry}/{project_slug}",
            container_port=row.container_port,
            dev_port=row.dev_port or row.container_port,
            port=ports.get(item.name, 0),
            needs=own_needs,
            doors=own_doors,
            database=has_database,
            database_scheme=row.database_scheme,
            migrate=row.migrate if row.has_database and has_database else "",
            cache=(row.uses_cache and backing["cache"]) or "cache" in needs[item.name],
            worker=worker,
            does_jobs=row.does_jobs,
            queue=own_queue,
            calls_api=row.calls_api,
            is_page=row.is_page,
            is_own=row.is_own,
            stack=[item.name, *own_needs],
            published=item.name in doors and item.name not in wanted,
            sections=sections,
            api=api,
            dev_target=row.dev_target,
            mounts=[mount.format(source=source) for mount in row.mounts],
            commands=_commands(row, scripts="../../scripts" if multi else "scripts"),
            select=row.select,
        )
    return [found[item.name] for item in items]


def _commands(row: Kind, scripts: str) -> dict[str, list[str]]:
    """Return the commands of a kind's Makefile, by target."""
    targets = ("setup", "test_unit", "test_service", "lint", "format", "lock")
    return {
        target: str(asdict(row)[target]).replace("{scripts}", scripts).splitlines()
        for target in targets
    }


def _env(name: str) -> str:
    return name.replace("-", "_").upper()


def front_door(services: Sequence[Mapping[str, Any]]) -> str:
    """Name the service that the integration tests use; empty if no service has an HTTP server."""
    doors = [service for service in services if service["container_port"]]
    best = max(doors, key=lambda service: KINDS[service["kind"]].front_door, default=None)
    return str(best["name"]) if best else ""


def by_kind(services: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the services by kind. Template paths use the keys, so they have underscores."""
    return {
        kind.replace("-", "_"): [service for service in services if service["kind"] == kind]
        for kind in KINDS
    }
