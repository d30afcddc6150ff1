"""What a project's tests cost with the runner, against the same commands by hand."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from .common import Bench, Done, git, run

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


def runner(*options: str, cwd: Path, code: int = 0) -> Done:
    """Run the runner itself: make would turn its exit code into its own."""
    return run("uv", "run", "--script", "scripts/test-runner.py", *options, cwd=cwd, code=code)


def section(bench: Bench) -> str:
    """Measure everything."""
    project = ready(bench, ", ".join(SERVICES))
    texts = [commands(bench, project), change(bench, project), output(project)]
    shutil.rmtree(project)
    return "\n".join([*texts, overhead(bench), sizes(bench)])


def ready(bench: Bench, services: str) -> Path:
    """Generate a project, install what it needs, commit it, and run its tests once."""
    path = bench.project(f"services={services}")
    run("make", "setup", cwd=path)
    git("add", "--all", cwd=path)
    git("commit", "--quiet", "--message=Start", cwd=path)
    git("branch", "--force", "main", cwd=path)
    git("checkout", "--quiet", "-b", "change", cwd=path)
    bench.say("make test, to warm up")
    run("make", "test", cwd=path)
    return path


def commands(bench: Bench, project: Path) -> str:
    """Time `make test`, and by turns the same commands one after the other."""
    singles = {
        **{f"unit {name}": ["-C", f"services/{name}", "test-unit"] for name in SERVICES},
        **{f"service {name}": ["test-service", f"SERVICE={name}"] for name in SERVICES},
        "integration": ["test-integration"],
    }
    took: dict[str, list[float]] = {name: [] for name in ("make test", *singles)}
    sums, chains = [], []
    for _ in bench.turns("make test, and its commands by hand"):
        took["make test"].append(run("make", "test", cwd=project).seconds)
        for name, arguments in singles.items():
            took[name].append(run("make", *arguments, cwd=project).seconds)
        now = {name: seconds[-1] for name, seconds in took.items()}
        chain = max(now[f"unit {name}"] + now[f"service {name}"] for name in SERVICES)
        chains.append(now["make test"] / (chain + now["integration"]))
        sums.append(now["make test"] / sum(now[name] for name in singles))
    bench.at_most("make test ÷ its commands", median(sums), OF_SUM)
    bench.at_most("make test ÷ the longest chain", median(chains), OF_CHAIN)
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


def change(bench: Bench, project: Path) -> str:
    """Time what follows the edit of one service."""
    source = project / "services/worker/worker/main.py"
    text = source.read_text()
    full, changed, warm_full, warm_changed = [], [], [], []
    for turn in bench.turns("after an edit of one service"):
        source.write_text(f"{text}\n# {turn}\n")
        full.append(run("make", "test", cwd=project).seconds)
        source.write_text(f"{text}\n# {turn} again\n")
        changed.append(run("make", "test", "CHANGED=1", cwd=project).seconds)
    run("make", "test-infra-up", cwd=project)
    try:
        for turn in bench.turns("after an edit, with stacks that stay"):
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


def output(project: Path) -> str:
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
            rows.append(f"| {state} | {name} | {len(said.splitlines())} | {len(said.encode())} |")
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


def overhead(bench: Bench) -> str:
    """Time the runner over the bare command, for tests that take no time."""
    project = bench.work / "trivial"
    bench.copy(bench.template, project, "--data=services=x:custom", "--skip-tasks")
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
    for _ in range(5 * bench.runs):
        bare.append(run(*command, cwd=project).seconds)
        ours.append(runner("--stage=unit", cwd=project).seconds)
    more = median(b - a for a, b in zip(bare, ours, strict=True))
    limit = OVERHEAD * median(bare) + OVERHEAD_SECONDS
    bench.at_most("the runner's own seconds", more, limit)
    return f"""\
### What the runner adds

{TRIVIAL} tests that do nothing: `make -C services/x test-unit` takes {median(bare):.2f} s, the same through the
runner {median(ours):.2f} s. The median difference is {more:.2f} s; {limit:.2f} s ({OVERHEAD:.0%} and {OVERHEAD_SECONDS} s) are the limit.
"""


def sizes(bench: Bench) -> str:
    """Time and weigh the tests of projects of several sizes."""
    rows, first = [], 0.0
    for size in SIZES:
        bench.say(f"a project of {size}")
        names = [f"{SERVICES[i % 3]}-{i // 3 + 1}" for i in range(size)]
        project = ready(bench, ", ".join(names))
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
