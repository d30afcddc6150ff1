"""Adds, removes and renames services in a project's answers.

The answer keeps its form and its order. The other services stay as they are: if a service would get
another kind, port or list of needs by default, the new answer states the present one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from answers_file import Answers, make_command
from template_rules import AnswerError, Service, check_name, kind_of, names_in, resolve

#: An entry of the list: a name, `name:kind`, or a mapping.
Item = Any


def resolved(answers: Mapping[str, Any]) -> dict[str, Service]:
    """Return the services of some answers by name, with all defaults applied.

    Their names may be reserved: the template's extension decides which ones a project may keep.

    Raises:
        AnswerError: an answer breaks a rule.
    """
    defaults = {
        "layout": "multi",
        "services": None,
        "service_kind": "python-api",
        "database": "none",
        "cache": "none",
        "project_slug": "",
        "registry": "",
    }
    known = {key: answers.get(key, value) for key, value in defaults.items()}
    found = resolve(**known, kept=names_in(known["services"]))
    return {service.name: service for service in found}


def added(answers: Answers, new: Iterable[Item], needed_by: Iterable[str] = ()) -> Item:
    """Return the list with new services at its end.

    Args:
        answers: the project's answers.
        new: the entries of the new services.
        needed_by: the names of existing services that need the new ones.
    """
    before, items = resolved(answers), _items(answers)
    new = list(new)
    names = [name_of(item) for item in new]
    for name in names:
        check_name(name)
        if name in before:
            raise AnswerError(f"service {name!r} already exists; choose another name")
    needs = {name: _needs(service) for name, service in before.items()}
    for name in needed_by:
        _check_exists(name, before)
        needs[name] += names
    return _in_old_form(answers, _pinned(answers, [*items, *new], before, needs))


def removed(answers: Answers, names: Iterable[str]) -> Item:
    """Return the list without some services. The other services no longer need them."""
    before, gone = resolved(answers), set(names)
    for name in gone:
        _check_exists(name, before)
    items = [item for item in _items(answers) if name_of(item) not in gone]
    if not items:
        raise AnswerError("no service would remain; a project needs at least one")
    kept = {name: service for name, service in before.items() if name not in gone}
    needs = {
        name: [need for need in _needs(service) if need not in gone]
        for name, service in kept.items()
    }
    return _in_old_form(answers, _pinned(answers, items, kept, needs))


def renamed(answers: Answers, names: Mapping[str, str]) -> Item:
    """Return the list with new names for some services, given as a mapping from old to new."""
    before = resolved(answers)
    for old, new in names.items():
        _check_exists(old, before)
        check_name(new)
        if new in before:
            raise AnswerError(f"service {new!r} already exists; choose another name")
    items = []
    for item in _items(answers):
        old = name_of(item)
        if old not in names:
            items.append(item)
        elif isinstance(item, str):
            items.append(names[old] + item.strip().removeprefix(old))
        else:
            items.append({**item, "name": names[old]})
    after = {names.get(name, name): service for name, service in before.items()}
    needs = {
        name: [names.get(need, need) for need in _needs(service)] for name, service in after.items()
    }
    return _in_old_form(answers, _pinned(answers, items, after, needs))


def name_of(item: Item) -> str:
    """Return the name of the service that an entry describes."""
    return str(item.partition(":")[0].strip() if isinstance(item, str) else item["name"])


def _check_exists(name: str, services: Mapping[str, Service]) -> None:
    if name not in services:
        raise AnswerError(f"service {name!r} does not exist; choose from {', '.join(services)}")


def _items(answers: Answers) -> list[Item]:
    if answers.get("layout") != "multi":
        raise AnswerError(
            "this project has a single service; to allow more, first run: "
            f"{make_command(answers)} template-grow"
        )
    services = answers["services"]
    if isinstance(services, str):
        return [part.strip() for part in re.split(r"[,\n]", services) if part.strip()]
    return list(services)


def _needs(service: Service) -> list[str]:
    """Return the needs of a service in the form of an answer."""
    backing = {"database": service.database, "cache": service.cache}
    chosen = [name for name, there in backing.items() if there and service.is_own]
    return [*service.needs, *chosen]


def _pinned(
    answers: Answers,
    items: list[Item],
    wanted: Mapping[str, Service],
    needs: Mapping[str, list[str]],
) -> list[Item]:
    """State the kind, needs and port of services whose defaults would be different."""

    def pin(name: str, **keys: Any) -> None:
        [index] = [index for index, item in enumerate(items) if name_of(item) == name]
        items[index] = _as_mapping(items[index], **keys)

    explicit = {name_of(item): _as_mapping(item) for item in items}
    for name, service in wanted.items():
        if "kind" not in explicit[name] and kind_of(name) != service.kind:
            pin(name, kind=service.kind)
        if "needs" in explicit[name]:
            pin(name, needs=needs[name])
    now = resolved({**answers, "services": items})
    for name in wanted:
        if sorted(_needs(now[name])) != sorted(needs[name]):
            pin(name, needs=needs[name])
    now = resolved({**answers, "services": items})
    for name, service in wanted.items():
        if now[name].port != service.port:
            pin(name, published=service.port)
    return items


def _as_mapping(item: Item, **keys: Any) -> dict[str, Any]:
    if isinstance(item, str):
        name, colon, kind = (part.strip() for part in item.partition(":"))
        item = {"name": name, "kind": kind} if colon else {"name": name}
    return {**item, **keys}


def _in_old_form(answers: Answers, items: list[Item]) -> Item:
    """Return the list in its old form, or as a YAML list if a line cannot express it."""
    before = _items(answers)
    short = [item if item in before else _short(item) for item in items]
    if isinstance(answers["services"], str) and all(isinstance(item, str) for item in short):
        return ", ".join(short)
    return short


def _short(item: Item) -> Item:
    if isinstance(item, Mapping) and item.keys() <= {"name", "kind"}:
        return ":".join(item.values())
    return item
