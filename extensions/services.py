"""The service list: parsed, checked and resolved once, so that templates only read it.

Copier loads this file by its path, so it stands alone: it imports nothing from its neighbours
(in an update, a second module would still be the one of the older template).
"""

from __future__ import annotations

import json
import keyword
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from copier.errors import UserMessageError
from jinja2 import Environment, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context

KINDS = ("python-api", "python-worker", "node-web", "custom")

#: The kind that a name stands for where none is given; any other name is a python-api.
KIND_BY_WORD = {
    **dict.fromkeys(("worker", "jobs", "consumer", "scheduler"), "python-worker"),
    **dict.fromkeys(("frontend", "web", "ui", "dashboard"), "node-web"),
}

#: The port that a kind listens on inside its container; 0: it answers no HTTP.
CONTAINER_PORT = {"python-api": 8000, "python-worker": 0, "node-web": 8080, "custom": 8000}

#: Where a kind's ports start on a developer's machine. Each kind counts for itself, so that
#: adding an api does not move the web page.
FIRST_PORT = {"python-api": 8000, "node-web": 8080, "custom": 9000}

#: The host ports that the backing services take in dev.
BACKING_PORT = {"database": 5432, "cache": 6379}

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_NAME = 30
SLUG = re.compile(r"[a-z][a-z0-9-]*")
MAX_SLUG = 40

#: An image name without its last part: a host with an optional port, then lower-case folders.
REGISTRY = re.compile(
    r"[a-z0-9]+((\.|-+)[a-z0-9]+)*(:[0-9]+)?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
)

#: Names that would collide with something, by what they would collide with.
RESERVED: Mapping[str, frozenset[str]] = {
    # What is newer than the Python that runs Copier is spelt out: services run on another one.
    # So is `test`, which that list leaves out.
    "a Python keyword": frozenset([*keyword.kwlist, *keyword.softkwlist, "type"]),
    "a module of Python's standard library": sys.stdlib_module_names
    | {"annotationlib", "compression", "profiling", "test"},
    "a library that the services use": frozenset(
        "alembic anyio fastapi httpx httpx2 psycopg pydantic pydantic-settings pytest redis saq "
        "sqlalchemy starlette tenacity typing-extensions uvicorn watchfiles".split()
    ),
    "a backing service or a helper of this project": frozenset(
        "cache database database-setup full migrate postgres rates stub".split()
    ),
    "a word of Compose's own": frozenset(
        "build compose configs default deploy extends include name networks profiles secrets "
        "services version volumes".split()
    ),
    "a folder of the layout": frozenset("migrations scripts src tests".split()),
    # Copier compares folders with filecmp, which ignores these names.
    "a version-control folder": frozenset("bzr cvs darcs git hg rcs svn tags".split()),
    "a device name on Windows": frozenset(
        ["aux", "con", "nul", "prn"] + [f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10)]
    ),
}


class Refusal(ValueError):
    """A bad answer. Its text is one line: the value, the rule, and a way out."""


@dataclass(frozen=True)
class Door:
    """A service that answers HTTP, as the service that needs it sees it."""

    name: str
    env: str
    kind: str
    container_port: int


@dataclass(frozen=True)
class Service:
    """One service, with everything that a template has to know of it."""

    name: str
    kind: str
    path: str  #: its folder, from the project's root
    package: str  #: the Python package with its source
    source: str  #: that package's folder, from `path`
    src_root: str  #: what goes on Python's path, from `path`
    env: str  #: the prefix of its environment variables
    image: str  #: what it is called in the registry
    container_port: int  #: 0: it answers no HTTP
    port: int  #: on the developer's machine; 0: none
    needs: list[str]  #: the services it talks to
    doors: list[Door]  #: those of them that answer HTTP
    database: bool  #: has a database of its own
    cache: bool  #: uses the cache
    worker: str  #: the python-worker it defers jobs to
    queue: str  #: what keeps the jobs it defers or does: redis, postgres, or nothing
    stack: list[str]  #: the services of its service tests: itself and its direct needs
    published: bool  #: reached from outside in prod: no other service needs it
    api: Door | None = None  #: of a node-web: where its /api leads
    sections: Sequence[str] = ()  #: of a node-web: what its page shows, each a file in src/


