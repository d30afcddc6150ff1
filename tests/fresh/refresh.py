"""Look up the newest releases with the package managers' own clients, and write packages.toml."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from packaging.version import Version

from .pins import Pin
from .releases import Tables

HEADER = """\
# The newest release of each package and action that the template renders. Written by
# nox -s fresh -- --refresh, which keeps what a maintainer added to a row:
#
# end   its end of life, if there is one: nox -s fresh fails after that day
# note  why the template may be behind
"""
SOURCES = {"pypi": "PyPI", "npm": "npm", "action": "the repository's tags"}

Rows = dict[str, dict[str, Any]]


def refresh(path: Path, pins: Iterable[Pin], tables: Tables, today: date) -> Iterator[str]:
    """Look up every package and action, write the table, and return what could not be looked up.

    A row that could not be looked up stays as it is, with its date. Rows of packages that the
    template no longer renders are dropped.
    """
    wanted: dict[str, set[str]] = {"pypi": set(), "npm": set(), "action": set()}
    named = [(pin.kind, pin.name) for pin in pins]
    named += [
        tuple(row["package"].split(":")) for row in tables.products.values() if "package" in row
    ]
    for kind, name in named:
        if kind in wanted:
            wanted[kind].add(name)
    known: dict[str, Rows] = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    looked_up = {
        "pypi": from_pypi(wanted["pypi"]),
        "npm": side_by_side(from_npm, wanted["npm"]),
        "action": side_by_side(from_tags, wanted["action"]),
    }
    rows: dict[str, Rows] = {}
    for kind, names in wanted.items():
        rows[kind] = {}
        for name in sorted(names):
            before = known.get(kind, {}).get(name, {})
            kept = {key: before[key] for key in ("end", "note") if key in before}
            if found := looked_up[kind].get(name):
                rows[kind][name] = found | {"read": today, "source": SOURCES[kind]} | kept
            else:
                yield f"{name} ({SOURCES[kind]})"
                if before:
                    rows[kind][name] = before
    path.write_text(written(rows), encoding="utf-8")


def written(tables: Mapping[str, Rows]) -> str:
    """Return the table as TOML, one row a line."""
    lines = [HEADER.rstrip()]
    for kind, rows in tables.items():
        lines += ["", f"[{kind}]"]
        for name, row in rows.items():
            values = ", ".join(f"{key} = {toml(value)}" for key, value in row.items())
            lines.append(f"{json.dumps(name)} = {{ {values} }}")
    return "\n".join(lines) + "\n"


def toml(value: str | date) -> str:
    """Return a value as TOML, whose plain strings are those of JSON."""
    return value.isoformat() if isinstance(value, date) else json.dumps(value, ensure_ascii=False)


def side_by_side(look_up: Any, names: Iterable[str]) -> Rows:
    """Look up several names at once; they mostly wait for the network."""
    names = sorted(names)
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip(names, pool.map(look_up, names), strict=True))


def output(*command: str, given: str = "") -> str:
    """Return what a command prints, or nothing where it fails or is not installed."""
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, check=True, text=True, timeout=120
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def from_pypi(names: Iterable[str]) -> Rows:
    """Return the newest releases on PyPI. Without dependencies, one call resolves all of them."""
    command = "uv pip compile --quiet --no-deps --no-header --no-annotate --python-version 3.14 -"
    lines = output(*command.split(), given="\n".join(sorted(names))).splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {name: {"newest": version} for name, version in pairs}


def from_npm(name: str) -> dict[str, Any]:
    """Return the newest release on npm."""
    found = output("npm", "view", name, "version", "--json").strip()
    return {"newest": json.loads(found)} if found else {}


def from_tags(name: str) -> dict[str, Any]:
    """Return the newest version tag of an action's repository, and its commit."""
    # No credential helper may ask for a password where the repository does not exist.
    git = ("git", "-c", "credential.helper=", "-c", "core.askPass=true", "ls-remote", "--tags")
    commits: dict[str, str] = {}
    for line in output(*git, f"https://github.com/{name}").splitlines():
        commit, _, tag = line.partition("\trefs/tags/")
        # The second line of an annotated tag, with ^{}, has the commit.
        commits[tag.removesuffix("^{}")] = commit
    versions = [tag for tag in commits if re.fullmatch(r"v\d+\.\d+\.\d+", tag)]
    if not versions:
        return {}
    newest = max(versions, key=Version)
    return {"newest": newest, "commit": commits[newest]}
