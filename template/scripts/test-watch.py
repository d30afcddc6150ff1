#!/usr/bin/env -S uv run --script
# Kept by the template: copier update merges its changes into this file.
# /// script
# requires-python = ">=3.11"
# dependencies = ["psutil>=6", "rich>=13.7", "watchfiles>=1"]
# ///
"""Watch the project, and run the tests affected by each saved file, until Ctrl-C.

If a file is saved while tests run, the tests stop and start again. They then
cover all files saved since all tests last passed. Stacks that
`make test-infra-up` started stay up and are updated. Options are passed to
scripts/test-runner.py.
"""

from __future__ import annotations

import sys

# This folder last, because it may contain a module of yours with the name of another, such as types.py.
# With PYTHONSAFEPATH, Python leaves the folder out.
sys.path = [*sys.path[not sys.flags.safe_path :], __file__.rpartition("/")[0]]

import argparse
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from test_runner.changes import affected_by
from test_runner.git import GitError, git
from test_runner.project import ROOT
from watchfiles import DefaultFilter, watch

#: Milliseconds to wait for an editor that saves in several steps, and between two polls of the tests.
SETTLE, POLL = 100, 200


class Sources(DefaultFilter):
    """A filter for source files, without the folders that tools create."""

    ignore_dirs = (*DefaultFilter.ignore_dirs, ".nox", ".ruff_cache", ".test-results", "dist")


def sources(paths: Iterable[str]) -> set[str]:
    """Return paths relative to the project's root, without folders and files that git ignores."""
    names = {os.path.relpath(path, ROOT) for path in paths if not Path(path).is_dir()}
    if not names:
        return names
    try:
        ignored = git(ROOT, "check-ignore", "-z", "--stdin", stdin="\0".join(names))
    except GitError:  # No file is ignored, this is not a repository, or git is not installed.
        return names
    return names - set(ignored.split("\0"))


def start(names: Iterable[str], options: list[str]) -> subprocess.Popen[bytes]:
    """Start the test runner for the tests affected by some files."""
    runner = [sys.executable, str(ROOT / "scripts/test-runner.py"), *options]
    return subprocess.Popen([*runner, *(f"--file={name}" for name in sorted(names))], cwd=ROOT)


def stop(runner: subprocess.Popen[bytes]) -> int:
    """Interrupt the tests, wait until they have cleaned up, and return the runner's exit code."""
    runner.send_signal(signal.SIGINT)
    return runner.wait()


def main() -> int:
    """Run the command line."""
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
            ROOT, watch_filter=Sources(), debounce=SETTLE, rust_timeout=POLL, yield_on_timeout=True
        ):
            if not watching:
                watching = True
                print("Watching: save a file to run its tests. Press Ctrl-C to stop.", flush=True)
            if runner and runner.poll() is not None:
                if runner.returncode == 2:
                    return 2
                if runner.returncode == 0:
                    saved.clear()
                runner = None
            new = sources(path for _, path in changes)
            if new and affected_by(ROOT, new, "was saved").integration:
                # The tests may have passed just before they were interrupted.
                if runner and stop(runner) == 0:
                    saved.clear()
                saved |= new
                runner = start(saved, options)
    except KeyboardInterrupt:
        # The terminal sent Ctrl-C to the tests too, so they are stopping. Wait for them, and leave
        # any further Ctrl-C to them.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if runner:
            runner.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
