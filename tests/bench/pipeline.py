"""The time of a project's tests with the runner, compared with the same commands by hand."""

from __future__ import annotations

import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from .common import Bench, Done, git, run

#: The limits: the time of `make test` divided by the commands in sequence, and by their longest
#: chain.
OF_SUM, OF_CHAIN = 0.45, 1.15

#: The limit for the runner's overhead: a part of the command's time, plus seconds.
OVERHEAD, OVERHEAD_SECONDS = 0.02, 0.2

#: The limit for the unit tests with PYTHONDONTWRITEBYTECODE, as in many images, divided by without it.
WITHOUT_BYTECODE = 1.5

#: The limits of the result cache: an unchanged run and a run after an edit, divided by a full run,
#: and the seconds for the keys of 3 services, and of 30 with many files.
UNCHANGED, EDITED = 0.1, 0.5
KEYS, MANY_KEYS = 0.3, 1.0
FILES = 20_000

#: Reads the inputs of all targets twice, and prints the seconds of the second time, and the seconds of
#: processor time, which other programs on the machine do not change.
KEY_TIME = """
import resource, sys, time
sys.path.insert(0, "scripts")
from test_runner import cache, targets
def processor():
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)

for _ in range(2):
    found = targets.find(["unit"] if sys.argv[1:] else [], [])
    began, before = time.perf_counter(), processor()
    run = cache.Cache(found)
    run.look_up()
    took, used = time.perf_counter() - began, processor() - before
    run.memo.save()
    time.sleep(2.1)  # A file that was just written is read again.
assert len(run.found) == len(found), [target.cache for target in found]
print(took, used)
"""

#: The limit for the start of a second worktree's development environment, divided by the first one's.
SECOND = 1.3

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
    """Start the runner directly, because make replaces its exit code."""
    return run("uv", "run", "--script", "scripts/test-runner.py", *options, cwd=cwd, code=code)


def section(bench: Bench) -> str:
    """Run all measurements of the pipeline."""
    project = ready(bench, ", ".join(SERVICES))
    texts = [
        commands(bench, project),
        change(bench, project),
        cached(bench, project),
        keys(bench),
        worktree(bench, project),
        bytecode(bench),
        output(project),
    ]
    shutil.rmtree(project)
    return "\n".join([*texts, overhead(bench), sizes(bench)])


def ready(bench: Bench, services: str) -> Path:
    """Generate a project, install its dependencies, commit it, and run its tests once."""
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
    """Measure `make test` and the same commands in sequence, in turns."""
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

`make test` of a project with api, worker, frontend and PostgreSQL, compared with the same commands
by hand, in sequence: `make -C services/… test-unit` and `make test-service` of each service, and
`make test-integration`. Dependencies are installed, and images are in Docker's build cache.

The longest chain is the unit tests of a service, its service tests, and the integration tests.
Separate commands cannot be faster than this chain, even if they run in parallel.

| | seconds |
| --- | --- |
{rows}

| `make test` compared with | ratio | limit |
| --- | --- | --- |
| the commands in sequence | {median(sums):.2f} | {OF_SUM} |
| their longest chain | {median(chains):.2f} | {OF_CHAIN} |
"""


def change(bench: Bench, project: Path) -> str:
    """Measure the tests after an edit of one service."""
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
            ("`make test` after `make test-infra-up`", warm_full),
            ("`make test CHANGED=1` after `make test-infra-up`", warm_changed),
        )
    )
    return f"""\
### After an edit

The time from an edit of the worker, which the api needs, to the result. `CHANGED=1` runs the unit
tests of the worker, the service tests of both services, and the integration tests.

