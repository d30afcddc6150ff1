"""The list of services: read from the answers, checked as a whole, and resolved once."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from .items import Item, is_url_path, parse
from .kinds import KINDS, Kind
from .rules import AnswerError

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
    path: str  #: the folder of the template's files for it, relative to the project's root
    home: str  #: the folder of its sources; the same as `path`, unless it stays where it is
    context: str  #: the build context, relative to the project's root
    dockerfile: str  #: relative to the context; empty: Dockerfile
    target: str  #: the stage of the image; empty: the last one
    has_build_details: bool  #: it is not built from the Dockerfile in `path`
    dev_target: str  #: the stage of the image in dev
    package: str  #: its name as a Python package
    source: str  #: the folder of its code, relative to `path`
    src_root: str  #: the folder on PYTHONPATH, relative to `path`
    env: str  #: the prefix of its environment variables
    image: str  #: its name in the registry
    container_port: int  #: 0: it has no HTTP server
    dev_port: int  #: the same in dev
    port: int  #: on the developer's machine; 0: none
    health: str  #: the command of its health check, as a YAML list; empty: its image has one
    health_path: str  #: the path that answers 200 if it is healthy; empty if it is not known
    has_health: bool  #: whether it has a health check at all
    one_shot: bool  #: runs once, to its end, and others may wait for that
    awaited: bool  #: another service needs it
    aliases: list[str]  #: further names by which others reach it
    needs: list[str]  #: the services that it calls
    waits_for: dict[str, str]  #: the services that must be ready before it starts, and how
    doors: list[Door]  #: the needed services with an HTTP server
    database: bool  #: has its own database
    database_scheme: str  #: the scheme of its database's address
    migrate: str  #: the command, as a YAML list, that migrates its database; empty if there is none
    cache: bool  #: uses the cache
    worker: str  #: the service that runs its jobs
    does_jobs: bool
    queue: str  #: where its jobs are stored: redis, postgres, or empty if it has none
    calls_api: bool  #: calls the external API, which a stub replaces in tests
    is_api: bool  #: it has routes under /api, with a documentation
    is_page: bool  #: runs in a browser, so its container needs variables only in dev
    observed: bool  #: its code reads LOG_FORMAT and the variables of OpenTelemetry
    is_own: bool  #: written by the user; the template has at most a placeholder
    stack: list[str]  #: the services of its service tests: itself and its direct needs
    published: bool  #: has a public port in prod, because no other service needs it
    sections: list[str]  #: its routes under /api, or the sections of its page
    api: Door | None  #: the service to which a page forwards /api
    reloads: bool  #: in dev, its stage reloads the mounted sources
    mounts: list[str]  #: folders that dev mounts, relative to `path`
    mounts_folder: bool  #: dev also mounts `path`
    commands: dict[str, list[str]]  #: the commands of its Makefile, by target
    select: str  #: how its test tool selects tests by name


def _assign_ports(items: list[Item], taken: dict[int, str]) -> dict[str, int]:
    """Assign the ports in dev: the port in the answer, else the next free port of the kind.

    Each kind has its own range, so that a new API does not change the port of the web page. A custom
    service keeps the number of its container's port if the answer states it and it is free.
    """
    ports: dict[str, int] = {}
    for item in items:
        if item.published is None:
            continue
        if not item.row.container_port:
            raise AnswerError(
                f"service {item.name!r} is a {item.kind}, which does not answer HTTP; remove its port"
            )
        if item.published in taken:
            raise AnswerError(
                f"service {item.name!r} has the port {item.published}, which {taken[item.published]} "
                "uses; give it another port"
            )
        taken[item.published] = item.name
        ports[item.name] = item.published
    for item in items:
        if item.name in ports or not item.container_port:
            continue
        port = item.row.first_port
        # Ports below 1024 need root on some machines.
        if item.port and item.port >= 1024 and item.port not in taken:
            port = item.port
        while port in taken:
            port += 1
        taken[port] = item.name
        ports[item.name] = port
    return ports


def _resolve_needs(items: list[Item], backing: Mapping[str, bool]) -> dict[str, list[str]]:
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
    kept: Container[str] = (),
) -> list[Service]:
    """Compute the list of services from the answers. It may keep the names in `kept`.

    Raises:
        AnswerError: an answer breaks a rule, alone or together with another answer.
    """
    multi = layout == "multi"
    backing = {"database": database != "none", "cache": cache != "none"}
    if multi:
        items = parse(services, kept)
    else:
        # A single service uses every backing service that was chosen.
        chosen = [name for name, there in backing.items() if there]
        items = [Item("app", service_kind)]
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
            item.container_port,
            ports[item.name],
            item.row.is_api,
        )
        for item in items
        if item.container_port
    }

    by_name = {item.name: item for item in items}
    _check_aliases(items)
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
        path = f"services/{item.name}" if multi else "."
        home = item.path or path
        found[item.name] = Service(
            name=item.name,
            kind=item.kind,
            language=item.language or row.language,
            minimum_version=list(row.minimum_version),
            path=path,
            home=home,
            context=item.context or home,
            dockerfile=item.dockerfile,
            target=item.target,
            has_build_details=bool(
                item.target or item.dockerfile or (item.context or home) != path
            ),
            dev_target="dev" if row.dev_target else item.target,
            package=package,
            source=source,
            src_root="." if multi else "src",
            env=_env(item.name),
            image=f"{registry}/{project_slug}-{item.name}"
            if multi
            else f"{registry}/{project_slug}",
            container_port=item.container_port,
            dev_port=row.dev_port or item.container_port,
            port=ports.get(item.name, 0),
            health=_health_command(item),
            health_path=_health_path(item),
            has_health=_has_health(item),
            one_shot=item.one_shot,
            awaited=item.name in wanted,
            aliases=item.aliases,
            needs=own_needs,
            waits_for=_waits_for(own_needs, by_name),
            doors=own_doors,
            database=has_database,
            database_scheme=row.database_scheme,
            migrate=row.migrate if row.has_database and has_database else "",
            cache=(row.uses_cache and backing["cache"]) or "cache" in needs[item.name],
            worker=worker,
            does_jobs=row.does_jobs,
            queue=own_queue,
            calls_api=row.calls_api,
            is_api=row.is_api,
            is_page=row.is_page,
            observed=row.calls_api or row.does_jobs,
            is_own=row.is_own,
            stack=[item.name, *_stack(item.name, own_needs, needs, by_name)],
            published=item.name in doors and item.name not in wanted,
            sections=sections,
            api=api,
            reloads=row.dev_target,
            mounts=[mount.format(source=source) for mount in row.mounts],
            mounts_folder=row.mounts_folder,
            commands=_commands(row, scripts="../../scripts" if multi else "scripts"),
            select=row.select,
        )
    return [found[item.name] for item in items]


def _check_aliases(items: Sequence[Item]) -> None:
    """Refuse an alias that is the name or the alias of another service."""
    taken = {item.name: item.name for item in items} | {
        name: f"the {name}" for name in BACKING_PORT
    }
    for item in items:
        for alias in item.aliases:
            owner = taken.setdefault(alias, item.name)
            if owner != item.name:
                raise AnswerError(
                    f"service {item.name!r} has the alias {alias!r}, which is a name of {owner}; remove "
                    "the alias"
                )


def _has_health(item: Item) -> bool:
    """Whether a service has a health check. Without HTTP, it must be stated for a custom service."""
    if item.row.is_own and not item.http and item.health == "":
        return False
    return item.health is not None and not item.one_shot


def _health_path(item: Item) -> str:
    """Return the path of the health check. A service that stays where it is may have any path."""
    if is_url_path(item.health):
        return str(item.health)
    return "" if item.path or item.health != "" else "/health"


def _health_command(item: Item) -> str:
    """Return the command of the health check as a YAML list; empty if the image has one.

    The image must contain the program that asks a URL. The language of the service decides which
    one that is.
    """
    health = item.health
    if not health or item.one_shot:
        return ""
    if not is_url_path(health):
        words = ["CMD-SHELL", health] if isinstance(health, str) else ["CMD", *health]
        # Compose would replace variables, and the container's shell must do so.
        return json.dumps([word.replace("$", "$$") for word in words], ensure_ascii=False)
    url = f"http://127.0.0.1:{item.container_port}{health}"
    language = item.language or item.row.language
    if language == "python":
        code = f"import urllib.request as r; r.urlopen('{url}', timeout=4)"
        return f'[CMD, python, -c, "{code}"]'
    if language == "node":
        code = f"fetch('{url}').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"
        return f'[CMD, node, -e, "{code}"]'
    return f'[CMD-SHELL, "wget -q -O /dev/null {url} || curl -fsS -o /dev/null {url}"]'


def _waits_for(needs: Sequence[str], items: Mapping[str, Item]) -> dict[str, str]:
    """Return the condition of Compose for each need that must be ready first.

    Nothing waits for a worker of the template, because jobs are stored until it takes them.
    """
    conditions = {}
    for need in needs:
        item = items[need]
        if item.one_shot:
            conditions[need] = "service_completed_successfully"
        elif item.container_port or item.row.is_own:
            conditions[need] = "service_healthy" if _has_health(item) else "service_started"
    return conditions


def _stack(
    name: str, own_needs: Sequence[str], needs: Mapping[str, list[str]], items: Mapping[str, Item]
) -> list[str]:
    """Return the services that a service's tests start beside it: its direct needs.

    A service that stays where it is may not start without its own needs, so these are included. So
    are the services of the same folder: they are one program, and its tests cover all of them.
    """
    found: list[str] = []
    shared = [
        other.name
        for other in items.values()
        if other.path and other.path == items[name].path and other.name != name
    ]
    waiting = [*own_needs, *shared]
    while waiting:
        member = waiting.pop(0)
        if member in found or member == name:
            continue
        found.append(member)
        if items[member].path:
            waiting += [need for need in needs[member] if need in items]
    return found


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
