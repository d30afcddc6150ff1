"""Requests at a fixed rate, whether or not the answers come: what users notice while something changes."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import closing, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

#: Seconds until a request counts as failed.
PATIENCE = 10.0


@dataclass
class Answers:
    """What became of the requests."""

    seconds: list[float] = field(default_factory=list)  #: of those that were answered with 2xx
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return len(self.seconds) + self.failed.total()

    def percentile(self, share: float) -> float:
        """Return the duration that this share of the answers did not exceed."""
        if not self.seconds:
            return float("nan")
        return sorted(self.seconds)[int(len(self.seconds) * share) - 1]

    def __str__(self) -> str:
        spread = ", ".join(
            f"p{share:g} {self.percentile(share / 100) * 1000:.0f} ms" for share in (50, 99, 100)
        )
        return f"{self.failed.total()} of {self.total} failed {dict(self.failed)}, {spread}"


class Probe:
    """Sends requests to a port of this machine while it is entered.

    Every second request opens a new connection. The others use connections that stay open.
    """

    def __init__(
        self, port: int, path: str, *, rate: float = 100, patience: float = PATIENCE
    ) -> None:
        self.port, self.path, self.rate, self.patience = port, path, rate, patience
        self.short = Answers()
        self.long = Answers()  #: uploads that take seconds
        self._stop = threading.Event()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        """Send requests before anything else runs: users do not share the processors of the host."""
        if hasattr(os, "sched_setscheduler"):
            with suppress(PermissionError):
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        asyncio.run(self._run())

    async def _run(self) -> None:
        start = time.monotonic()
        tasks: set[asyncio.Task[None]] = set()
        number = 0
        while not self._stop.is_set():
            tasks.add(
                asyncio.create_task(self._counted(self.short, self._get(keep=number % 2 == 0)))
            )
            if number % int(self.rate) == 0:
                tasks.add(asyncio.create_task(self._counted(self.long, self._upload())))
            number += 1
            tasks = {task for task in tasks if not task.done()}
            await asyncio.sleep(max(0.0, start + number / self.rate - time.monotonic()))
        await asyncio.gather(*tasks)
        for _, writer in self._idle:
            writer.close()

    async def _counted(self, answers: Answers, request: Coroutine[None, None, int]) -> None:
        start = time.monotonic()
        try:
            status = await asyncio.wait_for(request, self.patience)
        except Exception as error:  # noqa: BLE001 whatever happens to a request is a result
            answers.failed[type(error).__name__] += 1
            return
        if 200 <= status < 300:
            answers.seconds.append(time.monotonic() - start)
        else:
            answers.failed[str(status)] += 1

    async def _get(self, *, keep: bool) -> int:
        connection = self._idle.pop() if keep and self._idle else None
        reader, writer = connection or await asyncio.open_connection("127.0.0.1", self.port)
        done = False
        try:
            writer.write(
                f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n"
                f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()
            )
            status = await self._answer(reader)
            done = True
        finally:
            if keep and done:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return status

    async def _upload(self) -> int:
        """Post an item whose body takes 5 seconds."""
        body = b'{"name": "probe"' + b" " * 50 + b"}"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with closing(writer):
            writer.write(
                f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            )
            for at in range(len(body)):
                writer.write(body[at : at + 1])
                await writer.drain()
                await asyncio.sleep(5 / len(body))
            return await self._answer(reader)

    async def _answer(self, reader: asyncio.StreamReader) -> int:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        if "content-length" in headers:
            await reader.readexactly(int(headers["content-length"]))
        else:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        return int(lines[0].split()[1])
