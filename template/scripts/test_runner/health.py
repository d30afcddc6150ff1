# Kept by the template: copier update merges its changes into this file.
"""Watches the containers of a stack while its tests run."""

from __future__ import annotations

import re
import time
from typing import Any

from . import docker
from .diagnosis import StackError, cause_in_logs, cause_of, container_problem
from .docker import DockerError

#: Seconds between two looks at the containers of a stack.
INTERVAL = 1.0

#: Seconds that a container may be down before its target is ended: a test may restart it.
GRACE = 3.0

#: The label of a container that its tests may stop for longer.
MAY_STOP = "test.may-stop"

#: The labels with an address for the tests. `test.url` has a URL; the labels of the other forms give
#: more variables: a URL, only the host, or only the port.
ADDRESS = re.compile(r"test\.url|test\.(url|host|port)\.\w+", re.ASCII)

#: The states of a container that does not run. A crash loop is mostly `restarting`.
DOWN = frozenset({"exited", "dead", "removing", "restarting"})


class Watch:
    """Watches the containers that ran when the tests of a scope started."""

    def __init__(self, scope: str, containers: list[dict[str, Any]]) -> None:
        """Remember the containers that run, from the output of `docker inspect`."""
        running = [one for one in containers if one["State"]["Running"] and not may_stop(one)]
        self.scope = scope
        self.names = {one["Id"]: one["Config"]["Labels"][docker.SERVICE] for one in running}
        self.may_end = {one["Id"] for one in running if not is_server(one)}
        self.in_use = False  #: the tests have started
        self._down_since = 0.0

    def dead(self) -> StackError | None:
        """Return an error if a container has been down for GRACE seconds, else None.

        An engine that does not answer counts as a container that is down.
        """
        try:
            found = {one["Id"]: one for one in docker.inspect(self.names)}
            is_down = any(one not in found or self._is_down(found[one]) for one in self.names)
        except DockerError:
            is_down = True
        if not is_down:
            self._down_since = 0.0
            return None
        self._down_since = self._down_since or time.monotonic()
        return self.broken() if time.monotonic() - self._down_since >= GRACE else None

    def _is_down(self, container: dict[str, Any]) -> bool:
        state = container["State"]
        ended_well = state["Status"] == "exited" and state["ExitCode"] == 0
        return state["Status"] in DOWN and not (ended_well and container["Id"] in self.may_end)

    def broken(self) -> StackError | None:
        """Return an error if a container that ran at the start does not run or is unhealthy."""
        lines = []
        try:
            found = {one["Id"]: one for one in docker.inspect(self.names)}
            for one, name in self.names.items():
                if one not in found:
                    lines.append(f"container {name} no longer exists")
                else:
                    lines += container_problem(found[one], one_shot=one in self.may_end)
        except DockerError as error:
            cause, hint, _ = cause_of(str(error))
            return StackError(cause or str(error), hint=hint)
        if not lines:
            return None
        cause, hint = cause_in_logs(lines)
        when = "during" if self.in_use else "before"
        what = f"the stack of {self.scope} failed {when} its tests"
        return StackError(f"{what}: {cause}" if cause else what, tuple(lines), hint)


def may_stop(container: dict[str, Any]) -> bool:
    """Whether a container's label allows that its tests stop it."""
    return bool(container["Config"]["Labels"].get(MAY_STOP, "false") == "true")


def is_server(container: dict[str, Any]) -> bool:
    """Whether a container must not end: it has a health check, a port or an address for the tests.

    Any other container may be a job that was still running when the tests started.
    """
    ports = container["NetworkSettings"]["Ports"].values()
    addresses = (name for name in container["Config"]["Labels"] if ADDRESS.fullmatch(name))
    return bool(container["State"].get("Health") or any(ports) or any(addresses))
