"""The entries of the answer `services`: read in any of their forms, and checked one by one."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .kinds import KINDS, Kind, kind_of
from .rules import AnswerError, check_name

#: The keys of an entry of any kind.
KEYS = ("name", "kind", "needs", "port", "published")

#: The keys of a custom service. They describe a service that stays where it is.
CUSTOM_KEYS = (
    *("path", "context", "dockerfile", "target", "health", "http", "one_shot", "aliases"),
    "language",
)

#: The languages whose tools CI sets up, or whose test tools the template knows.
LANGUAGES = ("dotnet", "go", "java", "node", "php", "python", "ruby", "rust")

#: A relative path that is safe in a Makefile, in a shell and in a workflow.
PATH = re.compile(
    r"[\w@+~][\w.@+~-]*(/[\w.@+~-]+)*|\.[\w@+~-][\w.@+~-]*(/[\w.@+~-]+)*|\.", re.ASCII
)

STAGE = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)

#: A network alias: a host name, in which Compose also allows underscores.
ALIAS = re.compile(r"[A-Za-z0-9]([\w-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([\w-]*[A-Za-z0-9])?)*", re.ASCII)


@dataclass
class Item:
    """A service from the answers, not yet checked against the other services."""

    name: str
    kind: str
    needs: list[str] | None = None
    published: int | None = None  #: the port on the developer's machine
    port: int | None = None  #: the port of its container
    path: str = ""  #: the folder of its sources, relative to the root; empty: services/<name>
    context: str = ""  #: the build context, relative to the root; empty: `path`
    dockerfile: str = ""  #: relative to the context; empty: Dockerfile
    target: str = ""  #: the stage to build; empty: the last one
    #: A path, a command for a shell, or a command as a list; empty: the image's own HEALTHCHECK;
    #: None: it has no health check.
    health: str | list[str] | None = ""
    http: bool = True  #: it has an HTTP server
    one_shot: bool = False  #: it runs once, to its end
    aliases: list[str] = field(default_factory=list)  #: further names in the network
    language: str = ""  #: the language of its tools, if it is not the kind's

    @property
    def row(self) -> Kind:
        """The properties of its kind."""
        return KINDS[self.kind]

    @property
    def container_port(self) -> int:
        """The port of its container; 0 if it has no HTTP server."""
        return (self.port or self.row.container_port) if self.http else 0


def names_in(services: Any) -> list[str]:
    """Return the names in an answer to `services`, without checking anything."""
    entries = re.split(r"[,\n]", services) if isinstance(services, str) else services
    names = []
    for entry in entries if isinstance(entries, Sequence) else []:
        name = entry.get("name") if isinstance(entry, Mapping) else entry
        if isinstance(name, str) and (name := name.partition(":")[0].strip()):
            names.append(name)
    return names


def parse(services: Any, kept: Container[str] = ()) -> list[Item]:
    """Parse the answer to `services`, in any of its forms.

    Args:
        services: the answer.
        kept: names that the project already has, so they may be reserved.

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
    items = [_parse_item(item, kept) for item in services]
    seen: set[str] = set()
    for item in items:
        if item.name in seen:
            raise AnswerError(
                f"service {item.name!r} is named twice; give each service its own name"
            )
        seen.add(item.name)
    return items


def _parse_item(item: Any, kept: Container[str]) -> Item:
    if isinstance(item, str):
        before, colon, after = (part.strip() for part in item.partition(":"))
        item = {"name": before, "kind": after} if colon else {"name": before}
    if not isinstance(item, Mapping):
        raise AnswerError(
            f"service {item!r} is of type {type(item).__name__}; write its name, 'NAME:KIND', or a "
            "mapping with name, kind, needs and published"
        )
    _refuse_unknown_keys(item)
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise AnswerError(f"service {dict(item)!r} has no name; give it one, such as 'api'")
    check_name(name, kept)
    kind = item.get("kind", kind_of(name))
    if not isinstance(kind, str) or kind not in KINDS:
        raise AnswerError(
            f"service {name!r} has the unknown kind {kind!r}; choose one of {', '.join(KINDS)}"
        )
    needs = _names(item, "needs", "service names")
    found = Item(name, kind, None if needs is None else list(dict.fromkeys(needs)))
    found.published = _port(item, "published")
    port = _port(item, "port")
    if found.row.is_own:
        found.port = port
        _read_custom_keys(found, item)
        return found
    custom = [key for key in CUSTOM_KEYS if key in item]
    if custom:
        raise AnswerError(
            f"service {name!r} is a {kind}, whose {custom[0]} the template decides; remove "
            f"{custom[0]}, or set the kind to custom"
        )
    if port is not None and found.published not in (None, port):
        raise AnswerError(
            f"service {name!r} has the port {port} and is published at {found.published}; a {kind} "
            "has a fixed port in its container, so remove port"
        )
    # The port of the container is fixed, so `port` can only mean the one on the developer's machine.
    found.published = found.published or port
    return found


