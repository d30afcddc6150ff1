"""The time that a large existing repository adds to `copier copy`, and the time of make doctor."""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import median

import yaml

from .common import Bench, git, run, services

#: The limits in seconds: what the search adds, and the doctor's reading of 30 services.
ADDED, DOCTOR = 2.0, 3.0

FOLDERS, FILES = 10, 500
SOURCE = '"""A module."""\n\n\ndef add(left: int, right: int) -> int:\n    return left + right\n'
DOCKERFILE = """\
FROM python:3.13-slim
WORKDIR /app
COPY . .
EXPOSE 8000
CMD ["python", "-m", "http.server", "8000"]
"""


def repository(folder: Path) -> Path:
    """Create a repository of some services with 5,000 files, and commit it."""
    built = {}
    for number in range(FOLDERS):
        service = folder / "src" / f"service{number}"
        (service / "package").mkdir(parents=True)
        for file in range(FILES - 2):
            (service / "package" / f"module{file}.py").write_text(SOURCE)
        (service / "requirements.txt").write_text("fastapi\n")
        (service / "Dockerfile").write_text(DOCKERFILE)
        built[f"service{number}"] = {
            "build": f"src/service{number}",
            "ports": [f"{9000 + number}:8000"],
        }
    (folder / "compose.yaml").write_text(yaml.safe_dump({"services": built}))
    git("init", "--quiet", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--message=Start", cwd=folder)
    return folder


def section(bench: Bench) -> str:
    """Time adoptions of the repository, and copies of the same services to a new folder."""
    existing = repository(bench.work / "existing")
    answers = bench.work / "answers.yml"
    adopted, fresh = [], []
    for _ in bench.turns(f"adoption of {FOLDERS * FILES} files"):
        adopted.append(bench.copy(bench.template, existing, "--skip-tasks").cpu)
        found = yaml.safe_load((existing / ".copier-answers.yml").read_text())
        assert len(found["services"]) == FOLDERS
        git("clean", "--quiet", "--force", "-d", cwd=existing)
        # The placeholder's files instead of existing ones, at the same paths.
        answers.write_text(yaml.safe_dump({"services": found["services"]}))
        target = bench.work / "fresh"
        fresh.append(
            bench.copy(bench.template, target, "--skip-tasks", f"--data-file={answers}").cpu
        )
        shutil.rmtree(target)
    added = median(adopted) - median(fresh)
    bench.at_most("seconds that an adoption adds", added, ADDED)

    project = bench.work / "doctor"
    bench.copy(bench.template, project, "--skip-tasks", f"--data=services={services(30)}")
    git("init", "--quiet", cwd=project)
    git("add", "--all", cwd=project)
    command = ("uv", "run", "--quiet", "--script", "scripts/doctor.py", "--no-docker")
    run(*command, "--help", cwd=project)  # Installs what the script needs.
    seconds = [
        run(*command, "--no-linters", cwd=project).cpu
        for _ in bench.turns("make doctor of 30 services")
    ]
    bench.at_most("seconds of make doctor", median(seconds), DOCTOR)
    shutil.rmtree(project)
    return f"""\
## Adoption

In seconds of processor time. The repository has {FOLDERS * FILES} files and {FOLDERS} services. The doctor reads
30 services, without Docker and without the linters that it can call.

| what | seconds | limit |
| --- | --- | --- |
| `copier copy` in the repository | {median(adopted):.2f} | |
| `copier copy` of the same services to a new folder | {median(fresh):.2f} | |
| added by the search for services | {added:.2f} | {ADDED:.0f} |
| `scripts/doctor.py` | {median(seconds):.2f} | {DOCTOR:.0f} |
"""
