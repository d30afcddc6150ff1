# Kept by the template: copier update merges its changes into this file.
"""The end of the output: each root cause once, the slow tests, and the verdict."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .diagnosis import not_installed
from .display import describe_state, titles
from .events import Cause, Failure, short_name
from .logs import crash, last_words, literal, tail
from .processes import for_make
from .project import MAKE, MULTI
from .results import display_path, files_of, selectable
from .targets import State, Target
from .traces import explain

#: The most that a failed run prints: lines and bytes.
LINES, BYTES = 60, 4000
WIDTH = 160  #: characters of an excerpt's line; test ids, paths and commands are never shortened
CAUSES = 5  #: root causes of a target
EXCERPT, CAPTURED, TAIL = 5, 2, 8  #: lines of an excerpt, of captured output, of a log's end
SLOWEST = 3  #: slow tests that are named for each target
FLAKY = 3  #: flaky tests that are named for each target

#: A rerun command names at most this many tests. For more, it reruns all failed tests.
NAMED = 3


@dataclass(frozen=True)
class Limits:
    """The time, in seconds, above which a test or fixture counts as slow."""

    unit: float = 1.0
    other: float = 5.0

    def of(self, stage: str) -> float:
        """Return the limit for the tests and fixtures of a stage."""
        return self.unit if stage == "unit" else self.other


@dataclass(frozen=True)
class Block:
    """The lines of a failure: the test, an excerpt that may be shortened, and how to rerun it."""

    head: list[str]
    body: list[str]
    foot: list[str]

    @property
    def lines(self) -> list[str]:
        """All lines."""
        return [*self.head, *self.body, *self.foot]

    def short(self, target: Target) -> list[str]:
        """Return the least that is printed: the test, and the command that reruns its target."""
        return [cut(self.head[0]), f"    rerun: {target.again}"]


def failures(targets: list[Target], folder: Path, lines: int, size: int) -> list[str]:
    """Return the lines that explain the failed targets, within the limits LINES and BYTES.

    Args:
        targets: the failed targets.
        folder: the results folder of the run.
        lines: the number of lines printed so far.
        size: the number of bytes printed so far.
    """
    most = max(1, CAUSES - len(targets) + 1)
    # Leave room for the verdict, which names all failed targets, and for a line "… N more".
    lines, size = lines + 2, size + 100 + byte_count([titles(targets)])
    blocks = [list(causes(target, most)) for target in targets]
    room = (LINES - lines, BYTES - size)
    shown = number_that_fit(targets, blocks, room)
    printed: list[list[str]] = [[] for _ in range(shown)]
    # Each target gets an equal share. What a target does not need goes to those that need more.
    needs = [
        byte_count(full(target, blocks[index])) for index, target in enumerate(targets[:shown])
    ]
    for rank, index in enumerate(sorted(range(shown), key=needs.__getitem__)):
        share = (room[0] // (shown - rank), room[1] // (shown - rank))
        printed[index] = within(targets[index], blocks[index], share)
        room = (room[0] - len(printed[index]), room[1] - byte_count(printed[index]))
    hidden = len(targets) - shown
    rest = [f"… {hidden} more failed targets in {display_path(folder)}/"] if hidden else []
    return [line for part in printed for line in part] + rest


def number_that_fit(targets: list[Target], blocks: list[list[Block]], room: tuple[int, int]) -> int:
    """Return how many targets fit into some lines and bytes, if each is as short as possible."""
    for shown in range(len(targets), 0, -1):
        every = [
            shortest(target, found) for target, found in zip(targets[:shown], blocks, strict=False)
        ]
        share = (room[0] // shown, room[1] // shown)
        if all(len(part) <= share[0] and byte_count(part) <= share[1] for part in every):
            return shown
    return 0


def shortest(target: Target, blocks: list[Block]) -> list[str]:
    """Return the least that is printed of a target: its first failure, the rerun line and the log."""
    return [*blocks[0].short(target), log_line(target, blocks, 1)]


def full(target: Target, blocks: list[Block]) -> list[str]:
    """Return everything that could be printed of a target."""
    return [
        *(line for block in blocks for line in block.lines),
        log_line(target, blocks, len(blocks)),
    ]


def log_line(target: Target, blocks: list[Block], count: int) -> str:
    """Return the line with the log of a target, of which `count` failures are printed."""
    log = f"log: {display_path(target.log)}"
    hidden = max(len(target.causes), len(blocks)) - count
    return f"  +{hidden} more in {log}" if hidden else f"  {log}"


def within(target: Target, blocks: list[Block], room: tuple[int, int]) -> list[str]:
    """Return the lines of a target, at most as many lines and bytes as there is room for."""

    def fits(lines: list[str]) -> bool:
        return len(lines) <= room[0] and byte_count(lines) <= room[1]

    first = blocks[0]
    printed = first.short(target)
    if fits([*first.head, *first.foot, log_line(target, blocks, 1)]):
        body = list(first.body)
        while not fits([*first.head, *body, *first.foot, log_line(target, blocks, 1)]):
            body.pop()
        printed = [*first.head, *body, *first.foot]
    count = 1
    for block in blocks[1:]:
        if not fits([*printed, *block.lines, log_line(target, blocks, count + 1)]):
            break
        printed += block.lines
        count += 1
    return [*printed, log_line(target, blocks, count)]


def byte_count(lines: Iterable[str]) -> int:
    """Return the size of some lines in bytes, line ends included."""
    return sum(len(line.encode(errors="replace")) + 1 for line in lines)


def causes(target: Target, most: int) -> Iterator[Block]:
    """Yield a block of lines for each root cause of a target's failure, at most `most` blocks."""
    if target.error:
        lines = [f"    {cut(line)}" for line in target.error.lines[:TAIL]]
        lines += [f"    while {target.culprit} ran"] if target.culprit else []
        hint = [f"    try: {target.error.hint}"] if target.error.hint else []
        head = [f"✗ {target.title}: {target.error.what}"]
        yield Block(head, lines, [*hint, f"    rerun: {target.again}"])
    for cause in target.causes[:most]:
        yield cause_block(target, cause)
    if target.state in (State.CRASHED, State.TIMED_OUT):
        yield crash_block(target)
    elif not target.causes and not target.error:
        lines = [f"    {cut(line)}" for line in last_words(target.log, TAIL)]
        head = [f"✗ {target.title}: {describe_state(target)}"]
        yield Block(head, lines, [*setup_hint(tail(target.log)), f"    rerun: {target.again}"])


