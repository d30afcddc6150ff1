# Kept by the template: copier update merges its changes into this file.
"""What is shown while tests run: a live list on a terminal, a line at a time elsewhere, or JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NamedTuple

from .logs import Log, literal
from .results import described
from .targets import STAGES, State, Target

if TYPE_CHECKING:
    from rich.live import Live as RichLive
    from rich.text import Text

GLYPHS = {State.PENDING: "○", State.RUNNING: "●", State.PASSED: "✓"} | dict.fromkeys(
    (State.NOTHING, State.SKIPPED, State.NOT_RUN), "○"
)
STYLES = {State.RUNNING: "cyan", State.PASSED: "green"} | dict.fromkeys(
    (State.PENDING, State.NOTHING, State.SKIPPED, State.NOT_RUN), "dim"
)

#: The states in which a target asks for no attention.
CALM = frozenset(STYLES) - {State.RUNNING}

#: Where the terminal's encoding has none of these.
ASCII = str.maketrans(
    {"○": "o", "●": "*", "✓": "+", "✗": "x", "━": "#", "░": ".", "→": ">", "…": "~"}
)

#: How a program tells that it is a coding agent: a terminal is then read by nobody.
AGENTS = (
    *("AI_AGENT", "AGENT", "CLAUDECODE", "CODEX_SANDBOX", "CODEX_THREAD_ID", "CURSOR_AGENT"),
    *("GEMINI_CLI", "OPENCODE", "AUGMENT_AGENT", "GOOSE_PROVIDER", "REPL_ID"),
)

BAR = 20  #: cells
PULSE = 5  #: of them, where nobody knows how far it is
FRAME = 0.25  #: seconds between two frames
HEARTBEAT = 30  #: seconds of silence


def line(target: Target, *, bar: bool = False) -> str:
    """A target's line in the list."""
    parts = ["  " + GLYPHS.get(target.state, "✗"), target.name]
    if target.state == State.RUNNING:
        if bar:
            parts.append(cells(target))
        if target.percent is not None:
            parts.append(f"{target.percent}%")
    elif target.state != State.PASSED:
        parts.append(in_words(target))
    if target.total:
        parts.append(f"{target.done}/{target.total}")
    if target.began:
        parts.append(f"{target.seconds:.1f}s")
    if target.state == State.PASSED and target.note:
        parts.append(target.note)
    return " ".join(parts)


def in_words(target: Target) -> str:
    """What became of a target that has not passed."""
    if target.state == State.FAILED and target.note:
        return target.note
    return f"{target.state}: {target.note}" if target.note else str(target.state)


def cells(target: Target) -> str:
    """The bar of a running target: how far it is, or that it is alive."""
    if target.percent is not None:
        full = target.percent * BAR // 100
        return "━" * full + "░" * (BAR - full)
    first = int(target.seconds / FRAME) % BAR
    return "".join("━" if (cell - first) % BAR < PULSE else "░" for cell in range(BAR))


class Display:
    """Says a line at a time: the plain output, and what the others have in common."""

    def __init__(self, targets: list[Target], *, verbose: bool = False) -> None:
        self.targets, self.verbose = targets, verbose
        self.lines = self.bytes = 0  #: what was printed
        self.waiting: Callable[[Target], str] = lambda target: ""  #: what a target waits for
        self._quiet_since = time.monotonic()
        self._logs: dict[str, Log] = {}
        self._ascii = not encodes("".join(map(chr, ASCII)))
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")

    def stage(self, stage: str) -> None:
        """A stage begins."""
        self.say(STAGES[stage])

    def stage_not_run(self, stage: str) -> None:
        """A stage is left out, as the one before it failed."""
        self.say(f"○ {STAGES[stage]} not run")

    def finished(self, target: Target) -> None:
        """A target came to its end, or is left out."""
        self._stream(target)
        self.say(line(target))

    def update(self) -> None:
        """To be called often: shows what is new."""
        for target in self.targets:
            if target.state == State.RUNNING:
                self._stream(target)
        if time.monotonic() - self._quiet_since >= HEARTBEAT:
            self.say(self._pulse())

    def say(self, text: str) -> None:
        """Print a line literally, without the escapes that it may hold."""
        text = literal(text.rstrip("\r").rpartition("\r")[2])
        text = text.translate(ASCII) if self._ascii else text
        self.lines, self.bytes = self.lines + 1, self.bytes + len(text.encode(errors="replace")) + 1
        self._quiet_since = time.monotonic()
        with or_without_reader():
            print(text, flush=True)

    def note(self, text: str) -> None:
        """Say what happens beside the tests, such as a signal."""
        self.say(text)

    def result(self, event: Mapping[str, Any]) -> None:
        """Tell machines what people are told in words."""

    def close(self) -> None:
        """The list is at its end; what follows are words."""

    def _stream(self, target: Target) -> None:
        if self.verbose and target.log.is_file():
            if target.title not in self._logs:
                self._logs[target.title] = Log(target.log)
            log = self._logs[target.title]
            for text in log.new_lines(ended=target.ended > 0):
                self.say(f"{target.name} | {text}")

    def _pulse(self) -> str:
        told = []
        for target in self.targets:
            if target.state == State.RUNNING:
                how_far = f" {target.done}/{target.total}" if target.total else ""
                current = f" {target.current}" if target.current else ""
                told.append(f"{target.name}{how_far} {target.seconds:.0f}s{current}")
            elif target.state == State.PENDING and (why := self.waiting(target)):
                told.append(f"{target.name} {why}")
        return f"  … {', '.join(told) or 'cleaning up'}"


