# Kept by the template: copier update merges its changes into this file.
"""The output while tests run: a live list on a terminal, plain lines elsewhere, or JSON lines."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NamedTuple

from .logs import Log, literal
from .results import as_record
from .targets import GOOD, STAGES, State, Target

if TYPE_CHECKING:
    from rich.live import Live as RichLive
    from rich.text import Text

GLYPHS = {State.PENDING: "○", State.RUNNING: "●"} | dict.fromkeys(GOOD, "✓")
GLYPHS |= dict.fromkeys((State.NOTHING, State.SKIPPED, State.NOT_RUN), "○")
STYLES = {State.RUNNING: "cyan"} | dict.fromkeys(GOOD, "green")
STYLES |= dict.fromkeys((State.PENDING, State.NOTHING, State.SKIPPED, State.NOT_RUN), "dim")

#: The states that need no attention. These rows are left out first on a small screen.
CALM = frozenset(STYLES) - {State.RUNNING}

#: Replacements for an output encoding that lacks these characters.
ASCII = str.maketrans(
    {"○": "o", "●": "*", "✓": "+", "✗": "x", "━": "#", "░": ".", "→": ">", "…": "~"}
)

#: Variables that coding agents set. They get plain lines even on a terminal.
AGENTS = (
    *("AI_AGENT", "AGENT", "CLAUDECODE", "CODEX_SANDBOX", "CODEX_THREAD_ID", "CURSOR_AGENT"),
    *("GEMINI_CLI", "OPENCODE", "AUGMENT_AGENT", "GOOSE_PROVIDER", "REPL_ID"),
)

NO_TERMINAL = (100, 24)  #: the columns and lines of an output that is not a terminal
BAR = 20  #: the width of a progress bar, in characters
PULSE = 5  #: the width of the moving part of a bar whose progress is unknown
FRAME = 0.25  #: seconds between two frames
HEARTBEAT = 30  #: seconds without output before a heartbeat line
SLOW = 10  #: seconds after which a running test is named, if its limit is not higher
IDLE = 5  #: seconds after all tests have ended before a process that still runs is named
STILL_RUNS = "all tests have ended, but the process still runs"


def line(target: Target, *, bar: bool = False) -> str:
    """Return the line of a target: `✓ api 24/24 1.3s`."""
    parts = ["  " + GLYPHS.get(target.state, "✗"), target.name]
    if target.state == State.RUNNING:
        if bar:
            parts.append(progress_bar(target))
        if target.percent is not None:
            parts.append(f"{target.percent}%")
    elif target.state not in GOOD:
        parts.append(describe_state(target))
    if target.total:
        parts.append(f"{target.done}/{target.total}")
    if target.began:
        parts.append(f"{target.seconds:.1f}s")
    if target.state == State.RUNNING and target.attempt > 1:
        parts.append(f"attempt {target.attempt}/{target.attempts}")
    if target.state in (State.PASSED, State.FAILED) and (flaky := len(target.flaky_tests)):
        parts.append(f"{flaky} flaky")
    if target.state == State.PASSED and target.note:
        parts.append(target.note)
    if target.cached:
        parts.append(f"cached ({target.cached})")
    return " ".join(parts)


def running(target: Target, limit: float) -> str:
    """Return what a target runs now: a slow test with its duration, or else the newest test."""
    if target.idle > IDLE:
        return STILL_RUNS
    test, seconds = target.longest
    return f"{test} {seconds:.0f}s" if test and seconds > limit else target.current


def describe_state(target: Target) -> str:
    """Describe the state of a target that has not passed."""
    if target.state == State.FAILED and target.note:
        return target.note
    return f"{target.state}: {target.note}" if target.note else str(target.state)


def progress_bar(target: Target) -> str:
    """Return the bar of a running target. It moves in a circle if the progress is unknown."""
    if target.percent is not None:
        full = target.percent * BAR // 100
        return "━" * full + "░" * (BAR - full)
    first = int(target.seconds / FRAME) % BAR
    return "".join("━" if (cell - first) % BAR < PULSE else "░" for cell in range(BAR))


class Display:
    """The plain output, a line at a time, and the base class of the other displays."""

    def __init__(self, targets: list[Target], *, verbose: bool = False) -> None:
        self.targets, self.verbose = targets, verbose
        self.lines = self.bytes = 0  #: printed so far
        self.waiting: Callable[[Target], str] = lambda target: ""  #: why a target has not started
        self.limit: Callable[[str], float] = lambda stage: (
            0.0
        )  #: of the tests of a stage, in seconds
        self._quiet_since = time.monotonic()
        self._named: set[tuple[str, str]] = set()  #: slow tests and idle processes
        self._logs: dict[str, Log] = {}
        self._ascii = not encodes("".join(map(chr, ASCII)))
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")

    def stage(self, stage: str) -> None:
        """Show that a stage starts."""
        self.say(STAGES[stage])

    def stage_cached(self, stage: str, members: list[Target]) -> None:
        """Show in one line a stage whose targets have all passed earlier with the same inputs.

        It names the targets if they fit into the line.
        """
        names = ", ".join(
            f"{target.name} {target.done}/{target.total}" if target.total else target.name
            for target in members
        )
        newest = max((one.cached for one in members if one.cached), key=lambda one: one.when)
        when = f"({newest})" if len(members) == 1 else f"(last {newest})"
        text = f"✓ {STAGES[stage]} cached: {names} {when}"
        if len(members) > 1 and len(text) > shutil.get_terminal_size(NO_TERMINAL).columns:
            tests = sum(target.executed for target in members)
            text = f"✓ {STAGES[stage]} cached: {len(members)} targets, {tests} tests {when}"
        self.say(text)

    def stage_not_run(self, stage: str) -> None:
        """Show that a stage does not run, because an earlier one failed."""
        self.say(f"○ {STAGES[stage]} not run")

    def finished(self, target: Target) -> None:
        """Show that a target has ended or is skipped."""
        self._stream(target)
        self.say(line(target))

    def repeats(self, target: Target) -> None:
        """Show that a failed target starts another attempt."""
        how = f"attempt {target.attempt}/{target.attempts}"
        self.say(f"  … {target.name} {target.before}: {how}")

    def update(self) -> None:
        """Show new progress. The run calls this several times a second."""
        for target in self.targets:
            if target.state == State.RUNNING:
                self._stream(target)
                self._name_slow(target)
        if time.monotonic() - self._quiet_since >= HEARTBEAT:
            self.say(self._heartbeat())

    def say(self, text: str) -> None:
        """Print a line, without the escape sequences in it."""
        text = literal(text.rstrip("\r").rpartition("\r")[2])
        text = text.translate(ASCII) if self._ascii else text
        self.lines, self.bytes = self.lines + 1, self.bytes + len(text.encode(errors="replace")) + 1
        self._quiet_since = time.monotonic()
        with tolerate_closed_output():
            print(text, flush=True)

    def note(self, text: str) -> None:
        """Show a message that is not about a target, such as the arrival of a signal."""
        self.say(text)

    def result(self, event: Mapping[str, Any]) -> None:
        """Print a machine-readable event; only `Json` does."""

    def close(self) -> None:
        """End the live list. What follows is printed as plain lines."""

    def _stream(self, target: Target) -> None:
        if self.verbose and target.log.is_file():
            if target.title not in self._logs:
                self._logs[target.title] = Log(target.log)
            log = self._logs[target.title]
            for text in log.new_lines(ended=target.ended > 0):
                self.say(f"{target.name} | {text}")

    def _name_slow(self, target: Target) -> None:
        """Name a test that takes long, and a process that runs after its tests, once."""
        test, seconds = target.longest
        if target.idle > IDLE:
            text = STILL_RUNS
        elif test and seconds > max(SLOW, self.limit(target.stage)):
            text = f"slow: {test} has run for {seconds:.0f}s"
        else:
            return
        if (target.title, test) not in self._named:
            self._named.add((target.title, test))
            self.say(f"  … {target.name} {text}")

    def _heartbeat(self) -> str:
        parts = []
        for target in self.targets:
            if target.state == State.RUNNING:
                how_far = f" {target.done}/{target.total}" if target.total else ""
                current = f" {running(target, SLOW)}".rstrip()
                parts.append(f"{target.name}{how_far} {target.seconds:.0f}s{current}")
            elif target.state == State.PENDING and (why := self.waiting(target)):
                parts.append(f"{target.name} {why}")
        return f"  … {', '.join(parts) or 'cleaning up'}"


class Live(Display):
    """A list on the terminal, redrawn four times a second."""

    def __init__(self, targets: list[Target]) -> None:
        super().__init__(targets)
        # Imported here because rich is slow to load, and the other displays do not need it.
        from rich.console import Console
        from rich.live import Live as RichLive

        # COLUMNS and LINES in the environment may be out of date, or of another terminal.
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
        """Do nothing: the next frame shows the change."""

    def stage_cached(self, stage: str, members: list[Target]) -> None:
        """Do nothing: the next frame shows the change."""

    def stage_not_run(self, stage: str) -> None:
        """Do nothing: the next frame shows the change."""

    def finished(self, target: Target) -> None:
        """Do nothing: the next frame shows the change."""

    def repeats(self, target: Target) -> None:
        """Do nothing: the next frame shows the change."""

    def note(self, text: str) -> None:
        """Show a message below the list."""
        self.footer = text

    def update(self) -> None:
        """Draw a frame if the last one is old enough."""
        if time.monotonic() - self._drawn >= FRAME:
            self._drawn = time.monotonic()
            with tolerate_closed_output():
                self.live.refresh()

    def close(self) -> None:
        """Draw the list for the last time, and leave it on the screen."""
        self.footer = ""
        with tolerate_closed_output():
            self.live.stop()

    def draw(self) -> Text:
        """Return the list, cut to the height of the screen."""
        from rich.text import Text

        text = Text(no_wrap=True, overflow="ellipsis", end="")
        rows = fit(self.rows(), self.console.height - 1 - bool(self.footer))
        if self.footer:
            rows.append(Row(self.footer, "bold", "title"))
        for number, row in enumerate(rows):
            line_text = literal(row.text)
            line_text = line_text.translate(ASCII) if self._ascii else line_text
            text.append(("\n" if number else "") + line_text, row.style)
        return text

    def rows(self) -> list[Row]:
        """Return all rows of the list."""
        rows = []
        for stage in dict.fromkeys(target.stage for target in self.targets):
            members = [target for target in self.targets if target.stage == stage]
            rows.append(Row(STAGES[stage], "bold", "title"))
            for target in members:
                text = line(target, bar=True)
                if target.state == State.PENDING and (why := self.waiting(target)):
                    text = f"  {GLYPHS[State.PENDING]} {target.name} {why}"
                calm = target.state in CALM
                rows.append(Row(text, STYLES.get(target.state, "red"), "calm" if calm else "busy"))
                if target.state == State.RUNNING and (
                    now := running(target, self.limit(target.stage))
                ):
                    rows.append(Row(f"    → {now}", "dim", "current"))
        return rows


class Row(NamedTuple):
    """A line of the list."""

    text: str
    style: str
    kind: str  #: title, busy (running or failed), calm (anything else), current (the running test)


def fit(rows: list[Row], height: int) -> list[Row]:
    """Drop the least important rows until the list has at most `height` lines."""
    if len(rows) > height:
        rows = [row for row in rows if row.kind != "current"]
    if len(rows) > height:
        # Drop one more row than necessary, to make room for the line "… N more".
        surplus = len(rows) - max(1, height) + 1
        ranks = {"calm": 0, "title": 1, "busy": 2}
        by_rank = sorted(range(len(rows)), key=lambda index: ranks[rows[index].kind])
        dropped = set(by_rank[:surplus])
        count = sum(rows[index].kind != "title" for index in dropped)
        kept = [row for index, row in enumerate(rows) if index not in dropped]
        rows = [*kept, Row(f"  … {count} more", "dim", "calm")]
    return rows


class Json(Display):
    """One JSON object per line."""

    def stage(self, stage: str) -> None:
        """Print that a stage starts."""
        self.result({"event": "stage", "stage": stage})

    def stage_cached(self, stage: str, members: list[Target]) -> None:
        """Print the results of a stage whose targets have all passed earlier."""
        self.stage(stage)
        for target in members:
            self.finished(target)

    def stage_not_run(self, stage: str) -> None:
        """Print that a stage does not run, because an earlier one failed."""
        self.result({"event": "stage_not_run", "stage": stage})

    def finished(self, target: Target) -> None:
        """Print the result of a target."""
        self.result({"event": "target", **as_record(target)})

    def repeats(self, target: Target) -> None:
        """Print that a failed target starts another attempt."""
        self.result({"event": "retry", **as_record(target)})

    def update(self) -> None:
        """Do nothing: progress is not printed as JSON."""

    def say(self, text: str) -> None:
        """Do nothing: text for people is not printed as JSON."""

    def result(self, event: Mapping[str, Any]) -> None:
        """Print an event as one line."""
        with tolerate_closed_output():
            print(json.dumps(event, ensure_ascii=self._ascii), flush=True)


def choose(wanted: str, targets: list[Target], *, verbose: bool) -> Display:
    """Return the display for --output; `auto` is live if a person watches a terminal, else plain."""
    if wanted == "json":
        return Json(targets)
    live = wanted == "live" or (wanted == "auto" and is_watched())
    # A run of cached targets ends at once, and has fewer lines without a list.
    if live and not verbose and any(target.state != State.CACHED for target in targets):
        return Live(targets)
    return Display(targets, verbose=verbose)


def is_watched(env: Mapping[str, str] = os.environ) -> bool:
    """Whether a person watches a terminal that can redraw lines: not CI, not a coding agent."""
    in_ci = env.get("CI", "").lower() not in ("", "0", "false")
    agent = any(env.get(name) for name in AGENTS)
    return sys.stdout.isatty() and env.get("TERM", "dumb") != "dumb" and not in_ci and not agent


def encodes(text: str) -> bool:
    """Whether the encoding of standard output has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@contextmanager
def tolerate_closed_output() -> Iterator[None]:
    """Ignore a closed terminal or pipe: the run must go on and remove its stacks."""
    try:
        yield
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def titles(targets: Iterable[Target]) -> str:
    """Return the titles of some targets, separated by commas."""
    return ", ".join(target.title for target in targets)