def crash_block(target: Target) -> Block:
    """Describe a crash or timeout: the test that was running, if known, and the end of the log."""
    tests = [target.culprit] if target.culprit else []
    lines = crash(target.log) or last_words(target.log, TAIL)
    again = (rerun_of(target, tests) if tests else "") or target.again
    return Block(
        [f"✗ {' '.join([target.title, *tests])} {describe_state(target)}"],
        [f"    {cut(line)}" for line in lines],
        [f"    rerun: {again}"],
    )


def cause_block(target: Target, cause: Cause) -> Block:
    """Describe a root cause: the test, an excerpt, the file and line, and the rerun command."""
    first, more = cause.first, len(cause.tests) - 1
    others = f" (+{more} more)" if more else ""
    head = [f"✗ {target.title} {first.test}{others}"]
    excerpt = [line for line in first.excerpt if line.strip()][:EXCERPT]
    if first.message.partition("\n")[0] not in " ".join(excerpt):
        excerpt = [headline(first).partition("\n")[0], *excerpt][:EXCERPT]
    body = [f"    {cut(line)}" for line in excerpt]
    body += [f"    | {cut(line)}" for line in first.captured[-CAPTURED:]]
    where = [f"    {path_from_root(target, first.where)}"] if first.where else []
    hint = setup_hint([first.message.partition("\n")[0]]) if first.phase == "collection" else []
    return Block(
        head,
        body,
        [*where, *hint, *trace_lines(target, first.test), f"    rerun: {rerun(target, cause)}"],
    )


