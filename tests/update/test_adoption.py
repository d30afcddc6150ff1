"""The template is added to an existing project: no existing file changes, then or later."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ..e2e.conftest import clean_environment
from . import forked
from .conftest import ANSWERS, NEXT, NEXT_FILE, NOW, Project, git

FLASK = {
    "Dockerfile": "FROM python:3.13-slim\nCOPY . /app\nCMD flask --app shop run --host 0.0.0.0\n",
    ".dockerignore": ".git\n",
    "docker-compose.yml": "services:\n  web:\n    build: .\n    ports: ['5000:5000']\n",
    ".env": "SECRET_KEY=mine\n",
    ".gitignore": "*.pyc\n.env\n",
    "requirements.txt": "flask\n",
    "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndependencies = ["flask"]\n',
    "shop/__init__.py": "from flask import Flask\n\napp = Flask(__name__)\n",
    "tests/conftest.py": "import pytest\n",
    "tests/test_shop.py": "def test_nothing():\n    pass\n",
    "scripts/deploy.sh": "#!/bin/sh\necho deploy\n",
    "Makefile": "test:\n\tpytest\n",
    "README.md": "# Shop\n",
    ".github/workflows/ci.yml": "name: mine\non: push\njobs: {}\n",
}
NODE = {
    "package.json": '{"name": "board", "version": "1.0.0", "scripts": {"test": "node --test"}}\n',
    "package-lock.json": '{"name": "board", "lockfileVersion": 3}\n',
    "src/index.js": "console.log('hello')\n",
    "test/index.test.js": "// nothing\n",
    "Dockerfile": "FROM node:24\n",
    "compose.yaml": "services: {board: {build: .}}\n",
    ".editorconfig": "root = true\n",
    "LICENSE": "Mine.\n",
    "index.html": "<p>mine</p>\n",
}
THREE = {
    "services/orders/Dockerfile": "FROM scratch\n",
    "services/orders/main.go": "package main\n",
    "services/orders/Makefile": "setup test-unit:\n\tgo test\n",
    "services/orders/deploy/test/docker-compose.yml": "services: {}\n",
    "backend/pyproject.toml": '[project]\nname = "backend"\nversion = "1"\n',
    "backend/backend/__init__.py": "",
    "frontend/package.json": '{"name": "frontend"}\n',
    "frontend/Dockerfile": "FROM node:24\n",
    "frontend/.dockerignore": "node_modules\n",
    "docs/notes.md": "mine\n",
    "docker-compose.yml": "services:\n  orders: {build: services/orders}\n",
    ".github/workflows/test.yml": "name: mine\non: push\njobs: {}\n",
}
PROJECTS = {"flask": FLASK, "node": NODE, "three": THREE}


def existing(folder: Path, texts: dict[str, str], *, in_git: bool = True) -> Project:
    project = Project(folder)
    for name, text in texts.items():
        project.write(name, text)
    if in_git:
        git("init", "--quiet", "--initial-branch=main", cwd=folder)
        project.commit("theirs")
    return project


def adopt(project: Project, template: Path, *arguments: str, code: int = 0) -> str:
    """Run `copier copy` with the default answers, which it reads from the project."""
    command = (
        *("copy", "--trust", "--defaults", "--overwrite", f"--vcs-ref={NOW}"),
        *(*arguments, str(template), "."),
    )
    found, said = forked.run("copier", command, project.root, clean_environment())
    assert found == code, said
    return said


@pytest.mark.parametrize("in_git", [True, False])
@pytest.mark.parametrize("name", PROJECTS)
def test_no_existing_file_changes(name: str, in_git: bool, template: Path, tmp_path: Path) -> None:
    project = existing(tmp_path, PROJECTS[name], in_git=in_git)
    modes = {path: (tmp_path / path).stat().st_mode for path in PROJECTS[name]}
    before = project.files()
    # Even with --overwrite, by which Copier overwrites existing files without asking.
    adopt(project, template)
    after = project.files()
    assert {path: after[path] for path in before} == before
    assert {path: (tmp_path / path).stat().st_mode for path in PROJECTS[name]} == modes
    # The new files belong to the template; none is skeleton code.
    new = after.keys() - before.keys()
    assert "deploy/dev/docker-compose.yml" in new
    assert not [path for path in new if path.endswith(("app.py", "main.py", "main.ts"))]


def test_a_service_at_the_root_is_found_and_the_remaining_work_is_listed(
    template: Path, tmp_path: Path
) -> None:
    project = existing(tmp_path, FLASK)
    said = adopt(project, template)
    answers = project.answers()
    assert answers["layout"] == "multi"
    assert [service["path"] for service in answers["services"]] == ["."]
    assert list(answers["adopted"]) == [answers["services"][0]["name"]]
    lines = [line[4:] for line in said.splitlines() if line.startswith("  - ")]
    assert [line.partition(":")[0] for line in lines[-3:]] == [
        ".gitignore",
        "Makefile",
        ".github/workflows/ci.yml",
    ]
    assert "git mv" not in said


def test_the_printed_command_makes_the_pipelines_targets_the_default(
    template: Path, tmp_path: Path
) -> None:
    project = existing(tmp_path, FLASK)
    said = adopt(project, template)
    project.commit("adopt")
    [command] = re.findall(r"^ +(echo .*)$", said, re.MULTILINE)
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert "template-update" in project.make("help")
    assert "pytest" in project.make("own-test", "-n")
    assert project.read("Makefile") == FLASK["Makefile"]


def test_services_are_found_in_the_folders(template: Path, tmp_path: Path) -> None:
    project = existing(tmp_path, THREE)
    said = adopt(project, template)
    answers = project.answers()
    assert answers["layout"] == "multi"
    found = {service["name"]: service.get("path") for service in answers["services"]}
    # No compose file builds the others, and the output says so.
    assert found == {"orders": None}
    assert "frontend/Dockerfile: not taken" in said
    assert list(answers["adopted"]) == list(found)
    theirs = {name for name in THREE if not name.startswith("services/")}
    assert theirs <= project.files().keys()
    assert "git mv" not in said


@pytest.mark.parametrize("name", PROJECTS)
def test_later_updates_do_not_change_existing_files_either(
    name: str, template: Path, tmp_path: Path
) -> None:
    project = existing(tmp_path, PROJECTS[name])
    adopt(project, template)
    project.commit("adopt")
    before = project.files()
    said = project.template("update", f"--version={NEXT}")
    make = "make -f pipeline.mk" if "Makefile" in PROJECTS[name] else "make"
    assert f"Next: git diff --cached, {make} setup test, git commit\n" in said
    after = project.files()
    for path in PROJECTS[name]:
        assert after[path] == before[path]
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    if NEXT_FILE in PROJECTS[name]:
        assert changed == {ANSWERS}
        assert (
            f"- {NEXT_FILE} (not updated, because you took it over; the template's has changed)"
            in said
        )
    else:
        # An adopted project does not get this file, and an update does not add it.
        assert changed == {ANSWERS}


def test_an_empty_repository_is_not_adopted(template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    git("init", "--quiet", cwd=folder)
    project = Project(folder)
    said = adopt(project, template, "--data=python_version=3.13")
    assert project.answers()["services"] == ["api", "worker", "frontend"]
    assert project.answers()["adopted"] == {}
    assert "by hand" not in said


#: By problem: a path, the target if the path is a link, and a part of the line.
CLASHES = {
    "a file for a folder": ("deploy", "", "deploy is not a folder, and the template needs a folder"),
    "a file for a deeper one": ("deploy/dev", "", "deploy/dev is not a folder, and the template"),
    "a file for the workflows": (".github/workflows", "", ".github/workflows is not a folder, and"),
    "a file for the services": ("services", "", "services is not a folder, and the template"),
    "a folder for a file": ("renovate.json/x", "", "renovate.json is a folder, and the template needs a file"),
    "a link out": ("scripts", "..", "scripts is a link to a path outside the project"),
    "a link to nowhere": ("scripts", "nowhere", "scripts is not a folder, and the template"),
    "another template's answers": (
        ANSWERS, "", f"{ANSWERS} belongs to another template and would be overwritten; rename it, ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CLASHES)
def test_a_blocked_path_is_named_and_nothing_is_written(
    what: str, template: Path, tmp_path: Path
) -> None:
    path, target, reason = CLASHES[what]
    folder = tmp_path / "project"
    project = existing(folder, {"api/Dockerfile": "FROM scratch\n"}, in_git=False)
    if target:
        (folder / path).symlink_to(target)
    else:
        project.write(path, "_src_path: gh:them/theirs\nname: x\n", mode=0o755)
    before = project.files()
    said = adopt(project, template, code=1)
    assert said.splitlines()[-1].startswith(reason)
    assert "Traceback" not in said
    assert project.files() == before


def test_links_within_the_project_are_followed(template: Path, tmp_path: Path) -> None:
    project = existing(
        tmp_path, {"tools/x.sh": "mine\n", "api/Dockerfile": "FROM scratch\n"}, in_git=False
    )
    (tmp_path / "scripts").symlink_to("tools")
    adopt(project, template, "--skip-tasks")
    assert project.read("tools/x.sh") == "mine\n"
    assert project.path("tools/stack.py").exists()
