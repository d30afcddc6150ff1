#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
# Kept by the template: copier update merges its changes into this file.
"""Open a pull request with the newest version of the template, if this project has an older one.

Two jobs of a workflow of GitHub, Gitea or Forgejo share the work, because an update runs the code of
the template, which is not reviewed yet:

- `prepare` runs the update in a job without secrets, and writes the result to the job's output.
- `propose` runs in a job with a token, and runs no code of the update. It reads PROPOSAL, the output of
  the first job, checks it, and pushes it. TOKEN needs permission to push and to open pull requests.
  Without the permission, it opens an issue instead. It proposes each version once, even if a user
  closes the proposal. It opens an issue too if the update changes workflows, which could use the
  repository's secrets as soon as they are pushed, unless WORKFLOWS is `true`.

Exit codes: 0 success, 2 usage error, 3 the update, git or the forge failed.
"""

from __future__ import annotations

import sys

# This folder last, because it may contain a module of yours with the name of another, such as types.py.
# With PYTHONSAFEPATH, Python leaves the folder out.
sys.path = [*sys.path[not sys.flags.safe_path :], __file__.rpartition("/")[0]]

import argparse
import base64
import binascii
import json
import lzma
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TEMPLATE = ("uv", "run", "--quiet", "--script", "scripts/template.py")

#: The author of the commit, because a CI machine has no git user.
AUTHOR = ("-c", "user.name=template-update", "-c", "user.email=template-update@localhost")

#: No hook of the update may run.
NO_HOOKS = ("-c", "core.hooksPath=/dev/null")

#: Seconds to wait for an answer of the forge.
TIMEOUT = 60

#: The most characters of PROPOSAL. Linux allows 131,072 bytes for a variable with its name.
MOST_ENCODED = 120_000
#: The most bytes of a decoded proposal, and characters of the list of changes.
MOST_BYTES, MOST_CHANGES = 20_000_000, 20_000
#: The most bytes of memory to decode it.
MOST_MEMORY = 200_000_000

#: A version of the template: a tag of it, or a commit. It becomes part of a branch's name.
VERSION = re.compile(r"[\w][\w.+-]{0,99}", re.ASCII)

#: The variables that each command reads, which the workflow and the forge set.
VARIABLES = {
    "prepare": ("GITHUB_OUTPUT",),
    "propose": ("PROPOSAL", "TOKEN", "GITHUB_API_URL", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY",
                "GITHUB_REF_NAME"),
}  # fmt: skip

#: The paths from which a forge runs code as soon as they are pushed.
WORKFLOWS = re.compile(r"\.(github|gitea|forgejo)/(workflows|actions)(/|$)", re.IGNORECASE)

#: The modes of files that an update may add or change.
FILE_MODES = frozenset({"100644", "100755"})
DELETED = "000000"


class ForgeError(Exception):
    """The forge or git refused something, or could not be reached. The text gives the reason."""


class NotPermittedError(ForgeError):
    """The forge does not have this feature, or the token has no permission for it."""


@dataclass(frozen=True)
class Proposal:
    """An update that the first job has prepared."""

    version: str
    newest: str
    changes: str  #: the template's changelog between the two
    conflicts: list[str]  #: `path:line`
    patch: str  #: the output of `git diff --binary`; empty: too large to hand over

    def encoded(self) -> str:
        """Return the proposal as one line; without the patch, if it is too large."""
        packed = lzma.compress(json.dumps(asdict(self)).encode())
        text = base64.b64encode(packed).decode()
        if len(text) <= MOST_ENCODED:
            return text
        less = Proposal(self.version, self.newest, self.changes[:MOST_CHANGES], [], "")
        return base64.b64encode(lzma.compress(json.dumps(asdict(less)).encode())).decode()

    @classmethod
    def decoded(cls, text: str) -> Proposal:
        """Read a proposal, which the code of the template may have written.

        Raises:
            ForgeError: it is not a proposal.
        """
        try:
            packed = base64.b64decode(text, validate=True)
            content = lzma.LZMADecompressor(memlimit=MOST_MEMORY).decompress(packed, MOST_BYTES)
            found = cls(**json.loads(content))
        except (binascii.Error, lzma.LZMAError, ValueError, TypeError, EOFError) as error:
            raise ForgeError(f"PROPOSAL is not a proposal: {error}") from None
        texts = [found.version, found.newest, found.changes, found.patch]
        if not all(isinstance(one, str) for one in [*texts, *found.conflicts]):
            raise ForgeError("PROPOSAL is not a proposal: it contains other types than text")
        if not (VERSION.fullmatch(found.newest) and VERSION.fullmatch(found.version)):
            raise ForgeError(f"PROPOSAL has an invalid version: {found.newest[:100]!r}")
        return found


