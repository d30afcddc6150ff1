"""Measure what is asked for, write docs/benchmarks.md, and say which targets were missed.

Seconds of different machines cannot be compared, so what counts are ratios: both sides are measured
in turns, in one run, and the median of several turns is taken. Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from tests.conftest import ROOT

from . import ci, images, pipeline, rendering, updates
from .common import Bench, has_engine

PAGE = ROOT / "docs/benchmarks.md"

SECTIONS: dict[str, Callable[[Bench], str]] = {
    "rendering": rendering.section,
    "updates": updates.section,
    "pipeline": pipeline.section,
    "images": images.section,
    "ci": ci.section,
}

NEED_DOCKER = frozenset({"pipeline", "images", "ci"})

#: Begins a section on the page, so that one can be measured again by itself.
MARK = re.compile(r"^<!-- (\w+) -->\n", re.MULTILINE)


def written() -> dict[str, str]:
    """The sections that are on the page."""
    _, *parts = MARK.split(PAGE.read_text())
    return dict(zip(parts[::2], parts[1::2], strict=True))


def page(sections: Mapping[str, str], runs: int) -> str:
    """Write the page."""
    python = ".".join(map(str, sys.version_info[:2]))
    head = f"""\
# Benchmarks

Written by `uvx nox -s bench`; do not edit. Each section was measured in one run on one machine with
{os.cpu_count()} cores, with Copier {version("copier")} on Python {python}. Each number is the median of {runs} turns, unless it says
otherwise, and the two sides of a ratio take turns. Other machines have other seconds; the ratios are
what to look at. `uvx nox -s bench -- --only rendering` measures one section again.
"""
    parts = [
        f"<!-- {name} -->\n{sections[name].strip()}\n" for name in SECTIONS if name in sections
    ]
    return "\n".join([head, *parts])


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=5, help="turns of each measurement")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="only this (repeatable)")
    options = parser.parse_args()
    wanted = options.only or list(SECTIONS)
    if NEED_DOCKER.intersection(wanted) and not has_engine():
        parser.error("no Docker engine answers: start one, or choose with --only")
    sections = written() if options.only else {}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        bench = Bench(Path(name), options.runs)
        for section in wanted:
            sections[section] = SECTIONS[section](bench)
    PAGE.write_text(page(sections, options.runs))
    bench.say(f"written: {PAGE.relative_to(ROOT)}")
    for miss in bench.missed:
        bench.say(f"missed: {miss}")
    return 1 if bench.missed else 0


if __name__ == "__main__":
    sys.exit(main())
