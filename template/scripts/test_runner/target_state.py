# Kept by the template: copier update merges its changes into this file.
"""Decides the final state of a target.

The exit code decides. Events and output explain a failure, and may turn a pass into a failure.
"""

from __future__ import annotations

from .logs import end_of
from .targets import State, Target
from .tools.make import exit_code_behind_make

#: The exit code in an `end` event of a tool that found no test to run (pytest's code).
NO_TESTS = 5
#: The exit code of the tool's process in that case.
OWN_CODE = {"pytest": 5, "vitest": 1}


def set_state(target: Target, code: int) -> None:
    """Set the state and the note of a target whose command has ended with this exit code."""
    target.state, target.note = state_of(target, code)


def state_of(target: Target, code: int) -> tuple[State, str]:
    """Return the state, and a note if the state alone does not explain the result."""
    events = target.events
    crashed = target.has_events and events.ended < events.begun
    if code == 0:
        if target.failed:
            return State.FAILED, f"{target.failed} failed, but the command exited 0"
        if crashed:
            return State.FAILED, "the command exited 0 before all tests had finished"
        if repeated := target.events.count(frozenset({"rerun"})):
            return State.FAILED, f"{repeated} failed before and did not run again"
        if missing := number_missing(target):
            what = f"{missing} of {target.total} collected tests did not run"
            return State.FAILED, f"{what}, but the command exited 0"
        nothing = target.counted and not target.executed
        return (State.NOTHING, "") if nothing else (State.PASSED, "")
    if crashed:
        target.culprit = target.events.running
        return State.CRASHED, how_it_ended(target, code)
    if target.failed:
        return State.FAILED, f"{target.failed} failed"
    if nothing_ran(target, code):
        return State.NOTHING, ""
    if target.executed:
        return State.FAILED, f"no test failed, but {how_it_ended(target, code)}"
    return State.FAILED, how_it_ended(target, code)


def number_missing(target: Target) -> int:
    """Return how many tests were collected and have no outcome, as far as that is known."""
    if target.has_events:
        return target.events.missing
    counts, collected = target.output.counts, target.output.progress.total
    # Of the other tools, the number of collected tests is not known for sure.
    known = counts and target.output.tool == "pytest"
    return max(0, collected - counts.tests) if counts and known else 0


def nothing_ran(target: Target, code: int) -> bool:
    """Whether a command failed only because its test tool found no test to run."""
    if target.executed:
        return False
    own = exit_code(target, code)
    if target.has_events:
        events = target.events
        return events.exit == NO_TESTS and own == OWN_CODE.get(events.tool, NO_TESTS)
    return own in target.output.codes_for_nothing


def exit_code(target: Target, code: int) -> int:
    """Return the exit code of the recipe. The exit code of make is always 2."""
    return exit_code_behind_make(end_of(target.log)) or code


def how_it_ended(target: Target, code: int) -> str:
    """Describe how a command ended."""
    code = exit_code(target, code)
    code = code if code >= 0 else 128 - code
    words = {134: "aborted", 137: "was killed (out of memory?)", 139: "segmentation fault"}
    return words.get(code, f"exit {code}")
