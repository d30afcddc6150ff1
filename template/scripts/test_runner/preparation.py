# Kept by the template: copier update merges its changes into this file.
"""The stack of a target during a run: its start, its health while the tests run, and its removal."""

from __future__ import annotations

import threading
import time

from . import health
from .compose import Stack
from .diagnosis import StackError
from .docker import DockerError
from .targets import Target


class Preparation(threading.Thread):
    """A thread that starts a stack, waits while its target uses the stack, and removes it."""

    def __init__(
        self, target: Target, instance: str, run: str, news: threading.Event, *, traced: bool
    ) -> None:
        """Prepare the stack. `news` is set at each change of what others see of it."""
        # A daemon thread: if the user insists on stopping, a stuck removal must not block the exit.
        super().__init__(daemon=True)
        self.log = target.log
        self.stack = Stack(target.scope, instance, run)
        self.stack.traced = traced
        self.addresses: dict[str, str] = {}
        self.error: StackError | None = None  #: why the stack failed to start
        self.died: StackError | None = None  #: why the stack failed while its tests ran
        self.left = ""  #: why the stack could not be removed
        self.ready = threading.Event()  #: the stack has started, or failed to start
        self.done = threading.Event()  #: the target no longer needs the stack
        self.began = 0.0
        self._news = news

    def start(self) -> None:
        """Start the thread, which starts the stack."""
        self.began = time.monotonic()
        super().start()

    def run(self) -> None:
        """Start the stack, wait until the target no longer needs it, and remove it."""
        try:
            self.stack.take()
            try:
                self.stack.up(self.log, stop=self.done.is_set)
                self.addresses = self.stack.addresses()
            except (StackError, DockerError, OSError) as error:
                self.error = to_stack_error(error)
                self._announce()
                self.stack.abandon()
                return
            self._announce()
            while not self.done.wait(health.INTERVAL):
                self.died = self.died or self.stack.watch.dead()
            self.stack.remove()
        except Exception as error:  # noqa: BLE001 - on any error, the target must not start
            if self.ready.is_set():
                self.left = f"cannot remove the stack of {self.stack.scope}: {error}"
            self.error = self.error or to_stack_error(error)
        finally:
            self._announce()

    def _announce(self) -> None:
        self.ready.set()
        self._news.set()

    @property
    def busy(self) -> bool:
        """Whether the stack is starting or in use."""
        return self.is_alive() and not self.done.is_set()


def to_stack_error(error: Exception) -> StackError:
    """Return any error that stopped a stack from starting as a StackError."""
    return error if isinstance(error, StackError) else StackError(str(error))
