# Kept by the template: copier update merges its changes into this file.
"""Finds the variables that set the published ports, and chooses free ports."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from test_runner import docker

#: The chosen ports. Above them are the ports that the kernel and Docker hand out, also to test
#: stacks: one of those could be in use when a stopped environment starts again.
FIRST, LAST = 20_000, 29_999

#: Environments start their search this many ports apart.
STEP = 20

VARIABLE = re.compile(
    r"\$\{(?P<name>\w+)(?::?-(?P<default>\d*)|:?[?+][^}]*)?\}|\$(?P<plain>[A-Za-z_]\w*)"
)

#: The end of the short form, such as 127.0.0.1:${API_PORT:-8000}:8000/tcp.
SHORT = re.compile(
    r"(?:^|:)(?P<published>\$\{[^}]*\}|\$\w+|\d+):(?P<target>\$\{[^}]*\}|\$\w+|\d+)(?:/\w+)?$"
)


@dataclass(frozen=True)
class Port:
    """A port that a compose file publishes."""

    service: str
    target: int  #: the port in the container; 0: unknown
    published: str = ""  #: as it is written, such as ${API_PORT:-8000}

    @property
    def variable(self) -> str:
        """The variable that sets it; empty if it is fixed."""
        match = VARIABLE.fullmatch(self.published)
        return (match["name"] or match["plain"]) if match else ""

    @property
    def default(self) -> int:
        """The port if the variable is not set; 0: there is none."""
        match = VARIABLE.fullmatch(self.published)
        text = (match["default"] or "") if match else self.published
        return int(text) if text.isdecimal() else 0


def published(model: Mapping[str, Any]) -> Iterator[Port]:
    """Yield the published ports of a compose model whose variables are not replaced yet."""
    for service, settings in model.get("services", {}).items():
        for port in settings.get("ports") or ():
            if isinstance(port, dict):
                target = str(port.get("target", ""))
                yield Port(service, number(target), str(port.get("published", "")))
            elif match := SHORT.search(port):
                yield Port(service, number(match["target"]), match["published"])


def number(text: str) -> int:
    """Return a port, or 0 for a range or a variable."""
    return int(text) if text.isdecimal() else 0


def in_use() -> set[int]:
    """Return the ports that running containers publish.

    Raises:
        DockerError: a Docker command failed.
    """
    found: set[int] = set()
    for first, last in re.findall(
        r":(\d+)(?:-(\d+))?->", docker.docker("ps", "--format={{.Ports}}")
    ):
        found.update(range(int(first), int(last or first) + 1))
    return found


def is_free(port: int) -> bool:
    """Return whether nothing on this machine listens on a port."""
    for host in ("127.0.0.1", "0.0.0.0"):
        with socket.socket() as listener:
            try:
                listener.bind((host, port))
            except OSError:
                return False
    return True


def choose(count: int, taken: set[int], seed: int) -> list[int]:
    """Return free ports, in ascending order if possible.

    Args:
        count: how many.
        taken: the ports that must not be used.
        seed: environments with other seeds usually get other ports.

    Raises:
        OSError: there are not enough free ports.
    """
    size = LAST - FIRST + 1
    start = seed * STEP % size
    order = (FIRST + (start + step) % size for step in range(size))
    found: list[int] = []
    for port in order:
        if len(found) == count:
            break
        if port not in taken and is_free(port):
            found.append(port)
    if len(found) < count:
        raise OSError(0, f"ports {FIRST} to {LAST} are all in use")
    return found
