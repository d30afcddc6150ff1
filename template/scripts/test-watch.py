#!/usr/bin/env -S uv run --script
# Kept by the template: copier update merges its changes into this file.
# /// script
# requires-python = ">=3.11"
# dependencies = ["psutil>=6", "rich>=13.7", "watchfiles>=1"]
# ///
"""Run the tests that a saved file concerns, again and again, until Ctrl-C.

A file that is saved meanwhile breaks off the tests that run, and starts those of all files that were
saved since the last time that everything passed. Stacks that `make test-infra-up` started are used as
they are, with what has changed in them. Options are those of scripts/test-runner.py.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from test_runner.changes import concerned
from test_runner.project import ROOT
from watchfiles import DefaultFilter, watch

#: Milliseconds: an editor may save in several steps; the tests that run are looked at now and then.
SETTLE, LOOK = 100, 200


class Sources(DefaultFilter):
    """What people write, not what tools make of it."""

    ignore_dirs = (*DefaultFilter.ignore_dirs, ".nox", ".ruff_cache", ".test-results", "dist")


def sources(paths: Iterable[str]) -> set[str]:
    """Return the names of files from the project's folder on, without those that git ignores."""
    names = {os.path.relpath(path, ROOT) for path in paths if not Path(path).is_dir()}
    if not names or not shutil.which("git"):
        return names
    done = subprocess.run(
        ["git", "check-ignore", "-z", "--stdin"],
        cwd=ROOT,
        input="\0".join(names),
        capture_output=True,
        text=True,
    )
    return names - set(done.stdout.split("\0"))


def start(names: Iterable[str], options: list[str]) -> subprocess.Popen[bytes]:
    """Start the tests that some files concern."""
    runner = [sys.executable, str(ROOT / "scripts/test-runner.py"), *options]
    return subprocess.Popen([*runner, *(f"--file={name}" for name in sorted(names))], cwd=ROOT)


def stop(runner: subprocess.Popen[bytes]) -> None:
    """Break the tests off; they clean up."""
    runner.send_signal(signal.SIGINT)
    runner.wait()


def main() -> int:
    """Watch until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="test-watch.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _, options = parser.parse_known_args()
    saved: set[str] = set()
    runner: subprocess.Popen[bytes] | None = None
    watching = False
    try:
        for changes in watch(
            ROOT, watch_filter=Sources(), debounce=SETTLE, rust_timeout=LOOK, yield_on_timeout=True
        ):
            if not watching:
                watching = True
                print("Watching; save a file to run its tests, Ctrl-C ends.", flush=True)
            if runner and runner.poll() is not None:
                if runner.returncode == 2:
                    return 2
                if runner.returncode == 0:
                    saved.clear()
                runner = None
            new = sources(path for _, path in changes)
            if new and concerned(ROOT, new, "was saved").integration:
                saved |= new
                if runner:
                    stop(runner)
                runner = start(saved, options)
    except KeyboardInterrupt:
        # It has reached the tests as well, and so does each one more, which they obey.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if runner:
            runner.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
