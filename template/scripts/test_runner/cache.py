# Kept by the template: copier update merges its changes into this file.
"""The result cache: a target that passed with exactly these inputs is not run again.

fingerprint.py defines the inputs. The cache is one folder for all checkouts of the project on this
machine. It is only read and written for whole targets: not with ARGS, TESTS or a selection, not in CI
unless asked. In any doubt the target runs: an input that cannot be read, a broken entry, an entry
that is older than a week.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import fingerprint, stack_inputs
from .changes import all_services
from .fingerprint import Inputs, Parts, key_of
from .memo import Memo, UnreadableError, digest
from .project import FOLDERS, ROOT, SLUG
from .targets import State, Target

#: The environment variable with another folder for the cache, or `off`.
PLACE = "TEST_RESULT_CACHE"

#: The most entries, and bytes of all entries. The entries that were used longest ago are deleted.
ENTRIES, SIZE = 500, 50_000_000
#: Seconds after which an entry is not used any more.
MAX_AGE = 7 * 24 * 3600.0
#: Trees with more files are stored without the hash of each file, so --explain-cache names the tree.
MOST_FILES = 5000

#: The states of a target whose tests failed, so that a pass with the same inputs shows a flaky test.
FAILED = frozenset({State.FAILED, State.CRASHED, State.TIMED_OUT})


@dataclass(frozen=True)
class Pass:
    """A target that passed earlier."""

    when: float  #: seconds since the epoch
    checkout: str  #: the folder of the project
    seconds: float
    tests: int | None  #: None: not counted
    executed: int | None
    tool: str

    def __str__(self) -> str:
        """Return when and where it passed: `passed 14:02 in ../shop-feature-x`."""
        where = "" if self.checkout == str(ROOT) else f" in {os.path.relpath(self.checkout, ROOT)}"
        return f"passed {clock(self.when)}{where}"


def clock(when: float) -> str:
    """Return the time of day, and the date if it is not today."""
    then, now = time.localtime(when), time.localtime()
    form = "%H:%M" if then[:3] == now[:3] else "%b %d %H:%M"
    return time.strftime(form, then)


class Store:
    """The entries on disk. Several processes may use the folder at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str) -> tuple[Pass, dict[str, Any]] | None:
        """Return a pass, and what it is compared with later; None if there is no usable entry."""
        path = self.folder / f"{key}.pass"
        try:
            check, _, text = path.read_text(encoding="utf-8").partition("\n")
            if check != digest(key, text):
                raise ValueError
            content = json.loads(text)
            found = Pass(**content["pass"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError):
            with suppress(OSError):
                path.unlink()
            return None
        if not 0 <= time.time() - found.when < MAX_AGE:
            return None
        with suppress(OSError):
            os.utime(path)  # It is in use, so it is not among the first to be deleted.
        return found, content

    def write(self, key: str, passed: Pass, **more: Any) -> None:
        """Store a pass."""
        text = json.dumps({"pass": asdict(passed)} | more)
        self._write(self.folder / f"{key}.pass", f"{digest(key, text)}\n{text}")
        self._tidy()

    def drop(self, key: str) -> None:
        """Delete a pass."""
        with suppress(OSError):
            (self.folder / f"{key}.pass").unlink()

    def failed_at(self, key: str) -> float:
        """Return when a target failed with this key; 0: never, as far as is known."""
        with suppress(OSError):
            when = (self.folder / f"{key}.fail").stat().st_mtime
            return when if time.time() - when < MAX_AGE else 0.0
        return 0.0

    def note_failure(self, key: str) -> None:
        """Record that a target failed with this key."""
        self._write(self.folder / f"{key}.fail", "")

    def latest(self, title: str) -> dict[str, Any]:
        """Return the content of the last pass of a target; empty: there is none."""
        with suppress(OSError, ValueError):
            key = (self.folder / f"{digest(title)[:16]}.last").read_text()
            found = self.read(key)
            return found[1] if found else {}
        return {}

    def note_latest(self, title: str, key: str) -> None:
        """Record which entry is the last pass of a target."""
        self._write(self.folder / f"{digest(title)[:16]}.last", key)

    def _write(self, path: Path, text: str) -> None:
        """Write a file at once: another process sees the old content or the new."""
        new = path.with_name(f"{path.name}.{os.getpid()}.new")
        with suppress(OSError):  # A full disk must not change the verdict of the run.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_text(text, encoding="utf-8")
            new.replace(path)

    def _tidy(self) -> None:
        found = []
        with suppress(OSError):
            for path in self.folder.iterdir():
                with suppress(OSError):
                    info = path.stat()
                    if path.suffix == ".new" and time.time() - info.st_mtime > 3600:
                        path.unlink()
                    elif path.suffix != ".new":
                        found.append((info.st_mtime, info.st_size, path))
        total = 0
        for number, (_, size, path) in enumerate(sorted(found, reverse=True)):
            total += size
            if number >= ENTRIES or total > SIZE:
                with suppress(OSError):
                    path.unlink()


def folder() -> Path:
    """Return the folder of the cache, which all checkouts of the project share."""
    if chosen := os.environ.get(PLACE):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if base.startswith("/") else Path.home() / ".cache", "test-results", SLUG)


