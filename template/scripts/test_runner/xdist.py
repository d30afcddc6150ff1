# Kept by the template: copier update merges its changes into this file.
"""Decides whether the tests of a target run in several processes, with pytest-xdist.

Each process imports the service and collects its tests again, which is work for cores that other
targets may need. So it must pay: the decision compares how long the stage would take, by the
durations of the last run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from .results import read_history
from .targets import State, Target

#: The seconds that xdist must save. What it saves is only known roughly.
WORTH = 1.0


def use(targets: Iterable[Target], cores: int = os.cpu_count() or 1) -> None:
    """Turn on pytest-xdist for each target whose stage ends sooner with it."""
    history = read_history()
    pending = [target for target in targets if target.state == State.PENDING]
    known: dict[str, dict[str, Any]] = {one.title: history.get(one.title, {}) for one in pending}
    for target in pending:
        beside = [one for one in pending if one.stage == target.stage and one is not target]
        others = sum(known[one.title].get("took", 0.0) for one in beside)
        last = known[target.title]
        # Without `start`, the tests cannot use xdist, or the project decides itself.
        if {"start", "seconds"} <= last.keys() and (
            saved(last["start"], last["seconds"], others, cores) >= WORTH
        ):
            target.env["TEST_EVENTS_WORKERS"] = str(cores)


def saved(start: float, tests: float, others: float, cores: int) -> float:
    """Return how many seconds sooner a stage ends if one of its targets uses xdist.

    A stage ends when its longest target has ended, and not before the cores have done all the work.

    Args:
        start: the seconds until the target's first test: imports and collection.
        tests: the seconds of its tests, one after the other.
        others: the seconds of the other targets of the stage, together.
        cores: the number of cores, and of xdist's processes.
    """
    alone = max(start + tests, (start + tests + others) / cores)
    # The first process collects nothing, but it starts before the others.
    together = max(2 * start + tests / cores, ((1 + cores) * start + tests + others) / cores)
    return alone - together
