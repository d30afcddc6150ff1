#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
# Kept by the template: copier update merges its changes into this file.
"""Say which services a change concerns: whose own folder changed, and whose tests that touches.

Compared are the last commit and the point where it left the base; what decides is in
test_runner/changes.py. The exit code is 0 whatever changed, and 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from test_runner.changes import Changes, changes

ROOT = Path(__file__).resolve().parent.parent


def others(affected: list[str], listed: list[str]) -> list[str]:
    """Return the affected services that are not listed, as far as the pipeline knows them."""
    return [
        name
        for name in affected
        if name not in listed and (ROOT / "services" / name / "Makefile").is_file()
    ]


def outputs(found: Changes, listed: list[str]) -> list[str]:
    """Write the outputs of a workflow's step, a line each."""
    values = {
        "services": found.services,
        "affected": found.affected,
        "others": others(found.affected, listed),
        "integration": found.integration,
    }
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def lines(found: Changes) -> list[str]:
    """Write what changed for people."""
    return [
        found.reason,
        f"changed:     {', '.join(found.services) or 'no service'}",
        f"affected:    {', '.join(found.affected) or 'no service'}",
        f"integration: {'yes' if found.integration else 'no'}",
    ]


def main() -> int:
    """Compare, and print what was found."""
    doc = (__doc__ or "").split("\n\n")
    parser = argparse.ArgumentParser(description=doc[0], epilog=doc[1], allow_abbrev=False)
    add = parser.add_argument
    add(
        "--base",
        metavar="COMMIT",
        help="what to compare with: a commit or branch (default: the default branch); "
        "one that is empty or unknown means everything",
    )
    add("--working-tree", action="store_true", help="count what is not committed yet, too")
    add(
        "--outputs",
        nargs="*",
        metavar="SERVICE",
        help="print what $GITHUB_OUTPUT takes; `others` are the affected services that are not "
        "named here, because they have a job of their own",
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
