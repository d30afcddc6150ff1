#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["psutil>=6"]
# ///
# Kept by the template: copier update merges its changes into this file.
"""Start, use and remove the Docker stacks that tests run against.

A scope is the name of a service (its service tests) or `full` (the integration tests). A command that
runs against a stack gets an environment variable for each container label `test.url`, such as
`TEST_API_URL=http://HOST:8000`, with the real address in place of HOST:8000.
"""

from __future__ import annotations

import sys

# This folder last, because it may contain a module of yours with the name of another, such as types.py.
# With PYTHONSAFEPATH, Python leaves the folder out.
sys.path = [*sys.path[not sys.flags.safe_path :], __file__.rpartition("/")[0]]

import argparse
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from test_runner import compose, docker, processes
from test_runner.compose import Stack
from test_runner.diagnosis import StackError
from test_runner.docker import COMPOSE_PROJECT, DockerError
from test_runner.project import RESULTS, ROOT, SLUG

#: Seconds that a command has to end after Ctrl-C, and then after SIGTERM.
PATIENCE = 10

#: The mark of all processes that this script starts. It is unique to this run.
RUN = f"stack-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"

#: The signals received so far. The first one interrupts the start of a stack or the command; the stacks
#: are still removed.
CAUGHT: list[int] = []


def log_of(scope: str) -> Path:
    """Return the empty log file for the output of Compose about a scope."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"stack-{scope}.log"
    path.write_bytes(b"")
    return path


def stop_or_show(log: Path, *, show: bool) -> Callable[[], bool]:
    """Return the `stop` function for `Stack.up`. With `show`, it also prints new lines of the log."""
    file = log.open("rb")

    def stop() -> bool:
        if show:
            sys.stderr.buffer.write(file.read())
            sys.stderr.flush()
        return bool(CAUGHT)

    return stop


def start(stack: Stack, *, show: bool) -> dict[str, str]:
    """Lock and start a stack. Return the environment variables with its URLs.

    After an error the stack is removed, unless it was warm.

    Raises:
        StackError: the stack failed to start.
        InterruptedError: a signal came.
    """
    stack.take()
    log = log_of(stack.scope)
    try:
        stack.up(log, stop=stop_or_show(log, show=show))
        return stack.addresses()
    except BaseException:
        stack.abandon()
        raise


def execute(command: list[str], env: dict[str, str]) -> int:
    """Run a command on this terminal. Return its exit code; 128 + N if signal N ended it."""
    try:
        process = subprocess.Popen(command, cwd=ROOT, env=env)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    since = 0.0
    while process.poll() is None:
        # The terminal sends Ctrl-C to the command too. Give the command time to clean up.
        if CAUGHT and not since:
            since = time.monotonic()
            if CAUGHT[0] != signal.SIGINT:
                process.terminate()
        if since and time.monotonic() - since > PATIENCE:
            process.terminate()
        if since and time.monotonic() - since > 2 * PATIENCE:
            process.kill()
        time.sleep(0.02)
    code = process.returncode
    return code if code >= 0 else 128 - code


def with_arguments(command: list[str]) -> list[str]:
    """For make, turn the arguments after `--` into ARGS, quoted for a shell, and add TESTS."""
    if "--" not in command or Path(command[0]).name != "make":
        return command
    end = command.index("--")
    arguments = processes.for_make(shlex.join(command[end + 1 :]))
    tests = processes.for_make(os.environ.get("TESTS", ""))
    return [*command[:end], f"TESTS={tests}", f"ARGS={arguments}"]


def run(stack: Stack, command: list[str], *, show: bool) -> int:
    """Run a command against a stack. Always remove the stack afterwards, unless it is kept.

    Returns:
        The exit code of the command.
    """
    try:
        addresses = start(stack, show=show)
        try:
            env = processes.environment(RUN, **addresses, TEST_INSTANCE_ID=stack.instance)
            return execute(command, env)
        finally:
            processes.kill_marked(RUN)
            stack.remove()
    finally:
        compose.remove_images(stack.instance)


def up(scopes: list[str], instance: str, *, show: bool) -> None:
    """Start or update stacks, leave them running, and print the variables with their URLs."""

    def keep(scope: str) -> list[str]:
        stack = Stack(scope, instance, RUN)
        stack.kept = True
        addresses = start(stack, show=show)
        stack.remove()  # The stack is kept, so this only releases its lock.
        lines = [f"export {name}={shlex.quote(url)}" for name, url in sorted(addresses.items())]
        return [f"# {scope}", *lines]

    if not scopes:
        raise StackError("there is no test stack: no service has a deploy/test/docker-compose.yml")
    try:
        with ThreadPoolExecutor(max_workers=len(scopes)) as pool:
            for lines in pool.map(keep, scopes):
                print("\n".join(lines))
    finally:
        compose.remove_images(instance)


def down(instance: str, scopes: list[str]) -> int:
    """Remove stacks of this checkout's instance, and print the result for each."""
    removed, in_use = compose.discard(instance, scopes)
    for scope in removed:
        print(f"removed the stack of {scope}")
    for scope in in_use:
        print(f"the stack of {scope} is in use: not removed", file=sys.stderr)
    return 3 if in_use else 0


