#!/usr/bin/env -S uv run --script
# Kept by the template: copier update merges its changes into this file.
# /// script
# requires-python = ">=3.11"
# dependencies = ["psutil>=6", "rich>=13.7"]
# ///
"""Run the unit, service and integration tests. A failed stage stops the run.

The last line is the verdict. Exit codes: 0 passed, 1 tests failed, 2 usage
error, 3 a stack failed or a tool is missing, 4 timed out, 5 no tests ran,
128 + N interrupted by signal N. Logs, JUnit XML and a summary of the last runs
are in .test-results/.
"""

from __future__ import annotations

import sys

# This folder last, because it may contain a module of yours with the name of another, such as types.py.
# With PYTHONSAFEPATH, Python leaves the folder out.
sys.path = [*sys.path[not sys.flags.safe_path :], __file__.rpartition("/")[0]]

import argparse
import os
import re
import shlex
import signal
import time
from pathlib import Path
from typing import NoReturn

from test_runner import forge, processes, report, results, shards, targets, xdist
from test_runner.cache import Cache, allowed
from test_runner.compose import instance_id
from test_runner.diagnosis import StackError
from test_runner.display import Display, choose
from test_runner.project import ROOT
from test_runner.run import INSIDE, Options, Run, default_jobs
from test_runner.targets import BAD, STAGES, State, Target, UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with code 2."""
        forge.error(message)
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def parse() -> tuple[Parser, argparse.Namespace]:
    """Parse the command line, and return the parser too, for later usage errors."""
    parser = Parser(prog="test-runner.py", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    what = parser.add_argument_group("what to run").add_argument
    what(
        "--stage",
        action="append",
        choices=STAGES,
        default=[],
        help="run only this stage (repeatable)",
    )
    what(
        "--service",
        action="append",
        metavar="NAME",
        default=[],
        help="run only the tests of this service (repeatable)",
    )
    what(
        "--changed",
        action="store_true",
        help="run only the tests affected by changes since the default branch",
    )
    what(
        "--file",
        action="append",
        metavar="FILE",
        default=[],
        help="run only the tests affected by FILE (repeatable)",
    )
    what("--failed", action="store_true", help="run only the tests that failed in the last run")
    what(
        "--shard",
        type=shard,
        metavar="K/N",
        help="run only part K of N parts of the targets, which take about the same time",
    )
    what(
        "--history",
        type=Path,
        metavar="FILE",
        help="with --shard: a copy of .test-results/history.json with the durations",
    )
    how = parser.add_argument_group("how to run").add_argument
    how(
        *("-j", "--jobs"),
        type=positive,
        default=default_jobs(),
        metavar="N",
        help="run at most N targets at the same time (default: %(default)s)",
    )
    how(
        "--fail-fast",
        action="store_true",
        help="end a stage at its first failed target (the same as make test FAILFAST=1)",
    )
    how(
        "--retries",
        type=count,
        default=0,
        metavar="N",
        help="repeat the failed tests of a target up to N times; what then passes is flaky "
        "(default: 0; the same as make test RETRIES=N)",
    )
    limits = (
        ("--timeout", 900.0, "stop a target after this time (default: 900; 0: never)"),
        ("--run-timeout", 3600.0, "stop the run after this time (default: 3600; 0: never)"),
        ("--slow-unit", 1.0, "report unit tests that take longer (default: 1)"),
        ("--slow", 5.0, "report other tests that take longer (default: 5)"),
    )
    for name, default, text in limits:
        how(name, type=seconds, default=default, metavar="SECONDS", help=text)
    how(
        "--fresh",
        action="store_true",
        help="run what has passed with the same inputs too (the same as make test FRESH=1)",
    )
    how(
        "--cache",
        action="store_true",
        help="use the result cache in CI too, where it is off by default",
    )
    how("--fail-slow", action="store_true", help="fail the run if a test or fixture is slow")
    how(
        "--trace",
        action="store_true",
        help="name the slowest span and the failed service of each failed test that uses a stack "
        "(the same as make test TRACE=1, which also installs opentelemetry-proto)",
    )
    show = parser.add_argument_group("what to display").add_argument
    show(
        "--explain-cache",
        action="store_true",
        help="print why each target is cached or runs: the inputs that differ from its last pass",
    )
    show(
        *("-v", "--verbose"),
        action="store_true",
        help="print all test output as it comes, each line with the name of its target",
    )
    show(
        "--output",
        choices=("auto", "live", "plain", "json"),
        default=os.environ.get("TEST_OUTPUT") or "auto",
        help="a live list, plain lines or JSON lines (default: $TEST_OUTPUT, or auto: live on a "
        "terminal, else plain)",
    )
    options = parser.parse_args()
    if options.output not in ("auto", "live", "plain", "json"):
        parser.error(f"TEST_OUTPUT must be auto, live, plain or json, not {options.output!r}")
    if options.trace:
        from importlib.util import find_spec  # Few runs need it.

        if not find_spec("opentelemetry"):
            parser.error("--trace needs opentelemetry-proto: run make test TRACE=1")
    if os.environ.get(INSIDE) == str(ROOT):
        parser.error("a test target starts this runner again: call the test tool there instead")
    return parser, options


def positive(text: str) -> int:
    """Parse a number of jobs: a whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 1 or more")
    return int(text)


def shard(text: str) -> tuple[int, int]:
    """Parse K/N: whole numbers, K from 1 to N."""
    match = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} must be K/N, such as 1/3")
    return int(match[1]), int(match[2])


def count(text: str) -> int:
    """Parse a number of repetitions: a whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 0 or more")
    return int(text)


def seconds(text: str) -> float:
    """Parse a number of seconds: 0 or more, fractions allowed."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds, 0 or more")
    return number


