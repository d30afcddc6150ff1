# Kept by the template: copier update merges its changes into this file.
"""Divides the targets between the jobs of a CI run (`--shard K/N`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from .results import HISTORY
from .targets import State, Target, UsageError


def chosen(targets: list[Target], shard: tuple[int, int], history: Path | None) -> list[Target]:
    """Return the targets of shard K of N, in their order.

    Args:
        targets: the selected targets, which are the same in all shards.
        shard: K and N.
        history: the file with the durations; None: that of this checkout.
    """
    number, count = shard
    mine = divide(targets, count, durations(history))[number - 1]
    return [target for target in targets if target.title in mine]


def durations(file: Path | None) -> dict[str, float]:
    """Return how long each target took in an earlier run, by title.

    Raises:
        UsageError: the named file cannot be read.
    """
    try:
        found = json.loads((file or HISTORY).read_text())
        return {str(title): float(one["took"]) for title, one in found.items() if "took" in one}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        if file:
            raise UsageError(f"cannot read the history {file}: {error}") from None
        return {}


def divide(targets: Iterable[Target], count: int, took: dict[str, float]) -> list[set[str]]:
    """Divide targets so that the shards take about the same time. Each target is in one shard.

    The result only depends on the arguments, so each shard calculates the same. A target with an
    unknown duration counts as an average one.
    """
    known = [took[target.title] for target in targets if took.get(target.title)]
    average = sum(known) / len(known) if known else 1.0
    weights = {
        target.title: 0.0 if target.state == State.SKIPPED else took.get(target.title) or average
        for target in targets
    }
    shards: list[set[str]] = [set() for _ in range(count)]
    loads = [0.0] * count
    for title in sorted(weights, key=lambda title: (-weights[title], title)):
        least = min(range(count), key=lambda index: (loads[index], len(shards[index]), index))
        shards[least].add(title)
        loads[least] += weights[title]
    return shards
