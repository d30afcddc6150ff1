"""The heartbeat: the worker touches a file as long as it can reach its queue.

The container's health check reads the age of the file. While a stack starts, it runs twice a
second. That is too often for connecting to the queue, or for importing this module, so the
Dockerfile repeats `is_alive`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saq import Queue

HEARTBEAT = Path(tempfile.gettempdir(), "heartbeat")
EVERY_SECONDS = 5
DEAD_AFTER_SECONDS = 20

logger = logging.getLogger(__name__)


async def start_heartbeat(ctx: dict[str, Any]) -> None:
    """Start the heartbeat. SAQ calls this when the worker starts."""
    ctx["heartbeat"] = asyncio.create_task(_beat(ctx["worker"].queue))


async def stop_heartbeat(ctx: dict[str, Any]) -> None:
    """Stop the heartbeat. SAQ calls this when the worker stops."""
    ctx["heartbeat"].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ctx["heartbeat"]
    HEARTBEAT.unlink(missing_ok=True)


async def _beat(queue: Queue) -> None:
    while True:
        try:
            await queue.count("queued")
            HEARTBEAT.touch()
        except Exception as error:  # The worker may recover from any error.
            logger.warning("the queue cannot be reached: %s", error)
        await asyncio.sleep(EVERY_SECONDS)


def is_alive() -> bool:
    """Return whether the last heartbeat is recent."""
    try:
        return time.time() - HEARTBEAT.stat().st_mtime < DEAD_AFTER_SECONDS
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(not is_alive())
