"""Measure the template and write docs/benchmarks.md: `nox -s bench`.

Seconds of different machines cannot be compared, so what counts are ratios: both sides are measured
in turns, in one run, and the median of several turns is taken. Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests import bench_update
from tests.conftest import ROOT, copy_template
from tests.e2e.conftest import PYTHON_VERSION, clean_environment

PAGE = ROOT / "docs/benchmarks.md"

#: `copier copy` of three services may take so many times what the same files take as they are.
TARGET = 1.6
SIZES = (1, 3, 10, 30)
STAGES = ("Unit", "Service", "Integration")


def services(count: int) -> str:
    """The answer for so many services: apis, workers and web pages in turn."""
    kinds = ("api", "worker", "frontend")
    return ", ".join(f"{kinds[i % 3]}-{i // 3 + 1}" for i in range(count))


def environment() -> dict[str, str]:
    """The environment for programs; Python may keep the bytecode that it has compiled."""
    env = clean_environment()
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def cpu_seconds() -> float:
    """The processor time of all programs that have ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def copy(template: Path, project: Path, *options: str) -> float:
    """Run `copier copy` as a program of its own; return its seconds of processor time."""
    before = cpu_seconds()
    subprocess.run(
        [sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--quiet", *options,
         str(template), str(project)],
        check=True, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return cpu_seconds() - before


def files(folder: Path) -> list[Path]:
    """The files of a project."""
    return [path for path in folder.rglob("*") if path.is_file()]


def template_of(project: Path, folder: Path) -> Path:
    """A template whose files are the project's, as they are: Copier has nothing to render."""
    shutil.copytree(project, folder / "template")
    (folder / "template/.copier-answers.yml").unlink()
    answers = "{{ _copier_answers | to_nice_yaml }}"
    (folder / "template/{{ _copier_conf.answers_file }}.jinja").write_text(answers)
    (folder / "copier.yml").write_text("_subdirectory: template\n")
    return folder


def render_table(runs: int, work: Path) -> tuple[list[str], float]:
    """Time the rendering at each size. Return the table's rows, and the ratio of three services."""
    template = work / "template"
    template.mkdir()
    copy_template(template)
    rows, seconds, found = [], {}, 0.0
    for size in SIZES:
        answers = f"--data=services={services(size)}"
        rendered = work / f"rendered-{size}"
        copy(template, rendered, answers, "--skip-tasks")
        static = template_of(rendered, work / f"static-{size}")
        count = len(files(rendered))
        ours, theirs = [], []
        for turn in range(runs):
            say(f"{size} services, turn {turn + 1} of {runs}")
            with folder_in(work) as target:
                ours.append(copy(template, target, answers, "--skip-tasks"))
                assert len(files(target)) == count
            with folder_in(work) as target:
                theirs.append(copy(static, target))
                assert len(files(target)) == count
        seconds[size] = median(ours)
        ratio = median(ours) / median(theirs)
        if size == 3:
            found = ratio
        before = max((known for known in seconds if known < size), default=None)
        more = "" if before is None else (
            f"{(seconds[size] - seconds[before]) / (size - before) / seconds[1]:.3f}"
        )  # fmt: skip
        rows.append(f"| {size} | {count} | {seconds[size]:.2f} | {more} | {ratio:.2f} |")
    return rows, found


@contextmanager
def folder_in(work: Path) -> Iterator[Path]:
    """A folder that is not there yet, removed after."""
    folder = work / f"target-{secrets.token_hex(3)}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stage_seconds(project: Path) -> dict[str, float]:
    """Run `make test`; return each stage's seconds, by the moments at which it announces them."""
    began: dict[str, float] = {}
    said = []
    with subprocess.Popen(
        ["make", "test"], cwd=project, env=environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        for line in process.stdout:
            said.append(line)
            if stage := re.match(rf"({'|'.join(STAGES)}) Tests", line):
                began[stage[1]] = time.perf_counter()
        ended = time.perf_counter()
    assert process.returncode == 0, "".join(said)
    assert tuple(began) == STAGES, "".join(said)
    ends = [*list(began.values())[1:], ended]
    return {stage: end - start for (stage, start), end in zip(began.items(), ends, strict=True)}


def base_of(dockerfile: Path) -> str:
    """The image that a Dockerfile's last stage stands on, through its own stages."""
    stages: dict[str, str] = {}
    image = ""
    for line in dockerfile.read_text().splitlines():
        if found := re.fullmatch(r"FROM (\S+)(?: AS (\S+))?", line, re.IGNORECASE):
            image = stages.get(found[1], found[1])
            stages[found[2] or ""] = image
    return image


def image_size(image: str) -> int:
    """The bytes of an image."""
    done = subprocess.run(
        ["docker", "image", "inspect", image], check=True, capture_output=True, text=True
    )
    return int(json.loads(done.stdout)[0]["Size"])


def docker_tables(runs: int, work: Path) -> tuple[list[str], list[str]]:
    """Time a project's tests and weigh its images. Return the rows of both tables."""
    slug = f"bench-{secrets.token_hex(3)}"
    project = work / slug
    answers = (f"project_slug={slug}", f"python_version={PYTHON_VERSION}")
    copy(work / "template", project, *(f"--data={answer}" for answer in answers))

    def make(*arguments: str) -> None:
        done = subprocess.run(
            ["make", *arguments], cwd=project, env=environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    images = {path.parent.name: path for path in sorted(project.glob("services/*/Dockerfile"))}
    registry = re.search(
        r"^registry: (.*)$", (project / ".copier-answers.yml").read_text(), re.MULTILINE
    )
    assert registry
    tags = {name: f"{registry[1]}/{slug}-{name}:bench" for name in images}
    try:
        say("make setup")
        make("setup")
        say("make build")
        make("build", "VERSION=bench")
        say("make test, to warm up")
        stage_seconds(project)
        turns = []
        for turn in range(runs):
            say(f"make test, turn {turn + 1} of {runs}")
            turns.append(stage_seconds(project))
        sizes = []
        for name, tag in tags.items():
            base = base_of(images[name])
            over = (image_size(tag) - image_size(base)) / 1e6
            sizes.append(f"| {name} | `{base}` | {over:.2f} MB |")
    finally:
        subprocess.run(["docker", "image", "rm", "--force", *tags.values()], capture_output=True)
    medians = {stage: median(turn[stage] for turn in turns) for stage in STAGES}
    total = sum(medians.values())
    stages = [f"| {s.lower()} | {t:.1f} | {t / total:.0%} |" for s, t in medians.items()]
    return [*stages, f"| all | {total:.1f} | 100% |"], sizes


def page(
    renders: Iterable[str],
    updates: list[str],
    docker: tuple[list[str], list[str]] | None,
    runs: int,
) -> str:
    """Write the page."""
    line = "\n"
    python = ".".join(map(str, sys.version_info[:2]))
    text = f"""\
# Benchmarks

Written by `uvx nox -s bench`; do not edit. Measured in one run on one machine with {os.cpu_count()} cores, with
Copier {version("copier")} on Python {python}. Each number is the median of {runs} turns, and the two sides of a ratio
take turns. Other machines have other seconds; the ratios are what to look at.

## Rendering

`copier copy` as a program of its own, without tasks, in seconds of processor time, which other work on
the machine changes least. The last column compares it with a template that holds the same files as
they come out, so that Copier copies them and renders none: {TARGET} times at 3 services is the target.
Growth is what each further service adds, as a part of the time for one: while it stays about the
same, time is linear.

| services | files | seconds | growth for each service | ÷ static files |
| --- | --- | --- | --- | --- |
{line.join(renders)}

{bench_update.section(updates)}
## A project's tests

"""
    if docker is None:
        return text + "Not measured: there was no Docker engine.\n"
    stages, sizes = docker
    return (
        text
        + f"""\
`make test` of api, worker and frontend with PostgreSQL, warm: dependencies are installed,
and the images' layers are in Docker's build cache.

| stage | seconds | of all |
| --- | --- | --- |
{line.join(stages)}

## Images

What each image adds to its base image: the service and its dependencies.

| service | base | over it |
| --- | --- | --- |
{line.join(sizes)}
"""
    )


def say(text: str) -> None:
    """Tell what is being done."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure, write the page, and say whether the target is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=5, help="turns of each measurement")
    parser.add_argument("--no-docker", action="store_true", help="leave out what needs an engine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        rows, ratio = render_table(options.runs, work)
        updates, slowest = bench_update.table(options.runs, work, services, say)
        no_engine = (
            options.no_docker
            or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
        )
        docker = None if no_engine else docker_tables(options.runs, work)
    PAGE.write_text(page(rows, updates, docker, options.runs))
    say(f"{PAGE.relative_to(ROOT)}: {ratio:.2f} times static files, {TARGET} at most")
    say(f"updates: {slowest:.2f} times copier update, {bench_update.TARGET} at most")
    return int(ratio > TARGET or slowest > bench_update.TARGET)


if __name__ == "__main__":
    sys.exit(main())
