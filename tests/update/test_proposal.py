"""The workflow's script, with a real remote repository and a stub of the forge's API."""

from __future__ import annotations

import base64
import json
import lzma
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..conftest import ROOT
from ..e2e.conftest import clean_environment
from ..forge_api import ForgeApi, running_api
from .conftest import NEXT, NEXT_FILE, NEXT_LINES, NOW, Generate, Project, git

BRANCH = f"template-update-{NEXT}"
SCRIPT = ROOT / "template/scripts/propose-template-update.py"


@pytest.fixture
def forge() -> Iterator[ForgeApi]:
    with running_api() as api:
        yield api


@pytest.fixture
def project(generate: Generate, tmp_path: Path) -> Project:
    made = generate(services="engine:custom", database="none")
    git("init", "--quiet", "--bare", str(tmp_path / "origin.git"), cwd=tmp_path)
    made.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    made.git("push", "--quiet", "origin", "main")
    return made


def script(project: Project, command: str, code: int = 0, **env: str) -> str:
    """Run one of the script's commands."""
    done = subprocess.run(
        ["uv", "run", "--quiet", "--script", str(SCRIPT), command],
        cwd=project.root, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment(**env),
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    assert "secret" not in done.stdout
    return done.stdout


#: What the first job printed and proposed, by the commit of the project.
PREPARED: dict[str, tuple[str, str]] = {}


def prepare(project: Project, code: int = 0) -> tuple[str, str]:
    """Run the first job in a clone. Return what it prints, and the proposal.

    It has no token, so the result depends only on the commit.
    """
    commit = project.git("rev-parse", "HEAD")
    if commit not in PREPARED:
        PREPARED[commit] = prepared(project, code)
    return PREPARED[commit]


def prepared(project: Project, code: int) -> tuple[str, str]:
    clone = Project(project.root.parent / "first-job")
    shutil.rmtree(clone.root, ignore_errors=True)
    git("clone", "--quiet", str(project.root), str(clone.root), cwd=project.root)
    output = project.root.parent / "output"
    output.write_text("")
    said = script(clone, "prepare", code, GITHUB_OUTPUT=str(output))
    _, _, proposal = output.read_text().strip().partition("proposal=")
    return said, proposal


def push(
    project: Project, forge: ForgeApi, proposal: str, code: int = 0, workflows: str = "true"
) -> str:
    """Run the second job in the project."""
    return script(
        project, "propose", code,
        GITHUB_API_URL=f"{forge.url}/api", GITHUB_SERVER_URL=forge.url,
        GITHUB_REPOSITORY="me/shop", GITHUB_REF_NAME="main", TOKEN="secret",
        PROPOSAL=proposal, WORKFLOWS=workflows,
    )  # fmt: skip


def propose(project: Project, forge: ForgeApi, code: int = 0) -> str:
    """Run both jobs, the second one only if there is a proposal. Return what the last one prints."""
    said, proposal = prepare(project)
    return push(project, forge, proposal, code) if proposal else said


def again(project: Project) -> None:
    """Restore the clone to what the next run of the workflow has."""
    project.git("reset", "--quiet", "--hard", "origin/main")


def branches(project: Project) -> list[str]:
    """Return the branches of the remote."""
    return project.git("ls-remote", "--heads", "origin").split()[1::2]


def test_a_pull_request_is_opened_once(project: Project, forge: ForgeApi) -> None:
    output = propose(project, forge)
    assert output.splitlines()[-1] == "Opened http://f/pulls/1"
    [(path, body)] = forge.posted
    assert path == "/api/repos/me/shop/pulls"
    assert body["title"] == f"Update the template to {NEXT}"
    assert (body["head"], body["base"]) == (f"template-update-{NEXT}", "main")
    assert body["body"].startswith(
        f"`make template-update` updated the template from {NOW} to {NEXT}."
    )
    changed = project.git("diff", "--name-only", "origin/main", f"origin/template-update-{NEXT}")
    assert changed.split() == [".copier-answers.yml", NEXT_FILE]
    again(project)
    # A proposal that a user closed is not repeated either.
    forge.pulls[0] |= {"state": "closed", "head": {"ref": "refs/pull/1/head", "label": BRANCH}}
    project.git("push", "--quiet", "origin", f":{BRANCH}")
    assert propose(project, forge) == "Already proposed: http://f/pulls/1\n"
    assert len(forge.posted) == 1
    assert branches(project) == ["refs/heads/main"]


def test_a_branch_of_a_fork_is_no_proposal(project: Project, forge: ForgeApi) -> None:
    """Anyone can open a pull request from a branch with this name."""
    head = {"ref": BRANCH, "label": f"evil:{BRANCH}", "repo": {"full_name": "evil/shop"}}
    forge.pulls.append({"html_url": "http://f/pulls/9", "state": "open", "head": head})
    assert propose(project, forge).splitlines()[-1] == "Opened http://f/pulls/1"


def test_the_pull_request_lists_conflicts(project: Project, forge: ForgeApi) -> None:
    text = project.read(NEXT_FILE).replace(NEXT_LINES[0], "indent_size = 8\n")
    project.write(NEXT_FILE, text)
    project.commit()
    propose(project, forge)
    [(_, body)] = forge.posted
    assert body["title"].endswith(" (with conflicts)")
    assert re.search(rf"^- {NEXT_FILE}:\d+$", body["body"], re.MULTILINE)
    branch = f"origin/template-update-{NEXT}"
    assert "<<<<<<< before updating" in project.git("show", f"{branch}:{NEXT_FILE}")


def test_a_refused_push_opens_an_issue_once(
    project: Project, forge: ForgeApi, tmp_path: Path
) -> None:
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


def test_a_refused_pull_request_opens_an_issue(project: Project, forge: ForgeApi) -> None:
    forge.refused["POST pulls"] = 403
    output = propose(project, forge)
    assert "Could not open a pull request: pulls: 403" in output
    assert output.splitlines()[-1] == "Opened http://f/issues/1"


def test_an_adopted_project_may_have_its_own_makefile(project: Project, forge: ForgeApi) -> None:
    project.write("pipeline.mk", "template-update:\n")
    project.commit()
    forge.refused["POST pulls"] = 403
    propose(project, forge)
    bodies = [body["body"].partition("\n")[0] for _, body in forge.posted]
    command = "`make -f pipeline.mk template-update`"
    assert bodies == [f"{command} updated the template from {NOW} to {NEXT}.", f"Run {command}."]
    said = script(project, "prepare", code=2)
    assert said.endswith("or run make -f pipeline.mk template-update\n")


@pytest.mark.parametrize("code", [403, 404, 410])
def test_issues_and_pull_requests_that_cannot_be_listed_do_not_matter(
    code: int, project: Project, forge: ForgeApi
) -> None:
    forge.refused |= {"GET issues": code, "GET pulls": code}
    assert propose(project, forge).splitlines()[-1] == "Opened http://f/pulls/1"


def test_it_fails_while_everything_is_refused_and_succeeds_later(
    project: Project, forge: ForgeApi
) -> None:
    forge.refused |= {"POST pulls": 403, "POST issues": 403}
    output = propose(project, forge, code=3)
    assert output.splitlines()[-1].startswith("issues: 403")
    assert branches(project) == ["refs/heads/main"]
    again(project)
    forge.refused.clear()
    assert propose(project, forge).splitlines()[-1] == "Opened http://f/pulls/1"


def test_a_branch_without_a_pull_request_gets_one(project: Project, forge: ForgeApi) -> None:
    """A killed run leaves such a branch."""
    project.git("commit", "--quiet", "--allow-empty", "--message=half")
    project.git("push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}")
    project.git("reset", "--quiet", "--hard", "HEAD~")
    assert propose(project, forge).splitlines()[-1] == "Opened http://f/pulls/1"
    assert project.git("log", "-1", "--format=%s", f"origin/{BRANCH}") == "half\n"


#: Replaces scripts/template.py: an update that writes a file and what the environment of all its
#: ancestors contains, and plants hooks.
HOSTILE = """\
import os, pathlib, sys
print("warning: something", file=sys.stderr)
if sys.argv[1] == "check":
    print('{"newer": true, "version": "v1", "newest": "NEXT", "changes": ""}')
    sys.exit()
hook = pathlib.Path(".git/hooks/pre-push")
for name in ("pre-push", "pre-commit", "post-commit", "prepare-commit-msg", "reference-transaction"):
    hook = pathlib.Path(".git/hooks", name)
    hook.write_text("#!/bin/sh\\ntouch SEEN-hook\\n")
    hook.chmod(0o755)
pid, found = os.getpid(), b""
while pid:
    try:
        found += pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:  # of the first process
        pass
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    pid = int(status.partition("PPid:")[2].split()[0])
pathlib.Path("SEEN").write_bytes(found)
pathlib.Path("new").write_text("new")
sys.exit(CODE)
"""


def hostile(project: Project, seen: Path, code: int = 0) -> None:
    text = HOSTILE.replace("NEXT", NEXT).replace("SEEN", str(seen)).replace("CODE", str(code))
    project.write("scripts/template.py", text)
    project.commit()


def test_the_code_of_the_template_never_has_the_token(
    project: Project, forge: ForgeApi, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    hostile(project, seen)
    project.git("push", "--quiet", "origin", "main")
    _, proposal = prepare(project)
    assert b"GITHUB_OUTPUT" in seen.read_bytes()
    assert b"secret" not in seen.read_bytes()
    # On a machine that keeps its workspaces, the hooks are still there in the second job.
    shutil.copytree(
        tmp_path / "first-job/.git/hooks", project.root / ".git/hooks", dirs_exist_ok=True
    )
    assert push(project, forge, proposal).splitlines()[-1] == "Opened http://f/pulls/1"
    assert project.git("diff", "--name-only", "origin/main", f"origin/{BRANCH}") == "new\n"
    assert not (tmp_path / "seen-hook").exists()


def test_a_failed_update_is_reported(project: Project, tmp_path: Path) -> None:
    """The warning of the check does not get into its JSON."""
    hostile(project, tmp_path / "seen", code=3)
    output, proposal = prepare(project, code=3)
    assert output.splitlines()[-1] == "the update failed: warning: something"
    assert not proposal


def packed(**changes: Any) -> str:
    content = {
        "version": NOW, "newest": NEXT, "changes": "", "conflicts": [], "patch": "", **changes
    }  # fmt: skip
    return base64.b64encode(lzma.compress(json.dumps(content).encode())).decode()


def patch_of(path: str, mode: str, text: str = "text") -> str:
    """Return a patch with one new file."""
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n"
        f"@@ -0,0 +1 @@\n+{text}\n\\ No newline at end of file\n"
    )


LINK_IN_TWO_LINES = (
    patch_of("link", "120000", "/etc")
    .replace("a/link b/link", r'"a/a\n::add-mask::b" "b/a\n::add-mask::b"')
    .replace("b/link", r'"b/a\n::add-mask::b"')
)
SUBMODULE = f"Subproject commit {'1' * 40}"


@pytest.mark.parametrize(
    ("proposal", "says"),
    [
        ("%%%", "PROPOSAL is not a proposal"),
        (base64.b64encode(b"text").decode(), "PROPOSAL is not a proposal"),
        (base64.b64encode(lzma.compress(b"x" * 30_000_000)).decode(), "PROPOSAL is not a proposal"),
        (packed(more=1), "PROPOSAL is not a proposal"),
        (packed(newest=1), "other types than text"),
        (packed(newest="x; y"), "PROPOSAL has an invalid version: 'x; y'"),
        (packed(newest="../main"), "PROPOSAL has an invalid version"),
        (packed(patch=patch_of("../outside", "100644")), "invalid path '../outside'"),
        (packed(patch=patch_of(".git/hooks/pre-push", "100755")), "invalid path"),
        (packed(patch=patch_of("a/.GIT/config", "100644")), "invalid path"),
        (packed(patch=patch_of("link", "120000", "/etc")), "'link': an update must not add a link"),
        (packed(patch=patch_of("module", "160000", SUBMODULE)), "'module': an update must not add"),
        # A line that begins with :: would be a command of the workflow.
        (packed(patch=LINK_IN_TWO_LINES), r"'a\n::add-mask::b': an update must not add a link"),
        (packed(patch="nonsense"), "error: "),
    ],
)
def test_an_invalid_proposal_is_refused(
    project: Project, forge: ForgeApi, proposal: str, says: str
) -> None:
    assert says in push(project, forge, proposal, code=3)
    assert forge.posted == []
    assert branches(project) == ["refs/heads/main"]


@pytest.mark.parametrize(
    "folder", [".github/workflows", ".gitea/workflows", ".github/actions/x", ".GitHub/Workflows"]
)
def test_changed_workflows_need_permission(project: Project, forge: ForgeApi, folder: str) -> None:
    proposal = packed(patch=patch_of(f"{folder}/new.yml", "100644"))
    said = push(project, forge, proposal, workflows="")
    assert said == "Opened http://f/issues/1\n"
    [(_, body)] = forge.posted
    assert f"- `{folder}/new.yml`" in body["body"]
    assert "TEMPLATE_UPDATE_WORKFLOWS" in body["body"]
    assert branches(project) == ["refs/heads/main"]
    forge.issues.clear()
    again(project)
    assert push(project, forge, proposal) == "Opened http://f/pulls/1\n"


def test_an_update_that_is_too_large_opens_an_issue(
    project: Project, forge: ForgeApi, tmp_path: Path
) -> None:
    hostile(project, tmp_path / "seen")
    script_of_update = project.read("scripts/template.py")
    large = 'pathlib.Path("new").write_bytes(os.urandom(200_000))'
    text = script_of_update.replace('pathlib.Path("new").write_text("new")', large)
    project.write("scripts/template.py", text)
    project.commit()
    _, proposal = prepare(project)
    assert push(project, forge, proposal) == "Opened http://f/issues/1\n"
    assert "too large" in forge.posted[0][1]["body"]


def test_every_byte_arrives(project: Project, forge: ForgeApi, tmp_path: Path) -> None:
    """Also of binary files, other encodings, and lines that end with white space."""
    contents = {"text": b"a\n\xe4\xff \n\t\n \n\n", "binary": b"a\r\n\0\xe4\xff\n\r \n\n"}
    hostile(project, tmp_path / "seen")
    script_of_update = project.read("scripts/template.py")
    write = f"[pathlib.Path(n).write_bytes(c) for n, c in {contents!r}.items()]"
    text = script_of_update.replace('pathlib.Path("new").write_text("new")', write)
    project.write("scripts/template.py", text)
    project.commit()
    _, proposal = prepare(project)
    assert push(project, forge, proposal).splitlines()[-1] == "Opened http://f/pulls/1"
    for name, content in contents.items():
        show = ["git", "show", f"origin/{BRANCH}:{name}"]
        assert subprocess.run(show, cwd=project.root, stdout=subprocess.PIPE).stdout == content


def test_nothing_to_propose(project: Project, forge: ForgeApi) -> None:
    project.template("update")
    project.commit("update")
    assert propose(project, forge) == f"{NEXT} is the newest version.\n"
    assert forge.asked == []


def test_a_problem_is_reported(project: Project) -> None:
    project.git("rm", "--quiet", ".copier-answers.yml")
    project.commit()
    output, _ = prepare(project, code=3)
    assert ".copier-answers.yml was deleted in " in output


def test_outside_a_workflow_it_changes_nothing(project: Project) -> None:
    for command, name in {"prepare": "GITHUB_OUTPUT", "propose": "PROPOSAL, TOKEN"}.items():
        said = script(project, command, code=2)
        assert f"error: {name}" in said
        assert said.endswith(": not set; run this in a workflow, or run make template-update\n")
    assert project.status() == []


def test_the_workflow_gives_the_script_what_it_needs(project: Project) -> None:
    text = project.read(".github/workflows/template-update.yml")
    workflow = yaml.safe_load(text)
    update, propose = workflow["jobs"].values()
    assert workflow["permissions"] == {}
    # The first job has no secret.
    assert update["permissions"] == {"contents": "read"}
    assert not re.search(r"secrets|token", json.dumps(update))
    assert "env" not in workflow
    assert propose["permissions"].keys() == {"contents", "issues", "pull-requests"}
    for job, command in ((update, "prepare"), (propose, "propose")):
        assert job["steps"][-1]["run"] == f"uv run --script scripts/{SCRIPT.name} {command}"
        assert job["steps"][0]["with"] == {"persist-credentials": False}
    assert propose["steps"][-1]["env"].keys() == {"PROPOSAL", "TOKEN", "WORKFLOWS"}
    assert project.path(f"scripts/{SCRIPT.name}").exists()
