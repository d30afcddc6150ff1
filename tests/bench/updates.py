"""The time of updates: this template's commands compared with plain `copier update`.

Plain Copier runs without the template's migrations, so this measures Copier's own merge.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from statistics import median

from tests.conftest import copy_template

from .common import Bench, git, run, services

#: The limit: an update's time divided by the time of Copier's own update.
TARGET = 1.5
SIZES = (3, 10, 30)

#: The changes of the second version: one file of the project, and one file of each service.
CHANGES = {
    "template/.editorconfig": ("indent_size = 2", "indent_size = 3"),
    "includes/make.jinja": ("uv run mypy", "uv run mypy --pretty"),
}

#: The entry in copier.yml that leaves updates to the migrations.
EXCLUDED = "'*' if _copier_operation == 'update' else ''"


def versions(folder: Path, *, migrations: bool) -> Path:
    """Create a template with two versions."""
    folder.mkdir()
    copy_template(folder)
    settings = folder / "copier.yml"
    if not migrations:
        text = settings.read_text().partition("# MIGRATIONS")[0]
        assert EXCLUDED in text
        settings.write_text(text.replace(EXCLUDED, "''"))
    git("init", "--quiet", cwd=folder)
    for tag in ("v1.0.0", "v1.1.0"):
        git("add", "--all", cwd=folder)
        git("commit", "--quiet", "--message", tag, cwd=folder)
        git("tag", tag, cwd=folder)
        for name, change in CHANGES.items():
            (folder / name).write_text((folder / name).read_text().replace(*change))
    git("checkout", "--quiet", "--force", "v1.1.0", cwd=folder)
    return folder


def generated(template: Path, project: Path, answer: str) -> Path:
    """Generate a project from the first version, and commit it."""
    run(
        *(sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--quiet"),
        *("--skip-tasks", "--vcs-ref=v1.0.0", f"--data=services={answer}"),
        *(str(template), str(project)),
        cwd=template,
    )
    git("init", "--quiet", cwd=project)
    git("add", "--all", cwd=project)
    git("commit", "--quiet", "--message=Start", cwd=project)
    return project


def section(bench: Bench) -> str:
    """Time both commands at each size."""
    ours = versions(bench.work / "with-migrations", migrations=True)
    plain = versions(bench.work / "without-migrations", migrations=False)
    script = ("uv", "run", "--quiet", "--script", "scripts/template.py")
    copier = (sys.executable, "-m", "copier", "update", "--trust", "--defaults", "--quiet")
    rows, worst = [], 0.0
    for size in SIZES:
        projects = [
            generated(template, bench.work / f"{template.name}-{size}", services(size))
            for template in (ours, plain)
        ]
        # A custom service has no lock file, whose creation would depend on the network.
        new = "one-more:custom"
        commands = {
            "update": ((*script, "update"), copier),
            "add-service": (
                (*script, "add-service", new),
                (*copier, "--vcs-ref=:current:", f"--data=services={services(size)}, {new}"),
            ),
        }
        for name, sides in commands.items():
            seconds: list[list[float]] = [[], []]
            for _ in bench.turns(f"{name}, {size} services"):
                for side, (project, command) in enumerate(zip(projects, sides, strict=True)):
                    seconds[side].append(run(*command, cwd=project).cpu)
                    git("reset", "--quiet", "--hard", cwd=project)
                    git("clean", "--quiet", "--force", "-d", cwd=project)
            mine, theirs = map(median, seconds)
            worst = max(worst, mine / theirs)
            rows.append(f"| {name} | {size} | {mine:.2f} | {theirs:.2f} | {mine / theirs:.2f} |")
        for project in projects:
            shutil.rmtree(project)
    bench.at_most("an update ÷ copier update", worst, TARGET)
    line = "\n"
    return f"""\
## Updates

`make template-update` and `make add-service`, compared with plain `copier update` of the same
template without its migrations, in seconds of processor time. Our update renders two projects
instead of three, and does not start git for every file. The limit for the ratio is {TARGET}.

| command | services | seconds | copier update | ÷ |
| --- | --- | --- | --- | --- |
{line.join(rows)}
"""
