# Kept by the template: copier update merges its changes into this file.
"""Finds out whether the containers can read the sources that they mount."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from test_runner import docker

#: The variable with the user of the containers that mount sources.
USER = "DEV_USER"

#: Folders that no container reads, in a service's folder.
SKIPPED = {".git", ".venv", "__pycache__", "node_modules"}

#: Where the folder of a service is mounted whose containers read one file of it.
FOLDER, FILE = "/mnt/service", "index.html"


def user(model: Mapping[str, Any]) -> str:
    """Return the user, as UID:GID, that can read the mounted sources; empty if every user can.

    Args:
        model: the compose model, whose variables are not replaced yet.
    """
    for source in sources(model):
        if not readable_by_all(source):
            if "name=rootless" in docker.docker("info", "--format={{.SecurityOptions}}"):
                return "0:0"  # There, root is the user who started the engine.
            owner = source.stat()
            return f"{owner.st_uid}:{owner.st_gid}"
    return ""


def sources(model: Mapping[str, Any]) -> Iterator[Path]:
    """Yield what the containers mount whose user is in the variable."""
    for service in model.get("services", {}).values():
        if USER not in str(service.get("user", "")):
            continue
        for volume in service.get("volumes") or ():
            if volume.get("type") == "bind":
                source = Path(volume["source"])
                yield source / FILE if volume.get("target") == FOLDER else source


def readable_by_all(path: Path) -> bool:
    """Return whether every user may read a file, or a folder and everything in it."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISDIR(mode):
            return bool(mode & stat.S_IROTH)
        if not (mode & stat.S_IROTH and mode & stat.S_IXOTH):
            return False
        with os.scandir(path) as entries:
            inside = [Path(entry) for entry in entries if entry.name not in SKIPPED]
    except OSError:  # A dangling link, or a file that was removed meanwhile.
        return True
    return all(readable_by_all(entry) for entry in inside if not entry.is_symlink())
