#!/usr/bin/env -S uv run --script
# Kept by the template: copier update merges its changes into this file.
# /// script
# requires-python = ">=3.11"
# dependencies = ["psutil>=6", "rich>=13.7"]
# ///
"""Run the tests: unit, then service, then integration; a stage only when the one before passed.

The last line is the verdict, and the exit code agrees: 0 passed, 1 tests failed, 2 usage, 3 a stack
or a tool is missing, 4 out of time, 5 nothing ran, 128 + signal interrupted. Logs, JUnit XML and a
summary of the last runs are in .test-results/.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NoReturn

from test_runner import processes, report, results, targets
from test_runner.diagnosis import StackError
from test_runner.display import Display, choose
from test_runner.project import ROOT
from test_runner.run import INSIDE, Options, Run, at_once
from test_runner.stacks import instance_id
from test_runner.targets import BAD, STAGES, State, Target, UsageError

#: Seconds of tests from which on more processes of pytest-xdist pay for their start.
WORTH_XDIST = 2.0


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and exit with 2."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def parse() -> tuple[Parser, argparse.Namespace]:
    """Read the command line."""
    parser = Parser(prog="test-runner.py", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    what = parser.add_argument_group("what to run").add_argument
    what("--stage", action="append", choices=STAGES, default=[], help="only this (repeatable)")
    what("--service", action="append", metavar="NAME", default=[], help="only this (repeatable)")
    what("--changed", action="store_true", help="only what changed since the default branch")
    what("--file", action="append", metavar="FILE", default=[], help="only what it concerns")
    what("--failed", action="store_true", help="only the tests that failed in the last run")
    how = parser.add_argument_group("how").add_argument
    how("-j", "--jobs", type=positive, default=at_once(), help="targets at once (%(default)s)")
    how("--timeout", type=seconds, default=900.0, help="seconds for a target (900; 0: no limit)")
    how("--run-timeout", type=seconds, default=3600.0, help="seconds for all (3600)")
    how("--slow-unit", type=seconds, default=1.0, help="a unit test over it is slow (1)")
    how("--slow", type=seconds, default=5.0, help="any other test over it is slow (5)")
    how("--fail-slow", action="store_true", help="fail when something is slow")
    show = parser.add_argument_group("what to show").add_argument
    show(
        *("-v", "--verbose"),
        action="store_true",
        help="stream all output in plain lines, each by its target",
    )
    show(
        "--output",
        choices=("auto", "live", "plain", "json"),
        default=os.environ.get("TEST_OUTPUT") or "auto",
        help="a live list, plain lines, or JSON lines (auto; TEST_OUTPUT)",
    )
    options = parser.parse_args()
    if options.output not in ("auto", "live", "plain", "json"):
        parser.error(f"TEST_OUTPUT {options.output!r} must be auto, live, plain or json")
    if os.environ.get(INSIDE) == str(ROOT):
        parser.error("a target starts the runner that runs it: let it start its test tool")
    return parser, options


def positive(text: str) -> int:
    """Read a number of jobs."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 on")
    return int(text)


