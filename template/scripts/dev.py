#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
# Kept by the template: copier update merges its changes into this file.
"""Start, list and remove the development environments of this project.

The main checkout uses the Compose project and the ports of deploy/dev. A linked worktree gets a
Compose project, ports and volumes of its own, which `up` writes into its deploy/dev/.env. So does a
clone, if another clone already uses the project's name.
"""

from __future__ import annotations

import sys

# This folder last, because it may contain a module of yours with the name of another, such as types.py.
# With PYTHONSAFEPATH, Python leaves the folder out.
sys.path = [*sys.path[not sys.flags.safe_path :], __file__.rpartition("/")[0]]

import argparse
import fcntl
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev_environments import database, mounts, ports, startup
from dev_environments.checkout import (
    DEFAULT_NAME,
    FOLDER,
    PROJECT_NAME,
    Repository,
    claims,
    configured_name,
    own_name,
    read_env,
    repository,
    write_env,
)
from dev_environments.environments import (
    OWN_NAME,
    Environment,
    environments,
    mark,
    owner,
    removable,
    remove,
)
from test_runner import processes
from test_runner.diagnosis import StackError
from test_runner.docker import DockerError
from test_runner.project import ROOT, SLUG

#: How often other ports are chosen if a chosen port is taken before the containers start.
ATTEMPTS = 3


@contextmanager
def only_one() -> Iterator[None]:
    """Let only one checkout of this user and machine choose its name and ports at a time."""
    path = Path(tempfile.gettempdir()) / f"{SLUG}-dev-{os.getuid()}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def must_choose(repo: Repository, found: list[Environment]) -> bool:
    """Return whether this checkout needs a new name, because its current name is another checkout's."""
    name = configured_name(ROOT)
    if not name and repo.linked and repo.main:
        return True
    holder = owner(name or DEFAULT_NAME, found)
    if not name:
        # A linked worktree may have taken over the environment of its main checkout, which it did
        # before each worktree had its own.
        return holder not in (None, ROOT) and not (repo.main == ROOT and holder in repo.others)
    if name == own_name(ROOT):
        return False
    if holder == ROOT:
        return False
    # An .env that was copied together with the checkout, or into a new worktree.
    if holder and holder not in repo.checkouts:
        return (configured_name(holder) or DEFAULT_NAME) == name
    return repo.main != ROOT and any(path != ROOT and used == name for path, used in claims(repo))


def taken_ports(
    repo: Repository, found: list[Environment], variables: list[ports.Port]
) -> set[int]:
    """Return the ports of the project's other environments, running or not."""
    known = {one.checkout for one in found if one.checkout} | set(repo.checkouts)
    if repo.main:
        known.add(repo.main)
    taken = {port.default for port in variables}
    for path in known - {ROOT}:
        values = read_env(path)
        taken |= {
            int(text) for port in variables if (text := values.get(port.variable, "")).isdecimal()
        }
    return taken


def settle(repo: Repository, excluded: set[int]) -> tuple[str, bool]:
    """Choose what this checkout lacks, write it into its .env, and mark its environment.

    Args:
        repo: the repository of this checkout.
        excluded: ports that cannot be used, even if the .env has them.

    Returns:
        The name of the Compose project, and whether something was chosen.

    Raises:
        StackError: Compose refuses the files.
        DockerError: a Docker command failed.
        OSError: the .env cannot be written, or no port is free.
    """
    found = environments()
    chosen: dict[str, str] = {}
    is_new = must_choose(repo, found)
    if is_new:
        chosen[PROJECT_NAME] = own_name(ROOT)
    name = chosen.get(PROJECT_NAME) or configured_name(ROOT)
    if is_new or OWN_NAME.fullmatch(name):
        variables = startup.port_variables(ROOT)
        values = read_env(ROOT)
        taken = taken_ports(repo, found, variables) | ports.in_use() | excluded

        def keeps(port: ports.Port) -> bool:
            text = values.get(port.variable, "")
            if not text or int(text if text.isdecimal() else 0) in excluded:
                return False
            # The lines of an .env that was copied with the checkout are the other checkout's ports.
            return not is_new or (text.isdecimal() and int(text) not in taken)

        missing = list(dict.fromkeys(one.variable for one in variables if not keeps(one)))
        numbers = ports.choose(len(missing), taken, int(own_name(ROOT)[-6:], 16))
        chosen |= dict(zip(missing, map(str, numbers), strict=True))
    if chosen:
        write_env(ROOT, chosen)
    name = startup.model(ROOT)["name"]
    mark(name, ROOT)
    return name, bool(chosen)


def up(source: str, *, show: startup.Show) -> int:
    """Start or update the environment of this checkout, and print its addresses."""
    repo = repository(ROOT)
    with only_one():
        name, is_new = settle(repo, set())
    settle_user()
    if is_new:
        print(f"this checkout has its own environment, {name}: see {FOLDER}/.env", flush=True)
    if source:
        copy_from_main(repo, name, show=show)
    excluded: set[int] = set()
    for attempt in range(ATTEMPTS):
        try:
            startup.start(ROOT, name, show=show)
            break
        except startup.PortTakenError as error:
            if not is_new or attempt == ATTEMPTS - 1:
                raise
            excluded.add(error.port)
            with only_one():
                name, _ = settle(repo, excluded)
    startup.remove_old_images(name)
    print("\n".join(startup.table(name)))
    return 0


