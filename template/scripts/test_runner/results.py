# Kept by the template: copier update merges its changes into this file.
"""The results of a run on disk: .test-results/<run>/ with logs, events and a summary."""

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

#: How many runs are kept, including the current one.
KEPT = 5
NAME = re.compile(r"\d{8}-\d{6}-\d+")
PYTEST_FILE = re.compile(r"(?!(.*/)?conftest\.py$).*\.py")
VITEST_FILE = re.compile(r"\.[cm]?[jt]sx?$")
LATEST = RESULTS / "latest"
HISTORY = RESULTS / "history.json"


def open_folder() -> Path:
    """Create the folder of this run, point the link `latest` to it, and delete the oldest runs."""
    folder = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder.mkdir(parents=True)
    link = RESULTS / f".latest-{os.getpid()}"
    link.symlink_to(folder.name)
    link.replace(LATEST)
    runs = sorted(path for path in RESULTS.iterdir() if NAME.fullmatch(path.name))
    for old in runs[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def attach(targets: Iterable[Target], folder: Path) -> None:
    """Set the files for the log, the events and the JUnit XML of each target.

    Also set the number of tests in the last complete run, for the progress.
    """
    history = read_history()
    for target in targets:
        target.log = folder / f"{target.stage}-{target.name}.log"
        target.events = Events(folder / f"{target.stage}-{target.name}.events.jsonl")
        target.junit = folder / f"{target.stage}-{target.name}.junit.xml"
        if not target.selected:
            target.expected = int(history.get(target.title, {}).get("tests") or 0)


def display_path(path: Path) -> str:
    """Return a path for display: relative to the project's root if it is inside."""
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
        "targets": [as_record(target) for target in targets],
    }
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    # A file name may hold a lone surrogate, which has no UTF-8. As an escape it is valid JSON.
    (folder / "summary.json").write_text(text, encoding="utf-8", errors="backslashreplace")


def as_record(target: Target) -> dict[str, Any]:
    """Return the machine-readable record of a target. A number that is not known is None."""
    failed = [test for test, outcome in target.events.outcomes.items() if outcome in FAILED]
    if not target.has_events:
        failed = [test for cause in target.causes for test in cause.tests]
    return {
        "stage": target.stage,
        "name": target.name,
        "state": str(target.state),
        "note": target.note,
        "tool": target.tool,
        "complete": target.events.complete,
        "seconds": round(target.seconds, 3),
        "tests": target.total if target.counted else None,
        "executed": target.executed if target.counted else None,
        "failed": failed,
        "causes": [
            {
                "test": cause.first.test,
                "tests": len(cause.tests),
                "type": cause.first.type,
                "message": cause.first.message,
                "where": cause.first.where,
            }
            for cause in target.causes
        ],
        "attempt": target.attempt,
        "flaky_tests": [
            {
                "test": one.test,
                "attempt": one.attempt,
                "attempts": one.attempts,
                "type": one.first.type,
                "message": one.first.message,
                "where": one.first.where,
            }
            for one in target.flaky_tests
        ],
        "cache": target.cache,
        "cached": {"when": round(target.cached.when), "checkout": target.cached.checkout}
        if target.cached
        else None,
        "flaky": target.flaky,
        "log": display_path(target.log),
        "again": target.again,
    }


def failed_last() -> dict[str, tuple[str, list[str]]]:
    """Return the failed targets of the last run by title: the test tool and the failed tests.

    The list of tests is empty if the target did not finish: the tests that it never reached have not
    passed either, so the whole target must run again.

    Raises:
        UsageError: there was no run, or the last run was killed.
    """
    try:
        summary = json.loads((LATEST / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError("there are no results of a last run: run all tests first") from None
    again = BAD | {State.INTERRUPTED}
    if summary.get("failed_only"):  # A failed test that was renamed is not found, so nothing ran.
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
    """Whether a tool can select these failures. It cannot select a broken conftest.py, for example."""
    if tool == "pytest":
        return all("::" in one or PYTEST_FILE.fullmatch(one) for one in tests)
    return tool == "vitest" and all(VITEST_FILE.search(one) for one in files_of(tests))


def files_of(tests: Iterable[str]) -> list[str]:
    """Return the files of some Vitest tests, without duplicates."""
    return list(dict.fromkeys(test.partition(" > ")[0] for test in tests))


def read_history() -> dict[str, dict[str, Any]]:
    """Return what `write_history` stored of each target's last complete run, by the target's title."""
    try:
        history = json.loads(HISTORY.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(history, dict):
        return {}
    return {title: one for title, one in history.items() if is_numbers(one)}


def is_numbers(entry: object) -> bool:
    """Whether an entry of the history has the form that `write_history` gives it."""
    return isinstance(entry, dict) and all(isinstance(n, int | float) for n in entry.values())


def write_history(targets: Iterable[Target]) -> None:
    """Store how long the passed targets took, and what decides whether they use xdist.

    `start` is the time until the first test, `seconds` that of the tests one after the other.
    """
    history = read_history()
    for target in targets:
        if target.state == State.PASSED:
            events, took = target.events, target.seconds
            start, seconds = events.first - target.began, target.ended - events.first
            if events.workers:  # They start after the first process, and repeat its start.
                start = history.get(target.title, {}).get("start", start / 2)
                seconds = max(0.0, took - 2 * start) * events.workers
            history[target.title] = {"took": round(took, 3), "tests": target.total}
            if events.xdist and events.first:
                history[target.title] |= {"start": round(start, 3), "seconds": round(seconds, 3)}
    new = HISTORY.with_suffix(f".{os.getpid()}")
    try:
        new.write_text(json.dumps(history, indent=2) + "\n")
        new.replace(HISTORY)
    finally:
        new.unlink(missing_ok=True)
