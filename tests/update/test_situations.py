"""Problems before an update begins: each is reported in one line, with a way out."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ..e2e.conftest import clean_environment
from .conftest import ANSWERS, NEXT, NOW, OLD, Fresh, Generate, Merged, Project, commit_version, git

Prepare = Callable[[Project], None]


def change(name: str, text: str) -> Prepare:
    return lambda project: project.write(name, text)


def commit(*prepares: Prepare) -> Prepare:
    def prepare(project: Project) -> None:
        for one in prepares:
            one(project)
        project.commit()

    return prepare


def replaced(old: str, new: str) -> Prepare:
    def prepare(project: Project) -> None:
        lines = project.read(ANSWERS).splitlines(keepends=True)
        lines = [new if line.startswith(old) else line for line in lines]
        project.write(ANSWERS, "".join(lines))

    return prepare


def without_git(project: Project) -> None:
    shutil.rmtree(project.root / ".git")


def unborn(project: Project) -> None:
    without_git(project)
    project.git("init", "--quiet")


def unmerged(project: Project) -> None:
    project.git("switch", "--quiet", "--create", "other")
    project.append("README.md", "one\n")
    project.commit()
    project.git("switch", "--quiet", "main")
    project.append("README.md", "other\n")
    project.commit()
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "merge", "other"]
    assert subprocess.run(command, cwd=project.root, capture_output=True).returncode == 1


def ignored(project: Project) -> None:
    project.append(".gitignore", f"{ANSWERS}\n")
    project.git("rm", "--quiet", "--cached", ANSWERS)
    project.git("add", ".gitignore")
    project.git("commit", "--quiet", "--message=ignore")


def detached(project: Project) -> None:
    project.git("checkout", "--quiet", "--detach")


def two_changes(project: Project) -> None:
    project.append("Makefile", "\n")
    project.append("README.md", "\n")


def deleted(project: Project) -> None:
    project.path(ANSWERS).unlink()


def linked(project: Project) -> None:
    project.path(ANSWERS).rename(project.path("answers.yml"))
    project.path(ANSWERS).symlink_to("answers.yml")


#: By problem: the function that creates it, the exit code, and a part of the line.
SITUATIONS: dict[str, tuple[Prepare, int, str]] = {
    "a change": (
        change("README.md", "x\n"), 2,
        "README.md is not committed; commit everything, or run git stash",
    ),
    "a new file": (change("new file", "x\n"), 2, '"new file" is not committed'),
    "two changes": (two_changes, 2, "Makefile and 1 more are not committed"),
    "no git": (without_git, 2, "is not in a git repository, and updates need one; run: git init"),
    "no commit": (unborn, 2, "the repository has no commit yet; run: git add --all"),
    "a detached HEAD": (
        detached, 2, "HEAD is detached, so a commit could get lost; create a branch: git switch",
    ),
    "unmerged files": (unmerged, 2, "an earlier merge left conflicts in README.md; resolve and commit them"),
    "a host that is not found": (
        commit(replaced("_src_path", "_src_path: https://template.invalid/x.git\n")), 3,
        "cannot fetch the template from https://template.invalid/x.git: unable to access",
    ),
    "a version that is gone": (
        commit(replaced("_commit", "_commit: v7.7.7\n")), 2, "has no version v7.7.7, which this project"
    ),
    "answers that are deleted": (deleted, 2, f"{ANSWERS} is deleted, and updates need it; restore it with: git restore {ANSWERS}"),
    "answers that were deleted": (commit(deleted), 2, "was deleted in "),
    "answers that are ignored": (ignored, 2, f"{ANSWERS} is not in git; run: git add --force"),
    "answers that are broken": (
        change(ANSWERS, "_commit: v1\nservices: [api\n"), 2,
        f"{ANSWERS} is not valid YAML (line 3); restore it with: git restore {ANSWERS}",
    ),
    "answers that were broken": (
        commit(change(ANSWERS, "api: [\n")), 2,
        f"{ANSWERS} is not valid YAML (line 2); restore it from an older commit; to find one, run: git ",
    ),
    "answers that are a link": (commit(linked), 2, f"{ANSWERS} is a link, and updates need a file; restore it"),
    "answers that are a list": (commit(change(ANSWERS, "- api\n")), 2, "contains no answers"),
    "answers without a version": (commit(replaced("_commit", "")), 2, "has no _commit"),
}  # fmt: skip


@pytest.fixture
def project(fresh: Fresh, tmp_path: Path) -> Project:
    shutil.copytree(fresh({"services": "engine:custom", "database": "none"}, NOW), tmp_path / "p")
    return Project(tmp_path / "p")


@pytest.mark.parametrize("what", SITUATIONS)
def test_one_line_and_nothing_was_changed(what: str, project: Project) -> None:
    prepare, code, reason = SITUATIONS[what]
    prepare(project)
    before = project.files()
    lines = project.template("update", code=code).splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("template.py: ")
    assert reason in lines[0]
    assert project.files() == before


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("/home/ann/the template", "/home/ann/the template"),
        ("~/the template", f"{Path.home()}/the template"),
        ("file:///home/ann/the%20template", "/home/ann/the template"),
        ("git+file:///home/ann/the%20template", "/home/ann/the template"),
    ],
)
def test_the_template_is_a_folder_of_another_machine(
    source: str, folder: str, project: Project
) -> None:
    commit(replaced("_src_path", f"_src_path: {source}\n"))(project)
    assert project.template("check", code=3) == (
        f"template.py: the template is the folder {folder}, which does not exist on this machine\n"
        f"Clone the template to that path, or set _src_path in {ANSWERS} to the URL of a published "
        "copy (docs/publish.md of the template) and commit.\n"
    )


def test_the_template_is_a_folder_that_git_finds_by_its_short_name(
    project: Project, template: Path, tmp_path: Path
) -> None:
    git("clone", "--quiet", "--bare", str(template), "bare.git", cwd=tmp_path)
    commit(replaced("_src_path", f"_src_path: {tmp_path / 'bare'}\n"))(project)
    assert f"{NEXT} is available" in project.template("check")


def test_git_is_missing(project: Project, tmp_path: Path) -> None:
    uv = shutil.which("uv")
    assert uv
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/uv").symlink_to(uv)
    output = project.template("check", code=2, PATH=str(tmp_path / "bin"))
    assert output == "template.py: git is not installed; install it first\n"


def test_another_users_repository(project: Project) -> None:
    output = project.template("check", code=2, GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert output == (
        f"template.py: detected dubious ownership in repository at '{project.root}': another "
        "user owns it; if you trust it, run: git config --global --add safe.directory "
        f"{project.root}\n"
    )


def test_characters_that_the_terminal_lacks_do_not_fail_an_update(project: Project) -> None:
    """A note contains `…`, and the name of a file is not valid UTF-8."""
    project.git("config", "core.quotePath", "false")
    name = b"services/engine/caf\xe9.txt"
    Path(os.fsdecode(bytes(project.root) + b"/" + name)).write_text("mine\n")
    project.commit()
    # The list of changed files contains it.
    output = project.template(
        "rename-service", "engine", "--to", "motor", PYTHONIOENCODING="ascii:strict"
    )
    assert "nothing was changed" not in output
    assert "in your .env files, rename ENGINE_\\u2026 to MOTOR_\\u2026" in output
    assert output.splitlines()[-1] == "Undo: uv run --script .git/template-update/undo.py"
    assert project.path("services/motor/app.py").exists()


def test_a_report_that_fails_does_not_say_that_nothing_was_changed(
    generate: Generate, merge: Merged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does it look like a failed update: the files are written, and the user can go on."""
    project = generate(services="engine:custom", database="none")
    monkeypatch.setattr(sys.modules["notes"], "env_examples", lambda *_: 1 // 0)
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    code, output = merge(project, "rename-service", "engine", "--to=motor", f"--ref={NOW}")
    assert code == 0
    assert errors.getvalue().startswith(
        "The update is complete and staged, but its report failed: "
    )
    assert output.splitlines()[-1].startswith("Undo: ")
    assert project.path("services/motor/app.py").exists()


def test_a_folder_that_is_not_a_project(tmp_path: Path) -> None:
    git("init", "--quiet", cwd=tmp_path)
    git("commit", "--quiet", "--allow-empty", "--message=x", cwd=tmp_path)
    output = Project(tmp_path).template("check", code=2)
    assert output == (
        f"template.py: this folder has no {ANSWERS}; run this in the root of a generated project\n"
    )


def test_an_update_to_an_older_version_is_refused(project: Project) -> None:
    output = project.template("update", f"--version={OLD[0]}", code=2)
    assert f"{OLD[0]} is older than {NOW}, which this project uses" in output.splitlines()[-1]
    assert project.status() == []


def test_an_unknown_version(project: Project, tmp_path: Path) -> None:
    """Even if git is configured to list tags in columns."""
    (tmp_path / "config").write_text("[column]\n\tui = always\n")
    output = project.template(
        *("update", "--version=v8"), code=2, GIT_CONFIG_GLOBAL=str(tmp_path / "config"),
        COLUMNS="200",
    )  # fmt: skip
    assert output.splitlines()[-1] == (
        f"template.py: the template has no version 'v8'; its newest releases: {NEXT}, {NOW}, "
        + ", ".join(reversed(OLD))
    )


def test_an_invalid_answer(project: Project) -> None:
    output = project.template("update", "-d", "license=GPL", code=2)
    assert "license" in output.splitlines()[-1]
    output = project.template("update", "-d", "licence=MIT", code=2)
    assert output.splitlines()[-1].startswith(
        "'licence' is not a question of the template; choose from project_name, "
    )
    output = project.template("update", "-d", "license", code=2)
    assert "'license' must be KEY=VALUE" in output.splitlines()[-1]
    assert project.status() == []


def test_uv_cannot_install_what_the_merge_needs(
    project: Project, template: Path, versions: Path, tmp_path: Path
) -> None:
    git("clone", "--quiet", str(template), "other", cwd=tmp_path)
    version = tmp_path / "v99.9.0"
    shutil.copytree(versions / NOW, version)
    script = version / "migrations/migrate.py"
    script.write_text(script.read_text().replace('"copier==', '"copier==99.'))
    commit_version(tmp_path / "other", version)
    replaced("_src_path", f"_src_path: {tmp_path / 'other'}\n")(project)
    project.commit()
    output = project.template("update", code=3, UV="uv")
    assert "copier==99." in output
    assert output.splitlines()[-1] == (
        "template.py: uv could not run the merge; the reason is above, and nothing was changed"
    )
    assert project.status() == []


@pytest.fixture(scope="module")
def plain(fresh: Fresh, tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("plain") / "p"
    shutil.copytree(fresh({"services": "engine:custom", "database": "none"}, NOW), root)
    return Project(root)


def test_plain_copier_of_an_older_version_says_so(plain: Project) -> None:
    done = subprocess.run(
        ["uvx", "--quiet", "--with", "copier-template-extensions", "--with", "jinja2-time",
         "copier@9.18.0", "update", "--trust", "--defaults"],
        cwd=plain.root, env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "This template requires Copier version >= 9.19.0" in done.stderr.splitlines()[-1]
    assert plain.status() == []


def test_plain_copier_refuses_an_older_version_too(plain: Project) -> None:
    output = plain.copier(f"--vcs-ref={OLD[0]}", code=1)
    assert "Downgrades are not supported" in output.splitlines()[-1]
    output = plain.copier(f"--vcs-ref={NOW}", "--data=layout=single", code=1)
    assert "layout 'single': a multi project cannot become single" in output.splitlines()[-1]
    assert plain.status() == []


def test_plain_copier_keeps_files_that_git_is_configured_not_to_show(project: Project) -> None:
    project.git("config", "status.showUntrackedFiles", "no")
    project.write("notes.txt", "mine\n")
    before = project.files()
    output = project.copier(f"--vcs-ref={NEXT}", code=1)
    assert "notes.txt is not committed; commit it or move it away" in output
    assert project.files() == before


def test_plain_copier_without_trust_changes_nothing(generate: Generate) -> None:
    """A hosted bot calls it so."""
    project = generate(services="engine:custom", database="none")
    before = project.files()
    for options in ((), ("--skip-tasks",)):
        done = subprocess.run(
            [sys.executable, "-m", "copier", "update", "--defaults", *options],
            cwd=project.root, env=clean_environment(), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 4
        assert "Template uses potentially unsafe features" in done.stderr
        assert project.files() == before