def run(
    *command: str,
    env: Mapping[str, str] = {},
    stdin: str = "",
    stderr: int | None = subprocess.STDOUT,
    errors: str = "replace",
) -> subprocess.CompletedProcess[str]:
    """Run a command and capture its output, by default with stderr in stdout.

    The command does not get the token in its environment.
    """
    without_token = {name: value for name, value in os.environ.items() if name != "TOKEN"}
    # In bytes, because text mode would change the line ends of a patch.
    done = subprocess.run(
        command,
        env={**without_token, **env},
        input=stdin.encode(errors="surrogateescape"),
        stdout=subprocess.PIPE,
        stderr=stderr,
    )
    said = done.stdout.decode(errors=errors)
    return subprocess.CompletedProcess(command, done.returncode, said)


def git(*args: str, **env: str) -> str:
    """Run git without hooks and return its output.

    Raises:
        ForgeError: git failed.
    """
    return output_of(run("git", *NO_HOOKS, *args, env=env))


def output_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a program.

    Raises:
        ForgeError: the program failed.
    """
    if done.returncode:
        raise ForgeError(done.stdout.strip() or f"{' '.join(done.args)} failed")
    return done.stdout


def api(path: str, body: dict[str, Any] | None = None) -> Any:
    """Send a GET to the forge's API for this repository, or a POST if there is a body.

    Raises:
        NotPermittedError: the forge refused the request.
        ForgeError: the forge failed or could not be reached.
    """
    url = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}"
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"token {os.environ['TOKEN']}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        kind = NotPermittedError if error.code < 500 else ForgeError
        raise kind(f"{path}: {error.code} {error.reason}: {text[:500]}") from None
    except OSError as error:
        raise ForgeError(f"{url}: {error}") from None


def credentials() -> dict[str, str]:
    """Return the environment that lets git push with the token, which no command line shows."""
    secret = base64.b64encode(f"x-access-token:{os.environ['TOKEN']}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{os.environ['GITHUB_SERVER_URL']}/.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {secret}",
    }


def latest(what: str, only: str = "") -> list[dict[str, Any]]:
    """Return the latest pull requests or issues, open and closed; none if they are disabled."""
    try:
        found: list[dict[str, Any]] = api(f"{what}?state=all&per_page=100&limit=50{only}")
    except NotPermittedError:
        return []
    return found


def existing_proposal(branch: str, title: str) -> str:
    """Return the URL of a branch's pull request or of the issue with a title, "" if none exists."""
    repository = os.environ["GITHUB_REPOSITORY"]
    owner = repository.partition("/")[0]
    # Gitea ignores `head`. After a branch is deleted, only the label still contains its name.
    pulls = latest("pulls", f"&head={owner}:{branch}")
    known = [
        pull
        for pull in pulls
        if branch in (pull["head"]["ref"], pull["head"]["label"])
        and is_in(repository, pull["head"])
    ]
    known += [issue for issue in latest("issues") if issue["title"] == title]
    return str(known[0]["html_url"]) if known else ""


def is_in(repository: str, head: Mapping[str, Any]) -> bool:
    """Return whether the branch of a pull request is in a repository, and not in a fork of anyone's."""
    source = (head.get("repo") or {}).get("full_name") or repository
    return bool(source.lower() == repository.lower())


def last_line(text: str) -> str:
    """Return the last line of a program's output."""
    return (text.strip().splitlines() or ["no reason given"])[-1]


def prepare() -> None:
    """Update the project, and write the proposal to the job's output, if there is a newer version.

    Raises:
        ForgeError: the update failed.
    """
    # stderr goes to the log, so that a warning does not get into the JSON.
    check = run(*TEMPLATE, "check", "--json", stderr=None)
    if check.returncode:
        raise ForgeError("the check for a newer version failed")
    answer = json.loads(check.stdout)
    if not answer["newer"]:
        print(f"{answer['version']} is the newest version.")
        return
    update = run(*TEMPLATE, "update", f"--version={answer['newest']}")
    print(update.stdout)
    if update.returncode not in (0, 1):
        raise ForgeError(f"the update failed: {last_line(update.stdout)}")
    lines = update.stdout.splitlines()
    conflicts = [line.removeprefix("conflict: ") for line in lines if line.startswith("conflict: ")]
    git("add", "--all")
    # As git stores the files: no setting of the user's changes the patch. Any byte survives.
    diff = ("git", "diff", "--cached", "--binary", "--full-index", "--no-renames", "--no-ext-diff",
            "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/", "HEAD")  # fmt: skip
    patch = output_of(run(*diff, stderr=None, errors="surrogateescape"))
    proposal = Proposal(answer["version"], answer["newest"], answer["changes"], conflicts, patch)
    with Path(os.environ["GITHUB_OUTPUT"]).open("a") as file:
        file.write(f"proposal={proposal.encoded()}\n")


