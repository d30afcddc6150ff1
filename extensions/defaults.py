"""Defaults that come from the folder's name and from the remote of its repository.

Copier only renders a default if neither the command line nor the answers file has an answer.
"""

from __future__ import annotations

import re
import subprocess
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .rules import REGISTRY

PROJECT_NAME = "My Project"
GITHUB_REGISTRY = "ghcr.io/my-org"
GITEA_REGISTRY = "gitea.example.com/my-org"

#: Public hosts that run Gitea or Forgejo under another name.
GITEA_HOSTS = frozenset({"codeberg.org"})

#: Temporary folders of Copier and of our scripts. Their names are not the project's name.
TEMPORARY = re.compile(r"copier\._\w+\..*|template-[a-z0-9_]{8}")

#: `user@host:owner/repository`, which is not a URL.
SCP_LIKE = re.compile(r"(?:[^@/\s]+@)?(?P<host>[^:/\s]+):(?!//)(?P<path>.+)")


@dataclass(frozen=True)
class Remote:
    """The host and the owner of a remote repository."""

    host: str  #: in lower case; with the port of its web server, if the address names one
    owner: str  #: in lower case, as registries require

    @property
    def is_github(self) -> bool:
        """Whether the host is GitHub."""
        return self.host == "github.com"

    @property
    def is_gitea(self) -> bool:
        """Whether the host is known to run Gitea or Forgejo, or has one of these words in its name."""
        return self.host in GITEA_HOSTS or bool(re.search("gitea|forgejo", self.host))


def project_name(folder: str) -> str:
    """Convert a folder's name to a project name: `shop-backend` becomes `Shop Backend`."""
    printable = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in folder)
    words = re.split(r"[-_\s]+", printable.strip(" ._-"))
    name = " ".join(word[:1].upper() + word[1:] for word in words if word)
    return name if any(c.isalnum() for c in name) else PROJECT_NAME


def parse_remote(address: str) -> Remote | None:
    """Read the host and the owner from a remote's address.

    Returns None for a local path, and for any other address without a host or an owner.
    """
    if "://" in address:
        try:
            url = urlsplit(address)
            host, port = url.hostname or "", url.port
        except ValueError:
            return None
        if url.scheme not in ("http", "https", "ssh", "git+ssh"):
            return None
        # The port of an SSH server is not the port of the registry.
        if port and url.scheme.startswith("http"):
            host = f"{host}:{port}"
        path = url.path
    elif match := SCP_LIKE.fullmatch(address):
        host, path = match["host"], match["path"]
    else:
        return None
    # A host without a dot is an alias of the SSH configuration, or a drive on Windows.
    if "." not in host:
        return None
    parts = [part for part in path.split("/") if part]
    if len(parts) < 2:
        return None
    return Remote(host.lower(), parts[-2].lower())


def origin(folder: Path) -> Remote | None:
    """Read the remote `origin` of a folder's repository; None if there is none."""
    if not folder.is_dir():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", folder, "remote", "get-url", "origin"],
            capture_output=True,
            text=True,
            errors="replace",
        )
    except OSError:  # Git is not installed.
        return None
    return parse_remote(found.stdout.strip()) if found.returncode == 0 else None


def default_forge(remote: Remote | None) -> str:
    """Choose the forge: Gitea if the remote's host is known to run it, else GitHub."""
    return "gitea" if remote and remote.is_gitea else "github"


def default_registry(remote: Remote | None, forge: str) -> str:
    """Choose the registry of the remote's owner, if the remote is on the forge."""
    found = ""
    if remote and remote.is_github and forge != "gitea":
        found = f"ghcr.io/{remote.owner}"
    elif remote and (
        remote.is_gitea and forge == "both" or not remote.is_github and forge == "gitea"
    ):
        # Gitea serves its registry at the address of its web pages.
        found = f"{remote.host}/{remote.owner}"
    if REGISTRY.fullmatch(found):
        return found
    return GITEA_REGISTRY if forge == "gitea" else GITHUB_REGISTRY


def name_of(folder: Path) -> str:
    """Return the default for the project's name."""
    name = folder.resolve().name
    return PROJECT_NAME if TEMPORARY.fullmatch(name) else project_name(name)
