#!/usr/bin/env -S uv run --script
# Kept by the template: copier update merges its changes into this file.
# /// script
# requires-python = ">=3.11"
# dependencies = ["rich>=13.7"]
# ///
"""Run the tests: unit, then service, then integration; a stage only when the one before passed.

The last line is the verdict, and the exit code agrees: 0 passed, 1 failed, 2 usage, 3 a tool is
missing, 5 nothing ran, 128 + signal interrupted. Complete logs are kept in .test-results/.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import BinaryIO, NoReturn

from rich.console import Console
from rich.live import Live
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / ".test-results"
STAGES = {"unit": "Unit Tests", "service": "Service Tests", "integration": "Integration Tests"}
GLYPHS = {"running": "●", "passed": "✓", "failed": "✗", "interrupted": "✗"}
STYLES = {"running": "cyan", "passed": "green", "failed": "red", "interrupted": "red"}
CONTROL = re.compile(r"\x1b\[[\d;:?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\)|[\x00-\x08\x0a-\x1f\x7f]")
AT_ONCE = max(2, os.cpu_count() or 2)
TAIL_LINES, CHUNK = 40, 16_000
GRACE_SECONDS = 30.0  # after SIGINT: time to remove a stack's containers
KILL_SECONDS = 5.0  # after SIGTERM
LINGER_SECONDS = 2.0  # after a target's end: what it started may still end by itself


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and exit with 2."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


@dataclass
class Target:
    """One command of a stage and what became of it; without a command there is nothing to run."""

    stage: str
    name: str
    command: list[str]
    state: str = "pending"
    began: float = 0.0
    ended: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    log: BinaryIO | None = None

    @property
    def log_name(self) -> str:
        """Where the output is kept, relative to the project."""
        return f"{RESULTS.name}/{self.stage}-{self.name}.log"

    def start(self) -> None:
        """Start the command in a process group of its own, so that all of it can be signalled."""
        self.state, self.began = "running", time.monotonic()
        RESULTS.mkdir(exist_ok=True)
        self.log = (ROOT / self.log_name).open("w+b")
        output = (ROOT / self.log_name).open("ab")
        try:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            output.write(f"cannot start {self.command[0]}: {error.strerror}\n".encode())
        output.close()

    def send(self, signum: int) -> bool:
        """Signal the whole group (0 only asks); False when nobody is left in it."""
        try:
            if self.process:
                os.killpg(self.process.pid, signum)
        except (ProcessLookupError, PermissionError):
            return False
        return self.process is not None

    def finished(self, interrupted: bool) -> bool:
        """True when the command is over and nothing that it started still runs."""
        if self.process and self.process.poll() is None:
            return False
        self.ended = self.ended or time.monotonic()
        if self.send(0) and time.monotonic() - self.ended < LINGER_SECONDS:
            return False
        self.send(signal.SIGKILL)
        passed = self.process is not None and self.process.returncode == 0
        self.state = "interrupted" if interrupted else "passed" if passed else "failed"
        return True

    def line(self) -> str:
        """The target's line in the list."""
        words = "" if self.state in ("running", "passed") else f" {self.state}"
        if self.state == "failed" and self.process:
            words += f" (exit {self.process.returncode})"
        if self.began:
            words += f" {(self.ended or time.monotonic()) - self.began:.1f}s"
        return f"  {GLYPHS.get(self.state, '○')} {self.name}{words}"

    def new_lines(self) -> list[str]:
        """What was logged since the last call: whole lines, as long as more may come."""
        if not self.log:
            return []
        start, text = self.log.tell(), self.log.read(CHUNK)
        end = text.rfind(b"\n") + 1
        if not end and (self.state != "running" or len(text) == CHUNK):
            end = len(text)
        self.log.seek(start + end)
        return text[:end].decode(errors="replace").splitlines()

    def tail(self) -> list[str]:
        """The last lines of the log."""
        if not self.log:
            return []
        skipped = max(0, self.log.seek(0, os.SEEK_END) - CHUNK)
        self.log.seek(skipped)
        lines = self.log.read(CHUNK).decode(errors="replace").rstrip().split("\n")
        return lines[1 if skipped and len(lines) > 1 else 0 :][-TAIL_LINES:]


