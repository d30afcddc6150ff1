# Kept by the template: copier update merges its changes into this file.
"""Starts and removes the Docker Compose stacks that tests run against.

A scope is the name of a service (its service tests) or `full` (the integration tests). The stack of a
scope is the Compose project `<project>-test-<instance>-<scope>`. Its containers, networks and volumes
are found by exact label, so that a removal needs no compose file and cannot hit another branch's
stack. Images belong to the instance, and all its stacks share them; see builds.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from . import docker, processes, traces
from .diagnosis import (
    StackError,
    cause_of,
    container_problems,
    unready,
)
from .docker import COMPOSE_PROJECT, DockerError
from .health import ADDRESS, Watch, is_server
from .locks import Lock, LockTakenError, Owner, abandoned
from .project import MULTI, PYTHON_IMAGE, RESULTS, ROOT, SLUG

if TYPE_CHECKING:
    from .builds import SharedBuild

#: After an interrupted start, Docker may still create containers. The stack counts as removed when
#: no resource of it was found in SETTLED checks, which are SETTLE seconds apart.
SETTLED, SETTLE = 3, 0.2

#: Compose's message if it stopped waiting because a container ended with exit code 0.
ENDED_WELL = re.compile(rb"container \S+ exited \(0\)\s*$")

#: Seconds that a stack may take to become healthy after its images are built.
START_TIMEOUT = 300


def instance_id() -> str:
    """Return the instance id of this checkout, from scripts/get-test-instance-id.sh.

    Raises:
        StackError: TEST_INSTANCE_ID is not a valid id.
    """
    script = ROOT / "scripts/get-test-instance-id.sh"
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True)
    if done.returncode:
        raise StackError(done.stderr.strip())
    return done.stdout.strip()


def known_scopes() -> list[str]:
    """List the scopes that have a test stack: services first, then `full`."""
    files = ROOT.glob("services/*/deploy/test/docker-compose.yml") if MULTI else ()
    full = ["full"] if (ROOT / "deploy/test/docker-compose.yml").is_file() else []
    return [*sorted(path.parts[-4] for path in files), *full]


def unknown_scope(scope: str) -> StackError:
    """Return the error for a scope that has no stack."""
    known = ", ".join(known_scopes()) or "none"
    return StackError(f"no test stack '{scope}': choose from {known}")


def images_lock(instance: str) -> Lock:
    """Return the lock on the images of an instance."""
    # A scope never starts with a dot, so this name cannot clash with the lock of a stack.
    return Lock(f"{instance}..images")


def instance_labels(instance: str) -> tuple[str, str]:
    """Return the labels of all Docker resources of an instance."""
    return f"test.project={SLUG}", f"test.instance={instance}"


class Stack:
    """The test stack of one scope in one instance, used by one process at a time."""

    def __init__(self, scope: str, instance: str, run: str) -> None:
        self.scope, self.instance, self.run = scope, instance, run
        self.warm = False  #: the stack was already running when this process locked it
        self.kept = False  #: the stack stays after its use (`make test-infra-up`)
        self.project = f"{SLUG}-test-{instance}-{scope}"
        self.label = f"{COMPOSE_PROJECT}={self.project}"
        service = "" if scope == "full" else f"services/{scope}/"
        #: The folder of the compose file. Compose also reads an override file in this folder.
        self.folder = ROOT / f"{service}deploy/test"
        self.watch = Watch(scope, [])  #: the containers that must keep running
        self.traced = False  #: the services send their traces to one more container
        self._files: list[str] = []  #: Compose's options for the files, if not only the usual ones
        self.build: SharedBuild | None = None  #: a build together with other stacks
        self._own = Lock(f"{instance}.{scope}")
        self._images = images_lock(instance)

    def take(self) -> None:
        """Lock the stack for this process, and remove what a killed process left of it.

        Raises:
            StackError: the stack does not exist, or another process uses it.
            DockerError: a Docker command failed.
        """
        if not (self.folder / "docker-compose.yml").is_file():
            raise unknown_scope(self.scope)
        wanted = self.kept
        try:
            self._lock()
        except LockTakenError as error:
            raise StackError(
                f"the stack of {self.scope} is in use by {error}",
                hint=f"wait for it, end it with `kill {error.pid}`, or set TEST_INSTANCE_ID to use a "
                "separate stack",
                in_use=True,
            ) from None
        try:
            found = docker.containers(self.label)
            self.warm = bool(found) and self.kept
            if not self.warm:
                # An earlier process may have kept the stack. If that stack no longer exists, the
                # new one is kept only if this process must keep it.
                self.kept = wanted
                self._own.leave(self._owner())
            if found and not self.warm:
                docker.remove(self.label)
        except DockerError:
            self._release()
            raise

    def _lock(self) -> None:
        before = self._own.take(self._owner())
        self.kept = self.kept or before.kept
        self._own.leave(self._owner())
        self._images.share()

    def _owner(self, *, run: bool = True) -> Owner:
        pid = os.getpid() if run else 0
        return Owner(pid, self.run if run else "", self.instance, self.scope, self.kept)

    def compose(self, *args: str, log: IO[bytes], stop: Callable[[], bool], **env: str) -> int:
        """Run docker compose on this stack. Return its exit code.

        Raises:
            InterruptedError: `stop` returned True.
        """
        process = processes.Process(
            ["docker", "compose", *self._files, *args],
            log,
            cwd=self.folder,
            env=self.environment() | env,
        )
        code = processes.wait(process, stop)
        assert code is not None  # Compose has a time limit of its own.
        return code

    def environment(self) -> dict[str, str]:
        """Return the environment for docker compose."""
        own = {"COMPOSE_PROJECT_NAME": self.project, "TEST_INSTANCE_ID": self.instance}
        return processes.environment(self.run, **own)

    def shared(self) -> dict[str, str]:
        """Return what differs for a build: all stacks of the instance share the images."""
        return {"COMPOSE_PROJECT_NAME": f"{SLUG}-test-{self.instance}"}

    def up(self, log_path: Path, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Build the images, start or update the containers, and wait until all are healthy.

        Args:
            log_path: the file for the output of Compose.
            stop: polled; as soon as it returns True, the start is interrupted.

        Raises:
            StackError: an image failed to build, or a container was not healthy after 5 minutes.
            InterruptedError: `stop` returned True.
        """
        with log_path.open("ab") as log:
            if not (self.build and self.build.done(self, log, stop)):
                self._run("build", ("build",), log, stop, **self.shared())
            if self.traced:
                self._trace()
            changed = self._changed() if self.warm else None
            if changed == set():
                return
            self._start(log, stop, changed or ())
            self._wait_for_answers(stop)

    def _trace(self) -> None:
        """Add the container that receives the traces.

        Raises:
            StackError: Compose refuses the files of the stack.
        """
        done = self.config("--format=json")
        if done.returncode:
            lines = tuple(done.stderr.splitlines()[-3:])
            raise StackError(f"Compose refuses the files of {self.scope}", lines)
        names = (
            "docker-compose.yml",
            "docker-compose.override.yml",
            "docker-compose.override.yaml",
        )
        files = [self.folder / name for name in names if (self.folder / name).is_file()]
        project, instance = instance_labels(self.instance)
        labels = [project, instance, f"test.scope={self.scope}"]
        more = RESULTS / f"traces-{self.scope}.json"
        more.write_text(
            json.dumps(
                traces.override(
                    json.loads(done.stdout),
                    PYTHON_IMAGE,
                    dict(label.split("=", 1) for label in labels),
                )
            ).replace("$", "$$")
        )
        self._files = [f"--file={file}" for file in [*files, more]]

    def spans(self) -> list[traces.Span]:
        """Return the spans that the services have sent so far.

        Raises:
            DockerError: the log of the receiver cannot be read.
        """
        time.sleep(traces.FLUSH)
        return [
            span
            for container in docker.containers(self.label)
            if service_of(container) == traces.NAME
            for span in traces.spans(docker.docker("logs", container["Id"]))
        ]

    def config(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `docker compose config` on this stack.

        Raises:
            DockerError: the command did not end within TIMEOUT seconds.
        """
        try:
            return subprocess.run(
                ["docker", "compose", *self._files, "config", *args],
                cwd=self.folder,
                env=self.environment() | env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=docker.TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            text = f"docker compose config did not answer within {docker.TIMEOUT} seconds"
            raise DockerError(text) from None

    def _start(
        self, log: IO[bytes], stop: Callable[[], bool], services: Iterable[str] = ()
    ) -> None:
        """Start the containers and wait until all are healthy, or have ended with exit code 0.

        Compose stops waiting as soon as a container ends. If that container ran once and succeeded,
        this waits again, for those that run.

        Args:
            log: the file for the output of Compose.
            stop: polled; as soon as it returns True, the start is interrupted.
            services: what to start, without what they depend on; empty: all.

        Raises:
            StackError: a container was not healthy in time.
            InterruptedError: `stop` returned True.
        """
        up = ("up", "--detach", "--no-build", "--wait", f"--wait-timeout={START_TIMEOUT}")
        only = ("--no-deps", *sorted(services)) if services else ()
        rest: tuple[str, ...] = ("--quiet-pull", "--remove-orphans", *only)
        while True:
            start = log.seek(0, os.SEEK_END)
            try:
                return self._run("start", (*up, *rest), log, stop)
            except StackError:
                if not ENDED_WELL.search(Path(log.name).read_bytes()[start:]):
                    raise
                found = docker.containers(self.label)
                running = sorted(service_of(one) for one in found if one["State"]["Running"])
                again = ("--no-deps", "--no-recreate", *running)
                if not running or again == rest:
                    raise
                rest = again

    def _wait_for_answers(self, stop: Callable[[], bool]) -> None:
        """Wait until each container with a URL and without a health check answers HTTP.

        Raises:
            StackError: a container did not answer in time.
            InterruptedError: `stop` returned True.
        """
        urls = self.addresses()
        end = time.monotonic() + START_TIMEOUT
        for container in docker.containers(self.label):
            variable = container["Config"]["Labels"].get("test.url", "").partition("=")[0]
            url = urls.get(variable, "")
            if container["State"].get("Health") or not url.startswith("http"):
                continue
            while not answers(url):
                if stop():
                    raise InterruptedError
                lines = container_problems(self.project)
                if lines or time.monotonic() > end:
                    what = f"{service_of(container)} does not answer at {url}"
                    raise StackError(what, tuple(lines), "check the port that it listens on")
                time.sleep(0.2)

    def _run(
        self, verb: str, args: tuple[str, ...], log: IO[bytes], stop: Callable[[], bool], **env: str
    ) -> None:
        start = log.seek(0, os.SEEK_END)
        if self.compose(*args, log=log, stop=stop, **env) == 0:
            return
        with Path(log.name).open("rb") as file:
            file.seek(max(start, file.seek(0, os.SEEK_END) - 100_000))
            output = file.read().decode(errors="replace")
        cause, hint, lines = cause_of(output)
        if verb == "start":
            with suppress(DockerError):
                found = container_problems(self.project)
                # Prefer the containers' own logs. Compose only reports that it waited in vain.
                lines = [*found, *(lines if cause or not found else [])]
        what = f"the stack of {self.scope} failed to {verb}"
        inspect = f"`uv run --script scripts/stack.py --verbose up {self.scope}` to see all output"
        raise StackError(f"{what}: {cause}" if cause else what, tuple(lines), hint or inspect)

    def _changed(self) -> set[str] | None:
        """Return the services that do not run as the compose files and images say; None: all.

        Those that depend on them are included: a new api needs its migration again. A stack whose
        database ended or changed is removed: the data is gone, and what uses it would not notice.
        """
        done = self.config("--hash=*")
        wanted = dict(line.split() for line in done.stdout.splitlines())
        found = {service_of(container): container for container in docker.containers(self.label)}
        if wanted.keys() != found.keys():
            return None
        names = {container["Config"]["Image"] for container in found.values()}
        images = {name: docker.inspect([name], "image") for name in names}

        def current(service: str, container: dict[str, Any]) -> bool:
            image = images[container["Config"]["Image"]]
            state, labels = container["State"]["Status"], container["Config"]["Labels"]
            return (
                state != "created"
                and not unready(container, one_shot=not is_server(container))
                and labels["com.docker.compose.config-hash"] == wanted[service]
                and bool(image)
                and container["Image"] == image[0]["Id"]
            )

        changed = {service for service, one in found.items() if not current(service, one)}
        own = f"{self.shared()['COMPOSE_PROJECT_NAME']}/"
        servers = (found[service] for service in changed if is_server(found[service]))
        if not all(one["Config"]["Image"].startswith(own) for one in servers):
            docker.remove(self.label)
            self.warm = False
            return None
        while more := {s for s, one in found.items() if needs_of(one) & changed} - changed:
            changed |= more
        return changed

    def addresses(self) -> dict[str, str]:
        """Return the environment variables with the URLs of the stack's containers.

        On a host, the URLs use the ports that Docker published on 127.0.0.1. Those cannot be reached
        from inside a container. There, this process's own container joins the stack's network, and
        the URLs use IP addresses: the container may be in the networks of several stacks, and a name
        such as `database` exists in each of them.

        Raises:
            StackError: the stack does not run, or a label is invalid.
        """
        found = docker.containers(self.label)
        if not found:
            if self.scope not in known_scopes():
                raise unknown_scope(self.scope)
            raise StackError(
                f"{self.project} is not running: start it with stack.py up {self.scope}"
            )
        self.watch = Watch(self.scope, found)
        own = docker.own_container()
        networks = docker.join(own, self.label) if own else None
        return {
            variable: value
            for container in found
            for label in container["Config"]["Labels"]
            if ADDRESS.fullmatch(label)
            for variable, value in [address(container, label, networks)]
        }

    def remove(self) -> None:
        """Remove the stack, unless it is kept, and release its lock.

        Raises:
            DockerError: a resource could not be removed.
        """
        if not self.kept:
            docker.remove(self.label)
        self._release()

    def abandon(self) -> None:
        """Remove a stack whose start failed or was interrupted. A warm stack stays.

        Raises:
            DockerError: a resource could not be removed.
        """
        self.kept = self.warm
        # Docker may still create what Compose requested before it was killed.
        quiet = SETTLED if self.warm else 0
        while quiet < SETTLED:
            docker.remove(self.label)
            time.sleep(SETTLE)
            left = docker.ids("container", self.label) + docker.ids("network", self.label)
            quiet = 0 if left else quiet + 1
        self._release()

    def discard(self) -> None:
        """Remove the stack, even if it is kept or its compose file no longer exists.

        Raises:
            LockTakenError: another process uses the stack.
            DockerError: a resource could not be removed.
        """
        self._lock()
        self.kept = False
        docker.remove(self.label)
        self._release()

    def _release(self) -> None:
        self._own.leave(self._owner(run=False) if self.kept else None)
        self._own.release()
        self._images.release()


def service_of(container: dict[str, Any]) -> str:
    """Return the name of a container's service."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def needs_of(container: dict[str, Any]) -> set[str]:
    """Return the names of the services that a container's service depends on."""
    # SERVICE:CONDITION:RESTART,…
    listed = container["Config"]["Labels"].get("com.docker.compose.depends_on", "")
    return {one.partition(":")[0] for one in listed.split(",") if one}


def answers(url: str) -> bool:
    """Return whether a URL answers HTTP, with any status."""
    # Imported late, because few stacks need it, and a cached run should be quick.
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=2):
            return True
    except HTTPError:
        return True
    except (OSError, HTTPException):
        return False


