"""Run the selected measurements, write docs/benchmarks.md, and report missed targets.

Seconds from different machines cannot be compared, so the targets are ratios. One run measures both
sides in turns and takes the median of several turns. The exit code is 1 if a target is missed.
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

from . import adoption, ci, images, pipeline, rendering, updates
from .common import Bench, has_engine

PAGE = ROOT / "docs/benchmarks.md"

SECTIONS: dict[str, Callable[[Bench], str]] = {
    "rendering": rendering.section,
    "updates": updates.section,
    "adoption": adoption.section,
    "pipeline": pipeline.section,
    "images": images.section,
    "ci": ci.section,
}

NEED_DOCKER = frozenset({"pipeline", "images", "ci"})

#: Starts each section of the page, so that one section can be measured again.
MARK = re.compile(r"^<!-- (\w+) -->\n", re.MULTILINE)


def written() -> dict[str, str]:
    """Return the sections of the current page."""
    _, *parts = MARK.split(PAGE.read_text())
    return dict(zip(parts[::2], parts[1::2], strict=True))


def page(sections: Mapping[str, str], runs: int) -> str:
    """Return the text of the page."""
    python = ".".join(map(str, sys.version_info[:2]))
    head = f"""\
# Benchmarks

`uvx nox -s bench` writes this page; do not edit it. Each section was measured in one run, on one
machine with {os.cpu_count()} cores, with Copier {version("copier")} on Python {python}. Each number
is the median of {runs} measurements, unless the section states another number. The two sides of a
ratio were measured in turns. Compare the ratios: the seconds depend on the machine.
`uvx nox -s bench -- --only rendering` measures one section again.
"""
    parts = [
        f"<!-- {name} -->\n{sections[name].strip()}\n" for name in SECTIONS if name in sections
    ]
    return "\n".join([head, *parts])


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=5, help="repetitions of each measurement")
    parser.add_argument(
        "--only", action="append", choices=SECTIONS, help="measure only this section (repeatable)"
    )
    options = parser.parse_args()
    selected = options.only or list(SECTIONS)
    if NEED_DOCKER.intersection(selected) and not has_engine():
        parser.error("no Docker engine is running: start one, or select other sections with --only")
    sections = written() if options.only else {}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        bench = Bench(Path(name), options.runs)
        for section in selected:
            sections[section] = SECTIONS[section](bench)
    PAGE.write_text(page(sections, options.runs))
    bench.say(f"written: {PAGE.relative_to(ROOT)}")
    for miss in bench.missed:
        bench.say(f"missed: {miss}")
    return 1 if bench.missed else 0


if __name__ == "__main__":
    sys.exit(main())
