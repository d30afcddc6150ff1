# Kept by the template: copier update merges its changes into this file.
"""Reports to the forge: annotations next to the code (GitHub), and the summary page of the step."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path

from . import report
from .display import describe_state
from .events import Failure, short_name
from .logs import crash, last_words
from .project import ROOT
from .targets import BAD, State, Target

#: GitHub shows at most this many errors, and this many warnings, for a step.
MOST = 10

#: A frame in the report of a crashed Python.
FRAME = re.compile(r'File "(?P<path>.+)", line (?P<line>\d+)')


@dataclass(frozen=True)
class Annotation:
    """A message, and the file and line that it is about."""

    title: str
    message: str
    path: Path | None = None
    line: int = 0

    def __str__(self) -> str:
        """Return the properties and the message, as in a workflow command."""
        workspace = Path(os.environ.get("GITHUB_WORKSPACE", ".")).resolve()
        where = ""
        if self.path and self.path.is_file() and self.path.is_relative_to(workspace):
            name = escaped(str(self.path.relative_to(workspace)), ":,")
            where = f"file={name},line={self.line or 1},"
        return f"{where}title={escaped(self.title, ':,')}::{escaped(self.message)}"


def publish(
    targets: list[Target],
    last: str,
    code: int,
    more: Iterable[str] = (),
    *,
    too_slow: report.Limits | None = None,
    annotate: bool = True,
) -> None:
    """Write annotations (GitHub only) and the summary page of the step (GitHub and Gitea).

    Args:
        targets: all targets of the run.
        last: the verdict.
        code: the exit code.
        more: failures that belong to no target, a line each.
        too_slow: the limits above which a test fails the run; None: none.
        annotate: False: standard output is for another purpose.
    """
    if annotate:
        for line in github_lines(targets, last, code, more, too_slow):
            print(line, flush=True)
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        text = step_summary(targets, last, more).encode(errors="backslashreplace")
        with suppress(OSError), Path(page).open("ab") as file:
            file.write(text)


def is_github() -> bool:
    """Whether this is a job of GitHub. Gitea displays annotations as text."""
    env = os.environ
    return env.get("GITHUB_ACTIONS") == "true" and env.get("GITEA_ACTIONS") != "true"


def error(message: str) -> None:
    """Annotate a failure before the run, such as a wrong command line or a missing tool."""
    if is_github():
        print(f"::error {Annotation('test-runner.py', message)}", flush=True)


def github_lines(
    targets: list[Target],
    last: str,
    code: int,
    more: Iterable[str] = (),
    too_slow: report.Limits | None = None,
) -> Iterator[str]:
    """Yield the annotations of a run. If it failed, there is at least one error."""
    if not is_github():
        return
    states = BAD | ({State.NOTHING} if code == 5 else frozenset())
    found = [list(failures_of(target)) for target in targets if target.state in states]
    found.append([Annotation("clean-up", line) for line in more])
    if too_slow:
        found += [list(slow_tests(target, too_slow.of(target.stage))) for target in targets]
    # The first failure of each target comes before the second one of any target.
    errors = [one for one in chain.from_iterable(zip_longest(*found)) if one]
    if code and not errors:
        errors = [Annotation("tests", last)]
    for one in errors[:MOST]:
        yield f"::error {one}"
    for one in islice(chain.from_iterable(map(flaky_tests, targets)), MOST):
        yield f"::warning {one}"


def failures_of(target: Target) -> Iterator[Annotation]:
    """Yield an annotation for each root cause of a target's failure."""
    if target.error:
        text = "\n".join([target.error.what, *target.error.lines])
        yield Annotation(f"{target.title}: {target.state}", text, *in_compose_file(target, text))
    for cause in target.causes:
        message = report.headline(cause.first)
        title = f"{target.title}: {cause.first.test}"
        yield Annotation(title, message, *place_of(target, cause.first))
    title = " ".join(filter(None, (target.title, target.culprit)))
    if target.state in (State.CRASHED, State.TIMED_OUT):
        lines = crash(target.log) or last_words(target.log, report.TAIL)
        where = in_test(target, target.culprit)
        for frame in filter(None, map(FRAME.search, lines[:2])):
            where = Path(frame["path"]).resolve(), int(frame["line"])
        yield Annotation(title, "\n".join([describe_state(target), *lines]), *where)
    elif not target.causes and not target.error:
        text = "\n".join([describe_state(target), *last_words(target.log, report.TAIL)])
        yield Annotation(title, text)


def flaky_tests(target: Target) -> Iterator[Annotation]:
    """Yield an annotation for each flaky test of a target."""
    for one in target.flaky_tests:
        title = " ".join(filter(None, (f"{one}: {target.title}", one.test)))
        where = place_of(target, one.first)
        yield Annotation(title, report.headline(one.first) or "it failed first", *where)


def slow_tests(target: Target, limit: float) -> Iterator[Annotation]:
    """Yield an annotation for each test of a target that is slower than the limit."""
    for test, seconds in target.events.seconds.items():
        if seconds > limit:
            title = f"{target.title}: {test}"
            text = f"slow: {seconds:.1f}s (limit: {limit:g}s)"
            yield Annotation(title, text, *in_test(target, test))


def place_of(target: Target, failure: Failure) -> tuple[Path | None, int]:
    """Return the file and line of a failure, or else of its test."""
    if failure.path:
        return Path(report.path_from_root(target, failure.path)).resolve(), failure.line
    return in_test(target, failure.test)


def in_test(target: Target, test: str) -> tuple[Path | None, int]:
    """Return the file of a test, and the first line with the name of the test."""
    file = test.partition("::" if "::" in test else " > ")[0]
    path = Path(report.path_from_root(target, file)).resolve()
    if not file or not path.is_file():
        return None, 0
    return path, line_with(path, re.escape(short_name(test).partition("[")[0]))


def in_compose_file(target: Target, text: str) -> tuple[Path | None, int]:
    """Return the line of a container in the compose file of a target's stack."""
    service = "" if target.scope == "full" else f"services/{target.scope}/"
    path = ROOT / f"{service}deploy/test/docker-compose.yml"
    named = re.search(r"^container (\S+) ", text, re.MULTILINE)
    return path, line_with(path, rf"^ +{re.escape(named[1])}:") if named else 0


def line_with(path: Path, pattern: str) -> int:
    """Return the number of the first line that matches a pattern; 0: none, or no such file."""
    with suppress(OSError):
        lines = path.read_text(errors="replace").splitlines()
        return next((n for n, line in enumerate(lines, 1) if re.search(pattern, line)), 0)
    return 0


def escaped(text: str, more: str = "") -> str:
    """Escape text for a workflow command. In a property, pass `:,` as `more`: they end the value."""
    return "".join(f"%{ord(c):02X}" if c in f"%\r\n{more}" else c for c in text)


def step_summary(targets: list[Target], last: str, more: Iterable[str] = ()) -> str:
    """Return the Markdown summary of the step: a table of targets, failures and flaky tests."""
    rows = [
        f"| {target.stage} | {target.name} | {target.state} | {target.done or ''} | {target.seconds:.1f} |"
        for target in targets
    ]
    table = ["| stage | target | | tests | seconds |", "| --- | --- | --- | --- | --- |", *rows]
    blocks = []
    for target in (target for target in targets if target.state in BAD):
        for block in report.causes(target, report.CAUSES):
            blocks += ["", "```", *block.lines, "```"]
    notes = [*more, *report.flaky_lines(targets)]
    blocks += ["", "```", *notes, "```"] if notes else []
    return "\n".join([f"### {last}", "", *table, *blocks, ""])