@dataclass
class Cache:
    """The use of the cache in one run."""

    targets: list[Target]
    fresh: bool = False  #: run every target
    timeout: float = 0.0  #: of a target, in seconds; 0: no limit
    engine: stack_inputs.Engine = field(default_factory=stack_inputs.DockerEngine)
    store: Store = field(default_factory=lambda: Store(folder()))

    def __post_init__(self) -> None:
        """Read the memo of file hashes."""
        names = {*all_services(ROOT), *FOLDERS}
        words = fingerprint.words_of(names, FOLDERS.values())
        memo = self.store.folder / f"memo-{digest(str(ROOT))[:16]}.json"
        self.memo = Memo(memo, words)
        self.inputs = Inputs(self.memo, self.engine)
        self.found: dict[str, tuple[Parts, str]] = {}  #: the parts and stamps before the run
        self.unchanged: set[str] = set()  #: the targets whose inputs are the same after their tests
        self._error: Exception | None = None  #: why the inputs could not be read again

    def look_up(self) -> None:
        """Mark each target that passed with the same inputs as cached."""
        wanted = [target for target in self.targets if target.state == State.PENDING]
        for title, parts in self.inputs.read(wanted).items():
            target = next(target for target in wanted if target.title == title)
            if "off" in (word for line in fingerprint.directives(ROOT, target) for word in line):
                target.cache = "off in its Makefile"
                continue
            if isinstance(parts, UnreadableError):
                target.cache = f"not used: {parts}"
                continue
            target.cache = "missed"
            self.found[title] = parts, self.inputs.stamps(target)
            if not self.fresh and not has_selection(target):
                entry = self.store.read(key_of(parts))
                if entry and not (self.timeout and entry[0].seconds > self.timeout):
                    target.state, target.cached, target.cache = State.CACHED, entry[0], "hit"
        if all(target.state != State.PENDING for target in wanted):
            self.memo.save()

    def explain(self) -> Iterator[str]:
        """Yield a line for each target: its entry, or what differs from its last pass."""
        for target in self.targets:
            if target.state == State.SKIPPED:
                continue
            reason = target.cache
            if target.title in self.found and target.state != State.CACHED:
                last = self.store.latest(target.title)
                changed = list(difference(last, self.content(self.inputs, target)))
                reason = f"changed: {', '.join(changed[:8])}" if changed else "no earlier pass"
                if last and not changed:
                    reason = "the inputs are the same, but it must run"
            yield f"cache: {target.title}: {reason}"

    def content(self, inputs: Inputs, target: Target) -> dict[str, Any]:
        """Return what is stored to name the difference to a later run."""
        trees = {name: inputs.tree(name).files for name in inputs.folders(target)}
        few = sum(map(len, trees.values())) <= MOST_FILES
        # The start of a hash is enough to see a difference.
        short = {n: {path: h[:8] for path, h in files.items()} for n, files in trees.items()}
        return {"parts": self.found[target.title][0], "files": short if few else {}}

    @property
    def ran(self) -> list[Target]:
        """The targets with known inputs that were started."""
        return [target for target in self.targets if target.title in self.found and target.process]

    def look_again(self) -> None:
        """Read the inputs again, after all tests have ended. `finish` raises what fails here."""
        try:
            self.inputs = Inputs(self.memo, self.engine)
            again = self.inputs.read(self.ran) if self.ran else {}
            self.unchanged = {
                target.title
                for target in self.ran
                if (again[target.title], self.inputs.stamps(target)) == self.found[target.title]
            }
        except Exception as error:  # noqa: BLE001 - the stacks must be removed after any error
            self._error = error

    def finish(self) -> Iterator[str]:
        """Store what passed. Yield a line for each target that both passed and failed on its inputs."""
        if self._error:
            raise self._error
        for target in self.ran:
            if target.title not in self.unchanged:
                target.cache = "not stored: its inputs changed during the run"
                continue
            key, now = key_of(self.found[target.title][0]), time.time()
            if target.state in FAILED:
                if entry := self.store.read(key):
                    target.flaky = f"{entry[0]} and failed now"
                    self.store.drop(key)
                self.store.note_failure(key)
            elif target.state == State.PASSED:
                if failed := self.store.failed_at(key):
                    target.flaky = f"failed {clock(failed)} and passed now"
                    self.store.drop(key)
                elif reason := unfit(target):
                    target.cache = f"not stored: {reason}"
                    if target.retried:  # It may have passed without a repetition before.
                        self.store.drop(key)
                else:
                    tests, executed = (
                        (target.total, target.executed) if target.counted else (None, None)
                    )
                    passed = Pass(now, str(ROOT), target.seconds, tests, executed, target.tool)
                    self.store.write(key, passed, **self.content(self.inputs, target))
                    self.store.note_latest(target.title, key)
                    target.cache = "stored"
            if target.flaky:
                yield f"flaky: {target.title} {target.flaky}, with the same inputs"
        if self.ran:
            self.memo.save()


