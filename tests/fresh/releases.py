"""The tables of releases, and what they say about a version that a project names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Self

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from .pins import Pin

#: Written by hand: languages, servers and tools, with the end of life of each release line.
PRODUCTS = Path(__file__).with_name("products.toml")
#: Written by `nox -s fresh -- --refresh`: the newest release of each package and action.
PACKAGES = Path(__file__).with_name("packages.toml")
#: After this time a row of the tables must be read again.
ROW_AGE = timedelta(days=180)
#: How long before its end of life a version is announced.
NOTICE = timedelta(days=180)


class Level(Enum):
    """How serious a finding is; only the first two fail."""

    PAST = "past its end of life"
    UNKNOWN = "not in the tables"
    ENDING = "ends within half a year"
    BEHIND = "behind the newest"
    OLD = "table rows to read again"

    @property
    def fails(self) -> bool:
        """Whether a finding of this level makes the check fail."""
        return self in {Level.PAST, Level.UNKNOWN}


@dataclass(frozen=True)
class Finding:
    """What the tables say about a version."""

    level: Level
    text: str


@dataclass(frozen=True)
class Tables:
    """What is known about releases."""

    products: Mapping[str, Any]
    packages: Mapping[str, Any]  #: pypi, npm and action, each by name

    @classmethod
    def read(cls, products: Path = PRODUCTS, packages: Path = PACKAGES) -> Self:
        """Read the tables."""
        return cls(*(tomllib.loads(path.read_text("utf-8")) for path in (products, packages)))

    def product_of(self, pin: Pin) -> str:
        """Return the product that a pin is a version of, or nothing where none has a row."""
        if pin.kind != "image":
            return pin.name if pin.name in self.products else ""
        rows = self.products.items()
        return next((name for name, row in rows if pin.name in row.get("images", [])), "")

    def line(self, pin: Pin) -> str:
        """Return the release line of a product that a pin belongs to, if the table has it."""
        lines = self.products.get(self.product_of(pin), {}).get("lines", {})
        return line_of(version_of_tag(pin.version), lines)

    def newest_choices(self, pins: Iterable[Pin]) -> dict[str, str]:
        """Return the newest line of each language that the questions offer."""
        found: dict[str, str] = {}
        for language in {pin.name for pin in pins if pin.kind == "language"}:
            lines = {self.line(pin) for pin in pins if pin.name == language}
            known = self.products.get(language, {}).get("lines", {})
            found[language] = next((line for line in known if line in lines), "")
        return found

    def findings(self, pin: Pin, today: date) -> Iterator[Finding]:
        """Compare one version with the tables."""
        if pin.kind in {"pypi", "npm"}:
            yield from self.about_package(pin, today)
        elif pin.kind == "action":
            yield from self.about_action(pin, today)
        else:
            yield from self.about_product(pin, today)

    def about_product(self, pin: Pin, today: date) -> Iterator[Finding]:
        """Compare an image, a language or a tool with its product's release lines."""
        product = self.product_of(pin)
        label = f"{pin.name} {pin.version}"
        if not product:
            yield Finding(Level.UNKNOWN, f"{label}: add the product to products.toml")
            return
        row = self.products[product]
        if "package" in row:
            kind, name = row["package"].split(":")
            newest = self.packages.get(kind, {}).get(name, {}).get("newest", "")
            if not newest:
                yield Finding(Level.UNKNOWN, f"{label}: {row['package']} is not in packages.toml")
            elif not begins(newest, version_of_tag(pin.version)):
                yield Finding(Level.BEHIND, f"{label}: newest is {newest}")
            return
        yield from old(label, row, today)
        lines = row["lines"]
        line = self.line(pin)
        if not line:
            yield Finding(Level.UNKNOWN, f"{label}: no line of {product} in products.toml has it")
            return
        end = lines[line].get("end")
        if pin.kind == "minimum":
            # What runs is up to the user; an old minimum only admits too much.
            if end and end < today:
                yield Finding(Level.BEHIND, f"{label} is accepted, whose end of life was {end}")
            return
        if end and end < today:
            yield Finding(Level.PAST, f"{label}: {product} {line} ended on {end}")
        elif end and end < today + NOTICE:
            yield Finding(Level.ENDING, f"{label}: {product} {line} ends on {end}")
        newest = next(iter(lines))
        if line != newest:
            yield Finding(Level.BEHIND, f"{label}: newest is {newest}")

    def about_package(self, pin: Pin, today: date) -> Iterator[Finding]:
        """Compare a dependency with its newest release."""
        row = self.packages.get(pin.kind, {}).get(pin.name)
        label = f"{pin.name} {pin.version}".rstrip()
        if row is None:
            refresh = "run nox -s fresh -- --refresh"
            yield Finding(Level.UNKNOWN, f"{label}: no row in packages.toml; {refresh}")
            return
        yield from old(label, row, today)
        if row.get("end") and row["end"] < today:
            yield Finding(Level.PAST, f"{label}: ended on {row['end']}")
        if pin.version and not covers(pin, row["newest"]):
            reason = f" ({row['note']})" if "note" in row else ""
            yield Finding(Level.BEHIND, f"{label}: newest is {row['newest']}{reason}")

    def about_action(self, pin: Pin, today: date) -> Iterator[Finding]:
        """Compare an action with its newest release, and its commit with that release's."""
        row = self.packages.get("action", {}).get(pin.name)
        label = f"{pin.name} {pin.version}".rstrip()
        if not pin.version:
            yield Finding(Level.UNKNOWN, f"{label}@{pin.commit}: no comment names the version")
        elif row is None:
            yield Finding(Level.UNKNOWN, f"{label}: no row in packages.toml")
        else:
            yield from old(label, row, today)
            if pin.version != row["newest"]:
                yield Finding(Level.BEHIND, f"{label}: newest is {row['newest']}")
            elif pin.commit != row["commit"]:
                commits = f"{pin.commit}, but the tag is {row['commit']}"
                yield Finding(Level.UNKNOWN, f"{label}: the commit is {commits}")


