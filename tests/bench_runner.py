"""What a project's tests cost with the runner, against the same commands by hand: a part of bench.py."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.e2e.conftest import PYTHON_VERSION, clean_environment

#: `make test` may take so many times the same commands one after the other, and their longest chain.
OF_SUM, OF_CHAIN = 0.5, 1.15

#: The runner may add so much to a command, and so many seconds besides.
OVERHEAD, OVERHEAD_SECONDS = 0.02, 0.2

SIZES = (1, 3, 10, 20)
SERVICES = ("api", "worker", "frontend")
TRIVIAL = 955

#: A broken fixture that fails 200 tests, and one more failure.
BROKEN = """
import pytest

@pytest.fixture(scope="session")
def database(): raise RuntimeError("no database")

@pytest.mark.parametrize("n", range(200))
def test_one_cause(database, n): pass

def test_another(): assert {"a": 1, "b": [1, 2]} == {"a": 1, "b": [1, 3]}
"""


@dataclass
class Done:
    """A command that ended well."""

    seconds: float
    said: str


def environment() -> dict[str, str]:
    """The environment for programs; Python may keep the bytecode that it has compiled."""
    env = clean_environment()
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def run(*command: str, cwd: Path, code: int = 0) -> Done:
    """Run a command; return how long it took and what it said."""
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return Done(time.perf_counter() - began, done.stdout)


def runner(*options: str, cwd: Path, code: int = 0) -> Done:
    """Run the runner itself: make would turn its exit code into its own."""
    return run("uv", "run", "--script", "scripts/test-runner.py", *options, cwd=cwd, code=code)


class Bench:
    """The projects that are measured."""

    def __init__(
        self, copy: Callable[..., object], say: Callable[[str], None], work: Path, runs: int
    ) -> None:
        self.copy, self.say, self.work, self.runs = copy, say, work, runs

    def project(self, services: str) -> Path:
        """Generate a project, install what it needs, commit it, and run its tests once."""
        slug = f"bench-{secrets.token_hex(3)}"
        path = self.work / slug
        answers = (
            f"project_slug={slug}",
            f"python_version={PYTHON_VERSION}",
            f"services={services}",
        )
        self.copy(self.work / "template", path, *(f"--data={answer}" for answer in answers))
        run("make", "setup", cwd=path)
        git = ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.com")
        run(*git, "add", "--all", cwd=path)
        run(*git, "commit", "--quiet", "--message=Start", cwd=path)
        run("git", "branch", "--force", "main", cwd=path)
        run("git", "checkout", "--quiet", "-b", "change", cwd=path)
        self.say("make test, to warm up")
        run("make", "test", cwd=path)
        return path

    def turns(self, what: str) -> Iterator[int]:
        """Say which turn it is."""
        for turn in range(self.runs):
            self.say(f"{what}, turn {turn + 1} of {self.runs}")
            yield turn

    def sections(self) -> tuple[list[str], list[str]]:
        """Measure everything. Return the sections of the page, and the targets that were missed."""
        self.missed: list[str] = []
        project = self.project(", ".join(SERVICES))
        texts = [self.commands(project), self.change(project), self.output(project)]
        shutil.rmtree(project)
        return [*texts, self.overhead(), self.sizes()], self.missed

    def at_most(self, what: str, value: float, limit: float) -> None:
        """Note a target that is missed."""
        if value > limit:
            self.missed.append(f"{what}: {value:.2f}, {limit:.2f} at most")

    # WHAT IS MEASURED ---------------------------------------------------------
    def commands(self, project: Path) -> str:
        """Time `make test`, and by turns the same commands one after the other."""
        units = {name: ("make", "-C", f"services/{name}", "test-unit") for name in SERVICES}
        services = {name: ("make", "test-service", f"SERVICE={name}") for name in SERVICES}
        singles = {f"unit {name}": command for name, command in units.items()}
        singles |= {f"service {name}": command for name, command in services.items()}
        singles["integration"] = ("make", "test-integration")
        took: dict[str, list[float]] = {name: [] for name in ("make test", *singles)}
        sums, chains = [], []
        for _ in self.turns("make test, and its commands by hand"):
            took["make test"].append(run("make", "test", cwd=project).seconds)
            for name, command in singles.items():
                took[name].append(run(*command, cwd=project).seconds)
            now = {name: seconds[-1] for name, seconds in took.items()}
            chain = max(now[f"unit {name}"] + now[f"service {name}"] for name in SERVICES)
            chains.append(now["make test"] / (chain + now["integration"]))
            sums.append(now["make test"] / sum(now[name] for name in singles))
        self.at_most("make test ÷ its commands", median(sums), OF_SUM)
        self.at_most("make test ÷ the longest chain", median(chains), OF_CHAIN)
        rows = "\n".join(f"| {name} | {median(seconds):.1f} |" for name, seconds in took.items())
        return f"""\