def is_url_path(health: str | list[str] | None) -> bool:
    """Whether a health check is a path of the service's HTTP server. A command has other forms."""
    return isinstance(health, str) and re.fullmatch(r"/[^\s'\"\\$]*", health) is not None


def _refuse_unknown_keys(item: Mapping[str, Any]) -> None:
    known = (*KEYS, *CUSTOM_KEYS)
    unknown = sorted(str(key) for key in item if key not in known)
    if not unknown:
        return
    hint = ""
    [(key, value), *more] = item.items()
    if not more and isinstance(value, str) and value in KINDS:
        hint = f"; to choose the kind, write {f'{key}:{value}'!r}"
    raise AnswerError(
        f"service {dict(item)!r} has the unknown key {unknown[0]!r}; the keys are name, kind, needs "
        f"and published, and for a custom service also port, {', '.join(CUSTOM_KEYS)}{hint}"
    )


def _read_custom_keys(found: Item, item: Mapping[str, Any]) -> None:
    """Read the keys of a custom service."""
    found.path = _path(item, "path")
    found.context = _path(item, "context")
    found.dockerfile = _path(item, "dockerfile", parents=True)
    found.target = _text(item, "target", STAGE, "the name of a stage, such as 'runtime'")
    found.health = _health(item)
    found.one_shot = _flag(item, "one_shot", default=False)
    found.http = _flag(item, "http", default=not found.one_shot)
    found.aliases = _names(item, "aliases", "names") or []
    for alias in found.aliases:
        if not ALIAS.fullmatch(alias):
            raise AnswerError(
                f"service {found.name!r} has the alias {alias!r}; an alias is a host name of letters, "
                "digits, hyphens, underscores and dots"
            )
    language = item.get("language") or ""
    if language and language not in LANGUAGES:
        raise AnswerError(
            f"service {found.name!r} has the unknown language {language!r}; choose one of "
            f"{', '.join(LANGUAGES)}, or remove it"
        )
    found.language = language
    if found.one_shot and found.http:
        raise AnswerError(
            f"service {found.name!r} is one_shot, so it ends and cannot answer HTTP; remove http"
        )
    if not found.http:
        for key in ("port", "published"):
            if item.get(key) is not None:
                raise AnswerError(
                    f"service {found.name!r} has a {key} but no HTTP server; remove {key}, or write "
                    "http: true"
                )
        if is_url_path(found.health):
            raise AnswerError(
                f"service {found.name!r} has the health path {found.health!r} but no HTTP server; "
                "give a command, or none"
            )


def _port(item: Mapping[str, Any], key: str) -> int | None:
    port = item.get(key)
    if port is None:
        return None
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise AnswerError(
            f"service {item['name']!r} has the {key} {port!r}; give a whole number from 1 to 65535"
        )
    return port


def _names(item: Mapping[str, Any], key: str, what: str) -> list[str] | None:
    names = item.get(key)
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    if names is None:
        return None
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        verb = "needs" if key == "needs" else f"has the {key}"
        raise AnswerError(f"service {item['name']!r} {verb} {names!r}; give a list of {what}")
    return list(names)


def _path(item: Mapping[str, Any], key: str, *, parents: bool = False) -> str:
    """Read a path relative to the project's root; with `parents`, it may start with `..`."""
    text = item.get(key)
    if text is None or text == "":
        return ""
    path = posixpath.normpath(text) if isinstance(text, str) else ""
    inside = re.sub(r"^(\.\./)+", "", path) if parents else path
    if not PATH.fullmatch(inside):
        raise AnswerError(
            f"service {item['name']!r} has the {key} {text!r}; give a path inside the project, "
            "relative to its root, with letters, digits and . _ - + @ ~ only"
        )
    return path


def _text(item: Mapping[str, Any], key: str, pattern: re.Pattern[str], what: str) -> str:
    text = item.get(key)
    if text is None or text == "":
        return ""
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise AnswerError(f"service {item['name']!r} has the {key} {text!r}; give {what}")
    return text


def _flag(item: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = item.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise AnswerError(f"service {item['name']!r} has {key} {value!r}; write true or false")
    return value


def _health(item: Mapping[str, Any]) -> str | list[str] | None:
    health = item.get("health", "")
    if health in ("none", None, False):
        return None
    if isinstance(health, str):
        if health.isprintable():
            return health.strip()
    elif isinstance(health, Sequence) and health and all(isinstance(w, str) for w in health):
        return list(health)
    raise AnswerError(
        f"service {item['name']!r} has the health {health!r}; give a path such as '/health', a "
        "command, a list of a command and its arguments, or none"
    )
