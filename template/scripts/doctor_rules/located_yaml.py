# Kept by the template: copier update merges its changes into this file.
"""YAML as plain values that know their line and column."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import yaml

# The parser in C is ten times as fast. Every wheel of PyYAML contains it.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: The deepest nesting that is read. An anchor may contain itself.
DEEPEST = 40


class Map(dict[str, Any]):
    """A mapping. Merged keys (`<<`) are included, with the place of the anchor."""

    line = 1
    places: dict[str, tuple[int, int]]  #: the line of each key from 1, and its column from 0
    values_at: dict[str, tuple[int, int]]  #: the same of each value
    merged: frozenset[str] = frozenset()  #: the keys that come from `<<`

    def line_of(self, *keys: str) -> int:
        """Return the line of the first key that exists, or of the mapping."""
        return next((self.places[key][0] for key in keys if key in self.places), self.line)


class List(list[Any]):
    """A list."""

    line = 1
    places: list[tuple[int, int]]  #: the line of each item from 1, and its column from 0

    def numbered(self) -> Iterator[tuple[int, Any]]:
        """Yield the line of each item, and the item."""
        for (line, _), item in zip(self.places, self, strict=True):
            yield line, item


class InvalidYamlError(Exception):
    """A file is not YAML. The text is one line."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> tuple[Any, ...]:
    """Return the documents of a YAML text. Do not change them: they are shared.

    Raises:
        InvalidYamlError: the text is not YAML.
    """
    try:
        return tuple(convert(node, 0) for node in yaml.compose_all(text, LOADER) if node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise InvalidYamlError(mark.line + 1 if mark else 1, problem) from None


def convert(node: Any, depth: int) -> Any:
    """Return the value of a node."""
    if depth > DEEPEST:
        return None
    if isinstance(node, yaml.MappingNode):
        return convert_map(node, depth)
    if isinstance(node, yaml.SequenceNode):
        items = List(convert(item, depth + 1) for item in node.value)
        items.line = node.start_mark.line + 1
        items.places = [place(item) for item in node.value]
        return items
    return scalar(node)


def convert_map(node: Any, depth: int) -> Map:
    """Return the value of a mapping, with the keys of its `<<`."""
    found = Map()
    found.line = node.start_mark.line + 1
    found.places, found.values_at = {}, {}
    sources: list[Any] = []
    for key, value in node.value:
        if key.value == "<<":
            merged = convert(value, depth + 1)
            sources += merged if isinstance(merged, List) else [merged]
            continue
        name = str(key.value)
        found[name] = convert(value, depth + 1)
        found.places[name] = place(key)
        found.values_at[name] = place(value)
    own = set(found)
    for source in sources:
        if isinstance(source, Map):
            for name in source:
                if name not in found:
                    found[name] = source[name]
                    found.places[name] = source.places[name]
                    found.values_at[name] = source.values_at[name]
    found.merged = frozenset(set(found) - own)
    return found


def place(node: Any) -> tuple[int, int]:
    """Return the line of a node from 1, and its column from 0."""
    return node.start_mark.line + 1, node.start_mark.column


def scalar(node: Any) -> Any:
    """Return the value of a scalar. A number is kept as text: YAML 1.1 reads 22:22 as 1342."""
    kind = node.tag.rpartition(":")[2]
    if kind == "null" or node.tag == "!reset":
        return None
    if kind == "bool":
        return node.value.lower() in ("true", "yes", "on")
    return node.value
