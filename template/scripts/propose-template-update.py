#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
# Kept by the template: copier update merges its changes into this file.
"""Open a pull request with the template's newest version, where there is a newer one.

For a workflow of GitHub, Gitea or Forgejo, whose variables it reads (GITHUB_API_URL and the like);
TOKEN may push and open pull requests. Where it may not, an issue says that there is a new version.
What was proposed once is not proposed again, also when that is closed.
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

#: What git's commit is made as: it needs a name, and a machine has none.
AUTHOR = ("-c", "user.name=template-update", "-c", "user.email=template-update@localhost")

#: Seconds that the forge has for an answer.
PATIENCE = 60


class ForgeError(Exception):
    """The forge, or git on its behalf, refused something. The text says what it said."""


class NotPermitted(ForgeError):
    """The forge has no such thing, or the token may not use it."""


def run(
    *command: str, env: Mapping[str, str] = {}, stderr: int | None = subprocess.STDOUT
) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it says, both streams as one unless told otherwise.

    The token is kept from it: an update runs the template's code, and package tools.
    """
    kept = {name: value for name, value in os.environ.items() if name != "TOKEN"}
    return subprocess.run(
        command,
        env={**kept, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        errors="replace",
    )


def git(*args: str, **env: str) -> str:
    """Run git and return what it prints.

    Raises:
        ForgeError: it failed.
    """
    done = run("git", *args, env=env)
    if done.returncode:
        raise ForgeError(done.stdout.strip())
    return done.stdout.strip()


def api(path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the forge's API about this repository, or POST something to it.

    Raises:
        NotPermitted: it refused.
        ForgeError: it failed, or was not reached.
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
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        kind = NotPermitted if error.code < 500 else ForgeError
        raise kind(f"{path}: {error.code} {error.reason}: {said[:500]}") from None
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
    """Return the latest pull requests or issues, open and closed; none where there may be none."""
    try:
        found: list[dict[str, Any]] = api(f"{what}?state=all&per_page=100&limit=50{only}")
    except NotPermitted:
        return []
    return found


def proposed(branch: str, title: str) -> str:
    """Return the pull request of a branch, or the issue of a title, that is there already."""
    owner = os.environ["GITHUB_REPOSITORY"].partition("/")[0]
    # Gitea takes no `head`, and once the branch is gone tells its name in the label alone.
    pulls = latest("pulls", f"&head={owner}:{branch}")
    known = [pull for pull in pulls if branch in (pull["head"]["ref"], pull["head"]["label"])]
    known += [issue for issue in latest("issues") if issue["title"] == title]
    return str(known[0]["html_url"]) if known else ""


def last_line(text: str) -> str:
    """Return the last line of what a program said."""
    return (text.strip().splitlines() or ["no reason given"])[-1]


def propose(version: str, newest: str, changes: str) -> None:
    """Push a branch with the update, and open a pull request; or else an issue.

    Raises:
        ForgeError: the update failed, or not even an issue could be opened.
    """
    title, branch = f"Update the template to {newest}", f"template-update-{newest}"
    notice, base = f"The template has a new version: {newest}", os.environ["GITHUB_REF_NAME"]
    if known := proposed(branch, notice):
        print(f"It was proposed already: {known}")
        return
    git("switch", "--quiet", "--create", branch)
    update = run(*TEMPLATE, "update", f"--version={newest}")
    print(update.stdout)
    if update.returncode not in (0, 1):
        raise ForgeError(f"the update failed: {last_line(update.stdout)}")
    conflicts = [line for line in update.stdout.splitlines() if line.startswith("conflict: ")]
    git("add", "--all")
    git(*AUTHOR, "commit", "--quiet", "--message", title)
    parts = [f"From {version} to {newest}, by `make template-update`.", changes]
    if conflicts:
        title += " (with conflicts)"
        where = "\n".join(f"- {line.removeprefix('conflict: ')}" for line in conflicts)
        parts.insert(1, f"These lines hold conflict markers, to be resolved here:\n\n{where}")
    text = "\n\n".join(part for part in parts if part)
    # A run that was killed may have pushed it, and somebody may have worked on it since.
    is_there = git("ls-remote", "--heads", "origin", f"refs/heads/{branch}", **credentials())
    try:
        if not is_there:
            git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", **credentials())
        made = api("pulls", {"title": title, "head": branch, "base": base, "body": text})
    except ForgeError as reason:
        print(f"No pull request could be opened: {reason}")
        body = (
            f"Run `make template-update`.\n\nNo pull request could be opened for it:\n\n"
            f"    {last_line(str(reason))}\n\n{changes}"
        )
        try:
            made = api("issues", {"title": notice, "body": body})
        except ForgeError:
            if not is_there:  # Nobody would learn of it.
                run("git", "push", "--quiet", "origin", f":refs/heads/{branch}", env=credentials())
            raise
    print(f"Opened {made['html_url']}")


def main() -> int:
    """Look for a newer version and propose it. Returns 0, or 3 when that failed."""
    # What is a warning, or a refusal, goes to the log.
    found = run(*TEMPLATE, "check", "--json", stderr=None)
    if found.returncode:
        return 3
    answer = json.loads(found.stdout)
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
