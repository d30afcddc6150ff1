# Kept by the template: copier update merges its changes into this file.
"""What is said when all is over: each root cause once, what was slow, and the verdict."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .display import in_words, titles
from .events import Cause, own_name
from .logs import crash, last_words, literal
from .processes import for_make
from .results import files_of, selectable, shown
from .targets import BAD, State, Target

#: What a failed run may print in all, and for one root cause.
LINES, BYTES = 60, 4000
WIDTH = 160  #: characters of a line that is an excerpt; ids, paths and commands are never cut
CAUSES = 5
EXCERPT, CAPTURED, TAIL = 5, 2, 8
SLOWEST = 3

#: A command to run again names so many tests; of more, all that failed are run again.
NAMED = 3

#: GitHub shows so many annotations of a step.
ANNOTATIONS = 10


@dataclass(frozen=True)
class Limits:
    """From how many seconds on something counts as slow."""

    unit: float = 1.0
    other: float = 5.0

    def of(self, stage: str) -> float:
        """The limit of a stage's tests and fixtures."""
        return self.unit if stage == "unit" else self.other


def failures(targets: list[Target], folder: Path, lines: int, size: int) -> list[str]:
    """Tell why targets failed, the first causes of each first, within what is left to print.

    Args:
        targets: those that ended badly.
        folder: where everything is written down.
        lines: how many lines were printed already.
        size: how many bytes.
    """
    most = max(1, CAUSES - len(targets) + 1)
    # The verdict names all of them, and a line may have to say how many are left out.
    lines, size = lines + 2, size + 100 + volume([titles(targets)])
    told: list[str] = []

    def fits(block: list[str]) -> bool:
        together = [*told, *block]
        return len(together) <= LINES - lines and volume(together) <= BYTES - size

    for number, target in enumerate(targets):
        log = f"  log: {shown(target.log)}"
        first, *others = causes(target, most)
        if not fits([*first, log]):
            first = [cut(first[0])]
        if not fits([*first, log]):
            return [*told, f"… {len(targets) - number} more, in {shown(folder)}/"]
        told += first
        count = 1
        for block in others:
            if fits([*block, log]):
                told += block
                count += 1
        hidden = max(len(target.events.causes), 1 + len(others)) - count
        told.append(f"  +{hidden} more in {log.strip()}" if hidden else log)
    return told


def volume(lines: Iterable[str]) -> int:
    """The bytes of some lines, with their ends."""
    return sum(len(line.encode(errors="replace")) + 1 for line in lines)


def causes(target: Target, most: int) -> Iterator[list[str]]:
    """Tell of each root cause of a target's failure, at most so many of them."""
    if target.error:
        lines = [f"    {cut(line)}" for line in target.error.lines[:TAIL]]
        hint = [f"    try: {target.error.hint}"] if target.error.hint else []
        yield [
            f"✗ {target.title}: {target.error.what}",
            *lines,
            *hint,
            f"    rerun: {target.again}",
        ]
    for cause in list(target.events.causes.values())[:most]:
        yield of_tests(target, cause)
    if target.state in (State.CRASHED, State.TIMED_OUT):
        yield of_culprit(target)
    elif not target.events.causes and not target.error:
        lines = [f"    {cut(line)}" for line in last_words(target.log, TAIL)]
        yield [f"✗ {target.title}: {in_words(target)}", *lines, f"    rerun: {target.again}"]


def of_culprit(target: Target) -> list[str]:
    """Tell of what broke off a target: the test that was running, if one is known, and the log."""
    tests = [target.culprit] if target.culprit else []
    lines = crash(target.log) or last_words(target.log, TAIL)
    again = (rerun_of(target, tests) if tests else "") or target.again
    return [
        f"✗ {' '.join([target.title, *tests])} {in_words(target)}",
        *(f"    {cut(line)}" for line in lines),
        f"    rerun: {again}",
    ]


def of_tests(target: Target, cause: Cause) -> list[str]:
    """Tell of a root cause: the test, the telling lines, the place, and how to run it again."""
    first, more = cause.first, len(cause.tests) - 1
    others = f" (+{more} more)" if more else ""
    lines = [f"✗ {target.title} {first.test}{others}"]
    words = [line for line in first.excerpt if line.strip()][:EXCERPT]
    said = " ".join(words)
    message = f"{first.type}: {first.message}".partition("\n")[0]
    if first.message.partition("\n")[0] not in said:
        words = [message, *words][:EXCERPT]
    lines += [f"    {cut(line)}" for line in words]
    lines += [f"    | {cut(line)}" for line in first.captured[-CAPTURED:]]
    if first.where:
        lines.append(f"    {place(target, first.where)}")
    lines.append(f"    rerun: {rerun(target, cause)}")
    return lines


def place(target: Target, where: str) -> str:
    """Write a place in a file as it is from the project's root."""
    return where if target.folder == "." or where.startswith("/") else f"{target.folder}/{where}"


def rerun(target: Target, cause: Cause) -> str:
    """Return the command that runs the tests of a cause again."""
    tests = list(cause.tests)
    if len(tests) <= NAMED and (again := rerun_of(target, tests)):
        return again
    if not selectable(target.events.tool, tests):
        return target.again
    service = f" SERVICE={target.name}" if target.folder.startswith("services/") else ""
    return f"make test FAILED=1 STAGE={target.stage}{service}"


