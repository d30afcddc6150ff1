# Kept by the template: copier update merges its changes into this file.
"""The Docker stacks that tests run against.

A scope is the name of a service (its service tests) or `full` (the integration tests). Its stack is
the compose project `<project>-test-<instance>-<scope>`; containers, networks and volumes are found
again by exact label, so that removing them needs no compose file and never meets another branch's.
Images belong to the instance: whichever stack comes first builds them for all.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from . import docker, processes
from .diagnosis import StackError, cause_in_logs, cause_of, trouble, troubles, unready
from .docker import COMPOSE_PROJECT, DockerError
from .locks import Lock, Owner, Taken, abandoned
from .project import MULTI, ROOT, SLUG

#: A stack whose start was broken off is gone when it was so often seen to be, seconds apart.
SETTLED, SETTLE = 3, 0.2

#: Seconds that a stack may take to become healthy, once its images are built.
START_TIMEOUT = 300


def instance_id() -> str:
    """Return this checkout's instance id, as scripts/get-test-instance-id.sh makes it.

    Raises:
        StackError: TEST_INSTANCE_ID is no legal id.
    """
    script = ROOT / "scripts/get-test-instance-id.sh"
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True)
    if done.returncode:
        raise StackError(done.stderr.strip())
    return done.stdout.strip()


def known_scopes() -> list[str]:
    """List the scopes that have a test stack: the services, then `full`."""
    files = ROOT.glob("services/*/deploy/test/docker-compose.yml") if MULTI else ()
    full = ["full"] if (ROOT / "deploy/test/docker-compose.yml").is_file() else []
    return [*sorted(path.parts[-4] for path in files), *full]


def no_stack(scope: str) -> StackError:
    """Return the error for a scope that has no stack."""
    known = ", ".join(known_scopes()) or "none"
    return StackError(f"no test stack called '{scope}': choose from {known}")


def images_lock(instance: str) -> Lock:
    """Return the lock on an instance's images; no scope begins with a dot."""
    return Lock(f"{instance}..images")


def mine(instance: str) -> tuple[str, str]:
    """Return the labels that everything of an instance carries."""
    return f"test.project={SLUG}", f"test.instance={instance}"


