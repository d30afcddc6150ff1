"""A version of the template that renames files and answers by a step."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from .conftest import ANSWERS, NOW, Generate, Project, commit_version, git

RENAMED = "v99.2.0"

#: The step of the new version, and the step of a later version, which must not run yet.
STEPS = '''

@step("99.2.0")
def the_check_of_the_tools_has_moved(change: Change) -> None:
    """Until 99.2 the check was in scripts/, and the author had an email."""
    change.move("scripts/check-tools.sh", "scripts/tools/check.sh")
    change.move("deploy/prod/", "deploy/production/")
    change.rename_answer("author_email", "author_address")


@step("99.3.0")
def later(change: Change) -> None:
    """A step of a later version."""
    raise AssertionError
'''

QUESTION = """\
colour:
  type: str
  default: blue

"""

CHANGELOG = """\
## 99.2.0 - 2099-01-01

- The check of the tools has its own folder.
  When you update: call it there.

"""


def rename(version: Path) -> None:
    """Rename in a version of the template what its step renames, and change a line of a moved file."""
    for path in version.rglob("*"):
        if (
            path.is_file()
            and "__pycache__" not in path.parts
            and b"author_email" in path.read_bytes()
        ):
            path.write_text(path.read_text().replace("author_email", "author_address"))
    changelog = version / "CHANGELOG.md"
    text = changelog.read_text().replace("## Unreleased", CHANGELOG + "## Unreleased")
    changelog.write_text(text)
    settings = version / "copier.yml"
    text = settings.read_text().replace('"3.13", "3.12"]', '"3.13"]')
    assert '"3.12"' not in text
    settings.write_text(text.replace("# COMPUTED", QUESTION + "# COMPUTED"))
    scripts = version / "template/scripts"
    (scripts / "tools").mkdir()
    script = (scripts / "check-tools.sh").rename(scripts / "tools/check.sh")
    text, count = re.subn(r"(?m)^at_least\(\) .*$", r"\g<0>  # newer", script.read_text())
    assert count == 1
    script.write_text(text)
    shutil.move(version / "template/deploy/prod", version / "template/deploy/production")
    steps = version / "migrations/steps.py"
    steps.write_text(steps.read_text() + STEPS)


@pytest.fixture(scope="module")
def renaming(template: Path, versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with one more version."""
    work = tmp_path_factory.mktemp("renaming")
    git("clone", "--quiet", str(template), str(work / "template"), cwd=work)
    shutil.copytree(versions / NOW, work / RENAMED)
    rename(work / RENAMED)
    commit_version(work / "template", work / RENAMED)
    return work / "template"


@pytest.fixture
def project(generate: Generate, template: Path, renaming: Path) -> Project:
    made = generate(
        services="engine:custom", database="none", author_email="ada@example.com",
        python_version="3.12",
    )  # fmt: skip
    made.write(ANSWERS, made.read(ANSWERS).replace(str(template), str(renaming)))
    text = made.read("scripts/check-tools.sh")
    made.write("scripts/check-tools.sh", text.replace("fail() {", "# mine\nfail() {"), mode=0o755)
    made.write("deploy/prod/docker-compose.override.yml", "services: {}\n")
    made.append("deploy/prod/.env.example", "MINE=1\n")
    made.commit()
    return made


def test_renamed_files_and_answers_keep_what_is_in_them(project: Project) -> None:
    output = project.template("update")
    assert "- python_version is now '3.15', because '3.12' is no longer a valid answer\n" in output
    assert "- colour is a new question, answered with its default 'blue'. To change it: " in output
    script = project.read("scripts/tools/check.sh")
    assert "# mine\nfail() {" in script
    assert "# newer" in script
    assert project.path("scripts/tools/check.sh").stat().st_mode & 0o111
    assert project.read("deploy/production/.env.example").endswith("MINE=1\n")
    # The user's own file in that folder has moved, too.
    assert project.path("deploy/production/docker-compose.override.yml").exists()
    for gone in ("scripts/check-tools.sh", "deploy/prod"):
        assert not project.path(gone).exists()
    answers = project.answers()
    assert answers["author_address"] == "ada@example.com"
    assert "author_email" not in answers
    assert not [line for line in project.status() if line[1] != " "]
    project.commit("update")
    log = project.git("log", "--follow", "--format=%s", "--", "scripts/tools/check.sh")
    assert log.splitlines() == ["update", "edit", "Start"]


def test_a_second_update_changes_nothing(project: Project) -> None:
    project.template("update")
    project.commit("update")
    assert project.template("update").splitlines()[-1] == f"{RENAMED} is the newest version."
    project.template("update", "-d", "author_address=ada@example.com")
    assert project.status() == []
    project.copier("--vcs-ref=:current:")
    assert project.status() == []


def test_plain_copier_does_the_same(project: Project) -> None:
    project.template("update")
    ours = project.files()
    project.undo()
    project.copier()
    found = project.files()
    assert found == ours


def test_a_file_at_the_new_path_is_refused(project: Project) -> None:
    project.write("scripts/tools/check.sh", "mine\n")
    project.commit()
    before = project.files()
    output = project.template("update", code=2)
    assert output.splitlines()[-1] == (
        "cannot move scripts/check-tools.sh to scripts/tools/check.sh, because another file has that "
        "path; move that file away first; nothing was changed"
    )
    assert project.files() == before


def test_the_changelog_is_shown_before_and_after(project: Project) -> None:
    entry = "- The check of the tools has its own folder.\n  When you update: call it there.\n"
    output = project.make("template-check")
    assert output.startswith(f"{RENAMED} is available; this project uses {NOW}.\n")
    assert entry in output
    assert output.endswith("Next: make template-update\n")
    assert project.status() == []
    output = project.make("template-update")
    assert output.index(entry) < output.index(f"{NOW} -> {RENAMED}\n")
    assert output.splitlines()[-1] == "Undo: uv run --script .git/template-update/undo.py"
    project.commit("update")
    assert project.template("check") == f"{RENAMED} is the newest version.\n"
