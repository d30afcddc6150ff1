# Kept by the template: copier update merges its changes into this file.
"""Copies the database of one development environment into another one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from test_runner import docker, processes
from test_runner.diagnosis import StackError
from test_runner.docker import COMPOSE_PROJECT

from . import startup
from .checkout import FOLDER

#: The service of the database, and its volume.
DATABASE = "database"

#: Databases that every server has.
LIST = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"


def copy(source: tuple[Path, str], target: tuple[Path, str], *, show: startup.Show) -> None:
    """Copy all databases and roles with pg_dump, which reads a consistent state of each database.

    The source's server keeps running; if it does not run, it is started for the copy. Passwords are
    not copied: each environment has the password of its own `.env`.

    Args:
        source: the checkout to copy from, and its Compose project.
        target: the checkout to copy to, and its Compose project.
        show: what to print of Compose's output.

    Raises:
        StackError: there is nothing to copy, the target has data, or the copy failed.
    """
    (root, name), (own_root, own) = source, target
    if DATABASE not in startup.model(own_root).get("services", {}):
        raise StackError("FROM=main needs a database, and this project has none")
    if data_of(own):
        raise StackError(
            f"FROM=main needs an empty environment, and {own} has data",
            hint=f"delete the data: cd {FOLDER} && docker compose down --volumes",
        )
    if not data_of(name):
        raise StackError(f"{root} has no database yet: run `{startup.RUN} dev` there first")
    running, existed = state_of(name)
    try:
        if not running:
            start(root, show=show)
        start(own_root, show=show)
        transfer(container(name), container(own))
    except BaseException:
        docker.remove(f"{COMPOSE_PROJECT}={own}", "com.docker.compose.service=database")
        docker.remove_each("volume", data_of(own))
        raise
    finally:
        if not running:
            action = ("stop",) if existed else ("rm", "--force", "--stop")
            startup.run(root, *action, DATABASE, show=show)


def data_of(name: str) -> list[str]:
    """Return the volumes with the database of an environment; none: it has no data."""
    label = "com.docker.compose.volume=database"
    return docker.ids("volume", f"{COMPOSE_PROJECT}={name}", label)


def found(name: str) -> list[dict[str, Any]]:
    """Return the database's containers of an environment."""
    label = "com.docker.compose.service=database"
    return docker.containers(f"{COMPOSE_PROJECT}={name}", label)


def state_of(name: str) -> tuple[bool, bool]:
    """Return whether the database of an environment runs, and whether its container exists."""
    containers = found(name)
    return any(one["State"]["Running"] for one in containers), bool(containers)


def container(name: str) -> dict[str, Any]:
    """Return the running container of an environment's database.

    Raises:
        StackError: there is none.
    """
    for one in found(name):
        if one["State"]["Running"]:
            return one
    raise StackError(f"the database of {name} does not run")


def start(root: Path, *, show: startup.Show) -> None:
    """Start the database of a checkout alone, and wait until it is healthy.

    Raises:
        StackError: it failed to start.
    """
    name = startup.model(root)["name"]
    output = startup.run(root, "up", "--detach", "--wait", "--no-deps", DATABASE, show=show)
    if output is not None:
        raise startup.problem(root, name, output)


def transfer(source: dict[str, Any], target: dict[str, Any]) -> None:
    """Copy the roles and all databases from one server to another.

    Raises:
        StackError: a command failed.
    """
    user, own_user = superuser(source), superuser(target)
    psql = ("psql", f"--username={own_user}", "--quiet", "--set=ON_ERROR_STOP=1")
    roles = inside(
        source, "pg_dumpall", f"--username={user}", "--roles-only", "--no-role-passwords"
    )
    # Both servers have this role from the start.
    lines = [line for line in roles.splitlines() if line != f"CREATE ROLE {user};"]
    inside(target, *psql, "--dbname=postgres", stdin="\n".join(lines) + "\n")
    query = ("--tuples-only", "--no-align", f"--command={LIST}")
    for database in inside(
        source, "psql", f"--username={user}", "--dbname=postgres", *query
    ).splitlines():
        dump = ("pg_dump", f"--username={user}", "--create", f"--dbname={database}")
        pipe((source, dump), (target, (*psql, "--dbname=postgres")))


def superuser(container: dict[str, Any]) -> str:
    """Return the name of a server's superuser."""
    prefix = "POSTGRES_USER="
    names = [one for one in container["Config"]["Env"] if one.startswith(prefix)]
    return names[-1].removeprefix(prefix) if names else "postgres"


def command(container: dict[str, Any], *args: str, stdin: bool = False) -> list[str]:
    """Return the command that runs a command in a container."""
    return ["docker", "exec", *(["--interactive"] if stdin else []), container["Id"], *args]


def inside(container: dict[str, Any], *args: str, stdin: str | None = None) -> str:
    """Run a command in a container, and return its output.

    Raises:
        StackError: the command failed.
    """
    done = subprocess.run(
        command(container, *args, stdin=stdin is not None),
        env=processes.own_environment(),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise StackError(f"{args[0]} failed", tuple(done.stderr.strip().splitlines()[-3:]))
    return done.stdout


def pipe(
    source: tuple[dict[str, Any], tuple[str, ...]], target: tuple[dict[str, Any], tuple[str, ...]]
) -> None:
    """Send the output of a command in one container to a command in another one.

    Raises:
        StackError: one of them failed.
    """
    env = processes.own_environment()
    with (
        subprocess.Popen(
            command(source[0], *source[1]),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as reader,
        subprocess.Popen(
            command(target[0], *target[1], stdin=True),
            env=env,
            stdin=reader.stdout,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as writer,
    ):
        assert reader.stdout
        reader.stdout.close()  # So that the reader notices when the writer ends.
        errors = writer.communicate()[1]
        other_errors = reader.communicate()[1] if reader.stderr else b""
    for process, said in ((reader, other_errors), (writer, errors)):
        if process.returncode:
            lines = said.decode(errors="replace").strip().splitlines()
            raise StackError("the copy of the database failed", tuple(lines[-3:]))