def seconds(text: str) -> float:
    """Read a number of seconds."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds, 0 or more")
    return number


def choose_targets(options: argparse.Namespace) -> tuple[list[Target], str]:
    """Return the targets that are asked for, and where there is nothing to do for them, why.

    Raises:
        UsageError: there is no such service, or it has no such stage.
    """
    found = targets.find(options.stage, options.service)
    if options.changed or options.file:
        from test_runner.changes import changes, concerned  # Needed by few.

        if options.file:
            what = concerned(ROOT, options.file, "was saved")
        else:
            what = changes(ROOT, head=None)
        wanted = {"unit": what.services, "service": what.affected}
        found = [
            target
            for target in found
            if what.everything
            or (what.integration if target.stage == "integration" else False)
            or (target.folder == "." and what.integration)
            or target.name in wanted.get(target.stage, ())
        ]
        if not found:
            return [], what.reason
    if options.failed:
        failed = results.failed_last()
        found = [target for target in found if target.title in failed]
        for target in found:
            select(target, *failed[target.title])
        if not found:
            return [], "nothing of it failed in the last run"
    return found, ""


def select(target: Target, tool: str, tests: list[str]) -> None:
    """Let a target run only these tests, where it can; Vitest runs the files that they are in."""
    if not results.selectable(tool, tests):
        return
    if tool == "pytest":
        target.selected = tests
    elif tests:
        target.env["TESTS"] = shlex.join(results.files_of(tests))


def use_xdist(found: list[Target]) -> None:
    """Let the target that a stage waits for run its tests in several processes, where that pays."""
    history = results.read_history()
    found = [target for target in found if target.state == State.PENDING]
    took = {target.title: history.get(target.title, {}).get("seconds", 0.0) for target in found}
    for target in found:
        others = [took[o.title] for o in found if o.stage == target.stage and o is not target]
        able = history.get(target.title, {}).get("xdist")
        # Side by side with others that take as long, all cores are busy already.
        if able and took[target.title] > max(WORTH_XDIST, sum(others)):
            target.env["TEST_EVENTS_WORKERS"] = str(os.cpu_count() or 1)


def tell(found: list[Target], display: Display, limits: report.Limits, folder: Path) -> int:
    """Say what failed and what was slow. Return how much was too slow."""
    bad = [target for target in found if target.state in BAD]
    for line in report.failures(bad, folder, display.lines, display.bytes) if bad else ():
        display.say(line)
    for line in report.slow_lines(found, limits):
        display.say(line)
    if display.verbose:
        for line in report.slowest(found):
            display.say(line)
    return sum(len(report.slow(target, limits.of(target.stage))) for target in found)


def tell_forge(found: list[Target], last: str, *, annotate: bool) -> None:
    """Show the failures beside the lines on GitHub, and a page for the step on both forges."""
    env = os.environ
    if annotate and env.get("GITHUB_ACTIONS") == "true" and env.get("GITEA_ACTIONS") != "true":
        bad = [target for target in found if target.state in BAD]
        for line in islice(report.github_annotations(bad), report.ANNOTATIONS):
            print(line, flush=True)
    if page := env.get("GITHUB_STEP_SUMMARY"):
        text = report.step_summary(found, last).encode(errors="backslashreplace")
        with suppress(OSError), Path(page).open("ab") as file:
            file.write(text)


def has_tools(caught: list[int]) -> bool:
    """Whether Docker and uv are there; otherwise it is said what is missing."""
    check = ["scripts/check-tools.sh", "docker", "uv"]
    try:
        process = processes.Process(check, sys.stderr.buffer)
        return processes.wait(process, lambda: bool(caught)) == 0
    except InterruptedError:
        return True  # The run tells of it.


def write_results(
    folder: Path, found: list[Target], code: int, took: float, *, partial: bool, failed_only: bool
) -> None:
    """Write what machines read of a run; a full disk must not change its verdict."""
    from test_runner.junit import write_junit  # Not needed to begin with.

    try:
        results.write_summary(folder, found, code, took, failed_only=failed_only)
        write_junit(folder, found)
        if not partial and not failed_only:
            results.write_history(found)
    except OSError as error:
        print(f"! the results could not be written: {error.strerror}", file=sys.stderr)


def main() -> int:
    """Find the targets, check the tools, run stage after stage, tell the verdict."""
    parser, options = parse()
    began, caught = time.monotonic(), processes.catch_signals()
    try:
        found, idle = choose_targets(options)
    except UsageError as error:
        parser.error(str(error))
    if idle:
        display = choose(options.output, [], verbose=True)
        last = f"NOTHING TO RUN: {idle}"
        display.result({"event": "end", "verdict": last, "exit": 0, "seconds": 0.0})
        display.say(last)
        return 0
    # Before the unit tests, so that nobody waits for a run that cannot get to its end.
    needs_docker = any(target.scope for target in found if target.state == State.PENDING)
    if needs_docker and not has_tools(caught):
        return 3
    instance = ""
    if needs_docker:
        try:
            instance = instance_id()
        except StackError as error:
            parser.error(str(error))
    partial = any(os.environ.get(name) for name in ("ARGS", "TESTS"))
    if not partial and not options.failed:
        use_xdist(found)
    folder = results.open_folder()
    for target in found:
        results.attach(target, folder)
    display = choose(options.output, found, verbose=options.verbose)
    limits = Options(options.jobs, options.timeout, options.run_timeout)
    run = Run(found, display, limits, folder.name, instance, caught)
    try:
        run.run()
    finally:
        display.close()

    slow_from = report.Limits(options.slow_unit, options.slow)
    slow = tell(found, display, slow_from, folder)
    for line in run.left:
        display.say(f"! {line}; later: make test-clean")
    last, code = report.verdict(
        found,
        signal_name=signal.Signals(caught[0]).name if caught else "",
        late=run.late,
        too_slow=slow * options.fail_slow,
        partial=partial,
        left=bool(run.left),
    )
    code = 128 + caught[0] if caught else code
    took = time.monotonic() - began
    write_results(folder, found, code, took, partial=partial, failed_only=options.failed)
    tell_forge(found, last, annotate=options.output != "json")
    end = {"event": "end", "verdict": last, "exit": code, "seconds": round(took, 3)}
    display.result(end | ({"left": run.left} if run.left else {}))
    display.say(f"{last} ({took:.1f}s)")
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        print(f"test-runner.py: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(3)
