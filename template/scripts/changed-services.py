#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
# Kept by the template: copier update merges its changes into this file.
"""Print the services that have changed, and the services whose tests the change affects.

The change is the difference between the last commit and its merge base with the base branch. The
rules are in test_runner/changes.py. Exit codes: 0 success, 2 usage error.
"""

from __future__ import annotations

import sys

# This folder last, because it may contain a module of yours with the name of another, such as types.py.
# With PYTHONSAFEPATH, Python leaves the folder out.
sys.path = [*sys.path[not sys.flags.safe_path :], __file__.rpartition("/")[0]]

import argparse
import json
from pathlib import Path

from test_runner.changes import Changes, changes

ROOT = Path(__file__).resolve().parent.parent


def others(affected: list[str], listed: list[str]) -> list[str]:
    """Return the affected services that are not listed. A service without a Makefile has no tests."""
    return [
        name
        for name in affected
        if name not in listed and (ROOT / "services" / name / "Makefile").is_file()
    ]


def outputs(found: Changes, listed: list[str]) -> list[str]:
    """Return the outputs of a workflow step, one per line."""
    values = {
        "services": found.services,
        "affected": found.affected,
        "others": others(found.affected, listed),
        "integration": found.integration,
    }
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def lines(found: Changes) -> list[str]:
    """Return the result for people."""
    return [
        found.reason,
        f"changed:     {', '.join(found.services) or 'none'}",
        f"affected:    {', '.join(found.affected) or 'none'}",
        f"integration: {'yes' if found.integration else 'no'}",
    ]


def main() -> int:
    """Run the command line."""
    doc = (__doc__ or "").split("\n\n")
    parser = argparse.ArgumentParser(description=doc[0], epilog=doc[1], allow_abbrev=False)
    add = parser.add_argument
    add(
        "--base",
        metavar="COMMIT",
        help="the commit or branch to compare with (default: the default branch); "
        "if it is empty or unknown, all services count as changed",
    )
    add("--working-tree", action="store_true", help="include uncommitted changes")
    add(
        "--outputs",
        nargs="*",
        metavar="SERVICE",
        help="print lines for $GITHUB_OUTPUT; name the services that have their own job: the "
        "output `others` lists the other affected services",
    )
    options = parser.parse_args()
    found = changes(ROOT, options.base, None if options.working_tree else "HEAD")
    if options.outputs is None:
        print("\n".join(lines(found)))
    else:
        print(found.reason, file=sys.stderr)
        print("\n".join(outputs(found, options.outputs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
