"""The workflow's script, with a real remote repository and a stub of the forge's API.

The stub accepts the requests that GitHub and Gitea both accept, and can refuse each of them.
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

BRANCH = f"template-update-{NEXT}"
SCRIPT = ROOT / "template/scripts/propose-template-update.py"


@dataclass
class Forge:
    """The requests that the stub got, and what it refuses."""

    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    url: str = ""

    @property
    def posted(self) -> list[tuple[str, dict[str, Any]]]:
        """The path and body of each POST."""
        return [(path, body) for method, path, body in self.asked if method == "POST"]


def head(branch: str | None) -> dict[str, str | None]:
    """Return a forge's description of a pull request's branch."""
    return {"ref": branch, "label": f"me:{branch}"}


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
            found: Any = {"html_url": f"http://f/{path}/1"}
            if self.command == "GET":
                found = {"issues": known.issues, "pulls": known.pulls}[path]
            elif code == 200:
                made = {**found, **body, "state": "open", "head": head(body.get("head"))}
                {"issues": known.issues, "pulls": known.pulls}[path].append(made)
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


def again(project: Project) -> None:
    """Restore the clone to what the next run of the workflow has."""
    project.git("switch", "--quiet", "main")
    project.git("branch", "--quiet", "-D", BRANCH)


def branches(project: Project) -> list[str]:
    """Return the branches of the remote."""
    return project.git("ls-remote", "--heads", "origin").split()[1::2]


def test_a_pull_request_is_opened_once(project: Project, forge: Forge) -> None:
    output = propose(project, forge)
    assert output.splitlines()[-1] == "Opened http://f/pulls/1"
    [(path, body)] = forge.posted
    assert path == "/api/repos/me/shop/pulls"
    assert body["title"] == f"Update the template to {NEXT}"
    assert (body["head"], body["base"]) == (f"template-update-{NEXT}", "main")
    assert body["body"].startswith(
        f"`make template-update` updated the template from {NOW} to {NEXT}."
    )
    changed = project.git("diff", "--name-only", "main", f"origin/template-update-{NEXT}")
    assert changed.split() == [".copier-answers.yml", NEXT_FILE]
    again(project)
    # A closed proposal is not repeated either.
    forge.pulls[0] |= {"state": "closed", "head": {"ref": "refs/pull/1/head", "label": BRANCH}}
    project.git("push", "--quiet", "origin", f":{BRANCH}")
    assert propose(project, forge) == "Already proposed: http://f/pulls/1\n"
    assert len(forge.posted) == 1
    assert branches(project) == ["refs/heads/main"]


def test_the_pull_request_lists_conflicts(project: Project, forge: Forge) -> None:
    text = project.read(NEXT_FILE).replace(NEXT_LINES[0], "indent_size = 8\n")
    project.write(NEXT_FILE, text)
    project.commit()
    propose(project, forge)
    [(_, body)] = forge.posted
    assert body["title"].endswith(" (with conflicts)")
    assert re.search(rf"^- {NEXT_FILE}:\d+$", body["body"], re.MULTILINE)
    branch = f"origin/template-update-{NEXT}"
    assert "<<<<<<< before updating" in project.git("show", f"{branch}:{NEXT_FILE}")


def test_a_refused_push_opens_an_issue_once(project: Project, forge: Forge, tmp_path: Path) -> None:
    """GitHub refuses a token that has no permission to change workflows."""
    hook = tmp_path / "origin.git/hooks/pre-receive"
    hook.write_text(
        "#!/bin/sh\necho 'refusing to allow it without `workflows` permission'\nexit 1\n"
    )
    hook.chmod(0o755)
    output = propose(project, forge)
    assert output.splitlines()[-1] == "Opened http://f/issues/1"
    [(path, body)] = forge.posted
    assert path == "/api/repos/me/shop/issues"
    assert body["title"] == f"The template has a new version: {NEXT}"
    assert "Run `make template-update`." in body["body"]
    again(project)
    forge.issues[0]["state"] = "closed"
    assert propose(project, forge) == "Already proposed: http://f/issues/1\n"
    assert len(forge.posted) == 1


def test_a_refused_pull_request_opens_an_issue(project: Project, forge: Forge) -> None:
    forge.refused["POST pulls"] = 403
    output = propose(project, forge)
    assert "Could not open a pull request: pulls: 403" in output
    assert output.splitlines()[-1] == "Opened http://f/issues/1"


@pytest.mark.parametrize("code", [403, 404, 410])
def test_issues_and_pull_requests_that_cannot_be_listed_do_not_matter(
    code: int, project: Project, forge: Forge
) -> None:
    forge.refused |= {"GET issues": code, "GET pulls": code}
    assert propose(project, forge).splitlines()[-1] == "Opened http://f/pulls/1"


def test_it_fails_while_everything_is_refused_and_succeeds_later(
    project: Project, forge: Forge
) -> None:
    forge.refused |= {"POST pulls": 403, "POST issues": 403}
    output = propose(project, forge, code=3)
    assert output.splitlines()[-1].startswith("issues: 403")
    assert branches(project) == ["refs/heads/main"]
    again(project)
    forge.refused.clear()
    assert propose(project, forge).splitlines()[-1] == "Opened http://f/pulls/1"


def test_a_branch_without_a_pull_request_gets_one(project: Project, forge: Forge) -> None:
    """A killed run leaves such a branch."""
    project.git("commit", "--quiet", "--allow-empty", "--message=half")
    project.git("push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}")
    project.git("reset", "--quiet", "--hard", "HEAD~")
    assert propose(project, forge).splitlines()[-1] == "Opened http://f/pulls/1"
    assert project.git("log", "-1", "--format=%s", f"origin/{BRANCH}") == "half\n"


def test_the_update_does_not_get_the_token(project: Project, forge: Forge, tmp_path: Path) -> None:
    """A script replaces scripts/template.py. Its warning does not get into the JSON."""
    project.write(
        "scripts/template.py",
        "import os, sys\n"
        f"open({str(tmp_path / 'seen')!r}, 'a').write(os.environ.get('TOKEN', 'no') + '\\n')\n"
        "print('warning: something', file=sys.stderr)\n"
        "if sys.argv[1] == 'check':\n"
        f'    print(\'{{"newer": true, "version": "v1", "newest": "{NEXT}", "changes": ""}}\')\n'
        "else:\n"
        "    sys.exit(3)\n",
    )
    project.commit()
    output = propose(project, forge, code=3)
    assert output.splitlines()[-1] == "the update failed: warning: something"
    assert (tmp_path / "seen").read_text().split() == ["no", "no"]


def test_nothing_to_propose(project: Project, forge: Forge) -> None:
    project.template("update")
    project.commit("update")
    assert propose(project, forge) == f"{NEXT} is the newest version.\n"
    assert forge.asked == []


def test_a_problem_is_reported(project: Project, forge: Forge) -> None:
    project.path(".copier-answers.yml").unlink()
    assert "is deleted, and updates need it; restore it" in propose(project, forge, code=3)
    assert forge.asked == []


def test_the_workflow_gives_the_script_what_it_needs(project: Project) -> None:
    workflow = yaml.safe_load(project.read(".github/workflows/template-update.yml"))
    [job] = workflow["jobs"].values()
    assert job["permissions"].keys() == {"contents", "issues", "pull-requests"}
    assert workflow["permissions"] == {}
    assert job["steps"][-1]["run"] == f"uv run --script scripts/{SCRIPT.name}"
    assert project.path(f"scripts/{SCRIPT.name}").exists()
