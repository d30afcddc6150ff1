# Kept by the template: copier update merges its changes into this file.
"""Finds and removes Docker's resources by exact label."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from . import engine
from .engine import NoSocketError

COMPOSE_PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"

#: Seconds that a command may take. After that the engine counts as stuck.
TIMEOUT = 60

#: The kinds of resources of a stack, in the order in which they can be removed. Each has the command
#: that lists ids, and the command that removes them.
RESOURCES = {
    "container": (("ps", "--all", "--quiet", "--no-trunc"), ("rm", "--force", "--volumes")),
    "network": (("network", "ls", "--quiet", "--no-trunc"), ("network", "rm")),
    "volume": (("volume", "ls", "--quiet"), ("volume", "rm", "--force")),
    "image": (("image", "ls", "--quiet", "--no-trunc"), ("image", "rm", "--force")),
}


#: The path of the engine's list of each kind, and the key of a resource's id in it.
LISTS = {
    "container": ("/containers/json", "Id"),
    "network": ("/networks", "Id"),
    "volume": ("/volumes", "Name"),
    "image": ("/images/json", "Id"),
}

#: The path of what the engine knows about one resource.
ABOUT = {
    "container": "/containers/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
    "image": "/images/{}/json",
}

#: A mount from the folder of this process's container. An engine beside it has the folders of all its
#: containers, with their secrets mounted there.
OWN_MOUNT = re.compile(r"/containers/([0-9a-f]{64})/\S+ /etc/(?:hostname|hosts|resolv\.conf) ")

#: The error for a resource that no longer exists, or that another process is removing.
GONE = re.compile(r"no such|not found|already in progress|^exit status 1$", re.IGNORECASE)


class DockerError(Exception):
    """A docker command failed. The text is one line."""


def docker(*args: str, missing_ok: bool = False, both: bool = False) -> str:
    """Run a docker command and return its output.

    Args:
        *args: the arguments of `docker`.
        missing_ok: ignore errors about resources that no longer exist or are being removed.
        both: return standard error too.

    Raises:
        DockerError: the command failed or did not end within TIMEOUT seconds.
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
            start_new_session=True,  # Ctrl-C must stop the tests, not the removal of their stacks
        )
    except FileNotFoundError:
        raise DockerError("docker is not installed or not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise DockerError(f"docker {args[0]} did not answer within {TIMEOUT} seconds") from None
    lines = ((done.stderr or "").strip() or done.stdout.strip()).splitlines()
    if done.returncode and not (missing_ok and all(map(GONE.search, lines))):
        raise DockerError(f"docker {args[0]}: {lines[-1] if lines else 'no error message'}")
    return done.stdout


def ids(noun: str, *labels: str) -> list[str]:
    """List the ids of the containers, networks, volumes or images that have all these labels.

    Raises:
        DockerError: the engine does not answer.
    """
    path, key = LISTS[noun]
    all_of_them = {"all": "1"} if noun == "container" else {}
    with suppress(NoSocketError):
        found = ask(path, filters={"label": list(labels)}, **all_of_them)
        if noun == "volume":
            found = (found or {}).get("Volumes")
        return [str(one[key]) for one in found or ()]
    filters = [f"--filter=label={label}" for label in labels]
    return list(dict.fromkeys(docker(*RESOURCES[noun][0], *filters).split()))


def inspect(found: Iterable[str], noun: str = "container") -> list[dict[str, Any]]:
    """Return the output of `docker inspect` for the containers, networks, … that still exist.

    Raises:
        DockerError: the engine does not answer.
    """
    wanted = list(found)
    with suppress(NoSocketError):
        answers = [ask(ABOUT[noun].format(one)) for one in wanted]
        return [answer for answer in answers if answer is not None]
    return json.loads(docker(noun, "inspect", *wanted, missing_ok=True)) if wanted else []


def ask(path: str, **query: Any) -> Any:
    """Return the engine's answer to a GET request; None: what was asked for does not exist.

    Raises:
        NoSocketError: the docker command must be used.
        DockerError: the engine does not answer.
    """
    if not shutil.which("docker"):
        raise NoSocketError("what follows needs the command")
    try:
        return engine.get(path, **query)
    except TimeoutError:
        raise DockerError(f"docker did not answer within {engine.TIMEOUT:.0f} seconds") from None


def containers(*labels: str) -> list[dict[str, Any]]:
    """Return the output of `docker inspect` for the containers that have all these labels."""
    return inspect(ids("container", *labels))


def remove(*labels: str) -> None:
    """Remove the containers, networks and volumes that have all these labels.

    Raises:
        DockerError: a resource could not be removed.
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
    """Remove containers, networks, volumes or images; ignore those that no longer exist."""
    if found:
        docker(*RESOURCES[noun][1], *found, missing_ok=True)


def anonymous_volumes(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """List the anonymous volumes of some containers. Their names are 64 hexadecimal digits.

    They have no labels, so they cannot be found later. `docker rm --volumes` does not remove a volume
    that Compose moved from an old container to its replacement.
    """
    for container in found:
        for mount in container["Mounts"]:
            if mount["Type"] == "volume" and re.fullmatch("[0-9a-f]{64}", mount["Name"]):
                yield mount["Name"]


@cache
def own_container() -> str:
    """Return the id of the container of this process; empty on a host or under another engine."""
    if not (Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()):
        return ""
    mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    candidates = [socket.gethostname(), *OWN_MOUNT.findall(mounts)]
    return next((str(found["Id"]) for found in inspect(candidates)), "")


def join(container: str, *labels: str) -> frozenset[str]:
    """Connect a container to the networks that have all these labels. Return the networks' ids."""
    networks = inspect(ids("network", *labels), "network")
    for network in networks:
        if container not in network["Containers"]:
            docker("network", "connect", network["Id"], container)
    return frozenset(network["Id"] for network in networks)


def address_in(container: dict[str, Any], networks: frozenset[str]) -> str:
    """Return the IP address of a container in one of the networks.

    Raises:
        DockerError: the container is in none of them.
    """
    for network in container["NetworkSettings"]["Networks"].values():
        if network["NetworkID"] in networks and network["IPAddress"]:
            return str(network["IPAddress"])
    raise DockerError(f"{container['Name'].lstrip('/')} is not in a network of its stack")


def published_port(container: dict[str, Any], port: int) -> int:
    """Return the host port on which a container's TCP port is published.

    Raises:
        DockerError: the port is not published.
    """
    bindings = container["NetworkSettings"]["Ports"].get(f"{port}/tcp")
    if not bindings:
        raise DockerError(f"{container['Name'].lstrip('/')} does not publish port {port}")
    return int(bindings[0]["HostPort"])