def has_selection(target: Target) -> bool:
    """Whether only some tests of a target are to run."""
    return bool(target.selected or target.env.get("TESTS"))


def unfit(target: Target) -> str:
    """Return why a pass must not be stored; empty: it may."""
    if has_selection(target):
        return "only a part of its tests ran"
    if target.events.done < target.events.total:
        return "not all of its tests ran"
    if target.retried:
        return "a test passed only when it was repeated"
    if target.note:
        return target.note
    if target.warm:
        return "its stack was already running, and may hold data"
    return ""


def difference(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Yield the names of the inputs that differ: files where they are known, else parts."""
    if not old:
        return
    before, now = old["parts"], new["parts"]
    for name in sorted({*before, *now}):
        if before.get(name) == now.get(name):
            continue
        kind, _, folder = name.partition(" ")
        files = old["files"].get(folder, {}), new["files"].get(folder, {})
        paths = sorted({*files[0], *files[1]}) if kind == "tree" else []
        names = [path for path in paths if files[0].get(path) != files[1].get(path)]
        yield from (os.path.normpath(f"{folder}/{path}") for path in names)
        if not names:
            yield name


def allowed(*, asked: bool, env: Mapping[str, str] = os.environ) -> bool:
    """Whether a run may use the cache: it runs whole targets, and not in CI unless asked for."""
    if env.get("ARGS") or env.get("TESTS") or env.get(PLACE) == "off":
        return False
    in_ci = env.get("CI", "").lower() not in ("", "0", "false")
    return asked or not (in_ci or env.get("GITHUB_ACTIONS") or env.get("GITEA_ACTIONS"))
