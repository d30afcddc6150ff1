"""The services in a project's answers, and what adding, removing or renaming one makes of them.

The answer keeps the form that it has, and its order. What else is on the list stays as it was: where
a service's kind, port or needs would follow from the others by default, and would be different now,
they are written down.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

Answers = dict[str, Any]

#: One entry of the list: a name, `name:kind`, or a mapping.
Item = Any


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"template_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


#: The template's own reading of the list, with its rules: it stands alone, so it is loaded by path.
rules = _load(Path(__file__).parent.parent / "extensions/services.py")


def resolved(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the services that some answers make, by name.

    Raises:
        rules.Refusal: an answer breaks a rule.
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
    found = rules.resolve(**{key: answers.get(key, value) for key, value in defaults.items()})
    return {service.name: service for service in found}


def added(answers: Answers, new: Iterable[Item], needed_by: Iterable[str] = ()) -> Item:
    """Return the list with some services at its end, which some of the others may need."""
    before, items = resolved(answers), _items(answers)
    new = list(new)
    names = [name_of(item) for item in new]
    for name in names:
        if name in before:
            raise rules.Refusal(f"service {name!r} is there already; choose another name")
    needs = {name: _needs(service) for name, service in before.items()}
    for name in needed_by:
        _known(name, before)
        needs[name] += names
    return _written(answers, _pinned(answers, [*items, *new], before, needs))


def removed(answers: Answers, names: Iterable[str]) -> Item:
    """Return the list without some services; the others no longer need them."""
    before, gone = resolved(answers), set(names)
    for name in gone:
        _known(name, before)
    items = [item for item in _items(answers) if name_of(item) not in gone]
    if not items:
        raise rules.Refusal(
            f"service {name_of(_items(answers)[0])!r} is the last one; a project has at least one"
        )
    kept = {name: service for name, service in before.items() if name not in gone}
    needs = {
        name: [need for need in _needs(service) if need not in gone]
        for name, service in kept.items()
    }
    return _written(answers, _pinned(answers, items, kept, needs))


def renamed(answers: Answers, names: Mapping[str, str]) -> Item:
    """Return the list with other names for some services, given as old and new."""
    before = resolved(answers)
    for old, new in names.items():
        _known(old, before)
        rules.check_name(new)
        if new in before:
            raise rules.Refusal(f"service {new!r} is there already; choose another name")
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
    return _written(answers, _pinned(answers, items, after, needs))


def name_of(item: Item) -> str:
    """Return the name of an entry of the list."""
    return str(item.partition(":")[0].strip() if isinstance(item, str) else item["name"])


def _known(name: str, services: Mapping[str, Any]) -> None:
    if name not in services:
        raise rules.Refusal(
            f"service {name!r} is not on the list; choose from {', '.join(services)}"
        )


def _items(answers: Answers) -> list[Item]:
    if answers.get("layout") != "multi":
        raise rules.Refusal(
            "this project is a single service; 'make template-grow' makes it one of many first"
        )
    services = answers["services"]
    if isinstance(services, str):
        return [part.strip() for part in re.split(r"[,\n]", services) if part.strip()]
    return list(services)


def _needs(service: Any) -> list[str]:
    """Return what a service needs, as an answer says it."""
    backing = {"database": service.database, "cache": service.cache}
    chosen = [name for name, there in backing.items() if there and service.kind == "custom"]
    return [*service.needs, *chosen]


def _pinned(
    answers: Answers, items: list[Item], wanted: Mapping[str, Any], needs: Mapping[str, list[str]]
) -> list[Item]:
    """Write down what some services have (a kind, needs, a port) where it is not so by default."""

    def pin(name: str, **keys: Any) -> None:
        [place] = [place for place, item in enumerate(items) if name_of(item) == name]
        items[place] = _with(items[place], **keys)

    explicit = {name_of(item): _with(item) for item in items}
    for name, service in wanted.items():
        if "kind" not in explicit[name] and rules.kind_of(name) != service.kind:
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
            pin(name, port=service.port)
    return items


def _with(item: Item, **keys: Any) -> dict[str, Any]:
    if isinstance(item, str):
        name, colon, kind = (part.strip() for part in item.partition(":"))
        item = {"name": name, "kind": kind} if colon else {"name": name}
    return {**item, **keys}


def _written(answers: Answers, items: list[Item]) -> Item:
    """Write the list in the form that it had, as far as that can say it."""
    before = _items(answers)
    short = [item if item in before else _short(item) for item in items]
    if isinstance(answers["services"], str) and all(isinstance(item, str) for item in short):
        return ", ".join(short)
    return short


def _short(item: Item) -> Item:
    if isinstance(item, Mapping) and item.keys() <= {"name", "kind"}:
        return ":".join(item.values())
    return item
