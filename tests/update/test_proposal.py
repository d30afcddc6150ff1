"""The workflow's script: a real branch in a real remote; the forge's API is a stand-in, as no forge
can run here. It takes what GitHub and Gitea take alike, and refuses what each of them may refuse.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from ..conftest import ROOT
from ..e2e.conftest import clean_environment
from .conftest import NEXT, NEXT_FILE, NEXT_LINES, NOW, Generate, Project, git

SCRIPT = ROOT / "template/scripts/propose-template-update.py"


@dataclass
class Forge:
    """What a forge has been asked, and what it refuses."""

    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    url: str = ""


@pytest.fixture
def forge() -> Iterator[Forge]:
    known = Forge()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({})

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self.answer(json.loads(self.rfile.read(length)))

        def answer(self, body: dict[str, Any]) -> None:
            known.asked.append((self.command, self.path, body))
            path = self.path.partition("?")[0].removeprefix("/api/repos/me/shop/")
            code = 401 if self.headers["Authorization"] != "token secret" else 200
            code = known.refused.get(f"{self.command} {path}", code)
            found: Any = (
                known.issues if self.command == "GET" else {"html_url": f"http://f/{path}/1"}
            )
            content = json.dumps(found if code == 200 else {"message": "not permitted"}).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield known
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def project(generate: Generate, tmp_path: Path) -> Project:
    made = generate(services="engine:custom", database="none")
    git("init", "--quiet", "--bare", str(tmp_path / "origin.git"), cwd=tmp_path)
    made.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    made.git("push", "--quiet", "origin", "main")
    return made


def propose(project: Project, forge: Forge, code: int = 0) -> str:
    done = subprocess.run(
        ["uv", "run", "--quiet", "--script", str(SCRIPT)],
        cwd=project.root, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=clean_environment(
            GITHUB_API_URL=f"{forge.url}/api", GITHUB_SERVER_URL=forge.url,
            GITHUB_REPOSITORY="me/shop", GITHUB_REF_NAME="main", TOKEN="secret",
        ),
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    assert "secret" not in done.stdout
    return done.stdout


def test_a_pull_request_is_opened_once(project: Project, forge: Forge) -> None:
    said = propose(project, forge)
    assert said.splitlines()[-1] == "Opened http://f/pulls/1"
    [(method, path, body)] = forge.asked
    assert (method, path) == ("POST", "/api/repos/me/shop/pulls")
    assert body["title"] == f"Update the template to {NEXT}"
    assert (body["head"], body["base"]) == (f"template-update-{NEXT}", "main")
    assert body["body"].startswith(f"From {NOW} to {NEXT}, by `make template-update`.")
    changed = project.git("diff", "--name-only", "main", f"origin/template-update-{NEXT}")
    assert changed.split() == [".copier-answers.yml", NEXT_FILE]
    project.git("switch", "--quiet", "main")
    assert "was proposed already" in propose(project, forge)
    assert len(forge.asked) == 1


def test_conflicts_are_in_the_branch_and_named(project: Project, forge: Forge) -> None:
    text = project.read(NEXT_FILE).replace(NEXT_LINES[0], "indent_size = 8\n")
    project.write(NEXT_FILE, text)
    project.commit()
    propose(project, forge)
    [(_, _, body)] = forge.asked
    assert body["title"].endswith(" (with conflicts)")
    assert re.search(rf"^- {NEXT_FILE}:\d+$", body["body"], re.MULTILINE)
    branch = f"origin/template-update-{NEXT}"
    assert "<<<<<<< before updating" in project.git("show", f"{branch}:{NEXT_FILE}")


def test_a_push_that_is_refused_makes_an_issue_once(
    project: Project, forge: Forge, tmp_path: Path
) -> None:
    """As GitHub does to a token that may not change workflows."""
    hook = tmp_path / "origin.git/hooks/pre-receive"
    hook.write_text(
        "#!/bin/sh\necho 'refusing to allow it without `workflows` permission'\nexit 1\n"
    )
    hook.chmod(0o755)
    said = propose(project, forge)
    assert said.splitlines()[-1] == "Opened http://f/issues/1"
    _, (_, path, body) = forge.asked
    assert path == "/api/repos/me/shop/issues"
    assert body["title"] == f"The template has a new version: {NEXT}"
    assert "Run `make template-update`." in body["body"]
    forge.issues.append({"title": body["title"]})
    project.git("switch", "--quiet", "main")
    project.git("branch", "--quiet", "-D", f"template-update-{NEXT}")
    assert "There is an issue already" in propose(project, forge)


def test_a_pull_request_that_is_refused_makes_an_issue(project: Project, forge: Forge) -> None:
    forge.refused["POST pulls"] = 403
    said = propose(project, forge)
    assert "No pull request could be opened: pulls: 403" in said
    assert said.splitlines()[-1] == "Opened http://f/issues/1"


def test_when_all_is_refused_it_fails(project: Project, forge: Forge) -> None:
    forge.refused |= {"POST pulls": 403, "POST issues": 403}
    said = propose(project, forge, code=3)
    assert said.splitlines()[-1].startswith("issues: 403")


def test_there_is_nothing_to_propose(project: Project, forge: Forge) -> None:
    project.template("update")
    project.commit("update")
    assert propose(project, forge) == f"{NEXT} is the newest version.\n"
    assert forge.asked == []


def test_what_is_wrong_is_said(project: Project, forge: Forge) -> None:
    project.path(".copier-answers.yml").unlink()
    assert "is deleted; bring it back" in propose(project, forge, code=3)
    assert forge.asked == []


def test_the_workflow_gives_it_what_it_needs(project: Project) -> None:
    workflow = yaml.safe_load(project.read(".github/workflows/template-update.yml"))
    [job] = workflow["jobs"].values()
    assert job["permissions"].keys() == {"contents", "issues", "pull-requests"}
    assert workflow["permissions"] == {}
    assert job["steps"][-1]["run"] == f"uv run --script scripts/{SCRIPT.name}"
    assert project.path(f"scripts/{SCRIPT.name}").exists()
