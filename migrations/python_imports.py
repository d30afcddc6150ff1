"""Renames a package in Python files."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator


def with_renamed_package(text: bytes, old: str, new: str) -> bytes:
    """Return the text of a Python file that uses a package by its new name.

    Only names change, never strings or comments. A file that this Python version cannot parse stays
    as it is.
    """
    try:
        # The parser counts columns in UTF-8 and without a byte order mark, whatever the file has.
        encoding, _ = tokenize.detect_encoding(io.BytesIO(text).readline)
        source = text.decode(encoding)
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source)
    except (SyntaxError, ValueError, LookupError, RecursionError):
        return text
    lines = source.encode().splitlines(keepends=True)
    # From the end, so that earlier positions stay valid.
    for line, column in sorted(set(_uses_of_package(tree, old)), reverse=True):
        before, after = lines[line - 1][:column], lines[line - 1][column:]
        # The position of `from x import y` is that of `from`; the module's name has none.
        found = re.match(rb"(from\s+)?" + re.escape(old.encode()) + rb"(?!\w)", after)
        if found:
            name = (found[1] or b"") + new.encode()
            lines[line - 1] = before + name + after[found.end() :]
    return b"".join(lines).decode().encode(encoding)


def _uses_of_package(tree: ast.AST, package: str) -> Iterator[tuple[int, int]]:
    """Yield the positions where a file uses a package: the line, and the column in bytes."""
    is_bound = False
    prefix = f"{package}."
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if f"{alias.name}.".startswith(prefix):
                    yield alias.lineno, alias.col_offset
                    is_bound = is_bound or alias.asname is None
        if (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and f"{node.module}.".startswith(prefix)
        ):
            yield node.lineno, node.col_offset
    # `import old.part` makes `old` a variable.
    if is_bound:
        yield from _uses_of_variable(tree, package)


def _uses_of_variable(tree: ast.AST, name: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of a variable, except in functions with an argument of the same name."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        arguments = getattr(node, "args", None)
        own = ast.walk(arguments) if isinstance(arguments, ast.arguments) else ()
        if any(isinstance(one, ast.arg) and one.arg == name for one in own):
            continue
        if isinstance(node, ast.Name) and node.id == name:
            yield node.lineno, node.col_offset
        waiting += ast.iter_child_nodes(node)
