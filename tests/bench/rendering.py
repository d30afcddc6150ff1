"""The time of `copier copy`, compared with copying the same files without rendering."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from .common import Bench, services

#: The limit for three services: the time of `copier copy` divided by the time for static files.
TARGET = 1.3
SIZES = (1, 3, 10, 30)


def section(bench: Bench) -> str:
    """Time the rendering at each size."""
    rows, seconds = [], dict[int, float]()
    for size in SIZES:
        answers = f"--data=services={services(size)}"
        rendered = bench.work / f"rendered-{size}"
        bench.copy(bench.template, rendered, answers, "--skip-tasks")
        static = template_of(rendered, bench.work / f"static-{size}")
        count = len(files(rendered))
        ours, theirs = [], []
        for _ in bench.turns(f"copier copy of {size} services"):
            with folder_in(bench.work) as target:
                ours.append(bench.copy(bench.template, target, answers, "--skip-tasks").cpu)
                assert len(files(target)) == count
            with folder_in(bench.work) as target:
                theirs.append(bench.copy(static, target).cpu)
                assert len(files(target)) == count
        seconds[size] = median(ours)
        ratio = median(ours) / median(theirs)
        if size == 3:
            bench.at_most("copier copy ÷ static files", ratio, TARGET)
        before = max((known for known in seconds if known < size), default=None)
        more = "" if before is None else (
            f"{(seconds[size] - seconds[before]) / (size - before) / seconds[1]:.3f}"
        )  # fmt: skip
        rows.append(f"| {size} | {count} | {seconds[size]:.2f} | {more} | {ratio:.2f} |")
    line = "\n"
    return f"""\
## Rendering

The time of `copier copy` without tasks, in seconds of processor time, which depends least on other
work on the machine.

- The last column compares it with a template that contains the rendered files, so that Copier only
  copies them. The limit for 3 services is {TARGET}.
- The growth is the time that each additional service adds, relative to the time for one service. If
  it stays about the same, the time is linear.

| services | files | seconds | growth for each service | ÷ static files |
| --- | --- | --- | --- | --- |
{line.join(rows)}
"""


def files(folder: Path) -> list[Path]:
    """Return the files of a project."""
    return [path for path in folder.rglob("*") if path.is_file()]


def template_of(project: Path, folder: Path) -> Path:
    """Create a template from the files of a project, in which Copier has nothing to render."""
    shutil.copytree(project, folder / "template")
    (folder / "template/.copier-answers.yml").unlink()
    answers = "{{ _copier_answers | to_nice_yaml }}"
    (folder / "template/{{ _copier_conf.answers_file }}.jinja").write_text(answers)
    (folder / "copier.yml").write_text("_subdirectory: template\n")
    return folder


@contextmanager
def folder_in(work: Path) -> Iterator[Path]:
    """Provide the path of a new folder, and delete the folder afterwards."""
    folder = work / f"target-{secrets.token_hex(3)}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
