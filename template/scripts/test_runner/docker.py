# Kept by the template: copier update merges its changes into this file.
"""Docker's command line: what is there, by exact label, and how it is removed."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

COMPOSE_PROJECT = "com.docker.compose.project"

#: Seconds that an engine may take to answer; one that takes longer is stuck.
TIMEOUT = 60

#: Docker's nouns for what a stack is made of, in the order in which they can be removed, each with
#: the command that lists one's ids and the one that removes it.
RESOURCES = {
    "container": (("ps", "--all", "--quiet", "--no-trunc"), ("rm", "--force", "--volumes")),
    "network": (("network", "ls", "--quiet", "--no-trunc"), ("network", "rm")),
    "volume": (("volume", "ls", "--quiet"), ("volume", "rm", "--force")),
    "image": (("image", "ls", "--quiet", "--no-trunc"), ("image", "rm", "--force")),
}


GONE = re.compile(r"no such|not found|already in progress|^exit status 1$", re.IGNORECASE)


class DockerError(Exception):
    """A command of Docker's failed. The text says what it is about, in a line."""


def docker(*args: str, missing_ok: bool = False, both: bool = False) -> str:
    """Run a docker command and return what it prints.

    Args:
        *args: the command's words after `docker`.
        missing_ok: what is gone, or is just being removed by another, is no failure.
        both: what it writes on its error stream belongs to what it prints.

    Raises:
        DockerError: it failed, or gave no answer within a minute.
    """
    try:
        done = subprocess.run(
            ["docker", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if both else subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
            start_new_session=True,  # Ctrl-C is for the tests; what removes their stacks goes on
        )
    except FileNotFoundError:
        raise DockerError("docker is not installed, or not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise DockerError(f"docker {args[0]} gave no answer within {TIMEOUT} seconds") from None
    lines = ((done.stderr or "").strip() or done.stdout.strip()).splitlines()
    if done.returncode and not (missing_ok and all(map(GONE.search, lines))):
        raise DockerError(f"docker {args[0]}: {lines[-1] if lines else 'it did not say why'}")
    return done.stdout


def ids(noun: str, *labels: str) -> list[str]:
    """List the containers, networks, volumes or images that carry all of some labels, exactly."""
    filters = [f"--filter=label={label}" for label in labels]
    return list(dict.fromkeys(docker(*RESOURCES[noun][0], *filters).split()))


def inspect(found: Iterable[str], noun: str = "container") -> list[dict[str, Any]]:
    """Return what Docker knows of some containers, networks, volumes or images, of those there are."""
    wanted = list(found)
    return json.loads(docker(noun, "inspect", *wanted, missing_ok=True)) if wanted else []


def containers(*labels: str) -> list[dict[str, Any]]:
    """Return what Docker knows of the containers that carry all of some labels."""
    return inspect(ids("container", *labels))


def remove(*labels: str) -> None:
    """Remove the containers, networks and volumes that carry all of some labels.

    Raises:
        DockerError: something could not be removed.
    """
    found = containers(*labels)
    anonymous = list(anonymous_volumes(found))
    remove_each("container", [container["Id"] for container in found])
    networks = ids("network", *labels)
    if own_container():
        for network in inspect(networks, "network"):
            for container in network["Containers"]:
                docker("network", "disconnect", "--force", network["Id"], container)
    remove_each("network", networks)
    remove_each("volume", [*ids("volume", *labels), *anonymous])


def remove_each(noun: str, found: list[str]) -> None:
    """Remove some containers, networks, volumes or images, as far as they are there."""
    if found:
        docker(*RESOURCES[noun][1], *found, missing_ok=True)


def anonymous_volumes(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """List the nameless volumes of some containers: what Docker calls them is 64 digits.

    They carry no label, and those that Compose handed on from a container to its successor are not
    removed with it.
    """
    for container in found:
        for mount in container["Mounts"]:
            if mount["Type"] == "volume" and re.fullmatch("[0-9a-f]{64}", mount["Name"]):
                yield mount["Name"]


@cache
def own_container() -> str:
    """Return the id of the container that this runs in, if this engine runs it; else nothing."""
    if not (Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()):
        return ""
    mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    candidates = [socket.gethostname(), *re.findall(r"/containers/([0-9a-f]{64})/", mounts)]
    return next((str(found["Id"]) for found in inspect(candidates)), "")


def join(container: str, *labels: str) -> frozenset[str]:
    """Connect a container to the networks that carry all of some labels. Return their ids."""
    networks = inspect(ids("network", *labels), "network")
    for network in networks:
        if container not in network["Containers"]:
            docker("network", "connect", network["Id"], container)
    return frozenset(network["Id"] for network in networks)


def address_in(container: dict[str, Any], networks: frozenset[str]) -> str:
    """Return a container's address in one of some networks.

    Raises:
        DockerError: it is in none of them.
    """
    for network in container["NetworkSettings"]["Networks"].values():
        if network["NetworkID"] in networks and network["IPAddress"]:
            return str(network["IPAddress"])
    raise DockerError(f"{container['Name'].lstrip('/')} is in no network of its stack")


def published_port(container: dict[str, Any], port: int) -> int:
    """Return the port of the host that a container's TCP port is published on.

    Raises:
        DockerError: it is not published.
    """
    bindings = container["NetworkSettings"]["Ports"].get(f"{port}/tcp")
    if not bindings:
        raise DockerError(f"{container['Name'].lstrip('/')} does not publish its port {port}")
    return int(bindings[0]["HostPort"])
