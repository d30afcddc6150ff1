# Kept by the template: copier update merges its changes into this file.
"""Prepares a failed target for another attempt (`--retries`)."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

from . import results
from .display import describe_state
from .events import FAILED
from .targets import State, Target
from .tools.output import Output


def repeat(target: Target) -> None:
    """Keep the failures of the attempt that has ended, and select the tests of the next one.

    Only the failed tests run again if the test tool can select them and all tests have run. Else all
    tests of the target run again.
    """
    events = target.events
    failed = [test for test, outcome in events.outcomes.items() if outcome in FAILED]
    restore(target)
    target.chosen = target.selected, target.env.get("TESTS", "")
    whole = not (events.complete and failed) or bool(events.missing)
    can_select = not whole and results.selectable(target.tool, failed)
    if can_select and target.tool == "pytest":
        target.selected = failed
    elif can_select:
        target.env["TESTS"] = shlex.join(results.files_of(failed))
    target.before = describe_state(target)
    for cause in [] if target.has_events else target.causes:
        for test in cause.tests:
            events.earlier.setdefault(test, []).append(replace(cause.first, test=test))
    events.repeat(target.culprit, target.before)
    target.output, target.culprit, target.note = Output(), "", ""
    if target.junit.is_dir():
        shutil.rmtree(target.junit, ignore_errors=True)
    Path(target.junit).unlink(missing_ok=True)
    target.attempt += 1
    target.state, target.ended = State.RUNNING, 0.0
    with target.log.open("ab") as log:
        log.write(f"\n=== attempt {target.attempt} of {target.attempts} ===\n".encode())


def restore(target: Target) -> None:
    """Set the selection of the first attempt again: it comes from --failed, or is empty."""
    if target.chosen is not None:
        target.selected, tests = target.chosen
        target.env.pop("TESTS", None)
        target.env |= {"TESTS": tests} if tests else {}
