# Kept by the template: copier update merges its changes into this file.
"""Reads progress, counts and failures from a log, for test tools that do not write events.

A line counts as a tool's only if the whole line matches, and the output of tests is ignored where it
can be recognized. The exit code decides the result in any case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..events import Failure
from .base import Counts
from .make import LINE as MAKE_LINE
from .registry import TOOLS
from .text import plain

#: A longer line, in bytes, is not read and not kept in memory.
LONGEST_LINE = 8192
#: A large chunk is processed in pieces of this size, in bytes, to avoid copying all of it.
PIECE = 65_536
LINE_END = re.compile(rb"\r*\n|\r+")


@dataclass(frozen=True)
class Progress:
    """The progress of a run. A total of 0 means unknown. The percentage never decreases."""

    done: int = 0
    total: int = 0
    percent: int = 0
    current: str = ""


class Output:
    """Reads a log while it grows, and keeps at most one line of it in memory."""

    def __init__(self) -> None:
        self._rest = b""
        self._too_long = False
        self._tools = [tool() for tool in TOOLS if not tool.start]  # the tools that read the lines
        self._asleep = {f"t{n}": tool for n, tool in enumerate(TOOLS) if tool.start}
        self._starts = self._starting_lines()
        self._progress = Progress()

    @property
    def progress(self) -> Progress:
        """The progress so far."""
        return self._progress

    @property
    def counts(self) -> Counts | None:
        """The sum of all summaries; None if the number of tests is not known."""
        counted = [tool.counts for tool in self._tools if tool.counts]
        if not counted or any(tool.uncounted or tool.running for tool in self._tools):
            return None
        return sum(counted[1:], counted[0])

    @property
    def tool(self) -> str:
        """The name of the tool; empty if none or several were recognized."""
        names = [tool.name for tool in self._tools if tool.counts or tool.uncounted]
        return names[0] if len(names) == 1 else ""

    @property
    def failures(self) -> list[Failure]:
        """The first failures of each tool, in the order in which the tools ran."""
        return [failure for tool in self._tools for failure in tool.failures]

    @property
    def codes_for_nothing(self) -> frozenset[int]:
        """The exit codes that mean that no test ran; empty if a test ran."""
        if not self.counts or not self.counts.nothing_ran:
            return frozenset()
        return frozenset().union(*(tool.nothing_codes for tool in self._tools if tool.counts))

    def feed(self, data: bytes) -> None:
        """Process the next part of the log. It may start and end anywhere in a line."""
        for start in range(0, len(data), PIECE):
            self._feed(data[start : start + PIECE])
        self._update()

    def skip(self) -> None:
        """Note that a part of the log is missing, so the next line may be incomplete."""
        self._rest, self._too_long = b"", True

    def end(self) -> None:
        """Process the last line, which may lack a line end, and complete an unknown total."""
        self._feed(b"\n")
        for tool in self._tools:
            tool.end()
        self._update()
        if self.counts and not self._progress.total:
            tests = max(self._progress.done, self.counts.tests)
            percent = 100 if tests else self._progress.percent
            self._progress = Progress(tests, tests, percent, self._progress.current)

    def _starting_lines(self) -> re.Pattern[str]:
        """Return the pattern for the lines that wake a tool. Its group names the tool."""
        starts = [f"(?P<{key}>{tool.start})" for key, tool in self._asleep.items()]
        return re.compile("|".join(starts) or r"(?!)")

    def _update(self) -> None:
        """Add up the progress of the tools. No number decreases."""
        done = sum(tool.done for tool in self._tools)
        # If one tool does not know its total, the sum of the others is not the total.
        known = all(tool.total for tool in self._tools if tool.done or tool.running)
        total = sum(tool.total for tool in self._tools) if known else 0
        total = max(total, self._progress.total)
        total = max(total, done) if total else 0
        percent = max(
            100 * done // total if total else 0, *(tool.percent for tool in self._tools), 0
        )
        current = next((tool.current for tool in reversed(self._tools) if tool.current), "")
        self._progress = Progress(done, total, max(percent, self._progress.percent), current)

    def _feed(self, data: bytes) -> None:
        data = self._rest + data
        whole = data.rstrip(b"\r")  # a final `\r` may be the first half of `\r\n`
        start = 0
        for match in LINE_END.finditer(whole):
            line, start = whole[start : match.start()], match.end()
            if self._too_long or len(line) > LONGEST_LINE:
                self._too_long = False
                for tool in self._tools:
                    tool.gap()
            elif line or match[0].endswith(b"\n"):
                self._line(line)
        rest = whole[start:]
        if len(rest) > LONGEST_LINE:
            self._too_long = True
        self._rest = (b"" if self._too_long else rest) + b"\r" * (len(data) > len(whole))
        if self._rest.endswith(b" "):
            text = plain(self._rest)
            for tool in self._tools:
                tool.begun(text)

    def _line(self, line: bytes) -> None:
        text = plain(line)
        if "make" in text and re.fullmatch(MAKE_LINE, text):
            return
        while text and (match := self._starts.match(text)):  # It may be the start of several tools.
            self._wake(str(match.lastgroup))
        for tool in self._tools:
            tool.line(text)

    def _wake(self, key: str) -> None:
        self._tools.append(self._asleep.pop(key)())
        self._starts = self._starting_lines()