class Output:
    """Tells what happens: a live list on a terminal, a line at a time elsewhere."""

    def __init__(self, targets: list[Target], verbose: bool) -> None:
        self.targets, self.verbose, self.footer, self.drawn = targets, verbose, "", 0.0
        self.live: Live | None = None
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # an ASCII terminal has no glyphs
        plain = os.environ.get("TERM", "dumb") == "dumb" or os.environ.get("CI", "false") != "false"
        if sys.stdout.isatty() and not plain and not verbose:
            console = Console(force_terminal=True, force_interactive=True)
            self.live = Live(console=console, auto_refresh=False, get_renderable=self.draw)
            self.live.start()

    def draw(self) -> Text:
        """The list: every stage with its targets."""
        text = Text(no_wrap=True, overflow="ellipsis")
        for stage in dict.fromkeys(target.stage for target in self.targets):
            text.append(f"{STAGES[stage]}\n", "bold")
            for target in (target for target in self.targets if target.stage == stage):
                text.append(f"{target.line()}\n", STYLES.get(target.state, "dim"))
        text.append(self.footer, "bold")
        text.rstrip()
        return text

    def update(self) -> None:
        """Redraw the list, at most four times a second."""
        if self.live and time.monotonic() - self.drawn >= 0.25:
            self.drawn = time.monotonic()
            with or_without_reader():
                self.live.refresh()

    def say(self, line: str) -> None:
        """Print a line literally, without the escapes that it may hold."""
        with or_without_reader():
            print(CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]), flush=True)

    def event(self, line: str) -> None:
        """Print a line that the live list shows in its own way."""
        if not self.live:
            self.say(line)

    def close(self) -> None:
        """Leave the list on the screen as it is now."""
        with or_without_reader():
            if self.live:
                self.live.stop()


class Runner:
    """Runs stages of targets, and ends them when a signal asks for it."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.caught: list[int] = []
        self.caught_at = 0.0
        self.sent = 0

    def catch(self, signum: int, _frame: FrameType | None) -> None:
        """Note a signal; the loop acts on it."""
        self.caught_at = self.caught_at or time.monotonic()
        self.caught.append(signum)

    def run(self, targets: list[Target]) -> bool:
        """Run a stage's targets side by side, all to their end; True when none has failed."""
        waiting, running = [target for target in targets if target.command], list[Target]()
        for target in targets:
            if not target.command:
                self.output.event(target.line())
        try:
            while running or (waiting and not self.caught):
                while waiting and len(running) < AT_ONCE and not self.caught:
                    running.append(waiting.pop(0))
                    running[-1].start()
                if self.caught:
                    self.stop(running)
                for target in list(running):
                    over = target.finished(interrupted=bool(self.caught))
                    while self.output.verbose and (lines := target.new_lines()):
                        for line in lines:
                            self.output.say(f"{target.name} | {line}")
                    if over:
                        running.remove(target)
                        self.output.event(target.line())
                self.output.update()
                time.sleep(0.05)
        finally:
            for target in running:
                target.send(signal.SIGINT)
        return not self.caught and all(target.state != "failed" for target in targets)

    def stop(self, running: list[Target]) -> None:
        """Ask the targets to end, then insist; a second Ctrl-C insists at once."""
        waited = time.monotonic() - self.caught_at
        wanted = signal.SIGTERM if waited > GRACE_SECONDS else signal.SIGINT
        if signal.SIGINT in self.caught[1:] or waited > GRACE_SECONDS + KILL_SECONDS:
            wanted = signal.SIGKILL
        if wanted == self.sent:
            return
        if not self.sent:
            self.output.footer = "Stopping: the tests clean up; Ctrl-C again kills them at once"
            self.output.event(self.output.footer)
        self.sent = wanted
        for target in running:
            target.send(wanted)


@contextmanager
def or_without_reader() -> Iterator[None]:
    """Go on when the terminal or the pipe is gone: stacks still have to be removed."""
    try:
        yield
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def child_environment() -> dict[str, str]:
    """Our environment without the traces of colours, make and uv."""
    env = os.environ | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "TEST_RUNNER_ROOT": str(ROOT)}
    env["MAKEFLAGS"] = "--no-print-directory"  # and no job slots: those of our make are closed
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "MAKELEVEL", "MFLAGS"):
        env.pop(name, None)
    if "UV_RUN_RECURSION_DEPTH" in env and env.get("VIRTUAL_ENV") == sys.prefix:
        # uv put this script's own environment first, and it is not the one of the tests.
        own = f"{env.pop('VIRTUAL_ENV')}/bin"
        path = env.get("PATH", os.defpath).split(os.pathsep)
        env["PATH"] = os.pathsep.join(part for part in path if part != own)
    return env


def has_unit_tests(folder: str) -> bool:
    """Whether make knows test-unit there; with SHELL=true nothing is run to find out."""
    command = ["make", "-C", folder, "-n", "SHELL=true", "test-unit"]
    env = child_environment() | {"LC_ALL": "C"}
    errors = subprocess.run(command, cwd=ROOT, env=env, capture_output=True).stderr
    # A broken Makefile is no reason to leave its tests out: they run, and fail in sight.
    return not re.search(rb"No rule to make target .test-unit.\.", errors)


