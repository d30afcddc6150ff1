# Kept by the template: copier update merges its changes into this file.
"""Explains why Docker or a stack failed, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .docker import COMPOSE_PROJECT, DockerError, containers, docker
from .project import MAKE

FULL_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)

#: A pattern in the output of a failed command, the cause, and a hint. The first match counts.
CAUSES = (
    (
        (
            r"Cannot connect to the Docker daemon|error during connect|Is the docker daemon running"
            r"|docker\.sock: connect"
        ),
        "Docker does not answer",
        "start Docker (check it with `docker info`), then run `make test-clean`",
    ),
    (
        FULL_DISK.pattern,
        "the disk is full",
        "`docker system df` shows what uses the space, `docker system prune` frees some of it",
    ),
    (
        r"address pools have been fully subnetted|non-overlapping IPv4 address pool",
        "Docker has no free subnet for another network",
        "`make test-clean-all` removes the stacks of other branches",
    ),
    (
        r"port is already allocated|address already in use|ports are not available",
        "a port is already in use",
        'publish it as "127.0.0.1::PORT" so that Docker chooses a free port, or stop what uses it',
    ),
    (r"did not complete successfully", "an image failed to build", ""),
    (
        (
            r"dial tcp|no such host|i/o timeout|TLS handshake timeout|Temporary failure in name"
            r"|too many requests|toomanyrequests"
        ),
        "the registry cannot be reached",
        "check the network and the proxy, then `docker pull` that image",
    ),
    (
        (
            r"pull access denied|manifest unknown|manifest for .* not found|repository does not exist"
            r"|: not found$|No such image"
        ),
        "an image does not exist",
        "check its name and tag; for a private registry, run `docker login`",
    ),
    (r"failed to solve", "an image failed to build", ""),
)


#: What a shell, Python and Node.js report if a test tool or a package is not installed.
NOT_INSTALLED = re.compile(
    r"(?:^|\s)(?P<tool>[\w.-]+): (?:command )?not found$"
    r"|\bNo module named '?(?P<module>pytest|nose2?|tox)\b"
    r"|Cannot find (?:package|module) '(?P<package>@?\w[^']*)'"
)

#: How many lines of a container's log are shown, and of a failed build step.
LOG_LINES, STEP = 6, 6

#: A longer line is cut to the part around the match, in characters.
WIDTH = 140


@dataclass
class StackError(Exception):
    """A stack failed to build or start, failed during the tests, or is in use."""

    what: str  #: one line
    lines: tuple[str, ...] = ()  #: output that explains the failure
    hint: str = ""  #: what to try
    in_use: bool = False  #: another process uses the stack

    def __str__(self) -> str:
        """Return the whole message, one line for each part."""
        return "\n".join([self.what, *self.lines, *([f"try: {self.hint}"] if self.hint else [])])


def cause_of(output: str) -> tuple[str, str, list[str]]:
    """Return why a command failed: the cause, a hint, and the lines of output that show the cause.

    The cause and the hint are empty if no pattern matches.
    """
    lines = [line for line in output.splitlines() if line.strip()]
    step = re.findall(r"^------\n(.*?)^------$", output, re.MULTILINE | re.DOTALL)
    for pattern, cause, hint in CAUSES:
        found = (re.search(pattern, line, re.IGNORECASE) for line in lines)
        matches = [ending(match) for match in found if match]
        if matches:
            # BuildKit repeats the output of the failed step between two lines of hyphens.
            return cause, hint, step[-1].splitlines()[-STEP:] if step else matches[-2:]
    return "", "", lines[-3:]


def cause_in_logs(lines: list[str]) -> tuple[str, str]:
    """Return the cause and a hint if container logs report a full disk, else empty strings.

    The other patterns mean something else in an application's log.
    """
    cause, hint, _ = cause_of("\n".join(line for line in lines if FULL_DISK.search(line)))
    return cause, hint


def not_installed(output: list[str]) -> str:
    """Return a hint if the output of a test tool shows that something is not installed."""
    is_missing = any(line.rstrip().endswith("Error 127") for line in output)
    for line in output:
        match = NOT_INSTALLED.search(line.strip())
        # A test may also print `name: not found`, but then its exit code is not 127.
        if match and (is_missing or not match["tool"]):
            what = match["tool"] or match["module"] or match["package"]
            return f"`{' '.join(MAKE)} setup`, because {what} is not installed"
    return ""


def ending(match: re.Match[str]) -> str:
    """Return the line of a match, cut to its last WIDTH characters up to the match."""
    start = max(0, match.end() - WIDTH)
    return match.string if len(match.string) <= WIDTH else f"…{match.string[start:][:WIDTH]}"


def unready(container: dict[str, Any], *, one_shot: bool = True) -> str:
    """Return the state of a container that is not ready; empty if it is ready.

    Args:
        container: the output of `docker inspect`.
        one_shot: exit code 0 counts as ready.
    """
    state = container["State"]
    status, health = state["Status"], (state.get("Health") or {}).get("Status", "none")
    if status == "created":  # It waits for another container, which is the one to report.
        return ""
    if status == "exited":
        if state.get("OOMKilled"):
            return "was killed: out of memory"
        done = one_shot and state["ExitCode"] == 0
        return "" if done else f"exited with {state['ExitCode']}"
    if status != "running":
        return f"is {status}"
    return "" if health in ("healthy", "none") else f"is {health}"


def container_problem(container: dict[str, Any], *, one_shot: bool = True) -> list[str]:
    """Describe a container that is not ready; empty if it is.

    The lines hold its state, the output of its last health check and the end of its log.
    """
    state = unready(container, one_shot=one_shot)
    if not state:
        return []
    checks = (container["State"].get("Health") or {}).get("Log") or []
    output = checks[-1]["Output"].strip().splitlines() if checks else []
    return [
        f"container {container['Config']['Labels']['com.docker.compose.service']} {state}",
        *(f"  health check: {line.strip()}" for line in output[-2:]),
        *(f"  {line}" for line in log_end(container["Id"], LOG_LINES)),
    ]


def container_problems(project: str) -> list[str]:
    """Describe the containers of a Compose project that are not ready."""
    return [
        line
        for container in containers(f"{COMPOSE_PROJECT}={project}")
        for line in container_problem(container)
    ]


def log_end(container: str, count: int) -> list[str]:
    """Return the last lines of a container's log."""
    try:
        return docker("logs", f"--tail={count}", container, both=True).splitlines()
    except DockerError:
        return []
