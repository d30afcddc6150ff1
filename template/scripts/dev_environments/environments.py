# Kept by the template: copier update merges its changes into this file.
"""Finds the development environments of this project on this machine, and removes them.

An environment is a Compose project. An empty volume, its mark, has the labels that say which checkout
it belongs to: containers and data volumes of an existing environment cannot get new labels. The mark
also stays when `make dev-down` removes the containers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from test_runner import diagnosis, docker
from test_runner.docker import COMPOSE_PROJECT
from test_runner.project import ROOT, SLUG

from .checkout import (
    DEFAULT_NAME,
    FOLDER,
    Repository,
    branch,
    claims,
    configured_name,
    exists,
    this_machine,
)

#: The labels of a mark.
PROJECT, CHECKOUT, MACHINE = "dev.project", "dev.checkout", "dev.machine"

WORKING_DIR = "com.docker.compose.project.working_dir"

#: The environments of checkouts other than the main one.
OWN_NAME = re.compile(re.escape(DEFAULT_NAME) + "-[a-z0-9-]*[0-9a-f]{6}")


@dataclass
class Environment:
    """A development environment: a Compose project and the checkout that it belongs to."""

    name: str  #: of the Compose project
    checkout: Path | None = None  #: None: unknown
    machine: str = ""  #: where the path of the checkout is valid
    created: str = ""  #: ISO 8601; empty: unknown
    marked: bool = False  #: it has a mark; without one, only its containers name the checkout
    containers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The label of everything that Compose creates for it."""
        return f"{COMPOSE_PROJECT}={self.name}"

    @property
    def is_here(self) -> bool:
        """Whether the path of its checkout is valid for this process."""
        return self.machine == this_machine() or self.checkout == ROOT

    @property
    def is_gone(self) -> bool:
        """Whether its checkout is known to exist no longer."""
        known = self.checkout is not None and self.marked and self.is_here
        return known and not exists(self.checkout or ROOT)

    @property
    def branch(self) -> str:
        """The branch of its checkout; empty: unknown."""
        return branch(self.checkout) if self.checkout and not self.is_gone else ""

    @property
    def state(self) -> str:
        """Its state in a word or two."""
        running = [one for one in self.containers if one["State"]["Running"]]
        if not self.containers:
            return "down"
        if not running:
            return "stopped"
        for one in self.containers:
            if problem := diagnosis.unready(one):
                return f"{service_of(one)} {problem}"
        return "running"

    @property
    def addresses(self) -> dict[str, list[str]]:
        """The addresses of its running containers, by service."""
        return {
            service_of(one): found
            for one in sorted(self.containers, key=service_of)
            if one["State"]["Running"] and (found := addresses(one, self.name))
        }

    @property
    def age(self) -> str:
        """The time since it was created, in its largest unit."""
        if not self.created:
            return ""
        seconds = int((datetime.now(UTC) - datetime.fromisoformat(self.created)).total_seconds())
        for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
            if seconds >= size:
                return f"{seconds // size} {unit}"
        return f"{max(0, seconds)} s"

    def summary(self) -> dict[str, Any]:
        """Return what `list --json` prints."""
        return {
            "name": self.name,
            "checkout": str(self.checkout) if self.checkout else None,
            "checkout_exists": exists(self.checkout) if self.checkout and self.is_here else None,
            "branch": self.branch or None,
            "state": self.state,
            "created": self.created or None,
            "addresses": self.addresses,
        }


def service_of(container: dict[str, Any]) -> str:
    """Return the name of a container's service."""
    return str(container["Config"]["Labels"].get("com.docker.compose.service", ""))


def addresses(container: dict[str, Any], project: str) -> list[str]:
    """Return the addresses of a container on this machine.

    A container whose image is built here is expected to speak HTTP, so its address is a URL.
    """
    is_own = container["Config"]["Image"].startswith(f"{project}-")
    found: dict[str, None] = {}  # Without duplicates: a port may be published for IPv4 and IPv6.
    for bindings in (container["NetworkSettings"]["Ports"] or {}).values():
        for binding in bindings or ():
            host = binding["HostIp"]
            host = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
            host = f"[{host}]" if ":" in host else host
            found[f"{'http://' if is_own else ''}{host}:{binding['HostPort']}"] = None
    return list(found)