def choose_targets(options: argparse.Namespace) -> tuple[list[Target], str]:
    """Return the selected targets. If none is left to run, also return the reason.

    Raises:
        UsageError: a service does not exist or does not have a selected stage.
    """
    found = targets.find(options.stage, options.service)
    if options.changed or options.file:
        from test_runner.changes import affected_by, changes  # Most runs do not need it.

        if options.file:
            what = affected_by(ROOT, options.file, "was saved")
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
            return [], "no selected test failed in the last run"
    if options.shard:
        found = shards.chosen(found, options.shard, options.history)
        if not found:
            return [], "this shard has no targets: there are fewer targets than shards"
    return found, ""


def select(target: Target, tool: str, tests: list[str]) -> None:
    """Restrict a target to these tests, if its tool can. Vitest runs the whole files of the tests."""
    if not results.selectable(tool, tests):
        return
    if tool == "pytest":
        target.selected = tests
    elif tests:
        target.env["TESTS"] = shlex.join(results.files_of(tests))


def report_details(
    found: list[Target], display: Display, limits: report.Limits, folder: Path
) -> int:
    """Print the failures and the slow tests. Return the number of slow tests and fixtures."""
    bad = [target for target in found if target.state in BAD]
    for line in report.failures(bad, folder, display.lines, display.bytes) if bad else ():
        display.say(line)
    for line in report.slow_lines(found, limits):
        display.say(line)
    for line in report.flaky_lines(found):
        display.say(line)
    if display.verbose:
        for line in report.slowest(found):
            display.say(line)
    return sum(len(report.slow(target, limits.of(target.stage))) for target in found)


def open_cache(options: argparse.Namespace, found: list[Target]) -> Cache | None:
    """Mark the targets that have passed with the same inputs. Return None if the cache is off."""
    # With --fail-slow a pass depends on the speed of the machine, with --trace on other containers.
    if options.fail_slow or options.trace or not allowed(asked=options.cache):
        return None
    # Verbose output needs a run, and --failed asks for one.
    fresh = options.fresh or options.failed or options.verbose
    try:
        cache = Cache(found, fresh=fresh, timeout=options.timeout)
        cache.look_up()
    except Exception as error:  # noqa: BLE001 - on any error, the targets must run
        print(f"! the result cache is off: {error}", file=sys.stderr)
        for target in found:
            if target.cached:
                target.state, target.cached = State.PENDING, None
        return None
    return cache


def finish(cache: Cache) -> list[str]:
    """Store what passed. Return lines about flaky targets. An error must not change the verdict."""
    try:
        return list(cache.finish())
    except Exception as error:  # noqa: BLE001 - see above
        print(f"! cannot store results in the cache: {error}", file=sys.stderr)
        return []


def has_tools(caught: list[int]) -> bool:
    """Whether Docker and uv are usable. If not, check-tools.sh prints what is missing."""
    check = ["scripts/check-tools.sh", "docker", "uv"]
    try:
        process = processes.Process(check, sys.stderr.buffer)
        return processes.wait(process, lambda: bool(caught)) == 0
    except InterruptedError:
        return True  # The run itself reports the signal.


def write_results(
    folder: Path, found: list[Target], code: int, took: float, *, partial: bool, failed_only: bool
) -> None:
    """Write the machine-readable results. A full disk must not change the verdict of the run."""
    from test_runner.junit import write_junit  # Imported late so that the run starts sooner.

    try:
        results.write_summary(folder, found, code, took, failed_only=failed_only)
        write_junit(folder, found)
        if not partial and not failed_only:
            results.write_history(found)
    except OSError as error:
        print(f"! cannot write the results: {error.strerror}", file=sys.stderr)


def main() -> int:
    """Select the targets, check the tools, run the stages and print the verdict."""
    parser, options = parse()
    began, caught = time.monotonic(), processes.catch_signals()
    try:
        found, nothing_to_run = choose_targets(options)
    except UsageError as error:
        parser.error(str(error))
    if nothing_to_run:
        display = choose(options.output, [], verbose=True)
        last = f"NOTHING TO RUN: {nothing_to_run}"
        display.result({"event": "end", "verdict": last, "exit": 0, "seconds": 0.0})
        display.say(last)
        return 0
    cache = open_cache(options, found)
    # Checked before the unit tests: a missing tool must not show only after they have run.
    needs_docker = any(target.scope for target in found if target.state == State.PENDING)
    if needs_docker and not has_tools(caught):
        forge.error("a tool is missing, or Docker does not run")
        return 3
    instance = ""
    if needs_docker:
        try:
            instance = instance_id()
        except StackError as error:
            parser.error(str(error))
    partial = any(os.environ.get(name) for name in ("ARGS", "TESTS"))
    if not partial and not options.failed:
        xdist.use(found)
    folder = results.open_folder()
    results.attach(found, folder)
    slow_from = report.Limits(options.slow_unit, options.slow)
    display = choose(options.output, found, verbose=options.verbose)
    display.limit = slow_from.of
    if cache and options.explain_cache:
        for line in cache.explain():
            display.say(line)
    limits = Options(
        options.jobs,
        options.timeout,
        options.run_timeout,
        options.fail_fast,
        options.retries,
        options.trace,
    )
    run = Run(found, display, limits, folder.name, instance, caught)
    if cache:
        run.meanwhile = cache.look_again
    try:
        run.run()
    finally:
        display.close()

    for line in finish(cache) if cache else ():
        display.say(line)
    slow = report_details(found, display, slow_from, folder)
    for line in run.left:
        display.say(f"! {line}; to clean up, run: make test-clean")
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
    forge.publish(
        found,
        last,
        code,
        run.left,
        too_slow=slow_from if options.fail_slow else None,
        annotate=options.output != "json",
    )
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
