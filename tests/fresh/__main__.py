"""Check that the versions that the template renders are current.

Renders the template with sets of answers that bring out all of it, and compares every image,
action, language version and dependency with products.toml and packages.toml. Exits with 1 where a
version is past its end of life or not in the tables. What is behind the newest is only reported.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from itertools import combinations, repeat
from pathlib import Path
from typing import Any

import copier
import plumbum

from tests.conftest import copy_template
from tests.render import pairwise

from .pins import PRODUCTS, Pin, pins_of
from .refresh import refresh
from .releases import PACKAGES, Level, Tables, check

#: The questions that together decide which files and dependencies there are.
PAIRED = ("service_kind", "database", "cache")


def answer_sets() -> list[dict[str, Any]]:
    """Choose few of the pairwise sets: those with every answer, and every pair of the PAIRED."""

    def covered(answers: dict[str, Any]) -> set[Any]:
        single = {(name, repr(value)) for name, value in answers.items()}
        return single | set(combinations([(name, answers.get(name)) for name in PAIRED], 2))

    rows = {name: covered(answers) for name, answers in pairwise.pairwise().items()}
    missing = set().union(*rows.values())
    chosen = []
    while missing:
        best = max(rows, key=lambda name: len(rows[name] & missing))
        missing -= rows[best]
        chosen.append(pairwise.pairwise()[best])
    return chosen


def rendered_pins(template: Path, answers: dict[str, Any]) -> dict[Pin, str]:
    """Render a project and return the versions that it names."""
    with tempfile.TemporaryDirectory() as scratch:
        # Where Copier finds git, it starts it for every file, which is half of a render's time.
        with plumbum.local.env(PATH=""):
            copier.run_copy(
                str(template),
                scratch,
                data=answers,
                defaults=True,
                quiet=True,
                skip_tasks=True,
                unsafe=True,
            )
        return pins_of(Path(scratch))


def choices() -> dict[Pin, str]:
    """Return the versions that copier.yml offers: `python_version` and the like."""
    return {
        Pin("language", PRODUCTS[name.removesuffix("_version")], value): f"copier.yml, {name}"
        for name, values in pairwise.parameters().items()
        if name.endswith("_version")
        for value in values
        if value != pairwise.NOT_ASKED
    }


def collect() -> dict[Pin, str]:
    """Return every version that the template renders or offers, with a file that names it."""
    found = choices()
    with tempfile.TemporaryDirectory() as scratch:
        template = copy_template(Path(scratch))
        with ProcessPoolExecutor() as pool:
            for pins in pool.map(rendered_pins, repeat(template), answer_sets()):
                found = pins | found
    return found


def main() -> int:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(prog="nox -s fresh --", description=__doc__)
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="first look up the newest packages with uv, npm and git, and write packages.toml",
    )
    arguments = parser.parse_args()
    pins = collect()
    tables = Tables.read()
    if arguments.refresh:
        for problem in refresh(PACKAGES, pins, tables, date.today()):
            print(f"not refreshed: {problem}")
        tables = Tables.read()
    findings = check(tables, pins, date.today())
    for level in Level:
        lines = [f"  {f.text}  [{place}]" for f, place in findings.items() if f.level is level]
        if lines:
            print(f"{level.value[0].upper()}{level.value[1:]}:", *lines, sep="\n")
    failures = sum(finding.level.fails for finding in findings)
    print(f"{len(pins)} versions compared, {failures} past their end of life or unknown.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