def trace_lines(target: Target, test: str) -> list[str]:
    """Return what the traces say about a failed test, with `make test TRACE=1`."""
    if target.spans is None:
        return []
    began, ended = target.events.times.get(test, (0.0, math.inf))
    return [f"    {cut(line)}" for line in explain(target.spans, began, ended)]


def setup_hint(output: list[str]) -> list[str]:
    """Return a line that names `make setup` if the output shows that something is not installed."""
    hint = not_installed(output)
    return [f"    try: {hint}"] if hint else []


def headline(failure: Failure) -> str:
    """Return the type and the message of a failure, as far as they are known."""
    return ": ".join(filter(None, (failure.type, failure.message)))


def path_from_root(target: Target, where: str) -> str:
    """Convert a path (or path:line) of a target's test tool to one from the project's root."""
    return where if target.folder == "." or where.startswith("/") else f"{target.folder}/{where}"


def rerun(target: Target, cause: Cause) -> str:
    """Return the command that reruns the tests of a root cause, or more tests if necessary."""
    tests = list(cause.tests)
    if len(tests) <= NAMED and (again := rerun_of(target, tests)):
        return again
    if not selectable(target.events.tool, tests):
        return target.again
    service = [f"SERVICE={target.name}"] if MULTI and target.stage != "integration" else []
    return " ".join([*MAKE, "test", "FAILED=1", f"STAGE={target.stage}", *service])


def rerun_of(target: Target, tests: list[str]) -> str:
    """Return the command that reruns these tests; empty if the tool cannot select them."""
    tool = target.events.tool  # Names in plain output may be incomplete, so they select no test.
    if not selectable(tool, tests):
        return ""
    if tool == "pytest":
        return f"{target.again} {variable('TESTS', shlex.join(tests))}"
    file, *names = tests[0].split(" > ")
    if len(tests) > 1 or not names:
        return f"{target.again} {variable('TESTS', shlex.join(files_of(tests)))}"
    # Vitest takes a file and a pattern for the full name: suites and test, separated by spaces.
    # A name may itself contain " > ", hence `.+`. The " (2)" that vitest_events.mjs appends to a
    # repeated name is not part of the name.
    names[-1] = re.sub(r" \(\d+\)$", "", names[-1])
    pattern = shlex.quote(".+".join(map(re.escape, names)))
    return f"{target.again} {variable('TESTS', f'{shlex.quote(file)} -t {pattern}')}"


def variable(name: str, value: str) -> str:
    """Return NAME=value as an argument for make, quoted for a shell."""
    text = f"{name}={for_make(value)}"
    # Double quotes are easier to read, if the text has nothing that a shell expands in them.
    return f'"{text}"' if "'" in text and not set(text) & set('"$`\\!') else shlex.quote(text)


def cut(text: str) -> str:
    """Shorten a line of an excerpt to WIDTH."""
    text = literal(text)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def slow(target: Target, limit: float) -> list[str]:
    """List the slow tests and fixtures of a target, the slowest first."""
    found = [(seconds, short_name(test)) for test, seconds in target.events.seconds.items()]
    found += [(seconds, f"fixture {name}") for name, seconds in target.events.fixtures.items()]
    return [f"{what} {t:.1f}s" for t, what in sorted(found, reverse=True) if t > limit]


def slow_lines(targets: list[Target], limits: Limits) -> list[str]:
    """Return a line for each target with slow tests or fixtures."""
    lines = []
    for target in targets:
        if found := slow(target, limits.of(target.stage)):
            more = f", +{len(found) - SLOWEST} more" if len(found) > SLOWEST else ""
            lines.append(f"slow: {target.title}: {', '.join(found[:SLOWEST])}{more}")
    return lines