## A project's tests

`make test` of api, worker and frontend with PostgreSQL, warm (dependencies are installed, images are in
Docker's build cache), against its commands by hand, one after the other: `make -C services/… test-unit`
and `make test-service` of each service, `make test-integration`. The longest chain is what nobody can
go below who starts each of them by itself: a service's unit tests, its service tests, the integration
tests.

| | seconds |
| --- | --- |
{rows}

| `make test` against | times | at most |
| --- | --- | --- |
| the commands one after the other | {median(sums):.2f} | {OF_SUM} |
| their longest chain | {median(chains):.2f} | {OF_CHAIN} |
"""

    def change(self, project: Path) -> str:
        """Time what follows the edit of one service."""
        source = project / "services/worker/worker/main.py"
        text = source.read_text()
        full, changed, warm_full, warm_changed = [], [], [], []
        for turn in self.turns("after an edit of one service"):
            source.write_text(f"{text}\n# {turn}\n")
            full.append(run("make", "test", cwd=project).seconds)
            source.write_text(f"{text}\n# {turn} again\n")
            changed.append(run("make", "test", "CHANGED=1", cwd=project).seconds)
        run("make", "test-infra-up", cwd=project)
        try:
            for turn in self.turns("after an edit, with stacks that stay"):
                source.write_text(f"{text}\n# {turn} warm\n")
                warm_full.append(run("make", "test", cwd=project).seconds)
                source.write_text(f"{text}\n# {turn} warm again\n")
                warm_changed.append(run("make", "test", "CHANGED=1", cwd=project).seconds)
        finally:
            run("make", "test-infra-down", cwd=project)
            source.write_text(text)
        base = median(full)
        rows = "\n".join(
            f"| {name} | {median(seconds):.1f} | {median(seconds) / base:.2f} |"
            for name, seconds in (
                ("`make test`", full),
                ("`make test CHANGED=1`", changed),
                ("`make test`, stacks kept by `make test-infra-up`", warm_full),
                ("`make test CHANGED=1`, stacks kept", warm_changed),
            )
        )
        return f"""\
### After an edit

From an edit of the worker, which the api needs, to the verdict. `CHANGED=1` runs its unit tests, the
service tests of both, and the integration tests.

| | seconds | ÷ the first |
| --- | --- | --- |
{rows}
"""

    def output(self, project: Path) -> str:
        """Count what one has to read, of green runs and of red ones."""
        suites = [project / f"services/{name}" for name in ("api", "worker")]
        rows = []
        for state, code in (("green", 0), ("red", 1)):
            test = suites[0] / "tests/unit/test_broken.py"
            if code:
                test.write_text(BROKEN)
            try:
                ours = runner(
                    "--stage=unit", "--service=api", "--service=worker", cwd=project, code=code
                )
                counts = [("the runner", ours.said)]
                for flag in ("-q", "-v"):
                    said = ""
                    for suite in suites:
                        ends = code if suite is suites[0] else 0
                        said += run(
                            "uv", "run", "pytest", "tests/unit", flag, cwd=suite, code=ends
                        ).said
                    counts.append((f"pytest {flag}", said))
            finally:
                test.unlink(missing_ok=True)
            for name, said in counts:
                rows.append(
                    f"| {state} | {name} | {len(said.splitlines())} | {len(said.encode())} |"
                )
        whole = run("make", "test", cwd=project).said
        rows.append(
            f"| green | `make test`, all stages | {len(whole.splitlines())} | {len(whole.encode())} |"
        )
        line = "\n"
        return f"""\
### What one has to read

The unit tests of api and worker: what the runner prints on a pipe, and what pytest does for the same
suites. The red ones are a broken fixture that fails 200 tests, and one more failure.

| | | lines | bytes |
| --- | --- | --- | --- |
{line.join(rows)}
"""

    def overhead(self) -> str:
        """Time the runner over the bare command, for tests that take no time."""
        project = self.work / "trivial"
        self.copy(self.work / "template", project, "--data=services=x:custom", "--skip-tasks")
        service = project / "services/x"
        shutil.rmtree(service / "tests")
        run("uv", "venv", "--quiet", cwd=service)
        run("uv", "pip", "install", "--quiet", "pytest", cwd=service)
        (service / "Makefile").write_text("test-unit:\n\t@.venv/bin/python -m pytest -q tests\n")
        for number in range(38):
            count = TRIVIAL // 38 + (number < TRIVIAL % 38)
            tests = "".join(f"def test_{n}(): assert True\n" for n in range(count))
            (service / "tests").mkdir(exist_ok=True)
            (service / f"tests/test_{number}.py").write_text(tests)
        command = ("make", "-C", "services/x", "test-unit")
        run(*command, cwd=project)
        runner("--stage=unit", cwd=project)
        bare, ours = [], []
        for _ in range(5 * self.runs):
            bare.append(run(*command, cwd=project).seconds)
            ours.append(runner("--stage=unit", cwd=project).seconds)
        more = median(b - a for a, b in zip(bare, ours, strict=True))
        limit = OVERHEAD * median(bare) + OVERHEAD_SECONDS
        self.at_most("the runner's own seconds", more, limit)
        return f"""\
### What the runner adds

{TRIVIAL} tests that do nothing: `make -C services/x test-unit` takes {median(bare):.2f} s, the same through the
runner {median(ours):.2f} s. The median difference is {more:.2f} s; {limit:.2f} s ({OVERHEAD:.0%} and {OVERHEAD_SECONDS} s) are the limit.
"""

    def sizes(self) -> str:
        """Time and weigh the tests of projects of several sizes."""
        rows, first = [], 0.0
        for size in SIZES:
            self.say(f"a project of {size}")
            names = [f"{SERVICES[i % 3]}-{i // 3 + 1}" for i in range(size)]
            project = self.project(", ".join(names))
            with memory() as peak:
                seconds = median(run("make", "test", cwd=project).seconds for _ in range(2))
            first = first or seconds
            rows.append(
                f"| {size} | {seconds:.0f} | {seconds / first / size:.2f} | {peak[0] / 2**30:.1f} |"
            )
            shutil.rmtree(project)
        line = "\n"
        return f"""\
### Many services

`make test`, warm, of apis, workers and web pages in turn. The third column is a service's share of the
time, as a part of what one alone takes; the last one is how much memory the whole machine used at the
most, over what it used before.

| services | seconds | share | GiB |
| --- | --- | --- | --- |
{line.join(rows)}
"""


@contextmanager
def memory() -> Iterator[list[int]]:
    """Watch the memory that the whole machine uses; the list holds the peak over the start, in bytes."""
    peak, over = [0], threading.Event()

    def used() -> int:
        found = re.search(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())
        assert found
        return -int(found[1]) * 1024

    start = used()

    def watch() -> None:
        while not over.wait(0.2):
            peak[0] = max(peak[0], used() - start)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
