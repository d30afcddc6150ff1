"""The signals that stop an update: raised as an exception once, then ignored or blocked."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from errors import SignalInterrupt

#: The signals that ask a process to end.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def raise_on_signal() -> None:
    """Make the first stop signal raise SignalInterrupt."""
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    # A second signal must not stop the clean-up.
    ignore_signals()
    raise SignalInterrupt


def ignore_signals() -> None:
    """Ignore stop signals from now on, also in the programs that are started from now on."""
    # Blocking alone is not enough: Python may already hold a signal that it has not handled yet.
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Delay stop signals until the block ends, also in the programs that it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
