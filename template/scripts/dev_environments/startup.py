# Kept by the template: copier update merges its changes into this file.
"""Starts the containers of a development environment, and explains why they failed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from test_runner import diagnosis, docker, processes
from test_runner.diagnosis import StackError
from test_runner.docker import COMPOSE_PROJECT, DockerError
from test_runner.project import MAKE, RESULTS

from . import ports
from .checkout import FOLDER, read_env
from .environments import addresses, service_of

#: What is printed of Compose's output.
Show = Literal["", "progress", "all"]

#: A line of `docker compose up` about a container, network or volume.
STATE = re.compile(rb" (Container|Network|Volume) ")

#: Seconds that the containers may take to become healthy.
TIMEOUT = 300

#: A container that its restart policy has restarted this often counts as failed.
RESTARTS = 3

#: The command that runs a target.
RUN = " ".join(MAKE)

#: Compose's output in the last start.
LOG = RESULTS / "dev.log"

PORT_TAKEN = re.compile(
    r"port is already allocated|address already in use|ports are not available|failed to bind host port"
)
POOLS = re.compile(r"address pools have been fully subnetted|non-overlapping IPv4 address pool")
WRONG_PASSWORD = re.compile(r"password authentication failed for user")


class PortTakenError(StackError):
    """A port of the environment is in use."""

    port: int = 0


def compose(*args: str) -> list[str]:
    """Return a docker compose command."""
    return ["docker", "compose", *args]


def profiles(root: Path) -> list[str]:
    """Return Compose's options for the profiles of an environment."""
    if os.environ.get("TRACE") != "1" and read_env(root).get("TRACE") != "1":
        return []
    # An option replaces the variable, so the options repeat its profiles.
    names = [*filter(None, read_env(root).get("COMPOSE_PROFILES", "").split(",")), "trace"]
    return [part for name in names for part in ("--profile", name)]


def model(root: Path, *options: str) -> dict[str, Any]:
    """Return the compose model of a checkout, as `docker compose config` prints it.

    Raises:
        StackError: Compose refuses the files.
    """
    done = subprocess.run(
        compose(*profiles(root), "config", "--format=json", *options),
        cwd=root / FOLDER,
        env=processes.own_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "level=warning" not in line]
        raise StackError(f"Compose refuses the files in {FOLDER}", tuple(errors[-3:]))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def port_variables(root: Path) -> list[ports.Port]:
    """Return the ports whose number is in a variable; none if Compose cannot show the variables."""
    try:
        found = ports.published(model(root, "--no-interpolate"))
        return [port for port in found if port.variable]
    except StackError:
        return []


def start(root: Path, name: str, *, show: Show) -> None:
    """Build the images, start the containers, and wait until they are ready.

    Args:
        root: the checkout.
        name: the Compose project.
        show: what to print of Compose's output while it runs.

    Raises:
        PortTakenError: a port is in use.
        StackError: an image failed to build, or a container failed.
    """
    LOG.unlink(missing_ok=True)
    if not show:
        print("building the images, then starting the containers", flush=True)
    output = run(root, "build", show=show)
    if output is not None:
        raise build_problem(output)
    quiet = () if show else ("--quiet-pull",)
    encoded = encoded_password(root)
    output = run(root, "up", "--detach", "--remove-orphans", *quiet, show=show, env=encoded)
    if output is not None:
        raise problem(root, name, output)
    if lines := wait(name):
        raise explained(name, "a container is not ready", lines)


def encoded_password(root: Path) -> dict[str, str]:
    """Return the variable with the database's password as a part of an address.

    The address of a custom service contains it, and Compose cannot encode characters such as @ and /.
    """
    database = model(root).get("services", {}).get("database", {})
    # Compose prints $ as $$.
    password = str((database.get("environment") or {}).get("POSTGRES_PASSWORD", ""))
    return {"POSTGRES_PASSWORD_ENCODED": quote(password.replace("$$", "$"), safe="")}


def remove_old_images(name: str) -> None:
    """Remove the images of an environment that newer builds have replaced."""
    filters = ("--filter=dangling=true", f"--filter=label={COMPOSE_PROJECT}={name}")
    for image in docker.docker("image", "ls", "--quiet", *filters).split():
        with suppress(DockerError):  # A container of the user's may still run it.
            docker.docker("image", "rm", image)


