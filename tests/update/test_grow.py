"""A single project grows into a multi project."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import (
    NEXT,
    NOW,
    OLD,
    Fresh,
    Generate,
    Project,
    files,
    git,
    same_answers,
)

KINDS = ("python-api", "python-worker", "node-api", "node-web", "custom")


def single(generate: Generate, kind: str, version: str = NOW, **answers: Any) -> Project:
    return generate({"layout": "single", "service_kind": kind, **answers}, version)


def grown_path(name: str, kind: str, service: str = "app", package: str = "app") -> str:
    """Return the new path of a single project's file."""
    if kind.startswith("python-"):
        name = re.sub(r"^src/app/", f"{package}/", name)
        name = re.sub(r"^src/", "", name)
    return f"services/{service}/{name}"


@pytest.mark.parametrize("kind", KINDS)
def test_an_unedited_project_becomes_the_same_as_a_new_one(
    kind: str, generate: Generate, fresh: Fresh
) -> None:
    project = single(generate, kind)
    before = project.files()
    project.make("template-grow")
    assert project.answers()["layout"] == "multi"
    found, wanted = project.files(), files(fresh(project.given(), NOW))
    same_answers(found, wanted)
    for name in [name for name in found if name.endswith(("uv.lock", "package-lock.json"))]:
        del found[name]
    # These belong to the user.
    for name in ("README.md", "AGENTS.md"):
        assert found.pop(name) == before[name]
        del wanted[name]
    assert found == wanted
    project.undo()
    assert project.files() == before


def edited(project: Project, kind: str) -> dict[str, str]:
    """Edit a single project in many files. Return what the grown project's files must contain."""
    source = {"python-api": "src/app/main.py", "python-worker": "src/app/main.py",
              "node-api": "src/main.ts", "node-web": "src/main.ts", "custom": "app.py"}[kind]  # fmt: skip
    package = "app/" if kind.startswith("python-") else "src/" if kind.startswith("node-") else ""
    comment = "// mine" if kind.startswith("node-") else "# mine"
    project.append(source, f"{comment}\n")
    text = project.read("Dockerfile")
    project.write("Dockerfile", text.replace("EXPOSE", "# mine\nEXPOSE", 1))
    project.write(f"{source.rpartition('/')[0] or '.'}/own.txt", "mine\n")
    project.write("tests/unit/own.txt", "mine\n")
    project.write("tests/unit/tool.sh", "#!/bin/sh\n", mode=0o755)
    project.write("assets/logo.txt", "mine\n")
    project.write("docs/notes.md", "mine\n")
    project.write("compose.yml", "services: {}\n")
    project.write("Makefile.local", "mine:\n")
    project.write(".pre-commit-config.yaml", "repos: []\n")
    project.write(".devcontainer/devcontainer.json", "{}\n")
    project.write("deploy/test/docker-compose.override.yml", "services: {}\n")
    project.append("README.md", "mine\n")
    project.append("deploy/prod/.env.example", "MINE=1\n")
    return {
        grown_path(source, kind): comment,
        "services/app/Dockerfile": "# mine\n",
        f"services/app/{package}own.txt": "mine\n",
        "services/app/tests/unit/own.txt": "mine\n",
        "services/app/tests/unit/tool.sh": "#!/bin/sh\n",
        "services/app/assets/logo.txt": "mine\n",
        "services/app/deploy/test/docker-compose.override.yml": "services: {}\n",
        "deploy/test/docker-compose.override.yml": "services: {}\n",
        "docs/notes.md": "mine\n",
        "compose.yml": "services: {}\n",
        "Makefile.local": "mine:\n",
        ".pre-commit-config.yaml": "repos: []\n",
        ".devcontainer/devcontainer.json": "{}\n",
        "README.md": "mine\n",
        "deploy/prod/.env.example": "MINE=1\n",
    }


@pytest.mark.parametrize("kind", ["python-api", "node-api", "node-web", "custom"])
def test_edits_added_files_executable_bits_and_history_are_kept(
    kind: str, generate: Generate
) -> None:
    project = single(generate, kind)
    wanted = edited(project, kind)
    project.commit()
    project.template("grow")
    for name, text in wanted.items():
        assert text in project.read(name), f"{name} has lost its edit"
    assert project.path("services/app/tests/unit/tool.sh").stat().st_mode & 0o111
    for gone in ("src", "Dockerfile", "assets", "tests/unit"):
        assert not project.path(gone).exists()
    assert not [line for line in project.status() if line[1] != " "]
    project.commit("grow")
    for name in (next(iter(wanted)), "services/app/Dockerfile", "services/app/assets/logo.txt"):
        log = project.git("log", "--follow", "--format=%s", "--", name).splitlines()
        assert log[:2] == ["grow", "edit"], name