def clean_all(*, yes: bool) -> int:
    """Remove the stacks and images of all instances of this project, after a confirmation."""
    label = f"test.project={SLUG}"
    found = compose.found_labels(COMPOSE_PROJECT, label)
    images = docker.ids("image", label)
    if not found and not images:
        print(f"nothing to remove: {SLUG} has no test stacks and no test images")
        return 0
    print(f"Test stacks of {SLUG}, including running ones:")
    for project in found:
        print(f"  {project}")
    print(f"  and {len(images)} images")
    if not yes:
        if not sys.stdin.isatty():
            again = "uv run --script scripts/stack.py clean-all --yes"
            print(f"nothing removed: confirm on a terminal, or run: {again}", file=sys.stderr)
            return 2
        if input("Remove all of them? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing removed")
            return 0
    for project in found:  # Containers from an override file have only Compose's own label.
        docker.remove(f"{COMPOSE_PROJECT}={project}")
    docker.remove_each("image", images)
    print(f"removed stacks: {len(found)}, images: {len(images)}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    doc = (__doc__ or "").split("\n\n")
    top = argparse.ArgumentParser(description=doc[0], epilog=doc[1])
    top.add_argument("-v", "--verbose", action="store_true", help="show docker compose's output")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("run", help="start a stack, run a command, remove the stack")
    command.add_argument("scope", help="the name of a service, or full")
    command.add_argument(
        "argv",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND …",
        help="the command to run; if it is make, arguments after a second -- become ARGS",
    )
    command = commands.add_parser("up", help="start stacks and leave them running")
    command.add_argument("scope", nargs="*", help="the stacks to start (default: all)")
    command = commands.add_parser("env", help="print the variables of a running stack, for eval")
    command.add_argument("scope", help="the name of a service, or full")
    command = commands.add_parser("down", help="remove stacks of this checkout")
    command.add_argument("scope", nargs="*", help="the stacks to remove (default: all)")
    commands.add_parser("clean", help="remove all stacks of this checkout and of killed runs")
    command = commands.add_parser("clean-all", help="remove the stacks of all checkouts")
    command.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    return top


def run_command(options: argparse.Namespace) -> int:
    """Run the subcommand. Return the exit code."""
    if options.command == "clean-all":
        return clean_all(yes=options.yes)
    try:
        instance = compose.instance_id()
    except StackError as error:
        print(error, file=sys.stderr)
        return 2
    if options.command == "clean":
        compose.sweep()
        return down(instance, [])
    if options.command == "down":
        return down(instance, options.scope)
    if options.command == "run":
        command = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
        if not command:
            print("stack.py run: add the command to run after --", file=sys.stderr)
            return 2
        compose.sweep()
        stack = Stack(options.scope, instance, RUN)
        return run(stack, with_arguments(command), show=options.verbose)
    if options.command == "up":
        compose.sweep()
        up(options.scope or compose.known_scopes(), instance, show=options.verbose)
    else:
        addresses = Stack(options.scope, instance, RUN).addresses()
        for name, url in sorted(addresses.items()):
            print(f"export {name}={shlex.quote(url)}")
    return 0


def main() -> int:
    """Run the command line.

    Exit codes: those of the command for `run`; else 0 success, 2 usage error, 3 a stack failed or is
    in use, 128 + N interrupted by signal N.
    """
    options = parser().parse_args()
    global CAUGHT
    CAUGHT = processes.catch_signals()
    try:
        code = run_command(options)
    except (StackError, DockerError) as error:
        print(error, file=sys.stderr)
        code = 3
    except OSError as error:
        if not isinstance(error, InterruptedError):
            print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        code = 3
    return 128 + CAUGHT[0] if CAUGHT else code


if __name__ == "__main__":
    sys.exit(main())