class Stack:
    """The test stack of one scope in one instance, as one process uses it."""

    def __init__(self, scope: str, instance: str, run: str) -> None:
        self.scope, self.instance, self.run = scope, instance, run
        self.warm = False  #: it was there when this process took it
        self.kept = False  #: it stays after its use: that is what `make test-infra-up` is for
        self.project = f"{SLUG}-test-{instance}-{scope}"
        self.label = f"{COMPOSE_PROJECT}={self.project}"
        service = "" if scope == "full" else f"services/{scope}/"
        #: Where the compose file is; an override file beside it is honoured.
        self.folder = ROOT / f"{service}deploy/test"
        self._running: frozenset[str] = frozenset()  #: the containers that are there to stay
        self._own = Lock(f"{instance}.{scope}")
        self._images = images_lock(instance)

    def take(self) -> None:
        """Take the stack for this process, and remove what a killed one left of it.

        Raises:
            StackError: there is no such stack, or another process uses it.
            DockerError: Docker does not do what it is asked to.
        """
        if not (self.folder / "docker-compose.yml").is_file():
            raise no_stack(self.scope)
        wanted = self.kept
        try:
            self._lock()
        except Taken as taken:
            raise StackError(
                f"the stack of {self.scope} is in use by {taken}",
                hint="wait for it, or set TEST_INSTANCE_ID to run beside it",
            ) from None
        try:
            found = docker.containers(self.label)
            self.warm = bool(found) and self.kept
            if not self.warm:
                # One that was to stay may be gone: then this is another one, with another end.
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
            InterruptedError: it was to stop.
        """
        process = processes.Process(
            ["docker", "compose", *args], log, cwd=self.folder, env=self._environment() | env
        )
        code = processes.wait(process, stop)
        assert code is not None  # Compose has a time limit of its own.
        return code

    def _environment(self) -> dict[str, str]:
        """The environment for docker compose: the files are those of the folder, nothing else."""
        own = {"COMPOSE_PROJECT_NAME": self.project, "TEST_INSTANCE_ID": self.instance}
        env = processes.environment(self.run, **own)
        env.pop("COMPOSE_FILE", None)
        return env

    def up(self, log_path: Path, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Build what has changed, start what is not there yet, and wait until all is healthy.

        Args:
            log_path: gets what Compose prints.
            stop: asked again and again; once it says so, all is ended.

        Raises:
            StackError: an image does not build, or a container did not become healthy in 5 minutes.
            InterruptedError: it was to stop.
        """
        with log_path.open("ab") as log:
            # What is built once serves all stacks, so it does not carry this one's name.
            shared = f"{SLUG}-test-{self.instance}"
            self._run("build", ("build",), log, stop, COMPOSE_PROJECT_NAME=shared)
            if self.warm and self._unchanged():
                return
            up = ("up", "--detach", "--no-build", "--wait", f"--wait-timeout={START_TIMEOUT}")
            self._run("start", (*up, "--quiet-pull", "--remove-orphans"), log, stop)

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
                found = troubles(self.project)
                # A container that tells why is the cause; Compose only says that it waited.
                lines = [*found, *(lines if cause or not found else [])]
        what = f"the stack of {self.scope} does not {verb}"
        look = f"`uv run --script scripts/stack.py --verbose up {self.scope}`, and look at it"
        raise StackError(f"{what}: {cause}" if cause else what, tuple(lines), hint or look)

    def _unchanged(self) -> bool:
        """Whether all containers run, as the compose files and the images are now."""
        done = subprocess.run(
            ["docker", "compose", "config", "--hash=*"],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        wanted = dict(line.split() for line in done.stdout.splitlines())
        found = {
            container["Config"]["Labels"]["com.docker.compose.service"]: container
            for container in docker.containers(self.label)
        }
        names = {container["Config"]["Image"] for container in found.values()}
        images = {name: docker.inspect([name], "image") for name in names}

        def current(service: str, container: dict[str, Any]) -> bool:
            image = images[container["Config"]["Image"]]
            state, labels = container["State"]["Status"], container["Config"]["Labels"]
            return (
                state != "created"
                and not unready(container)
                and labels["com.docker.compose.config-hash"] == wanted[service]
                and bool(image)
                and container["Image"] == image[0]["Id"]
            )

        same = wanted.keys() == found.keys()
        return same and all(current(service, container) for service, container in found.items())

    def addresses(self) -> dict[str, str]:
        """Return the environment variables that lead to the stack's containers.

        On a plain host they lead to the ports that Docker published on 127.0.0.1. Inside a
        container, where those do not answer, this container joins the stack's network, and they
        lead to the addresses there: it may be in the networks of several stacks at a time, and a
        name, such as `database`, is one in each of them.

        Raises:
            StackError: the stack does not run, or a label is not as it should be.
        """
        found = docker.containers(self.label)
        if not found:
            if self.scope not in known_scopes():
                raise no_stack(self.scope)
            raise StackError(
                f"{self.project} is not running: start it with stack.py up {self.scope}"
            )
        self._running = frozenset(c["Id"] for c in found if c["State"]["Running"])
        own = docker.own_container()
        networks = docker.join(own, self.label) if own else None
        return {
            variable: url
            for container in found
            if "test.url" in container["Config"]["Labels"]
            for variable, url in [address(container, networks)]
        }

    def broken(self) -> StackError | None:
        """Tell what of the stack does not run any more, though it did; nothing if all does."""
        try:
            found = {container["Id"]: container for container in docker.containers(self.label)}
            lines = [f"container {one[:12]} is gone" for one in self._running - found.keys()]
            for one in self._running & found.keys():
                lines += trouble(found[one], one_shot=False)
        except DockerError as error:
            cause, hint, _ = cause_of(str(error))
            return StackError(cause or str(error), hint=hint)
        if not lines:
            return None
        cause, hint = cause_in_logs(lines)
        what = f"the stack of {self.scope} fell over while its tests ran"
        return StackError(f"{what}: {cause}" if cause else what, tuple(lines), hint)

    def remove(self) -> None:
        """Remove the stack, unless it is to be kept, and let others take it.

        Raises:
            DockerError: something could not be removed.
        """
        if not self.kept:
            docker.remove(self.label)
        self._release()

    def abandon(self) -> None:
        """Remove a stack whose start failed or was broken off; one that was warm before stays.

        Raises:
            DockerError: something could not be removed.
        """
        self.kept = self.warm
        # What Compose asked for last may still be made after Compose is gone.
        quiet = SETTLED if self.warm else 0
        while quiet < SETTLED:
            docker.remove(self.label)
            time.sleep(SETTLE)
            left = docker.ids("container", self.label) + docker.ids("network", self.label)
            quiet = 0 if left else quiet + 1
        self._release()

    def discard(self) -> None:
        """Remove the stack, also one that was to be kept, and also without a compose file.

        Raises:
            Taken: another process uses it.
            DockerError: something could not be removed.
        """
        self._lock()
        self.kept = False
        docker.remove(self.label)
        self._release()

    def _release(self) -> None:
        self._own.leave(self._owner(run=False) if self.kept else None)
        self._own.release()
        self._images.release()


def address(container: dict[str, Any], networks: frozenset[str] | None) -> tuple[str, str]:
    """Return the variable that leads to a container, with its value, as its label tells.

    Args:
        container: as `docker inspect` describes it.
        networks: the ids of those that this process is in, too; None: it is on the host.
    """
    labels = container["Config"]["Labels"]
    variable, _, url = labels["test.url"].partition("=")
    port = re.search(r"HOST:(\d+)", url)
    if not port:
        raise StackError(
            f"label test.url '{labels['test.url']}' must be VARIABLE=URL with HOST:PORT in the "
            "URL, such as TEST_API_URL=http://HOST:8000"
        )
    place = (
        f"127.0.0.1:{docker.published_port(container, int(port[1]))}"
        if networks is None
        else f"{docker.address_in(container, networks)}:{port[1]}"
    )
    return variable, url.replace(port[0], place)


def sweep() -> list[str]:
    """Remove what killed runs of this checkout left: processes, stacks and images.

    Returns:
        The scopes whose stacks were removed.

    Raises:
        DockerError: something could not be removed; the next sweep tries again.
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
    """Remove stacks of an instance (all of them), kept ones too, but those that a process uses.

    Returns:
        The scopes that were removed, and those that are in use.

    Raises:
        StackError: there is no such scope.
        DockerError: something could not be removed.
    """
    found = found_labels("test.scope", *mine(instance))
    wanted = list(scopes)
    for scope in wanted:
        if scope not in (*found, *known_scopes()):
            raise no_stack(scope)
    removed, used = [], []
    for scope in (scope for scope in found if scope in (wanted or found)):
        stack = Stack(scope, instance, "clean")
        try:
            stack.discard()
            removed.append(scope)
        except Taken:
            used.append(scope)
    remove_images(instance)
    return removed, used


def found_labels(wanted: str, *labels: str) -> list[str]:
    """List the values of one label, of whatever container, network or volume has all of some."""
    listings = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
    filters = [f"--filter=label={label}" for label in labels]
    form = '--format={{.Label "LABEL"}}'.replace("LABEL", wanted)
    found = {
        value for listing in listings for value in docker.docker(*listing, *filters, form).split()
    }
    return sorted(found)


def remove_images(instance: str) -> None:
    """Remove an instance's images, unless a stack or another process still uses them."""
    lock = images_lock(instance)
    try:
        if not lock.alone():
            return
        if docker.ids("container", *mine(instance)):
            # Stacks that are kept use the newest of each; those before it have no name any more.
            filters = [f"--filter=label={label}" for label in mine(instance)]
            with suppress(DockerError):  # Another one may prune; a later run does it.
                docker.docker("image", "prune", "--force", *filters)
        else:
            docker.remove_each("image", docker.ids("image", *mine(instance)))
    finally:
        lock.release()