def find_targets(parser: Parser, stages: list[str], names: list[str]) -> list[Target]:
    """The targets of these stages and services (of all when none is named), stage by stage."""
    multi = (ROOT / "services").is_dir()
    folders = (ROOT / "services").iterdir() if multi else []
    services = sorted(p.name for p in folders if p.is_dir() and p.name[0] not in "._")
    for name in services:
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII):
            parser.error(f"services/{name}: letters, digits, - and _ only, rename the folder")
    for name in names:
        if name not in services:
            known = f"there are {', '.join(services)}" if services else "leave out --service"
            parser.error(f"no service {name!r}: {known}")
    if names and "integration" in stages:
        parser.error("integration tests are of all services: leave out --service")
    stages = stages or [stage for stage in STAGES if stage != "integration" or not names]
    names, found = names or services, []

    def add(stage: str, name: str, command: str, missing: str) -> None:
        """A target, or when what it takes is missing, a line that says so."""
        state = f"skipped: no {missing}" if missing else "pending"
        found.append(Target(stage, name, [] if missing else command.split(), state))

    if "unit" in stages and not multi:
        add("unit", "app", "make test-unit", "" if has_unit_tests(".") else "test-unit in Makefile")
    for name in [name for name in services if "unit" in stages and name in names]:
        folder = f"services/{name}"
        missing = "" if has_unit_tests(folder) else f"test-unit in {folder}/Makefile"
        add("unit", name, f"make -C {folder} test-unit", missing)
    for name in [name for name in services if "service" in stages and name in names]:
        file = f"services/{name}/deploy/test/docker-compose.yml"
        missing = "" if (ROOT / file).exists() else file
        add("service", name, f"scripts/test-service.sh {name}", missing)
    if "integration" in stages:
        missing = "" if (ROOT / "tests/integration").is_dir() else "tests/integration"
        name = "full" if multi else "app"
        add("integration", name, "scripts/run-integration-tests.sh", missing)
    return found


def parse() -> tuple[list[Target], bool]:
    """Read the command line: the targets that it means, and whether to stream their output."""
    parser = Parser(prog="test-runner.py", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("-v", "--verbose", action="store_true", help="stream all output, each line by its target")
    add("--stage", action="append", choices=STAGES, help="only this stage (repeatable)")
    add("--service", action="append", metavar="NAME", help="only this service (repeatable)")
    options = parser.parse_args()
    if os.environ.get("TEST_RUNNER_ROOT") == str(ROOT):
        parser.error("make test-unit started the runner that runs it: is services/ missing?")
    return find_targets(parser, options.stage or [], options.service or []), options.verbose


def main() -> int:
    """Find the targets, check the tools, run stage after stage, tell the verdict."""
    targets, verbose = parse()
    # Before the unit tests, so that nobody waits for a run that cannot get to its end.
    docker = any(target.command and target.stage != "unit" for target in targets)
    check = ["scripts/check-tools.sh", "docker", "uv"]
    if docker and subprocess.run(check, cwd=ROOT, stdin=subprocess.DEVNULL).returncode:
        return 3
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    output = Output(targets, verbose)
    runner = Runner(output)
    signal.signal(signal.SIGINT, runner.catch)
    signal.signal(signal.SIGTERM, runner.catch)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup means it
        signal.signal(signal.SIGHUP, runner.catch)

    began, passed = time.monotonic(), True
    try:
        for stage, title in STAGES.items():
            members = [target for target in targets if target.stage == stage]
            if members and passed:
                output.event(title)
                passed = runner.run(members)
            elif members:
                output.event(f"{title}: not run")
    finally:
        for target in targets:
            target.state = target.state.replace("pending", "not run")
        output.close()

    failed = [target for target in targets if target.state == "failed"]
    for target in failed:
        output.say("")
        output.say(f"{target.stage} {target.name} failed:")
        for line in [] if verbose else target.tail():
            output.say(f"  {line}")
        output.say(f"log: {target.log_name}")
        output.say(f"rerun: {' '.join(target.command)}")
    names = ", ".join(f"{target.stage} {target.name}" for target in failed)
    ran = sum(target.state == "passed" for target in targets)
    seconds = f"{time.monotonic() - began:.1f}s"
    if runner.caught:
        output.say(f"INTERRUPTED by {signal.Signals(runner.caught[0]).name} after {seconds}")
        return 128 + runner.caught[0]
    if failed:
        output.say(f"FAILED: {names} ({seconds})")
    elif ran:
        output.say(f"PASSED: {ran} {'target' if ran == 1 else 'targets'} in {seconds}")
    else:
        output.say("NOTHING RAN: nothing of what was asked for has tests")
    return 1 if failed else 0 if ran else 5


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        print(f"test-runner.py: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(3)