def test_the_service_can_have_another_name(generate: Generate, fresh: Fresh) -> None:
    project = single(generate, "python-api")
    project.write(
        "src/app/own.py",
        "import app.settings\nfrom app import main\n\nprint(app.settings, main.app.x)\n",
    )
    project.write("tests/unit/test_own.py", "PLACE = 'app.settings'\n")
    project.write("src/helpers/more.py", "from app.main import create_app\n")
    project.commit()
    output = project.make("template-grow", "NAME=price-feed")
    assert project.answers()["services"] == ["price-feed"]
    assert project.read("services/price-feed/price_feed/own.py") == (
        "import price_feed.settings\nfrom price_feed import main\n\n"
        "print(price_feed.settings, main.app.x)\n"
    )
    assert "services/price-feed/tests/unit/test_own.py:1 still says 'app'" in output
    assert project.read("services/price-feed/helpers/more.py") == (
        "from price_feed.main import create_app\n"
    )
    assert "in your .env files, rename APP_… to PRICE_FEED_…" in output
    assert "To keep its data, rename the database and the role 'app' (" in output
    after = files(fresh(project.given(), NOW))
    found = project.files()
    for name in after:
        if name.startswith("services/") and not name.endswith("lock"):
            assert found[name] == after[name], name


def test_a_worker_keeps_its_kind_if_its_name_suggests_another(generate: Generate) -> None:
    project = single(generate, "python-worker", database="none", cache="redis")
    project.template("grow", "--name=app")
    assert project.answers()["services"] == ["app:python-worker"]
    assert project.answers()["cache"] == "redis"


def test_a_single_web_page_does_not_get_a_database(generate: Generate) -> None:
    project = single(generate, "node-web")
    project.template("grow")
    assert project.answers()["database"] == "none"


def test_a_conflict_is_reported_and_nothing_is_lost(generate: Generate) -> None:
    project = single(generate, "python-api")
    text = project.read("Dockerfile")
    project.write("Dockerfile", text.replace("src/app ./src/app", "src/app /elsewhere"))
    assert project.status(), "the Dockerfile no longer has the line that this test edits"
    project.commit()
    before = project.files()
    output = project.template("grow", code=1)
    assert "conflict: services/app/Dockerfile:" in output
    merged = project.read("services/app/Dockerfile")
    assert "755 src/app /elsewhere" in merged and "755 app ./app" in merged
    project.undo()
    assert project.files() == before


@pytest.mark.drills
def test_plain_copier_has_the_same_result(generate: Generate) -> None:
    project = single(generate, "python-api")
    edited(project, "python-api")
    project.commit()
    project.template("grow")
    ours = project.files()
    project.undo()
    project.copier("--vcs-ref=:current:", "--data=layout=multi")
    assert project.answers()["services"] == ["app"]
    assert project.files() == ours


def test_across_versions_the_source_gets_only_the_changes_of_the_move(
    generate: Generate, fresh: Fresh
) -> None:
    project = single(generate, "python-api", OLD[0])
    project.append("src/app/main.py", "# mine\n")
    project.commit()
    project.template("grow", "--name=api", f"--version={NEXT}")
    found = project.files()
    before = files(fresh(project.given(), OLD[0]))
    for name in ("main.py", "settings.py", "items.py"):
        assert (
            found[f"services/api/api/{name}"].removesuffix(b"# mine\n")
            == (before[f"services/api/api/{name}"])
        )
    after = files(fresh(project.given(), NEXT))
    for name in ("Makefile", "services/api/Dockerfile", "deploy/dev/docker-compose.yml"):
        assert found[name] == after[name]


def test_plain_copier_picks_the_service_of_the_same_kind(generate: Generate) -> None:
    project = single(generate, "node-web")
    project.append("src/main.ts", "// mine\n")
    project.commit()
    project.copier(
        "--vcs-ref=:current:", "--data=layout=multi", "--data=services=engine:custom, shop-web"
    )
    assert project.read("services/shop-web/src/main.ts").endswith("// mine\n")
    assert project.path("services/engine/app.py").exists()


def test_plain_copier_refuses_without_a_service_of_the_same_kind(generate: Generate) -> None:
    project = single(generate, "python-api")
    before = project.files()
    arguments = ("--data=layout=multi", "--data=services=engine:custom")
    output = project.copier("--vcs-ref=:current:", *arguments, code=1)
    assert (
        "the service of this project is a python-api, but none of engine is; add one of this kind, such"
        in output
    )
    assert project.files() == before
    assert project.status() == []


