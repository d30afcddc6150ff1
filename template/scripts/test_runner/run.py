# Kept by the template: copier update merges its changes into this file.
"""Runs the stages in order, and the targets of a stage in parallel, each with the stack it needs."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import compose, processes
from .builds import SharedBuild
from .diagnosis import StackError
from .display import Display
from .docker import DockerError
from .locks import Lock, Owner
from .preparation import Preparation
from .project import ROOT
from .retries import repeat, restore
from .target_state import set_state
from .targets import BAD, STAGES, State, Target

PLUGINS = Path(__file__).parent / "plugins"

#: Set in the environment of every target. A target that starts the runner again would loop forever,
#: so the runner refuses to start where this names its own project.
INSIDE = "TEST_RUNNER_ROOT"

ACTIVE = frozenset({State.PENDING, State.RUNNING})

#: Seconds between two looks at the progress of all targets. The end of a process is noticed at once.
TICK = 0.05

#: Seconds that child processes may keep running after their target has ended.
LINGER = 2.0

#: Memory that one target and its stack may need, in bytes.
MEMORY = 700 << 20


def default_jobs() -> int:
    """Return how many targets may run at the same time.

    One more than there are cores, since targets often wait for I/O; fewer if memory is short.
    """
    most = (os.cpu_count() or 1) + 1
    with suppress(OSError):  # Only Linux has this file.
        available = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
        if available:
            most = min(most, int(available[1]) * 1024 // MEMORY)
    return max(1, most)


@dataclass(frozen=True)
class Options:
    """The limits of a run."""

    jobs: int  #: how many targets may run at the same time
    timeout: float = 0  #: of one target, in seconds; 0: no limit
    run_timeout: float = 0  #: of the whole run, in seconds; 0: no limit
    fail_fast: bool = False  #: the first failed target ends its stage
    retries: int = 0  #: how often a failed target repeats its failed tests
    trace: bool = False  #: the services of the stacks send their traces


class Run:
    """One run of the selected targets."""

    def __init__(
        self,
        targets: list[Target],
        display: Display,
        options: Options,
        name: str,
        instance: str,
        caught: list[int],
    ) -> None:
        """Prepare a run. The signal handler appends each signal to `caught`; any entry stops the run."""
        self.targets, self.display, self.options = targets, display, options
        self.name, self.instance, self.caught = name, instance, caught
        self.began = time.monotonic()
        self.late = False  #: the run has reached its time limit
        self.left: list[str] = []  #: what could not be removed, and why
        #: Called while the last stacks are removed.
        self.meanwhile: Callable[[], None] = lambda: None
        self._stage = ""  #: the current stage
        self._failed_first = ""  #: the failed target that ends its stage
        self._announced_stop = False
        self._launcher = processes.Launcher()
        self._news = threading.Event()  #: a process or the start of a stack has ended
        self._preparations = {
            target.title: Preparation(target, instance, name, self._news, traced=options.trace)
            for target in targets
            if target.scope and target.state == State.PENDING
        }
        self._with_stacks = {one.stage for one in targets if one.title in self._preparations}
        # Only those stacks that start first: a failed stage must not have built what it did not need.
        first = [one.stack for one in list(self._preparations.values())[: options.jobs + 1]]
        build = SharedBuild(first)
        for stack in first:
            stack.build = build
        self._sweeper = threading.Thread(target=self._sweep, daemon=True)
        display.waiting = self._waiting

    @property
    def stopping(self) -> bool:
        """Whether the run must stop."""
        return bool(self.caught) or self.late

    @property
    def _given_up(self) -> bool:
        """Whether Ctrl-C was pressed three times. Then the next run cleans up."""
        return self.caught.count(signal.SIGINT) > 2

    def run(self) -> None:
        """Run the stages in order. Clean up after any kind of end."""
        lock = Lock(f"run.{self.name}")
        lock.take(Owner(os.getpid(), self.name))
        self._sweeper.start()
        passed = True
        try:
            for stage in STAGES:
                members = [target for target in self.targets if target.stage == stage]
                if members and passed and not self.stopping:
                    self._stage = stage
                    if all(target.state == State.CACHED for target in members):
                        self.display.stage_cached(stage, members)
                        continue
                    self.display.stage(stage)
                    passed = self._run_stage(members)
                elif members:
                    self.display.stage_not_run(stage)
                    for target in members:
                        if target.state == State.CACHED:  # Not reached, so it has no result.
                            target.state, target.cached = State.NOT_RUN, None
        finally:
            self._clean_up()
        if not self.left:
            lock.remove()
        lock.release()

    def _run_stage(self, members: list[Target]) -> bool:
        """Run all targets of a stage. Return whether none of them failed.

        With `fail_fast`, the first failure ends the other targets. Else they go on.
        """
        for target in members:
            if target.state in (State.SKIPPED, State.CACHED):
                self.display.finished(target)
        while any(target.state in ACTIVE for target in members):
            if self.options.fail_fast and not self._failed_first:
                self._failed_first = next((t.title for t in members if t.state in BAD), "")
            if self.stopping or self._failed_first:
                self._stop(members)
            else:
                self._prepare()
            for target in members:
                if target.state == State.RUNNING:
                    self._poll(target)
                elif target.state == State.PENDING:
                    self._start_if_possible(target)
            self.display.update()
            if any(target.state in ACTIVE for target in members):
                self._tick()
        return not any(target.state in BAD for target in members)

    def _tick(self) -> None:
        limit = self.options.run_timeout
        if limit and time.monotonic() - self.began > limit:
            self.late = True
        if not self.caught and (name := self._launcher.killed()):
            self.caught.append(signal.SIGTERM)
            self.display.note(f"{name} was killed")
        self._pause()

    def _pause(self) -> None:
        self._news.wait(TICK)
        self._news.clear()

    # STACKS -------------------------------------------------------------------
    def _sweep(self) -> None:
        with suppress(DockerError, OSError):  # Without Docker, a later run removes the rest.
            compose.sweep()
        self._news.set()

    def _prepare(self) -> None:
        """Start the stacks of this stage and of the next one that has any, up to the limit."""
        if self._sweeper.is_alive():
            return
        busy = sum(preparation.busy for preparation in self._preparations.values())
        stages = [stage for stage in STAGES if stage == self._stage or stage in self._with_stacks]
        near = stages[: stages.index(self._stage) + 2]
        for target in self.targets:
            preparation = self._preparations.get(target.title)
            if not preparation or target.stage not in near:
                continue
            # One stack more than there are jobs, so that the next target finds its stack ready.
            if busy <= self.options.jobs and not preparation.began:
                preparation.start()
                busy += 1

    def _waiting(self, target: Target) -> str:
        """Return what a target of the current stage is waiting for."""
        preparation = self._preparations.get(target.title)
        if not preparation or not preparation.began or preparation.ready.is_set():
            return ""
        seconds = time.monotonic() - preparation.began
        return f"starting {seconds:.1f}s" if target.stage == self._stage else ""

    # TARGETS ------------------------------------------------------------------
    def _start_if_possible(self, target: Target) -> None:
        if sum(other.state == State.RUNNING for other in self.targets) >= self.options.jobs:
            return
        preparation = self._preparations.get(target.title)
        if not preparation:
            self._start(target, {})
        elif preparation.ready.is_set():
            if error := preparation.error or preparation.died:
                self._broken(target, error)
            else:
                self._start(target, preparation.addresses)

    def _start(self, target: Target, addresses: Mapping[str, str]) -> None:
        target.state, target.began = State.RUNNING, time.monotonic()
        target.attempts = 1 + self.options.retries
        if preparation := self._preparations.get(target.title):
            preparation.stack.watch.in_use = True
        self._launch(target, addresses)

    def _launch(self, target: Target, addresses: Mapping[str, str]) -> None:
        python_path = [str(PLUGINS), os.environ.get("PYTHONPATH", "")]
        options = [os.environ.get("PYTEST_ADDOPTS", ""), "-p pytest_events"]
        own = {
            INSIDE: str(ROOT),
            "TEST_EVENTS": str(target.events.path),
            "TEST_JUNIT": str(target.junit),
            "TEST_EVENTS_REPORTER": str(PLUGINS / "vitest_events.mjs"),
            "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
            "PYTEST_ADDOPTS": " ".join(filter(None, options)),
        }
        if addresses:
            own["TEST_INSTANCE_ID"] = self.instance
        if target.selected:
            selection = target.log.with_suffix(".select.json")
            selection.write_text(json.dumps(target.selected))
            own["TEST_SELECT"] = str(selection)
            own["TEST_RETRY"] = str(int(target.attempt > 1))
        env = processes.environment(self.name, **own, **addresses, **target.env)
        with target.log.open("ab") as output:
            target.log_start = output.tell()
            try:
                command = [*target.command, *processes.variables(env)]
                target.process = processes.Process(command, output, env=env, ended=self._news.set)
            except OSError as error:
                target.ended = time.monotonic()
                target.state = State.FAILED
                target.note = f"cannot start {target.command[0]}: {error.strerror}"
                self._finish(target)

    def _poll(self, target: Target) -> None:
        """Read the progress of a running target, stop the target if necessary, and detect its end."""
        from .junit import read_junit  # Imported late: while the first tests run.

        process, limit = target.process, self.options.timeout
        assert process
        preparation = self._preparations.get(target.title)
        code = process.code()
        # Read only after the exit code is known, or the last output of the process could be missed.
        target.read()
        if code is None:
            if not target.timed_out and (self.late or (limit and target.seconds > limit)):
                target.timed_out, target.culprit = True, target.events.running
                if target.idle:  # Later it is unknown: pytest also ends when it is interrupted.
                    target.note = "; all tests had ended, but not the process"
            if preparation and preparation.died and not target.error:
                target.error, target.culprit = preparation.died, target.events.running
            if target.timed_out or target.error or self.stopping or self._failed_first:
                process.stop(at_once=self.caught.count(signal.SIGINT) > 1)
            return
        target.ended = process.ended
        leaked = process.running()
        if leaked and time.monotonic() - target.ended < LINGER:
            return
        process.signal(signal.SIGKILL)
        target.output.end()
        read_junit(target.junit, target.events, code)
        if self._repeat(target, code):
            return
        if target.error:
            target.state, target.note = State.BROKEN, target.error.what
        elif code and self.caught:
            target.state = State.INTERRUPTED
        elif code and target.timed_out:
            after = f"after {target.seconds:.0f}s"
            target.state, target.note = State.TIMED_OUT, f"{after}{target.note}"
        elif code and self._failed_first:
            self._not_run(target)
        else:
            set_state(target, code)
        if leaked and target.state == State.PASSED:
            target.note = "killed processes that it left running"
        self._finish(target)

    def _repeat(self, target: Target, code: int) -> bool:
        """Start a failed target again if it has attempts left. Return whether it was started."""
        if target.attempt >= target.attempts:
            return False
        if target.error or target.timed_out or self.stopping or self._failed_first:
            return False
        preparation = self._preparations.get(target.title)
        set_state(target, code)
        if target.state not in (State.FAILED, State.CRASHED):
            return False
        if preparation and preparation.stack.watch.broken():
            return False
        repeat(target)
        self.display.repeats(target)
        self._launch(target, preparation.addresses if preparation else {})
        return True

    def _finish(self, target: Target) -> None:
        restore(target)
        preparation = self._preparations.get(target.title)
        if preparation:
            target.warm = preparation.stack.warm
            if target.state in (State.FAILED, State.CRASHED, State.TIMED_OUT):
                if self.options.trace:
                    with suppress(DockerError):
                        target.spans = preparation.stack.spans()
                error = preparation.stack.watch.broken()
                if error:
                    target.state, target.error, target.note = State.BROKEN, error, error.what
            preparation.done.set()
        self.display.finished(target)

    def _broken(self, target: Target, error: StackError) -> None:
        target.state = State.IN_USE if error.in_use else State.BROKEN
        target.error, target.note = error, error.what
        self.display.finished(target)

    # THE END ------------------------------------------------------------------
    def _stop(self, members: list[Target]) -> None:
        """Skip the pending targets, and release the stacks that no running target uses."""
        if self.caught and not self._announced_stop:
            self._announced_stop = True
            self.display.note("Stopping: the tests are cleaning up. Ctrl-C again kills them.")
        for target in members:
            if target.state == State.PENDING:
                self._not_run(target)
                self.display.finished(target)
        for preparation in self._preparations.values():
            if not any(
                target.state == State.RUNNING
                for target in members
                if self._preparations.get(target.title) is preparation
            ):
                preparation.done.set()

    def _not_run(self, target: Target) -> None:
        target.state = State.NOT_RUN
        target.note = f"{self._failed_first} failed first" if self._failed_first else ""

    def _clean_up(self) -> None:
        """End running targets, remove the stacks, and record what could not be removed."""
        for target in self.targets:
            if target.process and target.state == State.RUNNING:
                target.process.end()
            if target.state in ACTIVE:
                target.state = State.NOT_RUN
        begun = [preparation for preparation in self._preparations.values() if preparation.began]
        for preparation in begun:
            preparation.done.set()
        self.meanwhile()
        threads = [self._sweeper, *begun]
        while any(thread.is_alive() for thread in threads) and not self._given_up:
            self.display.update()
            self._pause()
        self.left = [preparation.left for preparation in begun if preparation.left]
        self.left += [f"{one.stack.project} was not removed" for one in begun if one.is_alive()]
        if begun or any(target.process for target in self.targets):
            processes.kill_marked(self.name)
        if begun and not self._given_up:
            try:
                compose.remove_images(self.instance)
            except DockerError as error:
                self.left.append(f"cannot remove the images: {error}")