def settle_user() -> None:
    """Let the containers run as the owner of the sources, if no other user can read them."""
    if os.environ.get(mounts.USER) or read_env(ROOT).get(mounts.USER):
        return
    if user := mounts.user(startup.model(ROOT, "--no-interpolate")):
        write_env(ROOT, {mounts.USER: user})
        print(
            f"only you can read the sources: {FOLDER}/.env now has {mounts.USER}={user}", flush=True
        )


def copy_from_main(repo: Repository, name: str, *, show: startup.Show) -> None:
    """Copy the database of the main checkout.

    Raises:
        StackError: there is no main checkout, or the copy failed.
    """
    main = repo.main if repo.main and repo.main != ROOT else owner(DEFAULT_NAME, environments())
    if not main or main == ROOT:
        raise StackError("FROM=main needs another checkout: this one is the main checkout")
    if not (main / FOLDER).is_dir():
        raise StackError(f"FROM=main: {main} has no {FOLDER}")
    print(f"copying the database of {main}", flush=True)
    database.copy((main, startup.model(main)["name"]), (ROOT, name), show=show)


def current() -> str:
    """Return the Compose project of this checkout's environment.

    Raises:
        StackError: it has none, so a command would act on another checkout's.
    """
    repo = repository(ROOT)
    if must_choose(repo, environments()):
        raise StackError(f"this checkout has no environment yet: start it with `{startup.RUN} dev`")
    return str(startup.model(ROOT)["name"])


def compose(*args: str) -> int:
    """Replace this process by docker compose in the folder of the development environment."""
    current()
    os.chdir(ROOT / FOLDER)
    command = startup.compose(*args)
    os.execvpe(command[0], command, processes.own_environment())


def show_list(*, as_json: bool) -> int:
    """Print the environments of this project on this machine."""
    found = environments()
    if as_json:
        print(json.dumps([one.summary() for one in found], indent=2))
        return 0
    if not found:
        print(f"{SLUG} has no development environments on this machine")
        return 0
    rows: list[tuple[str, ...]] = [("BRANCH", "STATE", "AGE", "CHECKOUT")]
    for one in found:
        checkout = str(one.checkout or f"unknown ({one.name})")
        where = f"{checkout} (deleted)" if one.is_gone else checkout
        rows.append((one.branch, one.state, one.age, where))
    head, *lines = startup.aligned(rows)
    print(head)
    for one, line in zip(found, lines, strict=True):
        print(line)
        texts = [(f"  {name}", text) for name, texts in one.addresses.items() for text in texts]
        print("".join(f"{address}\n" for address in startup.aligned(texts)), end="")
    return 0


def clean(*, yes: bool) -> int:
    """Remove the environments whose checkout no longer exists, after a confirmation."""
    found = removable(repository(ROOT), environments())
    if not found:
        print("nothing to remove: the checkout of each environment exists")
        return 0
    print("Development environments whose checkout no longer exists, with their data:")
    for one in found:
        print(f"  {one.name} of {one.checkout}, {one.state}")
    if not yes:
        if not sys.stdin.isatty():
            again = f"{startup.RUN} dev-clean ARGS=--yes"
            print(f"nothing removed: confirm on a terminal, or run: {again}", file=sys.stderr)
            return 2
        if input("Remove all of them? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing removed")
            return 0
    names = {one.name for one in found}
    with only_one():
        # Their checkouts may have come back while the question was open.
        found = [one for one in removable(repository(ROOT), environments()) if one.name in names]
        for one in found:
            remove(one)
            print(f"removed {one.name}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    doc = (__doc__ or "").split("\n\n")
    exits = (
        "Exit codes: 0 success, 2 usage error or no confirmation, 3 the environment failed to start "
        "or Docker failed, 130 interrupted. logs has that of docker compose."
    )
    top = argparse.ArgumentParser(description=f"{doc[0]} {doc[1]}", epilog=exits)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("up", help="start or update the environment of this checkout")
    command.add_argument(
        "--from",
        dest="source",
        choices=("main",),
        default="",
        help="first copy the database of the main checkout into this environment, which must be empty",
    )
    command.add_argument(
        "-v", "--verbose", action="store_true", help="show docker compose's output"
    )
    commands.add_parser("down", help="stop the environment of this checkout; its data is kept")
    command = commands.add_parser("logs", help="follow the logs of this checkout's environment")
    command.add_argument("service", nargs="*", help="only these services")
    command = commands.add_parser("list", help="list the environments of all checkouts")
    command.add_argument("--json", action="store_true", help="print JSON")
    command = commands.add_parser(
        "clean", help="remove the environments whose checkout no longer exists, with their data"
    )
    command.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    return top


def run_command(options: argparse.Namespace) -> int:
    """Run the subcommand. Return the exit code."""
    if options.command == "up":
        progress: startup.Show = "progress" if sys.stderr.isatty() else ""
        return up(options.source, show="all" if options.verbose else progress)
    if options.command == "down":
        # All profiles, because Compose otherwise leaves their containers.
        return compose("--profile=*", "down", "--remove-orphans")
    if options.command == "logs":
        return compose("logs", "--follow", "--tail=100", *options.service)
    if options.command == "list":
        return show_list(as_json=options.json)
    return clean(yes=options.yes)


def interrupt(_number: int, _frame: object) -> None:
    """End as after Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    """Run the command line."""
    options = parser().parse_args()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        return run_command(options)
    except (StackError, DockerError) as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or 'dev.py'}: {error.strerror}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"interrupted: `{startup.RUN} dev-down` stops what was started", file=sys.stderr)
        return 130
    return 3


if __name__ == "__main__":
    sys.exit(main())