def test_in_a_folder_of_a_larger_repository(generate: Generate, tmp_path: Path) -> None:
    """The other folders may have uncommitted changes."""
    project = single(generate, "custom")
    shutil.rmtree(project.root / ".git")
    repository = tmp_path / "mono repo"
    folder = repository / "apps/the app"
    shutil.copytree(project.root, folder)
    (repository / "other").mkdir()
    (repository / "other/file.txt").write_text("theirs\n")
    project = Project(folder)
    git("init", "--quiet", "--initial-branch=main", cwd=repository)
    project.append("app.py", "# mine\n")
    git("add", "--all", cwd=repository)
    git("commit", "--quiet", "--message=Start", cwd=repository)
    (repository / "other/file.txt").write_text("changed\n")
    (repository / "other/new.txt").write_text("new\n")
    before = files(repository)

    output = project.template("grow")

    assert project.read("services/app/app.py").endswith("# mine\n")
    assert "mono repo" not in git("diff", "--cached", "--name-only", cwd=repository)
    undo = output.splitlines()[-1].removeprefix("Undo: ")
    shell(undo, folder)
    assert files(repository) == before
    assert git("diff", "--cached", "--name-only", cwd=repository) == ""


def shell(command: str, folder: Path) -> None:
    """Run a command that the output shows to the user."""
    subprocess.run(["bash", "-c", command], cwd=folder, check=True, capture_output=True)


def test_in_a_worktree_and_beside_a_submodule(generate: Generate, tmp_path: Path) -> None:
    project = single(generate, "custom")
    library = tmp_path / "library"
    library.mkdir()
    git("init", "--quiet", cwd=library)
    (library / "x.txt").write_text("x\n")
    git("add", "--all", cwd=library)
    git("commit", "--quiet", "--message=x", cwd=library)
    git(
        *("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library)),
        "vendor", cwd=project.root,
    )  # fmt: skip
    project.commit()
    output = project.template("grow", code=2)
    assert (
        "vendor is a submodule, which an update cannot move; run 'git rm vendor' and commit first, "
        "and add it as services/app/vendor with 'git submodule add' afterwards"
    ) in output
    assert project.status() == []
    project.git("rm", "--quiet", "--force", "vendor")
    project.commit("without")
    tree = tmp_path / "work tree"
    project.git("worktree", "add", "--quiet", "-b", "grow", str(tree))
    other = Project(tree)
    other.append("app.py", "# mine\n")
    other.commit()
    other.template("grow")
    assert other.read("services/app/app.py").endswith("# mine\n")
    assert project.status() == []
    other.commit("grow")
    assert other.status() == []


@pytest.mark.parametrize("autocrlf", ["true", "input"])
def test_with_windows_line_ends(autocrlf: str, generate: Generate) -> None:
    """In the working tree or in git: a file keeps its Windows line ends, without a conflict."""
    project = single(generate, "custom")
    project.write(".gitattributes", "")
    text = project.read("Dockerfile").replace("EXPOSE", "# mine\nEXPOSE")
    project.path("Dockerfile").write_bytes(text.replace("\n", "\r\n").encode())
    project.commit()
    if autocrlf == "true":
        project.git("config", "core.autocrlf", "true")
        project.git("rm", "--cached", "-r", "--quiet", ".")
        project.git("reset", "--hard", "--quiet")
    project.template("grow")
    found = project.path("services/app/Dockerfile").read_bytes()
    assert b"# mine\r\nEXPOSE" in found
    assert found.count(b"\r\n") == found.count(b"\n")
    if autocrlf == "true":
        compose = project.path("services/app/deploy/test/docker-compose.yml").read_bytes()
        assert compose.count(b"\r\n") == compose.count(b"\n")
    assert not [line for line in project.status() if line[1] != " "]


def test_growing_twice_is_refused(generate: Generate) -> None:
    project = single(generate, "custom")
    project.template("grow")
    project.commit("grow")
    output = project.template("grow", code=2)
    assert (
        "this project already allows several services; to add one, run: make add-service NAME=…"
        in output
    )
    for line in (
        project.template("add-service", "app", code=2),
        project.template("update", "-d", "layout=single", code=2),
    ):
        assert "nothing was changed" in line
    assert project.status() == []


def test_a_single_project_refuses_a_second_service(generate: Generate) -> None:
    project = single(generate, "custom")
    output = project.template("add-service", "billing", code=2)
    assert "to allow more, first run: make template-grow" in output


def test_an_existing_service_folder_is_refused(generate: Generate) -> None:
    project = single(generate, "custom")
    project.write("services/app/x.txt", "mine\n")
    project.commit()
    output = project.template("grow", code=2)
    assert "services/app/ already exists; move it away, or choose another name" in output
    assert project.status() == []
