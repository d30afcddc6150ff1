"""Every step of writing an update fails once: nothing is lost, and what is printed is true.

faults.py injects the faults. Here the results of real updates are computed once for each command.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT
from .conftest import NEXT, NEXT_FILE, NEXT_LINES, OLD, Computed, Generate
from .faults import KINDS, Job

#: The commands: the answers and the version to start with, and the command line.
COMMANDS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "update": ({"services": "api, engine:custom", "version": OLD[0]}, ("update",)),
    "add": ({"services": "engine:custom"}, ("add-service", "billing:custom")),
    "remove": ({"services": "engine:custom, shop:custom"}, ("remove-service", "shop")),
    "rename": ({"services": "engine:custom"}, ("rename-service", "engine", "--to=motor")),
    "grow": ({"layout": "single", "service_kind": "custom"}, ("grow",)),
}

#: How many faults of each command the default run injects. The variable FAULTS changes it.
SAMPLE = int(os.environ.get("FAULTS", "14"))


@pytest.fixture
def job(generate: Generate, computed: Computed) -> Callable[[str], Job]:
    """Return the function that computes what a command would write."""

    def made(command: str) -> Job:
        answers, arguments = COMMANDS[command]
        project = generate(database="none", **answers)
        text = project.read(NEXT_FILE)
        project.write(NEXT_FILE, text.replace(NEXT_LINES[0], "indent_size = 8\n"))
        project.commit()
        project.write("deploy/dev/.env", "API_PORT=1\n")
        before, result = computed(project, *arguments, f"--ref={NEXT}")
        return Job(str(project.root), before, result, [])

    return made


def injected(job: Job, faults: list[tuple[int, str, str]], folder: Path) -> list[dict[str, Any]]:
    """Inject faults, and return what each one left."""
    folder.mkdir(exist_ok=True)
    job.faults = faults
    (folder / "job").write_bytes(pickle.dumps(job))
    done = subprocess.run(
        [sys.executable, "-m", "tests.update.faults", folder / "job"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT / "migrations")},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def wrong(found: dict[str, Any], written: list[str]) -> str:
    """Return what is wrong after a fault, or "".

    Args:
        found: what is left.
        written: the paths that differ after a complete update.
    """
    outcome, differs = found["outcome"].split(" ")[0], set(found["differs"])
    if found["kind"].startswith("edit") and not found["edit"]:
        return "an edit is lost"
    edited = (
        {found["edited"], *map(str, Path(found["edited"]).parents)} if found["edited"] else set()
    )
    if outcome == "done":
        # Git has no empty folders, so one that cannot be removed does no harm.
        missing = {
            path
            for path in set(written) - differs - edited
            if not any(other.startswith(f"{path}/") for other in written)
        }
        return f"incomplete: {sorted(missing)}" if missing else ""
    if outcome == "unchanged" or found["outcome"] == "killed":
        rest = differs - edited
        return f"claims to have changed nothing: {sorted(rest)}" if rest else ""
    if outcome in ("not", "killed,"):
        # Folders and the index follow from the files.
        unnamed = {path for path in differs - edited if path not in found["message"]}
        files = {path for path in unnamed if path != ".git/index" or "index" in found["message"]}
        folders = {path for path in files if any(other.startswith(f"{path}/") for other in differs)}
        rest = files - folders - {".git/index"}
        return f"not named: {sorted(rest)}" if rest else ""
    return str(found["message"])


def check(job: Job, command: str, folder: Path, sample: int | None) -> int:
    [complete] = injected(job, [(10**6, "none", "")], folder)
    assert complete["outcome"].startswith("done"), complete
    count = int(complete["outcome"].split()[1])
    written = complete["differs"]
    dice = random.Random(command)
    # A person edits files of the project, and git's own file is not one of them.
    files = {path for path in {*job.before, *written} if not path.startswith(".git/")}
    paths = sorted(path for path in files if (Path(job.project) / path).is_file())
    faults = [
        (number, kind, dice.choice(paths) if kind.startswith("edit") else "")
        for number in range(count)
        for kind in KINDS
    ]
    if sample is not None:
        faults = dice.sample(faults, sample)
    found = injected(job, faults, folder)
    assert len(found) == len(faults)
    problems = [(one, reason) for one in found if (reason := wrong(one, written))]
    assert not problems, "\n\n".join(f"{reason}\n{one}" for one, reason in problems[:5])
    return len(found)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_sample_of_faults(command: str, job: Callable[[str], Job], tmp_path: Path) -> None:
    assert check(job(command), command, tmp_path / "faults", SAMPLE) == SAMPLE


@pytest.mark.drills
@pytest.mark.parametrize("command", COMMANDS)
def test_every_fault(command: str, job: Callable[[str], Job], tmp_path: Path) -> None:
    assert check(job(command), command, tmp_path / "faults", None) >= 60