def run(root: Path, *args: str, show: Show, env: Mapping[str, str] | None = None) -> str | None:
    """Run docker compose, and add its output to the log. Return the output if it fails, else None.

    On a terminal a build shows its own live display, and its output is not in the log. `progress` leaves
    out the states of containers, which the list of addresses replaces.
    """
    environment = processes.own_environment() | dict(env or {})
    if show and args[0] == "build" and sys.stderr.isatty():
        done = subprocess.run(compose(*profiles(root), *args), cwd=root / FOLDER, env=environment)
        return "" if done.returncode else None
    RESULTS.mkdir(exist_ok=True)
    with LOG.open("ab") as log:
        process = subprocess.Popen(
            compose(*profiles(root), "--progress=plain", *args),
            cwd=root / FOLDER,
            env=environment | {"NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout
        output = []
        try:
            for line in process.stdout:
                output.append(line)
                log.write(line)
                if show == "all" or (show and not STATE.match(line)):
                    sys.stderr.buffer.write(line)
                    sys.stderr.flush()
            code = process.wait()
        except BaseException:  # `kill` does not reach Compose.
            process.terminate()
            process.wait()
            raise
    return b"".join(output).decode(errors="replace") if code else None


def wait(name: str) -> list[str]:
    """Wait until all containers of a Compose project are healthy, run, or have ended with 0.

    A container without a health check is ready when it runs. Returns the description of those that
    failed; none if all are ready.
    """
    end = time.monotonic() + TIMEOUT
    while True:
        found = docker.containers(f"{COMPOSE_PROJECT}={name}")
        pending = [one for one in found if diagnosis.unready(one)]
        failed = [one for one in pending if has_failed(one)]
        if failed or not pending or time.monotonic() > end:
            return [line for one in failed or pending for line in diagnosis.container_problem(one)]
        time.sleep(0.2)


def has_failed(container: dict[str, Any]) -> bool:
    """Return whether a container that is not ready cannot become ready by waiting."""
    state = container["State"]
    if state["Status"] in ("running", "restarting"):
        health = (state.get("Health") or {}).get("Status")
        return health == "unhealthy" or container.get("RestartCount", 0) >= RESTARTS
    return True


def build_problem(output: str) -> StackError:
    """Explain why an image failed to build."""
    if not output:
        return StackError("an image failed to build", hint="see the failed step above")
    cause, hint, lines = diagnosis.cause_of(output)
    return StackError(cause or "an image failed to build", tuple(lines), hint or all_output())


def problem(root: Path, name: str, output: str) -> StackError:
    """Explain why `docker compose up` failed."""
    lines = output.splitlines()
    if taken := [line for line in lines if PORT_TAKEN.search(line)]:
        return port_problem(root, name, taken[-1])
    if POOLS.search(output):
        return StackError(
            "Docker has no free subnet for the network of this environment",
            hint=f"remove what is no longer used: `{RUN} dev-clean` for environments of deleted "
            f"worktrees, `{RUN} test-clean-all` for test stacks, `docker network prune` for the rest",
        )
    found = container_lines(name)
    cause, hint, shown = diagnosis.cause_of(output)
    if found:
        return explained(name, "a container failed", found)
    return StackError(cause or "docker compose up failed", tuple(shown), hint or all_output())


def container_lines(name: str) -> list[str]:
    """Describe the containers that failed, or else all that are not ready."""
    try:
        found = docker.containers(f"{COMPOSE_PROJECT}={name}")
    except DockerError:
        return []
    pending = [one for one in found if diagnosis.unready(one)]
    failed = [one for one in pending if has_failed(one)]
    return [line for one in failed or pending for line in diagnosis.container_problem(one)]


def explained(name: str, what: str, lines: Iterable[str]) -> StackError:
    """Return the error for containers that failed, with the cause if their logs show it."""
    shown = list(lines)
    services = [line.split()[1] for line in shown if line.startswith("container ")]
    logs = f"`{RUN} logs SERVICE={services[0]}` for the whole log" if services else all_output()
    if any(WRONG_PASSWORD.search(line) for line in shown):
        alter = "ALTER ROLE postgres PASSWORD 'NEW'"
        return StackError(
            f"the password in {FOLDER}/.env is not the password of the existing data",
            tuple(shown),
            "restore the old POSTGRES_PASSWORD, or change the password in the database with "
            f'`cd {FOLDER} && docker compose exec database psql --username=postgres -c "{alter}"`, '
            f"or delete the data with `cd {FOLDER} && docker compose down --volumes`",
        )
    cause, hint = diagnosis.cause_in_logs(shown)
    if not cause and services and services[0].endswith("migrate"):
        return StackError(
            f"the migration {services[0]} failed",
            tuple(shown),
            f"fix the migration and run `{RUN} dev` again; {logs}",
        )
    return StackError(cause or what, tuple(shown), hint or logs)


def port_problem(root: Path, name: str, line: str) -> PortTakenError:
    """Explain which port is in use, by whom, and how to choose another one."""
    resolved = {
        int(port["published"]): service
        for service, settings in model(root).get("services", {}).items()
        for port in settings.get("ports") or ()
        if str(port.get("published", "")).isdecimal()
    }
    numbers = [int(text) for text in re.findall(r"[\d\].:]:(\d+)\b", line)]
    port = next((one for one in numbers if one in resolved), numbers[0] if numbers else 0)
    service = resolved.get(port, "a container")
    holders = docker.docker("ps", f"--filter=publish={port}", "--format={{.Names}}").split()
    holder = f"container {holders[0]}" if holders else "another program"
    variable = next(
        (one.variable for one in port_variables(root) if holds(root, one, port)),
        "",
    )
    if variable:
        [free] = ports.choose(1, {port}, port)
        hint = f"set another port in {FOLDER}/.env, such as {variable}={free}"
    else:
        hint = (
            f"the port of {service} is fixed: publish it as "
            f'"127.0.0.1:${{{service.upper().replace("-", "_")}_PORT:-{port}}}:…" in its compose file, '
            f"and set the variable in {FOLDER}/.env"
        )
    error = PortTakenError(f"port {port} of {service} is in use by {holder}", hint=hint)
    error.port = port
    return error


def holds(root: Path, found: ports.Port, port: int) -> bool:
    """Return whether a variable has this port as its value."""
    text = os.environ.get(found.variable) or read_env(root).get(found.variable, "")
    return (int(text) if text.isdecimal() else found.default) == port


def all_output() -> str:
    """Return the hint that names the log."""
    return f"see all output in {LOG.relative_to(RESULTS.parent)}"


def table(name: str) -> list[str]:
    """Describe the running containers of an environment: service, state and addresses."""
    rows = [("SERVICE", "STATE", "ADDRESS")]
    for one in sorted(docker.containers(f"{COMPOSE_PROJECT}={name}"), key=service_of):
        state = one["State"]
        if state["Running"]:
            health = (state.get("Health") or {}).get("Status") or "running"
            rows.append((service_of(one), health, " ".join(addresses(one, name))))
    return aligned(rows)


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines whose columns have equal widths."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
