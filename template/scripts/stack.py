#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["psutil>=6"]
# ///
# Kept by the template: copier update merges its changes into this file.
"""Start, use and remove the Docker stacks that tests run against.

A scope is the name of a service (its service tests) or `full` (the integration tests). While a command
runs against a stack, each `test.url` label of a container is one of its environment variables:
`TEST_API_URL=http://HOST:8000` comes with the address filled in.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from test_runner import docker, processes, stacks
from test_runner.diagnosis import StackError
from test_runner.docker import COMPOSE_PROJECT, DockerError
from test_runner.project import RESULTS, ROOT, SLUG
from test_runner.stacks import Stack

#: Seconds that a command has to end by itself after Ctrl-C, and then after SIGTERM.
PATIENCE = 10

#: The mark of all that this script starts, which no other process has had or will have.
RUN = f"stack-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"

#: The signals that came so far: what is under way is broken off, what is to be removed is removed.
CAUGHT: list[int] = []


def log_of(scope: str) -> Path:
    """Return the file that gets what Compose prints about a scope, emptied."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"stack-{scope}.log"
    path.write_bytes(b"")
    return path


def stop_or_show(log: Path, *, show: bool) -> Callable[[], bool]:
    """Return what says whether to stop; it also shows what a log has got since it was asked last."""
    file = log.open("rb")

    def stop() -> bool:
        if show:
            sys.stderr.buffer.write(file.read())
            sys.stderr.flush()
        return bool(CAUGHT)

    return stop


def start(stack: Stack, *, show: bool) -> dict[str, str]:
    """Take and start a stack. Return the variables that lead to it.

    Raises:
        StackError: it does not start. It is removed, unless it was warm.
        InterruptedError: a signal came. It is removed, unless it was warm.
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
    """Run a command to its end, on this terminal. Return its exit code as a shell would."""
    try:
        process = subprocess.Popen(command, cwd=ROOT, env=env)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    since = 0.0
    while process.poll() is None:
        # Ctrl-C reaches the command by itself; it may take its time to clean up.
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
    """Hand what follows `--` in a command of make's to it as ARGS, quoted for its shell; TESTS, too."""
    if "--" not in command or Path(command[0]).name != "make":
        return command
    end = command.index("--")
    arguments = processes.for_make(shlex.join(command[end + 1 :]))
    tests = processes.for_make(os.environ.get("TESTS", ""))
    return [*command[:end], f"TESTS={tests}", f"ARGS={arguments}"]


def run(stack: Stack, command: list[str], *, show: bool) -> int:
    """Run a command against a stack, and remove the stack whatever happens, unless it is kept.

    Returns:
        The command's exit code.
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
        stacks.remove_images(stack.instance)


def up(scopes: list[str], instance: str, *, show: bool) -> None:
    """Start stacks, or what of them has changed, leave them running and print how to reach them."""

    def keep(scope: str) -> list[str]:
        stack = Stack(scope, instance, RUN)
        stack.kept = True
        addresses = start(stack, show=show)
        stack.remove()  # It is kept: this only lets others take it.
        lines = [f"export {name}={shlex.quote(url)}" for name, url in sorted(addresses.items())]
        return [f"# {scope}", *lines]

    if not scopes:
        raise StackError("there is no test stack: no service has a deploy/test/docker-compose.yml")
    try:
        with ThreadPoolExecutor(max_workers=len(scopes)) as pool:
            for lines in pool.map(keep, scopes):
                print("\n".join(lines))
    finally:
        stacks.remove_images(instance)


def down(instance: str, scopes: list[str]) -> int:
    """Remove stacks of this checkout's instance, and tell which."""
    removed, used = stacks.discard(instance, scopes)
    for scope in removed:
        print(f"removed the stack of {scope}")
    for scope in used:
        print(f"the stack of {scope} is in use, and stays", file=sys.stderr)
    return 3 if used else 0


def clean_all(*, yes: bool) -> int:
    """Remove every instance's stacks of this project, once the list of them is confirmed."""
    label = f"test.project={SLUG}"
    found = stacks.found_labels(COMPOSE_PROJECT, label)
    images = docker.ids("image", label)
    if not found and not images:
        print(f"nothing of {SLUG}'s tests is left")
        return 0
    print(f"Test stacks of {SLUG}, running ones included:")
    for project in found:
        print(f"  {project}")
    print(f"  and {len(images)} images")
    if not yes:
        if not sys.stdin.isatty():
            again = "uv run --script scripts/stack.py clean-all --yes"
            print(f"not removed: confirm on a terminal, or run: {again}", file=sys.stderr)
            return 2
        if input("Remove all of them? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing removed")
            return 0
    for project in found:  # What an override file adds carries the project's label alone.
        docker.remove(f"{COMPOSE_PROJECT}={project}")
    docker.remove_each("image", images)
    print(f"removed {len(found)}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    doc = (__doc__ or "").split("\n\n")
    top = argparse.ArgumentParser(description=doc[0], epilog=doc[1])
    top.add_argument("-v", "--verbose", action="store_true", help="show what docker compose prints")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("run", help="start a stack, run a command against it, remove it")
    command.add_argument("scope", help="a service's name, or full")
    command.add_argument(
        "argv",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND …",
        help="what follows another -- is handed to make as ARGS",
    )
    command = commands.add_parser("up", help="start stacks and leave them running")
    command.add_argument("scope", nargs="*", help="which ones (all)")
    command = commands.add_parser("env", help="print what leads to a running stack, for eval")
    command.add_argument("scope", help="a service's name, or full")
    command = commands.add_parser("down", help="remove stacks")
    command.add_argument("scope", nargs="*", help="which ones (all of this checkout's)")
    commands.add_parser("clean", help="remove all stacks of this checkout's instance")
    command = commands.add_parser("clean-all", help="remove the stacks of every instance")
    command.add_argument("--yes", action="store_true", help="do not ask")
    return top


def obey(options: argparse.Namespace) -> int:
    """Do what the command line asks. Return the exit code."""
    if options.command == "clean-all":
        return clean_all(yes=options.yes)
    try:
        instance = stacks.instance_id()
    except StackError as error:
        print(error, file=sys.stderr)
        return 2
    if options.command == "clean":
        stacks.sweep()
        return down(instance, [])
    if options.command == "down":
        return down(instance, options.scope)
    if options.command == "run":
        command = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
        if not command:
            print("stack.py run: name a command to run after --", file=sys.stderr)
            return 2
        stacks.sweep()
        stack = Stack(options.scope, instance, RUN)
        return run(stack, with_arguments(command), show=options.verbose)
    if options.command == "up":
        stacks.sweep()
        up(options.scope or stacks.known_scopes(), instance, show=options.verbose)
    else:
        addresses = Stack(options.scope, instance, RUN).addresses()
        for name, url in sorted(addresses.items()):
            print(f"export {name}={shlex.quote(url)}")
    return 0


def main() -> int:
    """Run the command line. Exit codes: 0 passed, 1 failed, 2 usage, 3 no stack, 130 interrupted."""
    options = parser().parse_args()
    global CAUGHT
    CAUGHT = processes.catch_signals()
    try:
        code = obey(options)
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
