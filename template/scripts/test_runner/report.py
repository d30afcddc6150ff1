# Kept by the template: copier update merges its changes into this file.
"""The end of the output: each root cause once, the slow tests, and the verdict."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .display import describe_state, titles
from .events import Cause, short_name
from .logs import crash, last_words, literal
from .processes import for_make
from .results import display_path, files_of, selectable
from .targets import BAD, State, Target

#: The most that a failed run prints: lines and bytes.
LINES, BYTES = 60, 4000
WIDTH = 160  #: characters of an excerpt's line; test ids, paths and commands are never shortened
CAUSES = 5  #: root causes of a target
EXCERPT, CAPTURED, TAIL = 5, 2, 8  #: lines of an excerpt, of captured output, of a log's end
SLOWEST = 3  #: slow tests that are named for each target

#: A rerun command names at most this many tests. For more, it reruns all failed tests.
NAMED = 3

#: GitHub shows at most this many annotations for a step.
ANNOTATIONS = 10


@dataclass(frozen=True)
class Limits:
    """The time, in seconds, above which a test or fixture counts as slow."""

    unit: float = 1.0
    other: float = 5.0

    def of(self, stage: str) -> float:
        """Return the limit for the tests and fixtures of a stage."""
        return self.unit if stage == "unit" else self.other


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
    printed: list[str] = []

    def fits(block: list[str]) -> bool:
        together = [*printed, *block]
        return len(together) <= LINES - lines and byte_count(together) <= BYTES - size

    for number, target in enumerate(targets):
        log = f"  log: {display_path(target.log)}"
        first, *others = causes(target, most)
        if not fits([*first, log]):
            first = [cut(first[0])]
        if not fits([*first, log]):
            return [
                *printed,
                f"… {len(targets) - number} more failed targets in {display_path(folder)}/",
            ]
        printed += first
        count = 1
        for block in others:
            if fits([*block, log]):
                printed += block
                count += 1
        hidden = max(len(target.events.causes), 1 + len(others)) - count
        printed.append(f"  +{hidden} more in {log.strip()}" if hidden else log)
    return printed


def byte_count(lines: Iterable[str]) -> int:
    """Return the size of some lines in bytes, line ends included."""
    return sum(len(line.encode(errors="replace")) + 1 for line in lines)


def causes(target: Target, most: int) -> Iterator[list[str]]:
    """Yield a block of lines for each root cause of a target's failure, at most `most` blocks."""
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
        yield cause_block(target, cause)
    if target.state in (State.CRASHED, State.TIMED_OUT):
        yield crash_block(target)
    elif not target.events.causes and not target.error:
        lines = [f"    {cut(line)}" for line in last_words(target.log, TAIL)]
        yield [f"✗ {target.title}: {describe_state(target)}", *lines, f"    rerun: {target.again}"]


def crash_block(target: Target) -> list[str]:
    """Describe a crash or timeout: the test that was running, if known, and the end of the log."""
    tests = [target.culprit] if target.culprit else []
    lines = crash(target.log) or last_words(target.log, TAIL)
    again = (rerun_of(target, tests) if tests else "") or target.again
    return [
        f"✗ {' '.join([target.title, *tests])} {describe_state(target)}",
        *(f"    {cut(line)}" for line in lines),
        f"    rerun: {again}",
    ]


def cause_block(target: Target, cause: Cause) -> list[str]:
    """Describe a root cause: the test, an excerpt, the file and line, and the rerun command."""
    first, more = cause.first, len(cause.tests) - 1
    others = f" (+{more} more)" if more else ""
    lines = [f"✗ {target.title} {first.test}{others}"]
    excerpt = [line for line in first.excerpt if line.strip()][:EXCERPT]
    message = f"{first.type}: {first.message}".partition("\n")[0]
    if first.message.partition("\n")[0] not in " ".join(excerpt):
        excerpt = [message, *excerpt][:EXCERPT]
    lines += [f"    {cut(line)}" for line in excerpt]
    lines += [f"    | {cut(line)}" for line in first.captured[-CAPTURED:]]
    if first.where:
        lines.append(f"    {path_from_root(target, first.where)}")
    lines.append(f"    rerun: {rerun(target, cause)}")
    return lines


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
    service = f" SERVICE={target.name}" if target.folder.startswith("services/") else ""
    return f"make test FAILED=1 STAGE={target.stage}{service}"


def rerun_of(target: Target, tests: list[str]) -> str:
    """Return the command that reruns these tests; empty if the tool cannot select them."""
    tool = target.events.tool
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
        return f"FAILED: {too_slow} slow tests or fixtures", 1
    empty, passed = by_state[State.NOTHING], by_state[State.PASSED]
    if not passed or (empty and not partial):
        return f"NOTHING RAN: {titles(empty) or 'no selected target has tests'}", 5
    what = f"{tests} tests" if tests else f"{len(passed)} targets"
    what = what[:-1] if what.startswith("1 ") else what
    return (f"CLEAN-UP FAILED: {what} passed", 3) if left else (f"PASSED: {what}", 0)


def github_annotations(targets: list[Target]) -> Iterator[str]:
    """Yield a GitHub annotation for each root cause. GitHub shows it next to the line of code."""
    workspace = Path(os.environ.get("GITHUB_WORKSPACE", ".")).resolve()
    for target in targets:
        for cause in list(target.events.causes.values()):
            first = cause.first
            file = Path(path_from_root(target, first.path)).resolve() if first.path else None
            where = ""
            if file and file.is_relative_to(workspace):
                name = escaped(str(file.relative_to(workspace)), ":,")
                where = f"file={name},line={first.line or 1},"
            title = escaped(f"{target.title}: {first.test}", ":,")
            message = escaped(f"{first.type}: {first.message}")
            yield f"::error {where}title={title}::{message}"


def escaped(text: str, more: str = "") -> str:
    """Escape text for a workflow command. In a property, pass `:,` as `more`: they end the value."""
    return "".join(f"%{ord(c):02X}" if c in f"%\r\n{more}" else c for c in text)


def step_summary(targets: list[Target], last: str) -> str:
    """Return the Markdown summary of the step: a table of targets, then the failures."""
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