def address(
    container: dict[str, Any], label: str, networks: frozenset[str] | None
) -> tuple[str, str]:
    """Return the variable that a container's label defines, and its value.

    Args:
        container: the output of `docker inspect`.
        label: the label's name, which `LABEL` matches.
        networks: the ids of the networks shared with this process; None: it runs on the host.
    """
    text = container["Config"]["Labels"][label]
    variable, _, value = text.partition("=")
    kind = label.split(".")[1]
    port = re.search(r"HOST:(\d+)" if kind == "url" else r"^(\d+)$", value)
    if not port:
        form = (
            "VARIABLE=URL with HOST:PORT in the URL, such as TEST_API_URL=http://HOST:8000"
            if kind == "url"
            else f"VARIABLE=PORT with the container's port, such as API_{kind.upper()}=8000"
        )
        raise StackError(f"label {label} '{text}' must be {form}")
    host, number = (
        ("127.0.0.1", str(docker.published_port(container, int(port[1]))))
        if networks is None
        else (docker.address_in(container, networks), port[1])
    )
    if kind == "url":
        return variable, value.replace(port[0], f"{host}:{number}")
    return variable, host if kind == "host" else number


def sweep() -> list[str]:
    """Remove what killed runs of this checkout left behind: processes, stacks and images.

    Returns:
        The scopes whose stacks were removed.

    Raises:
        DockerError: a resource could not be removed; the next sweep tries again.
    """
    swept = []
    for lock, owner in abandoned():
        try:
            processes.kill_marked(owner.run)
            if owner.scope and not owner.kept:
                docker.remove(f"{COMPOSE_PROJECT}={SLUG}-test-{owner.instance}-{owner.scope}")
                remove_images(owner.instance)
                swept.append(owner.scope)
            if owner.scope:
                lock.leave(replace(owner, run="") if owner.kept else None)
            else:
                lock.remove()
        finally:
            lock.release()
    return swept