| command | seconds | ÷ `make test` |
| --- | --- | --- |
{rows}
"""


#: What an edit changes of each service, and how a comment starts there.
EDITS = {
    "api": ("services/api/api/main.py", "#"),
    "worker": ("services/worker/worker/main.py", "#"),
    "frontend": ("services/frontend/src/main.ts", "//"),
}


def cached(bench: Bench, project: Path) -> str:
    """Measure `make test` with the result cache, and how long it takes to compute the keys."""
    cache = f"TEST_RESULT_CACHE={bench.work / 'results'}"
    make = ("env", cache, "make", "test")
    full, unchanged, lines, key = [], [], 0, []
    cold: dict[str, list[float]] = {name: [] for name in EDITS}
    kept: dict[str, list[float]] = {name: [] for name in EDITS}

    def edit(name: str, mark: str) -> float:
        file, comment = EDITS[name]
        source = project / file
        text = source.read_text()
        source.write_text(f"{text}\n{comment} {mark} {bench.work}\n")
        seconds = run(*make, cwd=project).seconds
        source.write_text(text)
        return seconds

    for turn in bench.turns("with the result cache"):
        full.append(run(*make, "FRESH=1", cwd=project).seconds)
        done = run(*make, cwd=project)
        unchanged.append(done.seconds)
        lines = max(lines, len(done.said.splitlines()))
        for name in EDITS:
            cold[name].append(edit(name, f"{turn} cached"))
        for name in EDITS:
            run("make", "test-infra-up", cwd=project)  # Also undoes the edit before.
            kept[name].append(edit(name, f"{turn} kept"))
        run("make", "test-infra-down", cwd=project)
        key.append(key_time(cache, project))
    base = median(full)
    bench.at_most("an unchanged run ÷ a full run", median(unchanged) / base, UNCHANGED)
    ratios = {name: median(seconds) / base for name, seconds in kept.items()}
    bench.at_most("a run after an edit ÷ a full run", median(ratios.values()), EDITED)
    took, used = (median(values) for values in zip(*key, strict=True))
    bench.at_most("seconds for the keys of 3 services", took, KEYS)
    rows = "\n".join(
        f"| after an edit of the {name}{where} | {median(seconds):.1f} | {median(seconds) / base:.2f} | |"
        for where, edited in (("", cold), (", with kept stacks", kept))
        for name, seconds in edited.items()
    )
    return f"""\
### The result cache

The frontend needs the api, and the api needs the worker. So after an edit of the worker, the service
tests of the api run too, and after an edit of the api those of the frontend. The integration tests run
after every edit. Kept stacks are those that `make test-infra-up` started before the edit.

| `make test` | seconds | ÷ full run | limit |
| --- | --- | --- | --- |
| with FRESH=1 | {base:.1f} | 1 | |
| again, unchanged: {lines} lines | {median(unchanged):.2f} | {median(unchanged) / base:.2f} | {UNCHANGED} |
{rows}
| after an edit, with kept stacks, median of the three | | {median(ratios.values()):.2f} | {EDITED} |

Without kept stacks, most of the time is the start of the stacks that contain the edited service.

The keys of its 7 targets take {took:.2f} s (limit {KEYS}), of which {used:.2f} s are processor time.
"""


def key_time(cache: str, project: Path, *arguments: str) -> tuple[float, float]:
    """Return the seconds to compute the keys of a project, and the seconds of processor time."""
    said = run("env", cache, sys.executable, "-c", KEY_TIME, *arguments, cwd=project).said
    took, used = map(float, said.split())
    return took, used


def worktree(bench: Bench, project: Path) -> str:
    """Measure `make dev` in the main checkout, and in a worktree at its first start beside it."""
    first, second = [], []
    run("make", "dev", cwd=project)
    run("make", "dev-down", cwd=project)
    for turn in bench.turns("a second development environment"):
        first.append(run("make", "dev", cwd=project).seconds)
        tree = bench.work / f"tree-{turn}"
        git("worktree", "add", "--quiet", "-b", tree.name, str(tree), cwd=project)
        second.append(run("make", "dev", cwd=tree).seconds)
        run("make", "dev-down", cwd=project)
        git("worktree", "remove", "--force", str(tree), cwd=project)
        run("make", "dev-clean", "ARGS=--yes", cwd=project)
    ratio = median(second) / median(first)
    bench.at_most("make dev in a second worktree ÷ in the first", ratio, SECOND)
    run("docker", "compose", "down", "--volumes", "--rmi=local", cwd=project / "deploy/dev")
    return f"""\
