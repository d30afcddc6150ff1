# Kept by the template: copier update merges its changes into this file.
"""Builds the images of several stacks with one command, so that each image is built once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compose import Stack

#: What of a service decides its image.
DECISIVE = ("image", "build", "platform")


class SharedBuild:
    """The build of the images of the stacks that a run starts first.

    If it fails or is not possible, each stack builds its own images, and reports what is wrong.
    """

    def __init__(self, stacks: Iterable[Stack]) -> None:
        self.stacks = list(stacks)
        self._lock = threading.Lock()
        self._built: bool | None = None  #: None: not tried

    def done(self, stack: Stack, log: IO[bytes], stop: Callable[[], bool]) -> bool:
        """Return whether the images of a stack are built. The first call builds those of all stacks.

        Raises:
            InterruptedError: `stop` returned True.
        """
        while not self._lock.acquire(timeout=0.05):
            if stop():
                raise InterruptedError
        try:
            if self._built is None:
                self._built = False
                self._built = self._build(stack, log, stop)
            elif self._built:
                log.write(b"The images were built for all stacks, see the log of another target.\n")
            return self._built
        finally:
            self._lock.release()

    def _build(self, stack: Stack, log: IO[bytes], stop: Callable[[], bool]) -> bool:
        # With traces, a stack has one more compose file.
        if len(self.stacks) < 2 or any(one.traced for one in self.stacks):
            return False
        from concurrent.futures import ThreadPoolExecutor  # Unit tests do not need it.

        with ThreadPoolExecutor() as pool:
            services = merged(pool.map(resolved, self.stacks))
        if services is None:
            return False
        if not services:
            return True
        file = Path(log.name).with_suffix(".build.json")
        file.write_text(json.dumps({"services": services}))
        where = (f"--file={file}", f"--project-directory={stack.folder}")
        return stack.compose(*where, "build", log=log, stop=stop, **stack.shared()) == 0


def resolved(stack: Stack) -> dict[str, Any] | None:
    """Return the resolved compose files of a stack; None: Compose failed."""
    done = stack.config("--format=json", **stack.shared())
    if done.returncode:
        return None
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def merged(configs: Iterable[dict[str, Any] | None]) -> dict[str, dict[str, Any]] | None:
    """Return what must be built, by service; None: the stacks must be built one by one."""
    found: dict[str, dict[str, Any]] = {}
    for config in configs:
        if config is None:
            return None
        for name, service in (config.get("services") or {}).items():
            build = service.get("build")
            if not build:
                continue
            one = {key: service[key] for key in DECISIVE if service.get(key)}
            contexts = (build.get("additional_contexts") or {}).values()
            # Without a name, the image belongs to one Compose project. Secrets and other services are
            # elsewhere in the compose file.
            alone = "image" not in one or build.get("secrets")
            if alone or any(str(context).startswith("service:") for context in contexts):
                return None
            if found.setdefault(name, one) != one:
                return None
    return found
