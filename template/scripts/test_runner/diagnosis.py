# Kept by the template: copier update merges its changes into this file.
"""What is wrong when Docker or a stack fails, in words that say what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .docker import COMPOSE_PROJECT, DockerError, containers, docker

FULL_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)

#: What a failed command says, what that means, and what to try; the first that is found counts.
CAUSES = (
    (
        (
            r"Cannot connect to the Docker daemon|error during connect|Is the docker daemon running"
            r"|docker\.sock: connect"
        ),
        "Docker does not answer",
        "start it (try `docker info`), then run `make test-clean`",
    ),
    (
        FULL_DISK.pattern,
        "the disk is full",
        "`docker system df` shows what uses it, `docker system prune` frees some",
    ),
    (
        r"address pools have been fully subnetted|non-overlapping IPv4 address pool",
        "Docker has no addresses left for another network",
        "`make test-clean-all` removes the stacks of other branches",
    ),
    (
        r"port is already allocated|address already in use|ports are not available",
        "a port is taken",
        'write "127.0.0.1::PORT", and Docker chooses a free one; or end what uses it',
    ),
    (r"did not complete successfully", "an image does not build", ""),
    (
        (
            r"dial tcp|no such host|i/o timeout|TLS handshake timeout|Temporary failure in name"
            r"|too many requests|toomanyrequests"
        ),
        "the registry cannot be reached",
        "look at the network and the proxy, then try `docker pull` with that image",
    ),
    (
        (
            r"pull access denied|manifest unknown|manifest for .* not found|repository does not exist"
            r"|: not found$|No such image"
        ),
        "an image does not exist",
        "look at its name and tag; for a private registry: `docker login`",
    ),
    (r"failed to solve", "an image does not build", ""),
)


#: How many lines of a container's log are shown, and of a step of a build.
LAST_WORDS, STEP = 6, 6

#: From how many characters on a line is cut to what tells.
WIDTH = 140


@dataclass
class StackError(Exception):
    """A stack could not be built, started or removed."""

    what: str  #: in a line
    lines: tuple[str, ...] = ()  #: what tells why
    hint: str = ""  #: what to try

    def __str__(self) -> str:
        """All of it, a line each."""
        return "\n".join([self.what, *self.lines, *([f"try: {self.hint}"] if self.hint else [])])


def cause_of(output: str) -> tuple[str, str, list[str]]:
    """Name what made a command fail: the cause, what to try, and the lines that say so."""
    lines = [line for line in output.splitlines() if line.strip()]
    step = re.findall(r"^------\n(.*?)^------$", output, re.MULTILINE | re.DOTALL)
    for pattern, cause, hint in CAUSES:
        found = (re.search(pattern, line, re.IGNORECASE) for line in lines)
        telling = [ending(match) for match in found if match]
        if telling:
            # The step of a build that failed is repeated between two such lines.
            return cause, hint, step[-1].splitlines()[-STEP:] if step else telling[-2:]
    return "", "", lines[-3:]


def cause_in_logs(lines: list[str]) -> tuple[str, str]:
    """Name what made containers fail, and what to try: a full disk; all else means other things there."""
    cause, hint, _ = cause_of("\n".join(line for line in lines if FULL_DISK.search(line)))
    return cause, hint


def ending(match: re.Match[str]) -> str:
    """Return the line of a match; of a long one, what leads to the match."""
    start = max(0, match.end() - WIDTH)
    return match.string if len(match.string) <= WIDTH else f"…{match.string[start:][:WIDTH]}"


def unready(container: dict[str, Any], *, one_shot: bool = True) -> str:
    """Say in which state a container is that keeps a stack from being ready; nothing if it is.

    Args:
        container: as `docker inspect` describes it.
        one_shot: it may have done its work, and ended.
    """
    state = container["State"]
    status, health = state["Status"], (state.get("Health") or {}).get("Status", "none")
    if status == "created":  # It waits for another one, which is the one to be told of.
        return ""
    if status == "exited":
        if state.get("OOMKilled"):
            return "was killed: out of memory"
        done = one_shot and state["ExitCode"] == 0
        return "" if done else f"exited with {state['ExitCode']}"
    if status != "running":
        return f"is {status}"
    return "" if health in ("healthy", "none") else f"is {health}"


def trouble(container: dict[str, Any], *, one_shot: bool = True) -> list[str]:
    """Describe a container that is not as it should be; nothing if it is.

    Its state, what its health check said, the last lines of its log.
    """
    state = unready(container, one_shot=one_shot)
    if not state:
        return []
    checks = (container["State"].get("Health") or {}).get("Log") or []
    said = checks[-1]["Output"].strip().splitlines() if checks else []
    return [
        f"container {container['Config']['Labels']['com.docker.compose.service']} {state}",
        *(f"  health check: {line.strip()}" for line in said[-2:]),
        *(f"  {line}" for line in last_words(container["Id"], LAST_WORDS)),
    ]


def troubles(project: str) -> list[str]:
    """Describe the containers of a compose project that are not as they should be."""
    return [
        line
        for container in containers(f"{COMPOSE_PROJECT}={project}")
        for line in trouble(container)
    ]


def last_words(container: str, count: int) -> list[str]:
    """Return the last lines that a container wrote."""
    try:
        return docker("logs", f"--tail={count}", container, both=True).splitlines()
    except DockerError:
        return []