def old(label: str, row: Mapping[str, Any], today: date) -> Iterator[Finding]:
    """Warn about a row that was read long ago."""
    if row["read"] < today - ROW_AGE:
        yield Finding(Level.OLD, f"{label}: read on {row['read']} from {row['source']}")


def version_of_tag(tag: str) -> str:
    """Return the version in an image's tag: 1.30 of 1.30-alpine."""
    return tag.split("-")[0].lstrip("v")


def begins(version: str, start: str) -> bool:
    """Whether a version belongs to a line: 1.30.5 begins with 1.30, and 1.3 does not."""
    return f"{version}.".startswith(f"{start}.")


def line_of(version: str, lines: Mapping[str, Any]) -> str:
    """Return the release line of a version, the newest one where several have it."""
    found = (line for line in lines if begins(version, line) or begins(line, version))
    return next(found, "")


def covers(pin: Pin, newest: str) -> bool:
    """Whether a range of versions was written for the newest one's series.

    A series is a major version, or 0.x before the first. A range with no upper end, such as
    `>=7`, admits version 9, but no one had seen 9 when it was written.
    """
    if pin.kind == "pypi":
        specifiers = SpecifierSet(pin.version)
        lower = [s.version for s in specifiers if s.operator in {">=", "==", "~=", ">"}]
        admitted = specifiers.contains(newest)
        exact = any(s.operator == "==" for s in specifiers)
    else:
        lower = [pin.version.split("||")[-1].strip(" ^~>=")]
        admitted = True
        exact = pin.version[:1].isdigit()
    if not lower:
        return admitted
    floor, target = Version(lower[0].removesuffix(".*")), Version(newest)
    depth = 2 if pin.version.startswith("~") or not target.major else 1
    if exact:
        return admitted and floor == target
    return admitted and floor.release[:depth] == target.release[:depth]


def check(tables: Tables, pins: Mapping[Pin, str], today: date) -> dict[Finding, str]:
    """Return the findings about all versions, each with a file that names the version."""
    chosen = tables.newest_choices(pins)
    found: dict[Finding, str] = {}
    for pin, place in sorted(pins.items()):
        # Older choices are there on purpose: only the newest one can be behind.
        older_choice = tables.line(pin) != chosen.get(tables.product_of(pin), tables.line(pin))
        for finding in tables.findings(pin, today):
            if not (older_choice and finding.level is Level.BEHIND and pin.kind != "minimum"):
                found.setdefault(finding, place)
    return found