def discard(instance: str, scopes: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """Remove the stacks of an instance, kept ones included, unless a process uses them.

    Args:
        instance: the instance id.
        scopes: which stacks; empty: all.

    Returns:
        The scopes of the removed stacks, and the scopes of the stacks that are in use.

    Raises:
        StackError: a scope does not exist.
        DockerError: a resource could not be removed.
    """
    found = found_labels("test.scope", *instance_labels(instance))
    wanted = list(scopes)
    for scope in wanted:
        if scope not in (*found, *known_scopes()):
            raise unknown_scope(scope)
    removed, used = [], []
    for scope in (scope for scope in found if scope in (wanted or found)):
        stack = Stack(scope, instance, "clean")
        try:
            stack.discard()
            removed.append(scope)
        except LockTakenError:
            used.append(scope)
    remove_images(instance)
    return removed, used


def found_labels(wanted: str, *labels: str) -> list[str]:
    """List the values of the label `wanted` on the containers, networks and volumes with `labels`."""
    listings = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
    filters = [f"--filter=label={label}" for label in labels]
    form = '--format={{.Label "LABEL"}}'.replace("LABEL", wanted)
    found = {
        value for listing in listings for value in docker.docker(*listing, *filters, form).split()
    }
    return sorted(found)


def remove_images(instance: str) -> None:
    """Remove the images of an instance, unless a stack or another process uses them."""
    lock = images_lock(instance)
    try:
        if not lock.alone():
            return
        if docker.ids("container", *instance_labels(instance)):
            # Kept stacks use the newest images. Older builds have lost their name, so prune finds
            # only those.
            filters = [f"--filter=label={label}" for label in instance_labels(instance)]
            with suppress(DockerError):  # Another process may be pruning. A later run tries again.
                docker.docker("image", "prune", "--force", *filters)
        else:
            docker.remove_each("image", docker.ids("image", *instance_labels(instance)))
    finally:
        lock.release()