def rerun_of(target: Target, tests: list[str]) -> str:
    """Return the command that runs these tests again; nothing where they cannot be named."""
    tool = target.events.tool
    if not selectable(tool, tests):
        return ""
    if tool == "pytest":
        return f"{target.again} {variable('TESTS', shlex.join(tests))}"
    file, *names = tests[0].split(" > ")
    if len(tests) > 1 or not names:
        return f"{target.again} {variable('TESTS', shlex.join(files_of(tests)))}"
    # Vitest takes a file, and a pattern for what is in it: the names of suites and the test, with
    # a space between. One may hold what separates them here, and the last bears our own number.
    names[-1] = re.sub(r" \(\d+\)$", "", names[-1])
    pattern = shlex.quote(".+".join(map(re.escape, names)))
    return f"{target.again} {variable('TESTS', f'{shlex.quote(file)} -t {pattern}')}"


def variable(name: str, value: str) -> str:
    """Write a variable for make on a shell's command line."""
    text = f"{name}={for_make(value)}"
    # Easier to read, where a shell leaves alone what is between these.
    return f'"{text}"' if "'" in text and not set(text) & set('"$`\\!') else shlex.quote(text)


def cut(text: str) -> str:
    """Cut a line of an excerpt to its width."""
    text = literal(text)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def slow(target: Target, limit: float) -> list[str]:
    """List what was slow in a target, the slowest first: tests, and fixtures by themselves."""
    found = [(seconds, own_name(test)) for test, seconds in target.events.seconds.items()]
    found += [(seconds, f"fixture {name}") for name, seconds in target.events.fixtures.items()]
    return [f"{what} {t:.1f}s" for t, what in sorted(found, reverse=True) if t > limit]


def slow_lines(targets: list[Target], limits: Limits) -> list[str]:
    """Tell in a line for each target what was slow in it."""
    lines = []
    for target in targets:
        if found := slow(target, limits.of(target.stage)):
            more = f", +{len(found) - SLOWEST} more" if len(found) > SLOWEST else ""
            lines.append(f"slow: {target.title}: {', '.join(found[:SLOWEST])}{more}")
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
    """Return the last line, without the time that all took, and the exit code.

    Args:
        targets: all of the run.
        signal_name: what interrupted it, if anything did.
        late: its time was over.
        too_slow: how many tests and fixtures fail the run by being slow.
        partial: only some tests were asked for, which need not be in every target.
        left: something that it made could not be removed.
    """
    by_state = {state: [t for t in targets if t.state == state] for state in State}
    broken, hanging = by_state[State.BROKEN], by_state[State.TIMED_OUT]
    failed = [*by_state[State.FAILED], *by_state[State.CRASHED]]
    tests = sum(target.executed for target in targets)
    if signal_name:
        return f"INTERRUPTED by {signal_name}", 0
    if failed:
        bad = sum(target.failed for target in failed)
        count = f"{bad} of {tests} tests in " if bad else ""
        return f"FAILED: {count}{titles([*failed, *hanging, *broken])}", 1
    if hanging or late:
        return f"TIMED OUT: {titles([*hanging, *broken]) or 'the run'}", 4
    if broken:
        return f"NO STACK: {titles(broken)}", 3
    if too_slow:
        return f"FAILED: {too_slow} too slow", 1
    empty, passed = by_state[State.NOTHING], by_state[State.PASSED]
    if not passed or (empty and not partial):
        return f"NOTHING RAN: {titles(empty) or 'nothing of what was asked for has tests'}", 5
    what = f"{tests} tests" if tests else f"{len(passed)} targets"
    what = what[:-1] if what.startswith("1 ") else what
    return (f"NOT CLEAN: {what} passed", 3) if left else (f"PASSED: {what}", 0)


def github_annotations(targets: list[Target]) -> Iterator[str]:
    """Write the first causes as GitHub's annotations, which it shows beside the lines."""
    workspace = Path(os.environ.get("GITHUB_WORKSPACE", ".")).resolve()
    for target in targets:
        for cause in list(target.events.causes.values()):
            first = cause.first
            file = Path(place(target, first.path)).resolve() if first.path else None
            where = ""
            if file and file.is_relative_to(workspace):
                name = escaped(str(file.relative_to(workspace)), ":,")
                where = f"file={name},line={first.line or 1},"
            title = escaped(f"{target.title}: {first.test}", ":,")
            message = escaped(f"{first.type}: {first.message}")
            yield f"::error {where}title={title}::{message}"


def escaped(text: str, more: str = "") -> str:
    """Write text so that a workflow command holds it; in a property, `:` and `,` end it."""
    return "".join(f"%{ord(c):02X}" if c in f"%\r\n{more}" else c for c in text)


def step_summary(targets: list[Target], last: str) -> str:
    """Write the page that GitHub and Gitea show for a step: a table, and how to run again."""
    rows = [
        f"| {target.stage} | {target.name} | {target.state} | {target.done or ''} | {target.seconds:.1f} |"
        for target in targets
    ]
    table = ["| stage | target | | tests | seconds |", "| --- | --- | --- | --- | --- |", *rows]
    blocks = []
    for target in (target for target in targets if target.state in BAD):
        for block in causes(target, CAUSES):
            blocks += ["", "```", *block, "```"]
    return "\n".join([f"### {last}", "", *table, *blocks, ""])
