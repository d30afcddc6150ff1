"""The cost of a change of one service in CI, compared with testing everything.

To count the jobs, the rendered workflow runs at each size with make targets that do nothing. The
seconds come from a real project of three services, one job at a time, so that jobs do not slow each
other down.
"""

from __future__ import annotations

from statistics import mean, median

from tests.e2e.forge import Forge, Run

from .common import Bench, services

SIZES = (3, 10, 30)

#: The maximum number of turns, because each takes minutes.
TURNS = 3

#: Replaces the make targets when jobs are only counted.
NOTHING = "setup lint test-unit lint-integration test-service test-integration:\n\t@:\n"


#: The text of the section, before the rows of the table.
TEXT = """
## CI

The cost of two pushes in CI: one changes a service that no other service needs, and the other
changes a file that all services share. The seconds are the sum over all jobs, with warm caches and
without the time that the forge needs to start a job (median of {turns} measurements).

The seconds for 3 services are measured. In projects of 10 or 30 services, a change of one service
runs the same four jobs; the seconds for everything are extrapolated from the average job of a
service.

| services | jobs, one service | jobs, everything | seconds, one service | seconds, everything | one service ÷ everything |
| --- | --- | --- | --- | --- | --- |
"""


def section(bench: Bench) -> str:
    """Count jobs and time them."""
    turns = min(bench.runs, TURNS)
    one_seconds, all_seconds = timed(bench, turns)
    one_time = sum(one_seconds.values())
    each = mean(seconds for job, seconds in all_seconds.items() if job.startswith("service-"))
    rows = []
    for size in SIZES:
        bench.say(f"jobs of {size} services")
        one, everything = counted(bench, services(size))
        assert one == len(one_seconds), "a change of one service starts the same jobs at every size"
        all_time = sum(all_seconds.values()) + (everything - len(all_seconds)) * each
        rows.append(
            f"| {size} | {one} | {everything} | {one_time:.0f} | {all_time:.0f} "
            f"| {one_time / all_time:.0%} |"
        )
    return TEXT.format(turns=turns) + "".join(f"{row}\n" for row in rows)


def counted(bench: Bench, answer: str) -> tuple[int, int]:
    """Return the number of jobs for a change of the last service, and for everything."""
    project = bench.work / f"ci-{answer.count(',')}"
    bench.copy(bench.template, project, f"--data=services={answer}", "--skip-tasks")
    names = sorted(path.parent.name for path in project.glob("services/*/Makefile"))
    forge = Forge(project, project.with_name(f"{project.name}-forge"))
    makefiles = {f"services/{name}/Makefile": NOTHING for name in names}
    forge.start({"Makefile.local": NOTHING, **makefiles})
    last = answer.rpartition(", ")[2]
    return len(one_service(forge, last).jobs), len(passed(forge.push()).jobs)


def timed(bench: Bench, runs: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds of each job, for a change of the web page and for everything."""
    project = bench.project()
    forge = Forge(project, bench.work / f"{project.name}-forge")
    forge.start({})
    forge.options = ("--concurrent-jobs=1",)
    bench.say("CI, to warm up")
    passed(forge.push())
    ones, everythings = [], []
    for _ in bench.turns("CI", runs):
        ones.append(one_service(forge, "frontend").seconds)
        everythings.append(passed(forge.push()).seconds)
    return medians(ones), medians(everythings)


def one_service(forge: Forge, service: str) -> Run:
    """Run CI for a change of one service."""
    before = forge.git("rev-parse", "HEAD")
    forge.commit({f"services/{service}/CHANGE.md": f"{before}\n"})
    return passed(forge.push(before))


def passed(run: Run) -> Run:
    """Check that a run passed, and return it."""
    assert run.passed, run.said
    return run


def medians(turns: list[dict[str, float]]) -> dict[str, float]:
    """Return the median seconds of each job."""
    return {job: median(turn[job] for turn in turns) for job in turns[0]}