class Live(Display):
    """A list on the terminal that is drawn anew four times a second."""

    def __init__(self, targets: list[Target]) -> None:
        super().__init__(targets)
        # Not loaded where nobody looks.
        from rich.console import Console
        from rich.live import Live as RichLive

        # COLUMNS and LINES, where they are set, may be those of another time or terminal.
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.footer = ""
        self.console = Console(
            force_terminal=True, force_interactive=True, highlight=False, _environ=environment
        )
        self.live: RichLive = RichLive(
            console=self.console,
            auto_refresh=False,
            get_renderable=self.draw,
            vertical_overflow="crop",
        )
        self._drawn = 0.0
        self.live.start()

    def stage(self, stage: str) -> None:
        """The list shows it."""

    def stage_not_run(self, stage: str) -> None:
        """The list shows it."""

    def finished(self, target: Target) -> None:
        """The list shows it."""

    def note(self, text: str) -> None:
        """Show it below the list."""
        self.footer = text

    def update(self) -> None:
        """Draw a frame when it is time."""
        if time.monotonic() - self._drawn >= FRAME:
            self._drawn = time.monotonic()
            with or_without_reader():
                self.live.refresh()

    def close(self) -> None:
        """Leave the list on the screen as it is now."""
        self.footer = ""
        with or_without_reader():
            self.live.stop()

    def draw(self) -> Text:
        """The list, no taller than the screen."""
        from rich.text import Text

        text = Text(no_wrap=True, overflow="ellipsis", end="")
        rows = fit(self.rows(), self.console.height - 1 - bool(self.footer))
        if self.footer:
            rows.append(Row(self.footer, "bold", "title"))
        for number, row in enumerate(rows):
            words = literal(row.words)
            words = words.translate(ASCII) if self._ascii else words
            text.append(("\n" if number else "") + words, row.style)
        return text

    def rows(self) -> list[Row]:
        """All rows of the list."""
        rows = []
        for stage in dict.fromkeys(target.stage for target in self.targets):
            members = [target for target in self.targets if target.stage == stage]
            rows.append(Row(STAGES[stage], "bold", "title"))
            for target in members:
                words = line(target, bar=True)
                if target.state == State.PENDING and (why := self.waiting(target)):
                    words = f"  {GLYPHS[State.PENDING]} {target.name} {why}"
                calm = target.state in CALM
                rows.append(Row(words, STYLES.get(target.state, "red"), "calm" if calm else "busy"))
                if target.state == State.RUNNING and target.current:
                    rows.append(Row(f"    → {target.current}", "dim", "current"))
        return rows


class Row(NamedTuple):
    """A line of the list."""

    words: str
    style: str
    kind: str  #: title, busy (it runs, or ended badly), calm, or current (the test under way)


def fit(rows: list[Row], height: int) -> list[Row]:
    """Leave out rows, the least telling first, until a list is no taller than `height` lines."""
    if len(rows) > height:
        rows = [row for row in rows if row.kind != "current"]
    if len(rows) > height:
        # One line more, which says how many there are.
        surplus = len(rows) - max(1, height) + 1
        ranks = {"calm": 0, "title": 1, "busy": 2}
        by_rank = sorted(range(len(rows)), key=lambda index: ranks[rows[index].kind])
        gone = set(by_rank[:surplus])
        count = sum(rows[index].kind != "title" for index in gone)
        kept = [row for index, row in enumerate(rows) if index not in gone]
        rows = [*kept, Row(f"  … {count} more", "dim", "calm")]
    return rows


class Json(Display):
    """A JSON object a line."""

    def stage(self, stage: str) -> None:
        """A stage begins."""
        self.result({"event": "stage", "stage": stage})

    def stage_not_run(self, stage: str) -> None:
        """A stage is left out, as the one before it failed."""
        self.result({"event": "stage_not_run", "stage": stage})

    def finished(self, target: Target) -> None:
        """A target came to its end, or is left out."""
        self.result({"event": "target", **described(target)})

    def update(self) -> None:
        """Nothing is said in between."""

    def say(self, text: str) -> None:
        """Words are for people."""

    def result(self, event: Mapping[str, Any]) -> None:
        """Print an event."""
        with or_without_reader():
            print(json.dumps(event, ensure_ascii=self._ascii), flush=True)


def choose(wanted: str, targets: list[Target], *, verbose: bool) -> Display:
    """Return the display that is wanted; `auto` looks at who reads it."""
    if wanted == "json":
        return Json(targets)
    if not verbose and (wanted == "live" or (wanted == "auto" and is_watched())):
        return Live(targets)
    return Display(targets, verbose=verbose)


def is_watched(env: Mapping[str, str] = os.environ) -> bool:
    """Whether a person looks at a terminal that can redraw lines."""
    in_ci = env.get("CI", "").lower() not in ("", "0", "false")
    agent = any(env.get(name) for name in AGENTS)
    return sys.stdout.isatty() and env.get("TERM", "dumb") != "dumb" and not in_ci and not agent


def encodes(text: str) -> bool:
    """Whether standard output can show these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@contextmanager
def or_without_reader() -> Iterator[None]:
    """Go on when the terminal or the pipe is gone: stacks still have to be removed."""
    try:
        yield
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def titles(targets: Iterable[Target]) -> str:
    """Name some targets."""
    return ", ".join(target.title for target in targets)
