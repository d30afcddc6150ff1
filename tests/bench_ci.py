"""What a change of one service costs in CI, against testing everything: a part of tests/bench.py.

Jobs are counted where the rendered workflow runs, at each size, with make targets that do nothing.
Seconds are those of the jobs of a real project of three services, one job at a time, so that they
do not slow down one another.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

from tests.e2e.conftest import PYTHON_VERSION
from tests.e2e.forge import Forge, Run

SIZES = (3, 10, 30)

#: Turns at most: each takes minutes.
TURNS = 3

#: Stand in for all that jobs do, where they are only counted.
NOTHING = "setup lint test-unit lint-integration test-service test-integration:\n\t@:\n"


#: What the page says of the table.
TEXT = """
## CI

What a push that changes one service, which no other one needs, costs in CI, against one that changes
what all services share: jobs, counted where the workflow runs; and the seconds of all of them
together, warm, without what the forge needs to start each (the median of {turns} turns). Those of 3
services are measured; the same four jobs run for one service of 10 or 30, and what everything takes
there is made of the seconds that a service's job takes of 3, on average.

| services | jobs for one | for everything | seconds for one | for everything | one ÷ everything |
| --- | --- | --- | --- | --- | --- |
"""


def ci_section(
    copy: Callable[..., object],
    services: Callable[[int], str],
    say: Callable[[str], None],
    runs: int,
    work: Path,
) -> str:
    """Count jobs and time them. Return the section of the page.

    Args:
        copy: generates a project from a template into a folder, with options of `copier copy`.
        services: the answer for so many services.
        say: tells what is being done.
        runs: turns of each measurement.
        work: a folder that is removed later, with a copy of the template in it.
    """
    turns = min(runs, TURNS)
    one_seconds, all_seconds = timed(copy, say, turns, work)
    one_time = sum(one_seconds.values())
    each = mean(seconds for job, seconds in all_seconds.items() if job.startswith("service-"))
    rows = []
    for size in SIZES:
        say(f"jobs of {size} services")
        one, everything = counted(copy, services(size), work / f"ci-{size}")
        assert one == len(one_seconds), "a change of one service starts the same jobs at every size"
        all_time = sum(all_seconds.values()) + (everything - len(all_seconds)) * each
        rows.append(
            f"| {size} | {one} | {everything} | {one_time:.0f} | {all_time:.0f} "
            f"| {one_time / all_time:.0%} |"
        )
    return TEXT.format(turns=turns) + "".join(f"{row}\n" for row in rows)


def counted(copy: Callable[..., object], services: str, project: Path) -> tuple[int, int]:
    """Return how many jobs a change of the last service starts, and how many everything is."""
    copy(project.parent / "template", project, f"--data=services={services}", "--skip-tasks")
    names = sorted(path.parent.name for path in project.glob("services/*/Makefile"))
    forge = Forge(project, project.with_name(f"{project.name}-forge"))
    makefiles = {f"services/{name}/Makefile": NOTHING for name in names}
    forge.start({"Makefile.local": NOTHING, **makefiles})
    last = services.rpartition(", ")[2]
    return len(one_service(forge, last).jobs), len(passed(forge.push()).jobs)


def timed(
    copy: Callable[..., object], say: Callable[[str], None], runs: int, work: Path
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds of each job: for a change of the web page, and for everything."""
    slug = f"bench-{secrets.token_hex(3)}"
    project = work / slug
    answers = (f"project_slug={slug}", f"python_version={PYTHON_VERSION}")
    copy(work / "template", project, *(f"--data={answer}" for answer in answers))
    forge = Forge(project, work / f"{slug}-forge")
    forge.start({})
    forge.options = ("--concurrent-jobs=1",)
    say("CI, to warm up")
    passed(forge.push())
    ones, everythings = [], []
    for turn in range(runs):
        say(f"CI, turn {turn + 1} of {runs}")
        ones.append(one_service(forge, "frontend").seconds)
        everythings.append(passed(forge.push()).seconds)
    return medians(ones), medians(everythings)


def one_service(forge: Forge, service: str) -> Run:
    """Run CI for a change of one service."""
    before = forge.git("rev-parse", "HEAD")
    forge.commit({f"services/{service}/CHANGE.md": f"{before}\n"})
    return passed(forge.push(before))


def passed(run: Run) -> Run:
    """Return a run, which must have passed."""
    assert run.passed, run.said
    return run


def medians(turns: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each job."""
    return {job: median(turn[job] for turn in turns) for job in turns[0]}