def mark_of(name: str) -> str:
    """Return the name of the volume that marks an environment."""
    return f"{name}_dev-checkout"


def mark(name: str, checkout: Path) -> None:
    """Label an environment with its checkout, and replace the mark of another one.

    Raises:
        DockerError: a Docker command failed.
    """
    labels = {
        COMPOSE_PROJECT: name,
        PROJECT: SLUG,
        CHECKOUT: str(checkout),
        MACHINE: this_machine(),
    }
    volume = mark_of(name)
    found = docker.inspect([volume], "volume")
    if found and (found[0]["Labels"] or {}).get(CHECKOUT) == str(checkout):
        return
    if found:
        docker.remove_each("volume", [volume])
    options = [f"--label={key}={value}" for key, value in labels.items()]
    docker.docker("volume", "create", *options, volume)


def environments() -> list[Environment]:
    """Find all environments of this project, the main checkout's first.

    Raises:
        DockerError: a Docker command failed.
    """
    marks = docker.inspect(docker.ids("volume", PROJECT), "volume")
    found: dict[str, Environment] = {}
    foreign: set[str] = set()
    for one in marks:
        labels = one["Labels"]
        name = labels.get(COMPOSE_PROJECT, "")
        if labels[PROJECT] != SLUG:
            foreign.add(name)
        elif name:
            checkout = Path(labels[CHECKOUT]) if labels.get(CHECKOUT) else None
            created = iso(one.get("CreatedAt", ""))
            found[name] = Environment(name, checkout, labels.get(MACHINE, ""), created, marked=True)
    form = '--format={{.ID}} {{.Label "LABEL"}}'.replace("LABEL", COMPOSE_PROJECT)
    listing = docker.docker("ps", "--all", "--no-trunc", f"--filter=label={COMPOSE_PROJECT}", form)
    names = dict(line.split(maxsplit=1) for line in listing.splitlines() if " " in line.strip())

    def is_ours(name: str) -> bool:
        # Without a mark, such as one that `docker volume prune --all` has removed.
        looks_so = name == DEFAULT_NAME or OWN_NAME.fullmatch(name)
        return name in found or (bool(looks_so) and name not in foreign)

    for container in docker.inspect(one for one, name in names.items() if is_ours(name)):
        labels = container["Config"]["Labels"]
        name = labels[COMPOSE_PROJECT]
        made = found.setdefault(name, Environment(name))
        made.containers.append(container)
        made.created = min(filter(None, (made.created, iso(container["Created"]))))
        where = labels.get(WORKING_DIR, "")
        # Compose may have been started by hand in another checkout.
        if where.endswith(f"/{FOLDER}") and (not made.checkout or exists(Path(where))):
            made.checkout = Path(where.removesuffix(f"/{FOLDER}"))
    return sorted(found.values(), key=lambda one: (one.name != DEFAULT_NAME, one.name))


def iso(text: str) -> str:
    """Return a time of Docker in ISO 8601 with whole seconds, in UTC; empty if it is unknown."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if not match:
        return ""
    zone = "+00:00" if match[2] == "Z" else match[2]
    return datetime.fromisoformat(match[1] + zone).astimezone(UTC).isoformat(timespec="seconds")


def owner(name: str, found: Iterable[Environment]) -> Path | None:
    """Return the existing checkout that an environment belongs to, or None."""
    for one in found:
        if one.name == name and one.checkout:
            elsewhere = one.marked and not one.is_here
            return one.checkout if elsewhere or exists(one.checkout) else None
    return None


def removable(repository: Repository, found: Iterable[Environment]) -> list[Environment]:
    """Return the environments whose checkout no longer exists, and that no other checkout uses.

    A checkout that was moved still uses its environment.
    """
    used = {name for _, name in claims(repository)} | {configured_name(ROOT)}
    if not repository.linked:
        used.add(configured_name(ROOT) or DEFAULT_NAME)
    return [one for one in found if one.is_gone and one.name not in used]


def remove(environment: Environment) -> None:
    """Remove an environment: containers, networks, volumes, and the images that it has built.

    Raises:
        DockerError: a resource could not be removed.
    """
    docker.remove(environment.label)
    docker.remove_each("image", docker.ids("image", environment.label))