### A second development environment

`make dev` takes {median(first):.1f} s in the main checkout, whose images and data exist, and
{median(second):.1f} s at its first start in a worktree, while the first environment runs: a ratio of
{ratio:.2f} (limit {SECOND}).
"""


def bytecode(bench: Bench) -> str:
    """Measure unit tests where Python may not write bytecode files, after a setup there."""
    seconds: dict[str, list[float]] = {"": [], "1": []}
    projects = {}
    for value in seconds:
        project = projects[value] = bench.project(f"services={', '.join(SERVICES)}")
        run("env", f"PYTHONDONTWRITEBYTECODE={value}", "make", "setup", cwd=project)
    for _ in bench.turns("without bytecode"):
        for value, project in projects.items():
            command = ("env", f"PYTHONDONTWRITEBYTECODE={value}", "make", "test-unit")
            seconds[value].append(run(*command, cwd=project).seconds)
    for project in projects.values():
        shutil.rmtree(project)
    allowed, denied = (median(found) for found in seconds.values())
    bench.at_most("unit tests without bytecode ÷ with it", denied / allowed, WITHOUT_BYTECODE)
    return f"""\
### Without bytecode files

With PYTHONDONTWRITEBYTECODE=1, as in many images, `make setup` compiles the installed packages, since
Python would compile them again in each run. `make test-unit` takes {denied:.1f} s with the variable, and
{allowed:.1f} s without it: a ratio of {denied / allowed:.2f} (limit {WITHOUT_BYTECODE}).
"""


def keys(bench: Bench) -> str:
    """Measure how long it takes to compute the keys of many services with many files."""
    names = ", ".join(f"api-{number}" for number in range(30))
    project = bench.work / "many"
    bench.copy(bench.template, project, f"--data=services={names}", "--skip-tasks")
    for number in range(FILES):
        file = project / f"services/api-{number % 30}/data/{number // 1000}/{number}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'{{"number": {number}}}\n')
    cache = f"TEST_RESULT_CACHE={bench.work / 'many-results'}"
    measured = [key_time(cache, project, "unit") for _ in range(bench.runs)]
    seconds, used = (median(values) for values in zip(*measured, strict=True))
    bench.at_most("seconds for the keys of 30 services", seconds, MANY_KEYS)
    shutil.rmtree(project)
    return f"""\
With 30 services and {FILES} more files, the keys of the unit tests take {seconds:.2f} s (limit
{MANY_KEYS}), of which {used:.2f} s are processor time.
"""


def output(project: Path) -> str:
    """Count the lines and bytes of green and red output."""
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
### Amount of output

The output of the runner in a pipe for the unit tests of api and worker, compared with the output of
pytest for the same tests. In the red runs, a broken fixture fails 200 tests, and one more test
fails.

| result | command | lines | bytes |
| --- | --- | --- | --- |
{line.join(rows)}
"""


def overhead(bench: Bench) -> str:
    """Measure the runner's overhead over the direct command, for tests that take no time."""
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
    bench.at_most("seconds that the runner adds", more, limit)
    return f"""\
### Overhead of the runner

For {TRIVIAL} tests that do nothing, `make -C services/x test-unit` takes {median(bare):.2f} s, and
the same tests with the runner take {median(ours):.2f} s. The median difference is {more:.2f} s. The
limit is {limit:.2f} s ({OVERHEAD:.0%} plus {OVERHEAD_SECONDS} s).
"""


def sizes(bench: Bench) -> str:
    """Measure the time and memory of the tests, for projects of several sizes."""
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

`make test` with warm caches. The services are apis, workers and web pages in turn. The third column
is the time for each service, relative to a project with one service. The last column is the peak of
the machine's memory use, minus its use before the run.

| services | seconds | relative time for each service | GiB |
| --- | --- | --- | --- |
{line.join(rows)}
"""


@contextmanager
def memory() -> Iterator[list[int]]:
    """Measure the memory use of the machine: the list contains the added bytes at the peak."""
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
