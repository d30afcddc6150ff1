"""`make lint` after an update: it needs no edit of the user's, even if the template adds a linter."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from ..e2e.conftest import PYTHON_VERSION
from .conftest import ANSWERS, NOW, OLD, Generate, commit_version, git

pytestmark = pytest.mark.programs

MORE_LINTERS = "v99.2.0"

#: The service that is linted: the smallest one.
ANSWERS_OF_WORKER = {"services": "worker", "python_version": PYTHON_VERSION}


def add_linter(version: Path) -> None:
    """Add codespell to the linters of a version of the template."""
    [script] = (version / "template/scripts").rglob("python.sh")
    pins = script.with_name("requirements.txt")
    pins.write_text(f"{pins.read_text()}codespell==2.4.1\n")
    text, count = re.subn(
        r"(?m)^  linter mypy$", r"\g<0>\n  linter codespell --skip=uv.lock .", script.read_text()
    )
    assert count == 1
    script.write_text(text)


@pytest.fixture
def linting(template: Path, versions: Path, tmp_path: Path) -> Path:
    """Return the template with one more version, which has one more linter."""
    git("clone", "--quiet", str(template), "template", cwd=tmp_path)
    shutil.copytree(versions / NOW, tmp_path / MORE_LINTERS)
    add_linter(tmp_path / MORE_LINTERS)
    commit_version(tmp_path / "template", tmp_path / MORE_LINTERS)
    return tmp_path / "template"


def test_lint_passes_after_an_update_that_adds_a_linter(
    generate: Generate, template: Path, linting: Path
) -> None:
    project = generate(ANSWERS_OF_WORKER)
    project.write(ANSWERS, project.read(ANSWERS).replace(str(template), str(linting)))
    project.append("services/worker/worker/heartbeat.py", "# A misspelled word: recieve\n")
    project.make("-C", "services/worker", "lint")
    # The lock file, too, which the command has just made.
    project.commit()

    project.template("update")

    output = project.make("-C", "services/worker", "lint", code=2)
    assert "heartbeat.py" in output
    assert "recieve ==> receive" in output
    text = project.read("services/worker/worker/heartbeat.py")
    project.write("services/worker/worker/heartbeat.py", text.replace("recieve", "receive"))
    project.make("-C", "services/worker", "lint")


def test_lint_passes_after_an_update_from_the_last_version(generate: Generate) -> None:
    project = generate(ANSWERS_OF_WORKER, OLD[-1])
    project.template("update", f"--version={NOW}")
    output = project.make("-C", "services/worker", "setup", "lint")
    assert "All checks passed!" in output
    assert "Success: no issues found" in output
