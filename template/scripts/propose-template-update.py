#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
# Kept by the template: copier update merges its changes into this file.
"""Open a pull request with the newest version of the template, if this project has an older one.

It runs in a workflow of GitHub, Gitea or Forgejo and reads the variables that they set, such as
GITHUB_API_URL. TOKEN needs permission to push and to open pull requests. Without the permission, this
opens an issue instead. It proposes each version once, even if a user closes the proposal.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

TEMPLATE = ("uv", "run", "--quiet", "--script", "scripts/template.py")

#: The author of the commit, because a CI machine has no git user.
AUTHOR = ("-c", "user.name=template-update", "-c", "user.email=template-update@localhost")

#: Seconds to wait for an answer of the forge.
TIMEOUT = 60


class ForgeError(Exception):
    """The forge or git refused something, or could not be reached. The text gives the reason."""


class NotPermittedError(ForgeError):
    """The forge does not have this feature, or the token has no permission for it."""


def run(
    *command: str, env: Mapping[str, str] = {}, stderr: int | None = subprocess.STDOUT
) -> subprocess.CompletedProcess[str]:
    """Run a command and capture its output, by default with stderr in stdout.

    The command does not get the token, because an update runs the template's code and package tools.
    """
    without_token = {name: value for name, value in os.environ.items() if name != "TOKEN"}
    return subprocess.run(
        command,
        env={**without_token, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        errors="replace",
    )


def git(*args: str, **env: str) -> str:
    """Run git and return its output.

    Raises:
        ForgeError: git failed.
    """
    done = run("git", *args, env=env)
    if done.returncode:
        raise ForgeError(done.stdout.strip())
    return done.stdout.strip()


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
    owner = os.environ["GITHUB_REPOSITORY"].partition("/")[0]
    # Gitea ignores `head`. After a branch is deleted, only the label still contains its name.
    pulls = latest("pulls", f"&head={owner}:{branch}")
    known = [pull for pull in pulls if branch in (pull["head"]["ref"], pull["head"]["label"])]
    known += [issue for issue in latest("issues") if issue["title"] == title]
    return str(known[0]["html_url"]) if known else ""


def last_line(text: str) -> str:
    """Return the last line of a program's output."""
    return (text.strip().splitlines() or ["no reason given"])[-1]


def propose(version: str, newest: str, changes: str) -> None:
    """Push a branch with the update and open a pull request. If that fails, open an issue.

    Raises:
        ForgeError: the update failed, or the issue could not be opened either.
    """
    title, branch = f"Update the template to {newest}", f"template-update-{newest}"
    notice, base = f"The template has a new version: {newest}", os.environ["GITHUB_REF_NAME"]
    if url := existing_proposal(branch, notice):
        print(f"Already proposed: {url}")
        return
    git("switch", "--quiet", "--create", branch)
    update = run(*TEMPLATE, "update", f"--version={newest}")
    print(update.stdout)
    if update.returncode not in (0, 1):
        raise ForgeError(f"the update failed: {last_line(update.stdout)}")
    conflicts = [line for line in update.stdout.splitlines() if line.startswith("conflict: ")]
    git("add", "--all")
    git(*AUTHOR, "commit", "--quiet", "--message", title)
    parts = [f"`make template-update` updated the template from {version} to {newest}.", changes]
    if conflicts:
        title += " (with conflicts)"
        where = "\n".join(f"- {line.removeprefix('conflict: ')}" for line in conflicts)
        parts.insert(1, f"Resolve the conflict markers in this branch, at these lines:\n\n{where}")
    text = "\n\n".join(part for part in parts if part)
    # A killed run may have pushed the branch. Do not push again: a user may have added commits.
    is_pushed = git("ls-remote", "--heads", "origin", f"refs/heads/{branch}", **credentials())
    try:
        if not is_pushed:
            git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", **credentials())
        made = api("pulls", {"title": title, "head": branch, "base": base, "body": text})
    except ForgeError as reason:
        print(f"Could not open a pull request: {reason}")
        body = (
            f"Run `make template-update`.\n\nA pull request could not be opened:\n\n"
            f"    {last_line(str(reason))}\n\n{changes}"
        )
        try:
            made = api("issues", {"title": notice, "body": body})
        except ForgeError:
            if not is_pushed:  # A branch without a pull request or an issue would go unnoticed.
                run("git", "push", "--quiet", "origin", f":refs/heads/{branch}", env=credentials())
            raise
    print(f"Opened {made['html_url']}")


def main() -> int:
    """Check for a newer version and propose it. Return 0, or 3 if that failed."""
    # stderr goes to the log, so that a warning does not get into the JSON.
    check = run(*TEMPLATE, "check", "--json", stderr=None)
    if check.returncode:
        return 3
    answer = json.loads(check.stdout)
    if not answer["newer"]:
        print(f"{answer['version']} is the newest version.")
        return 0
    try:
        propose(answer["version"], answer["newest"], answer["changes"])
    except ForgeError as reason:
        print(reason, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
