# Kept by the template: copier update merges its changes into this file.
"""What became of a target, by its exit code; events and output explain it, and may object."""

from __future__ import annotations

from .logs import end_of
from .patterns import exit_code_behind_make
from .targets import State, Target

#: What an event says that a tool ended with when it found no test to run, and what that tool did.
NO_TESTS = 5
OWN_CODE = {"pytest": 5, "vitest": 1}


def judge(target: Target, code: int) -> None:
    """Set a target's state, with a note where the state alone does not tell, by its exit code."""
    target.state, target.note = verdict(target, code)


def verdict(target: Target, code: int) -> tuple[State, str]:
    """Return the state and the note."""
    events = target.events
    crashed = target.tells and events.ended < events.begun
    if code == 0:
        if target.failed:
            return State.FAILED, f"{target.failed} failed, and yet it exited with 0"
        if crashed:
            return State.FAILED, "its tests did not come to their end, and yet it exited with 0"
        counted = target.tells or target.fallback.counts is not None
        return (State.NOTHING, "") if counted and not target.executed else (State.PASSED, "")
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


def nothing_ran(target: Target, code: int) -> bool:
    """Whether a command failed because its test tool found nothing to run, and not for more."""
    if target.executed:
        return False
    own = exit_code(target, code)
    if target.tells:
        events = target.events
        return events.exit == NO_TESTS and own == OWN_CODE.get(events.tool, NO_TESTS)
    return own == target.fallback.code_for_nothing


def exit_code(target: Target, code: int) -> int:
    """Return what a recipe ended with: whatever that was, make itself ends with 2."""
    return exit_code_behind_make(end_of(target.log)) or code


def how_it_ended(target: Target, code: int) -> str:
    """Say how a command ended."""
    code = exit_code(target, code)
    code = code if code >= 0 else 128 - code
    words = {134: "aborted", 137: "was killed (out of memory?)", 139: "segmentation fault"}
    return words.get(code, f"exit {code}")