@dataclass
class _Item:
    """A service as the answers give it: checked one by one, not yet against the others."""

    name: str
    kind: str
    needs: list[str] | None
    port: int | None


def slug(text: str) -> str:
    """Make a project slug out of any text, `my-project` where nothing of it can be kept."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_text).lstrip("-0123456789")
    return words[:MAX_SLUG].strip("-") or "my-project"


def quoted(text: str) -> str:
    """Write text as a string literal that YAML, TOML, JSON, Python and TypeScript all read."""
    return json.dumps(text, ensure_ascii=False)


def markdown(text: str) -> str:
    """Escape what Markdown would take for markup."""
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", text)


def git_config(key: str) -> str:
    """Read a key of the user's git configuration; empty where git or the key is missing."""
    try:
        found = subprocess.run(
            ["git", "config", "--get", key], capture_output=True, text=True, errors="replace"
        )
    except OSError:
        return ""
    return found.stdout.strip()


def check_text(what: str, value: str, *, required: bool = False) -> None:
    """Refuse text that is not one line of printable characters."""
    if required and not value.strip():
        raise Refusal(f"{what} is empty: give it some text")
    # Bidirectional text needs its format characters (Cf); everything else of category C and the
    # line and paragraph separators would break a line or vanish in the files.
    bad = [c for c in value if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")]
    if bad:
        raise Refusal(
            f"{what} holds {bad[0]!a}: it must be one line of printable text; leave that out"
        )


def check_slug(value: str) -> None:
    """Refuse a slug that could not be part of a container's, a network's and an image's name."""
    if not SLUG.fullmatch(value) or value.endswith("-") or "--" in value:
        raise Refusal(
            f"project_slug {value!r} must start with a letter and hold only a-z, 0-9 and single "
            f"hyphens; try {slug(value)!r}"
        )
    if len(value) > MAX_SLUG:
        raise Refusal(
            f"project_slug {value!r} has {len(value)} characters, {MAX_SLUG} at most; "
            f"try {slug(value)!r}"
        )


def check_registry(value: str) -> None:
    """Refuse a registry that no image name could start with."""
    if not REGISTRY.fullmatch(value):
        raise Refusal(
            f"registry {value!r} must be HOST[:PORT][/OWNER] in lower case, without a scheme or a "
            "slash at its end; try 'ghcr.io/my-org'"
        )


def check_layout(layout: str, previous: Mapping[str, Any]) -> None:
    """Refuse to turn a project of many services back into one of a single service."""
    if layout == "single" and previous.get("layout") == "multi":
        raise Refusal(
            "layout 'single' is no way back from 'multi': services have folders and stages of tests "
            "that a single one has no place for; take services off the list instead, or generate a "
            "new project"
        )


def check_name(name: str) -> None:
    """Refuse a service name that is no DNS label, or no Python package, or shadows something."""
    if len(name) > MAX_NAME:
        raise Refusal(
            f"service name {name!r} has {len(name)} characters, {MAX_NAME} at most; shorten it"
        )
    if not NAME.fullmatch(name):
        guess = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789").strip("-") or "api"
        raise Refusal(
            f"service name {name!r} must start with a letter and hold only a-z, 0-9 and single "
            f"hyphens; try {guess!r}"
        )
    package = name.replace("-", "_")
    for what, words in RESERVED.items():
        if name in words or package in words:
            raise Refusal(
                f"service name {name!r} is taken: it is {what}; try {name + '-service'!r}"
            )
    if name.endswith("-migrate"):
        raise Refusal(
            f"service name {name!r} must not end in '-migrate', which runs a service's migrations; "
            f"try {name.removesuffix('-migrate') + '-mover'!r}"
        )
    if name.startswith("pg-"):
        raise Refusal(
            f"service name {name!r} must not start with 'pg-': its role would be {package!r}, and "
            f"PostgreSQL keeps 'pg_…' for itself; try {'postgres' + name.removeprefix('pg')!r}"
        )


def kind_of(name: str) -> str:
    """Read a kind from a service's name, word by word: `email-worker` is a python-worker."""
    kinds = (KIND_BY_WORD[word] for word in name.split("-") if word in KIND_BY_WORD)
    return next(kinds, "python-api")


def parse(services: Any) -> list[_Item]:
    """Read the answer to `services` in any of its forms.

    Raises:
        Refusal: it has none of the forms, or one of its services breaks a rule.
    """
    if services is None:  # What YAML makes of an empty text.
        services = ""
    if isinstance(services, str):
        services = [part for part in re.split(r"[,\n]", services) if part.strip()]
    if not isinstance(services, Sequence):
        raise Refusal(
            f"services {services!r} is a {type(services).__name__}; give a line such as "
            "'api, worker, frontend' or 'api:python-api, web:node-web' (no space after the colon), "
            "or a YAML list"
        )
    if not services:
        raise Refusal("services is empty: name at least one, such as 'api'")
    items = [_parse_item(item) for item in services]
    seen: set[str] = set()
    for item in items:
        if item.name in seen:
            raise Refusal(f"service {item.name!r} is named twice; give each service its own name")
        seen.add(item.name)
    return items


def _parse_item(item: Any) -> _Item:
    if isinstance(item, str):
        before, colon, after = (part.strip() for part in item.partition(":"))
        item = {"name": before, "kind": after} if colon else {"name": before}
    if not isinstance(item, Mapping):
        raise Refusal(
            f"service {item!r} is a {type(item).__name__}; write its name, 'NAME:KIND', or a "
            "mapping with name, kind, needs and port"
        )
    unknown = sorted(str(key) for key in item if key not in ("name", "kind", "needs", "port"))
    if unknown:
        hint = ""
        [(key, value), *more] = item.items()
        if not more and value in KINDS:
            hint = f"; for that as a {value} write {f'{key}:{value}'!r}"
        raise Refusal(
            f"service {dict(item)!r} has the key {unknown[0]!r}; it may have name, kind, needs and "
            f"port{hint}"
        )
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise Refusal(f"service {dict(item)!r} has no name; give it one, such as 'api'")
    check_name(name)
    kind = item.get("kind", kind_of(name))
    if kind not in KINDS:
        raise Refusal(f"service {name!r} has the kind {kind!r}; choose one of {', '.join(KINDS)}")
    needs = item.get("needs")
    if isinstance(needs, str):
        needs = [need.strip() for need in needs.split(",") if need.strip()]
    if needs is not None and not (
        isinstance(needs, Sequence) and all(isinstance(need, str) for need in needs)
    ):
        raise Refusal(f"service {name!r} needs {needs!r}; give a list of service names")
    return _Item(name, kind, None if needs is None else list(dict.fromkeys(needs)), _port(item))


def _port(item: Mapping[str, Any]) -> int | None:
    port = item.get("port")
    if port is None:
        return None
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise Refusal(
            f"service {item['name']!r} has the port {port!r}; give a whole number from 1 to 65535"
        )
    return port


def _assign_ports(items: list[_Item], taken: dict[int, str]) -> dict[str, int]:
    """Give each service its port in dev: its own where it names one, else its kind's next free."""
    ports: dict[str, int] = {}
    for item in items:
        if item.port is None:
            continue
        if not CONTAINER_PORT[item.kind]:
            raise Refusal(
                f"service {item.name!r} is a {item.kind}, which answers no HTTP; leave its port out"
            )
        if item.port in taken:
            raise Refusal(
                f"service {item.name!r} has the port {item.port}, which is {taken[item.port]}'s; "
                "give it another"
            )
        taken[item.port] = item.name
        ports[item.name] = item.port
    for item in items:
        if item.name in ports or not CONTAINER_PORT[item.kind]:
            continue
        port = FIRST_PORT[item.kind]
        while port in taken:
            port += 1
        taken[port] = item.name
        ports[item.name] = port
    return ports


def _resolve_needs(items: list[_Item], backing: Mapping[str, bool]) -> dict[str, list[str]]:
    """Complete each service's needs, and refuse those that name nobody or make a ring."""
    names = [item.name for item in items]
    for item in items:
        for need in item.needs or []:
            if need in backing and item.kind == "custom":
                if not backing[need]:
                    raise Refusal(
                        f"service {item.name!r} needs the {need}, which this project does not "
                        f"have; choose one in the question {need!r}"
                    )
            elif need == item.name:
                raise Refusal(f"service {item.name!r} needs itself; leave that out")
            elif need not in names:
                others = ", ".join(name for name in names if name != item.name)
                raise Refusal(
                    f"service {item.name!r} needs {need!r}, which is no service here; "
                    + (f"choose from {others}" if others else "leave that out")
                )
    needs = {item.name: item.needs or [] for item in items}
    _order(needs)
    for item in items:
        if item.needs is not None:
            continue
        wanted = {"python-api": ("python-worker",), "node-web": ("python-api", "custom")}
        for kind in wanted.get(item.kind, ()):
            default = next((other.name for other in items if other.kind == kind), None)
            if default is None:
                continue
            try:
                _order({**needs, item.name: [default]})
            except Refusal:  # What was said by hand comes before what we would guess.
                continue
            needs[item.name] = [default]
            break
    return needs


def _order(needs: Mapping[str, list[str]]) -> list[str]:
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        ring = " -> ".join(reversed(error.args[1]))
        raise Refusal(
            f"services need one another in a ring ({ring}); leave one of them out"
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
    """Work out the typed service list from the answers.

    Raises:
        Refusal: an answer breaks a rule, by itself or together with another.
    """
    multi = layout == "multi"
    backing = {"database": database != "none", "cache": cache != "none"}
    if multi:
        items = parse(services)
    else:
        # What was chosen beside the one service is there for it.
        chosen = [name for name, there in backing.items() if there]
        items = [_Item("app", service_kind, chosen if service_kind == "custom" else None, None)]
    queue = "redis" if backing["cache"] else "postgres" if backing["database"] else ""
    workers = [item.name for item in items if item.kind == "python-worker"]
    if workers and not queue:
        raise Refusal(
            f"service {workers[0]!r} is a python-worker, which keeps its jobs in the cache or the "
            "database; choose cache=redis or database=postgres"
        )
    taken = {port: f"the {name}" for name, port in BACKING_PORT.items() if backing[name]}
    ports = _assign_ports(items, taken)
    needs = _resolve_needs(items, backing)
    wanted = {need for all_needs in needs.values() for need in all_needs}
    kinds = {item.name: item.kind for item in items}

    def door(name: str) -> Door:
        return Door(name, _env(name), kinds[name], CONTAINER_PORT[kinds[name]])

    resolved = []
    for item in items:
        package = item.name.replace("-", "_")
        own_needs = [need for need in needs[item.name] if need in kinds]
        is_python = item.kind.startswith("python-")
        worker = ""
        if item.kind == "python-api":
            worker = next((need for need in own_needs if need in workers), "")
        does_jobs = bool(worker) or item.kind == "python-worker"
        resolved.append(
            Service(
                name=item.name,
                kind=item.kind,
                path=f"services/{item.name}" if multi else ".",
                package=package,
                source=package if multi else f"src/{package}",
                src_root="." if multi else "src",
                env=_env(item.name),
                image=f"{registry}/{project_slug}-{item.name}"
                if multi
                else f"{registry}/{project_slug}",
                container_port=CONTAINER_PORT[item.kind],
                port=ports.get(item.name, 0),
                needs=own_needs,
                doors=[door(need) for need in own_needs if CONTAINER_PORT[kinds[need]]],
                database=(item.kind == "python-api" and backing["database"])
                or (item.kind == "python-worker" and queue == "postgres")
                or "database" in needs[item.name],
                cache=(is_python and backing["cache"]) or "cache" in needs[item.name],
                worker=worker,
                queue=queue if does_jobs else "",
                stack=[item.name, *own_needs],
                published=bool(CONTAINER_PORT[item.kind]) and item.name not in wanted,
            )
        )
    by_name = {service.name: service for service in resolved}
    return [_with_page(service, by_name) for service in resolved]


def _with_page(service: Service, by_name: Mapping[str, Service]) -> Service:
    """Complete a node-web: its /api is its first python-api, else whatever answers HTTP."""
    if service.kind != "node-web":
        return service
    api = min(service.doors, key=lambda door: door.kind != "python-api", default=None)
    if api is None or api.kind != "python-api":
        return replace(service, api=api, sections=["greeting"])
    offers = {"items": by_name[api.name].database, "rates": True, "jobs": by_name[api.name].worker}
    return replace(service, api=api, sections=[name for name, there in offers.items() if there])


def _env(name: str) -> str:
    return name.replace("-", "_").upper()


def front_door(services: Sequence[Mapping[str, Any]]) -> str:
    """Name the service that the integration tests enter by: a page, else an api, else any door."""
    for kinds in (("node-web",), ("python-api",), KINDS):
        for service in services:
            if service["kind"] in kinds and service["container_port"]:
                return str(service["name"])
    return ""


def grouped_by_skeleton(
    services: Sequence[Mapping[str, Any]],
) -> dict[str, list[Mapping[str, Any]]]:
    """Group the services by the parts of the skeleton that they get.

    Each group is a folder of the template, which is looped over for its services. That spares a
    condition in every file's name, and each of those is compiled anew for each file and service.
    """

    def of(kind: str) -> list[Mapping[str, Any]]:
        return [service for service in services if service["kind"] == kind]

    return {
        "python": of("python-api") + of("python-worker"),
        "api": of("python-api"),
        "api_with_database": [service for service in of("python-api") if service["database"]],
        "api_with_jobs": [service for service in of("python-api") if service["worker"]],
        "worker": of("python-worker"),
        "web": of("node-web"),
        **{
            f"web_{section}": [page for page in of("node-web") if section in page["sections"]]
            for section in ("greeting", "items", "jobs", "rates")
        },
        "custom": of("custom"),
    }


class ServicesExtension(Extension):
    """What the questions and the templates use of this file."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters.update(
            quoted=quoted, markdown=markdown, slug=slug, git_config=git_config
        )
        environment.globals.update(
            refusal_of=refusal_of,
            jobs_lack_a_place=jobs_lack_a_place,
            service_list_of=service_list_of,
            front_door_of=front_door,
            grouped_by_skeleton=grouped_by_skeleton,
            found_layout=found_layout,
            found_kind=found_kind,
            found_services=found_services,
            adopting=adopting,
            adopted_services=adopted_services,
            adopted_files=adopted_files,
        )


#: What is checked of each answer that Copier's own choices do not check.
CHECKS: Mapping[str, Callable[[Context], object]] = {
    "project_name": lambda answers: check_text(
        "project_name", answers["project_name"], required=True
    ),
    "project_slug": lambda answers: check_slug(answers["project_slug"]),
    "description": lambda answers: check_text("description", answers["description"]),
    "layout": lambda answers: check_layout(answers["layout"], _previous(answers)),
    # The backing services are asked for after the services: here they count as chosen.
    "services": lambda answers: _resolve(answers, database="postgres", cache="redis"),
    "registry": lambda answers: check_registry(answers["registry"]),
    "author_name": lambda answers: check_text("author_name", answers["author_name"]),
    "author_email": lambda answers: check_text("author_email", answers["author_email"]),
}


def _resolve(answers: Context, **assumed: str) -> list[Service]:
    keys = ("layout", "services", "service_kind", "database", "cache", "project_slug", "registry")
    return resolve(**{key: answers.get(key, "") for key in keys} | assumed)


@pass_context
def refusal_of(answers: Context, question: str) -> str:
    """Say what is wrong with the answer to a question: nothing where it is good.

    This is for prompts, where the answer stays editable. Where nobody is asked, because the answer
    came by `--data` or defaults are taken, it says nothing: Copier would show a traceback, or put
    the default in place of a remembered answer. `service_list_of` refuses it then.
    """
    conf = answers["_copier_conf"]
    if conf["defaults"] or question in conf["data"]:
        return ""
    try:
        CHECKS[question](answers)
    except Refusal as refusal:
        return str(refusal)
    return ""


@pass_context
def jobs_lack_a_place(answers: Context) -> bool:
    """Tell whether there is a worker but no database, so that its jobs need the cache."""
    if answers["layout"] == "single":
        workers = answers["service_kind"] == "python-worker"
    else:
        try:
            workers = any(item.kind == "python-worker" for item in parse(answers["services"]))
        except Refusal:  # `service_list_of` says so.
            workers = False
    return workers and bool(answers["database"] == "none")


@pass_context
def service_list_of(answers: Context) -> str:
    """Return the service list as JSON, which is how a computed answer travels.

    Raises:
        UserMessageError: an answer is refused; Copier prints its line and writes nothing.
    """
    try:
        check_destination(answers)
        for question, check in CHECKS.items():
            if question != "services" or answers["layout"] == "multi":
                check(answers)
        return json.dumps([asdict(service) for service in _resolve(answers)])
    except Refusal as refusal:
        raise UserMessageError(str(refusal)) from None


#: The stand-in that a custom service starts with, where it has no Dockerfile of its own yet.
STAND_IN = ("Dockerfile", ".dockerignore", "app.py", "tests")

#: What a folder holds that is a service, whoever wrote it.
SIGNS = ("Dockerfile", "pyproject.toml", "package.json")

#: Folders of a project's root that hold no service, whatever is in them.
NO_SERVICES = frozenset("deploy docs node_modules packages scripts services src tests".split())


#: Answers that every project of this template has, and hardly one of another.
OURS = frozenset({"layout", "project_slug", "registry"})


def _destination(answers: Context) -> Path:
    return Path(str(answers["_copier_conf"]["dst_path"]))


def _previous(answers: Context) -> dict[str, Any]:
    """Read the answers that the destination was generated with: none, where it was not."""
    path = _destination(answers) / str(answers["_copier_conf"]["answers_file"])
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


@pass_context
def adopting(answers: Context) -> bool:
    """Tell whether the destination holds somebody's files, none of them from this template."""
    destination = _destination(answers)
    if _previous(answers) or not destination.is_dir():
        return False
    return any(path.name != ".git" for path in destination.iterdir())


def check_destination(answers: Context) -> None:
    """Refuse a folder that the project cannot be generated in without a loss, or not at all."""
    root, name = _destination(answers), str(answers["_copier_conf"]["answers_file"])
    if os.path.lexists(root / name) and not OURS <= _previous(answers).keys():
        raise Refusal(
            f"{name} is another template's, and would be replaced; rename it (its template can be "
            "told: copier update --answers-file), and run this again"
        )
    if not adopting(answers):
        return
    folders, files = _fixed_places()
    if answers["layout"] == "multi":
        folders |= {"services", "tests", "tests/integration"}
    for folder in sorted(folders):
        if os.path.lexists(root / folder) and not (root / folder).is_dir():
            raise Refusal(
                f"{folder} is no folder here, and the template has one of that name; rename it, "
                "and run this again"
            )
        if not (root / folder).resolve().is_relative_to(root.resolve()):
            raise Refusal(
                f"{folder} is a link that leads out of the project, and the template has a folder "
                "of that name; rename it, and run this again"
            )
    for file in sorted(files):
        if (root / file).is_dir():
            raise Refusal(
                f"{file} is a folder here, and the template has a file of that name; rename it, "
                "and run this again"
            )


def _fixed_places() -> tuple[set[str], set[str]]:
    """Return the folders and the files that every project has, whatever the answers."""
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
    """Tell whether a folder holds a service that somebody has written."""
    return any((folder / sign).is_file() for sign in SIGNS)


def services_in(root: Path) -> list[str]:
    """Name the services that a folder holds, in services/ and at its root, as far as they can be.

    A name that is none here is left out: its folder has to be renamed first.
    """
    found: list[str] = []
    for parent in (root / "services", root):
        for folder in sorted(parent.glob("*/")):
            try:
                check_name(folder.name)
            except Refusal:
                continue
            if folder.name not in (*NO_SERVICES, *found) and is_service(folder):
                found.append(folder.name)
    return found


def grown(previous: Mapping[str, Any], name: str = "app") -> list[Any]:
    """Write a single project's one service as a list of services.

    Unless it gets another name, it stays `app`, and so do its database and its addresses.
    """
    kind = previous.get("service_kind", "python-api")
    if kind != "custom":
        return [name if kind == kind_of(name) else f"{name}:{kind}"]
    chosen = [name for name in BACKING_PORT if previous.get(name, "none") != "none"]
    return [{"name": name, "kind": "custom", "needs": chosen}]


@pass_context
def found_services(answers: Context) -> str:
    """Return, as JSON, the default for the services: those that are there, else an example.

    It is a list, because Copier shows a line of text as a YAML document, with its end marker.
    """
    previous = _previous(answers)
    if previous.get("layout") == "single":
        return json.dumps(grown(previous))
    found = services_in(_destination(answers)) if adopting(answers) else []
    return json.dumps([f"{name}:custom" for name in found] or ["api", "worker", "frontend"])


@pass_context
def found_layout(answers: Context) -> str:
    """Return the default for the layout: single, where the root itself is all the service."""
    root = _destination(answers)
    return "single" if adopting(answers) and is_service(root) and not services_in(root) else "multi"


@pass_context
def found_kind(answers: Context) -> str:
    """Return the default for a single service's kind: custom, where somebody has written it."""
    return "custom" if adopting(answers) and is_service(_destination(answers)) else "python-api"


@pass_context
def adopted_services(answers: Context) -> str:
    """Name, as JSON, the custom services that are there already, where the project is generated."""
    root = _destination(answers)

    def is_there(service: Mapping[str, Any]) -> bool:
        # One at the root of a project of many is to be moved to services/.
        elsewhere = "." if service["path"] == "." else service["name"]
        return is_service(root / service["path"]) or is_service(root / elsewhere)

    customs = [service for service in answers["service_list"] if service["kind"] == "custom"]
    return json.dumps([service["name"] for service in customs if is_there(service)])


@pass_context
def adopted_files(answers: Context) -> str:
    """List what is not rendered of the custom services that the destination holds already.

    Whatever file is there stays as it is, and a service of somebody's own gets nothing of the
    stand-in. Returns one pattern a line, which is how Copier takes several from one entry.
    """
    destination = _destination(answers)
    patterns = []
    for service in answers["service_list"]:
        if service["name"] in answers["adopted"]:
            prefix = "" if service["path"] == "." else f"/{service['path']}"
            patterns += [f"{prefix}/{name}" for name in STAND_IN]
            there = ("Makefile", "deploy/test/docker-compose.yml") if prefix else ()
            patterns += [
                f"{prefix}/{name}"
                for name in there
                if (destination / service["path"] / name).exists()
            ]
    return "\n".join(patterns)