def stage(proposal: Proposal) -> list[str]:
    """Put the patch into the index. The working tree stays as it is. Return the changed paths.

    Raises:
        ForgeError: the patch does not apply, or contains something other than files.
    """
    # git refuses paths outside the repository and in .git.
    output_of(run("git", "apply", "--cached", "--whitespace=nowarn", "-", stdin=proposal.patch))
    raw = git("diff", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "HEAD").split("\0")
    known = {tuple(line.split()[:3:2]) for line in git("ls-tree", "-r", "HEAD").splitlines()}
    paths = []
    for about, path in zip(raw[::2], raw[1::2], strict=False):
        _, mode, _, content, _ = about.split()
        # A link or a submodule may move with its folder.
        if mode not in FILE_MODES and mode != DELETED and (mode, content) not in known:
            raise ForgeError(
                f"{path!r}: an update must not add a link or a submodule (mode {mode})"
            )
        paths.append(path)
    return paths


def open_issue(proposal: Proposal, reason: str) -> None:
    """Open an issue about the new version, which says why there is no pull request.

    Raises:
        ForgeError: the forge refused the issue.
    """
    body = f"Run `{make()} template-update`.\n\n{reason}\n\n{proposal.changes[:MOST_CHANGES]}"
    made = api("issues", {"title": notice(proposal), "body": body})
    print(f"Opened {made['html_url']}")


def make() -> str:
    """Return the command for the make targets: an adopted project may have a Makefile of its own."""
    return "make -f pipeline.mk" if Path("pipeline.mk").is_file() else "make"


def notice(proposal: Proposal) -> str:
    """Return the title of an issue."""
    return f"The template has a new version: {proposal.newest}"


def propose(proposal: Proposal, *, workflows: bool) -> None:
    """Push a branch with the update and open a pull request. If that is not possible, open an issue.

    Raises:
        ForgeError: the update is invalid, or the issue could not be opened either.
    """
    title = f"Update the template to {proposal.newest}"
    branch, base = f"template-update-{proposal.newest}", os.environ["GITHUB_REF_NAME"]
    if url := existing_proposal(branch, notice(proposal)):
        print(f"Already proposed: {url}")
        return
    if not proposal.patch:
        open_issue(proposal, "The update is too large for the workflow.")
        return
    of_workflows = [path for path in stage(proposal) if WORKFLOWS.match(path)]
    if of_workflows and not workflows:
        listed = "\n".join(f"- `{path}`" for path in of_workflows)
        open_issue(
            proposal,
            "The update changes workflows, so it is not pushed without a review. To get pull requests "
            "with such updates, set the repository variable `TEMPLATE_UPDATE_WORKFLOWS` to `true`.\n\n"
            f"{listed}",
        )
        return
    git(*AUTHOR, "commit", "--quiet", "--message", title)
    parts = [
        f"`{make()} template-update` updated the template from {proposal.version} to {proposal.newest}.",
        proposal.changes[:MOST_CHANGES],
    ]
    if proposal.conflicts:
        title += " (with conflicts)"
        where = "\n".join(f"- {line}" for line in proposal.conflicts[:100])
        parts.insert(1, f"Resolve the conflict markers in this branch, at these lines:\n\n{where}")
    text = "\n\n".join(part for part in parts if part)
    # A killed run may have pushed the branch. Do not push again: a user may have added commits.
    heads = git("ls-remote", "--heads", "origin", f"refs/heads/{branch}", **credentials())
    is_pushed = f"refs/heads/{branch}" in heads
    try:
        if not is_pushed:
            git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", **credentials())
        made = api("pulls", {"title": title, "head": branch, "base": base, "body": text})
    except ForgeError as reason:
        print(f"Could not open a pull request: {reason}")
        why = f"A pull request could not be opened:\n\n    {last_line(str(reason))}"
        try:
            open_issue(proposal, why)
        except ForgeError:
            if not is_pushed:  # A branch without a pull request or an issue would go unnoticed.
                delete = ("push", "--quiet", "origin", f":refs/heads/{branch}")
                run("git", *NO_HOOKS, *delete, env=credentials())
            raise
    else:
        print(f"Opened {made['html_url']}")


def main() -> int:
    """Run the command line."""
    doc = (__doc__ or "").split("\n\n")
    parser = argparse.ArgumentParser(description=doc[0], epilog=doc[-1])
    parser.add_argument(
        "command",
        choices=("prepare", "propose"),
        help="prepare: update the project in a job without secrets; propose: push the result",
    )
    # In the log of a forge, the error must come after what was printed before it.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    command = parser.parse_args().command
    if missing := [name for name in VARIABLES[command] if name not in os.environ]:
        parser.error(
            f"{', '.join(missing)}: not set; run this in a workflow, or run {make()} template-update"
        )
    try:
        if command == "prepare":
            prepare()
        else:
            proposal = Proposal.decoded(os.environ["PROPOSAL"])
            propose(proposal, workflows=os.environ.get("WORKFLOWS") == "true")
    except ForgeError as reason:
        print(reason, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
