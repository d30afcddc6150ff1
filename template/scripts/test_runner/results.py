# Kept by the template: copier update merges its changes into this file.
"""What a run leaves on disk: .test-results/<run>/ with logs, events and a summary."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .events import FAILED, Events
from .project import RESULTS, ROOT
from .targets import BAD, State, Target, UsageError

#: How many runs are kept, this one included.
KEPT = 5
NAME = re.compile(r"\d{8}-\d{6}-\d+")
PYTEST_FILE = re.compile(r"(?!(.*/)?conftest\.py$).*\.py")
VITEST_FILE = re.compile(r"\.[cm]?[jt]sx?$")
LATEST = RESULTS / "latest"
HISTORY = RESULTS / "history.json"


def open_folder() -> Path:
    """Make the folder of this run, lead `latest` to it, and drop the oldest runs."""
    folder = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder.mkdir(parents=True)
    link = RESULTS / f".latest-{os.getpid()}"
    link.symlink_to(folder.name)
    link.replace(LATEST)
    runs = sorted(path for path in RESULTS.iterdir() if NAME.fullmatch(path.name))
    for old in runs[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def attach(target: Target, folder: Path) -> None:
    """Say where a target's log and events go."""
    target.log = folder / f"{target.stage}-{target.name}.log"
    target.events = Events(folder / f"{target.stage}-{target.name}.events.jsonl")


def shown(path: Path) -> str:
    """Write a path as it is shown: from the project's root."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def write_summary(
    folder: Path, targets: Iterable[Target], exit_code: int, seconds: float, *, failed_only: bool
) -> None:
    """Write summary.json, which `FAILED=1` reads next time."""
    summary = {
        "run": folder.name,
        "exit": exit_code,
        "failed_only": failed_only,
        "seconds": round(seconds, 3),
        "targets": [described(target) for target in targets],
    }
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    # Half a character, such as in the name of a file, is no UTF-8; as an escape it is JSON.
    (folder / "summary.json").write_text(text, encoding="utf-8", errors="backslashreplace")


def described(target: Target) -> dict[str, Any]:
    """Describe a target for machines."""
    failed = [test for test, outcome in target.events.outcomes.items() if outcome in FAILED]
    return {
        "stage": target.stage,
        "name": target.name,
        "state": str(target.state),
        "note": target.note,
        "tool": target.events.tool,
        "complete": target.events.complete,
        "seconds": round(target.seconds, 3),
        "tests": target.total,
        "executed": target.executed,
        "failed": failed,
        "causes": [
            {
                "test": cause.first.test,
                "tests": len(cause.tests),
                "type": cause.first.type,
                "message": cause.first.message,
                "where": cause.first.where,
            }
            for cause in target.events.causes.values()
        ],
        "log": shown(target.log),
        "again": target.again,
    }


def failed_last() -> dict[str, tuple[str, list[str]]]:
    """Return the targets that the last run ended badly: the tool of each, and what failed in it.

    One that did not come to its end names no test: what it never reached has not passed either.

    Raises:
        UsageError: there was no run, or it was killed.
    """
    try:
        summary = json.loads((LATEST / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError("the last run left no results, or there was none: run all tests") from None
    again = BAD | {State.INTERRUPTED}
    if summary.get("failed_only"):  # What failed before may have got another name since.
        again |= {State.NOTHING}
    return {
        f"{target['stage']} {target['name']}": (
            target.get("tool", ""),
            target["failed"] if target["state"] == State.FAILED and target.get("complete") else [],
        )
        for target in summary["targets"]
        if target["state"] in again
    }


def selectable(tool: str, tests: Iterable[str]) -> bool:
    """Whether a tool can run just these; not where it is no test that broke, but a conftest.py, say."""
    if tool == "pytest":
        return all("::" in one or PYTEST_FILE.fullmatch(one) for one in tests)
    return tool == "vitest" and all(VITEST_FILE.search(one) for one in files_of(tests))


def files_of(tests: Iterable[str]) -> list[str]:
    """Return the files of Vitest's tests, each once."""
    return list(dict.fromkeys(test.partition(" > ")[0] for test in tests))


def read_history() -> dict[str, dict[str, Any]]:
    """Return how long each target's tests took in the last whole run, by the target's title."""
    try:
        history = json.loads(HISTORY.read_text())
    except (OSError, ValueError):
        return {}
    return history if isinstance(history, dict) else {}


def write_history(targets: Iterable[Target]) -> None:
    """Remember how long the tests of these targets took, and whether more processes could help."""
    history = read_history()
    for target in targets:
        if target.state == State.PASSED and target.tells:
            history[target.title] = {
                "seconds": round(sum(target.events.seconds.values()), 3),
                "xdist": target.events.xdist,
            }
    new = HISTORY.with_suffix(f".{os.getpid()}")
    try:
        new.write_text(json.dumps(history, indent=2) + "\n")
        new.replace(HISTORY)
    finally:
        new.unlink(missing_ok=True)
