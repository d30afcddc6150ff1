"""Checks for each rendered file.

Each check takes the path of a file in its project and its text, and yields the problems.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath

import yaml

#: The oldest Python that the scripts support. It does not depend on the services' Python.
SCRIPTS_PYTHON = (3, 11)
#: The oldest Python that the runner's plugins support, because a service loads them.
PLUGINS_PYTHON = (3, 8)

#: Text that looks like Jinja: GitHub's expressions, Docker's format strings, bash's `${#`.
NO_JINJA = re.compile(
    r"\$\{\{.*?\}\}"
    r"|\{\{(?:- )?(?:\.|(?:json|range|index|if|or|with|join) |println|end|else)[^{}]*\}\}"
    r"|\$\{#"
)
JINJA = re.compile(r"\{\{|\{%|%\}|\{#")

#: A comment that disables a linter's rule. It needs a reason above or after it.
IGNORE = re.compile(
    r"(?:hadolint ignore=|shellcheck disable=|yamllint disable|eslint-disable)[\w=,:@/ -]*(?P<rest>.*)"
)


def litter(name: str, text: str) -> Iterator[str]:
    """Yield whitespace problems that a hand-written file would not have."""
    if not text:
        return
    if "\r" in text:
        yield f"{name}: has carriage returns"
    if not text.endswith("\n"):
        yield f"{name}: does not end with a newline"
    elif text.endswith("\n\n"):
        yield f"{name}: has an empty line at its end"
    if text.startswith("\n"):
        yield f"{name}: has an empty line at its start"
    most = 2 if name.endswith((".py", ".py.mako")) else 1
    for match in re.finditer(rf"\n{{{most + 2},}}", text.rstrip("\n")):
        number = text.count("\n", 0, match.start()) + 1
        yield f"{name}:{number}: has {len(match[0]) - 1} empty lines in a row"
    for number, line in enumerate(text.splitlines(), 1):
        if line != line.rstrip():
            yield f"{name}:{number}: ends with spaces"
        if "\t" in (line.lstrip("\t") if "Makefile" in name or "Caddyfile" in name else line):
            yield f"{name}:{number}: has a tab"


def leftovers(name: str, text: str) -> Iterator[str]:
    """Yield the lines that still contain Jinja."""
    for number, line in enumerate(text.splitlines(), 1):
        if JINJA.search(NO_JINJA.sub("", line)):
            yield f"{name}:{number}: has Jinja in it: {line.strip()}"


def syntax(name: str, text: str) -> Iterator[str]:
    """Yield the syntax errors of data files and scripts."""
    path = PurePosixPath(name)
    try:
        if path.suffix in (".yml", ".yaml"):
            list(yaml.load_all(text, yaml.CSafeLoader))
        elif path.suffix == ".toml":
            tomllib.loads(text)
        elif path.suffix == ".json":
            # Their tools read these with comments.
            has_comments = path.name.startswith(("tsconfig", "devcontainer"))
            json.loads(re.sub(r"(?m)^\s*// .*$", "", text) if has_comments else text)
        elif path.suffix == ".py" and path.parts[0] == "scripts":
            oldest = PLUGINS_PYTHON if "plugins" in path.parts else SCRIPTS_PYTHON
            ast.parse(text, name, feature_version=oldest)
            promised = re.search(r'^# requires-python = ">=(\d+)\.(\d+)"$', text, re.MULTILINE)
            promise = (int(promised[1]), int(promised[2])) if promised else None
            if text.startswith("#!") and promise != SCRIPTS_PYTHON:
                yield f"{name}: does not require Python {SCRIPTS_PYTHON}"
    except (yaml.YAMLError, ValueError, SyntaxError) as error:
        yield f"{name}: {str(error).splitlines()[0]}"


def reasons(name: str, text: str) -> Iterator[str]:
    """Yield the comments that disable a rule of a linter without a reason."""
    above = ""
    for number, line in enumerate(text.splitlines(), 1):
        match = IGNORE.search(line)
        if match and len(f"{above} {match['rest']}".split()) < 4:
            yield f"{name}:{number}: gives no reason for: {line.strip()}"
        above = line.strip().lstrip("#/ ") if re.match(r"\s*(#|//)", line) and not match else ""


def portable(name: str, text: str) -> Iterator[str]:
    """Yield the parts of a path that are not valid on Windows or macOS."""
    for part in PurePosixPath(name).parts:
        if re.search(r'[<>:"|?*\\]', part) or part[-1] in ". " or len(part.encode()) > 255:
            yield f"{name}: the name {part!r} is not valid everywhere"


CHECKS = (litter, leftovers, syntax, reasons, portable)