def flaky_lines(targets: list[Target]) -> list[str]:
    """Return a line for each flaky test, at most FLAKY for each target."""
    lines = []
    for target in targets:
        found = target.flaky_tests
        for one in found[:FLAKY]:
            name = " ".join(filter(None, (target.title, one.test)))
            why = headline(one.first).partition("\n")[0]
            lines.append(cut(": ".join(filter(None, (str(one), name, why)))))
        if len(found) > FLAKY:
            lines.append(f"flaky: {target.title}: +{len(found) - FLAKY} more in summary.json")
    return lines


def slowest(targets: list[Target]) -> list[str]:
    """List the ten slowest tests of a run."""
    every = [
        (seconds, f"{target.title} {test}")
        for target in targets
        for test, seconds in target.events.seconds.items()
    ]
    return [f"{seconds:8.2f}s {what}" for seconds, what in sorted(every, reverse=True)[:10]]


def verdict(
    targets: list[Target],
    *,
    signal_name: str = "",
    late: bool = False,
    too_slow: int = 0,
    partial: bool = False,
    left: bool = False,
) -> tuple[str, int]:
    """Return the verdict of the run, without its duration, and the exit code.

    Args:
        targets: all targets of the run.
        signal_name: the signal that interrupted the run; empty: none.
        late: the run reached its time limit.
        too_slow: the number of slow tests and fixtures that fail the run.
        partial: ARGS or TESTS selected tests, so that a target may have none of them.
        left: a stack or an image could not be removed.
    """
    by_state = {state: [t for t in targets if t.state == state] for state in State}
    broken, hanging = by_state[State.BROKEN], by_state[State.TIMED_OUT]
    in_use = by_state[State.IN_USE]
    failed = [*by_state[State.FAILED], *by_state[State.CRASHED]]
    tests = sum(target.executed for target in targets)
    with_result = [t for t in targets if t.process or t.cached]
    uncounted = [t for t in with_result if not t.counted]
    counted = [t for t in with_result if t.counted]
    if signal_name:
        return f"INTERRUPTED by {signal_name}", 0
    if failed:
        bad = sum(target.failed for target in failed)
        count = f"{bad} of {tests} tests in " if bad else ""
        more = f"; {number_of(uncounted)} not counted" if bad and uncounted else ""
        return f"FAILED: {count}{titles([*failed, *hanging, *broken, *in_use])}{more}", 1
    if hanging or late:
        return f"TIMED OUT: {titles([*hanging, *broken, *in_use]) or 'the run'}", 4
    if broken:
        return f"NO STACK: {titles([*broken, *in_use])}", 3
    if in_use:
        return f"STACK IN USE: {titles(in_use)}", 3
    if too_slow:
        return f"FAILED: {too_slow} slow tests or fixtures", 1
    empty, cached = by_state[State.NOTHING], by_state[State.CACHED]
    passed = [*by_state[State.PASSED], *cached]
    if not passed or (empty and not partial):
        return f"NOTHING RAN: {titles(empty) or 'no selected target has tests'}", 5
    what = number_of(passed)
    if tests:
        what = f"{tests} tests" if tests > 1 else "1 test"
        if uncounted:
            what += f" in {number_of(counted)}, {number_of(uncounted)} not counted"
    elif uncounted:
        what += ", tests not counted"
    if flaky := sum(len(target.flaky_tests) for target in targets):
        what += f", {flaky} flaky"
    if cached:
        what += ", all cached" if len(cached) == len(passed) else f", {number_of(cached)} cached"
    return (f"CLEAN-UP FAILED: {what} passed", 3) if left else (f"PASSED: {what}", 0)


def number_of(targets: list[Target]) -> str:
    """Return the number of targets in words: `1 target`, `2 targets`."""
    return f"{len(targets)} target{'s' if len(targets) != 1 else ''}"
