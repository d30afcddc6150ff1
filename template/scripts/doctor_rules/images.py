# Kept by the template: copier update merges its changes into this file.
"""Facts about public images: what they contain, what they run, and when they end."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

#: The end of a release line that is older than those of the table.
LONG_AGO = "long ago"

TABLE = Path(__file__).with_name("end_of_life.toml")

#: The ports of servers that store data: no other machine may reach them.
DATA_PORTS = frozenset(
    "1433 1521 2379 3306 5432 5672 6379 8086 9042 9092 9200 11211 15672 26257 27017 33060".split()
)

#: Servers that store data, with the folder that they write and a command that checks them.
DATABASES = {
    "postgres": ("/var/lib/postgresql/data", '["CMD-SHELL", "pg_isready --host=127.0.0.1"]'),
    "postgis/postgis": ("/var/lib/postgresql/data", '["CMD-SHELL", "pg_isready --host=127.0.0.1"]'),
    "pgvector/pgvector": (
        "/var/lib/postgresql/data",
        '["CMD-SHELL", "pg_isready --host=127.0.0.1"]',
    ),
    "mysql": ("/var/lib/mysql", '["CMD", "mysqladmin", "ping", "--host=127.0.0.1"]'),
    "mariadb": ("/var/lib/mysql", '["CMD", "healthcheck.sh", "--connect", "--innodb_initialized"]'),
    "mongo": ("/data/db", '["CMD", "mongosh", "--quiet", "--eval", "db.adminCommand(\'ping\')"]'),
    "redis": ("/data", '["CMD", "redis-cli", "ping"]'),
    "valkey/valkey": ("/data", '["CMD", "valkey-cli", "ping"]'),
    "rabbitmq": ("/var/lib/rabbitmq", '["CMD", "rabbitmq-diagnostics", "--quiet", "ping"]'),
}

#: Official images of languages and systems. They run as root, and nothing in them changes that.
ROOT_IMAGES = frozenset(
    """
    alpine amazoncorretto amazonlinux buildpack-deps busybox debian eclipse-temurin elixir erlang
    golang gradle haskell julia maven node openjdk oven/bun perl pypy python ruby rust scratch swift
    ubuntu ghcr.io/astral-sh/uv mcr.microsoft.com/dotnet/aspnet mcr.microsoft.com/dotnet/runtime
    mcr.microsoft.com/dotnet/runtime-deps mcr.microsoft.com/dotnet/sdk denoland/deno
    """.split()
)

#: The ports that images with a server expose themselves.
SERVER_PORTS = {"nginx": "80", "nginxinc/nginx-unprivileged": "8080", "httpd": "80", "caddy": "80"}

#: Images whose Alpine variant has BusyBox's wget, and no curl.
ALPINE_WITHOUT_CURL = frozenset(
    "alpine eclipse-temurin golang mcr.microsoft.com/dotnet/aspnet node postgres python rabbitmq "
    "redis ruby rust valkey/valkey".split()
)

#: Images of which each variant is Debian or Ubuntu without curl and wget.
BARE = frozenset("debian ubuntu postgres redis mariadb valkey/valkey".split())

#: Images of which the variant `-slim` has neither curl nor wget.
BARE_IF_SLIM = frozenset("debian node perl python ruby rust".split())


class Tools(Enum):
    """Which programs an image is known to lack."""

    UNKNOWN = "unknown"
    NO_CURL = "no curl"
    NEITHER = "neither curl nor wget"
    NO_SHELL = "no shell"


@dataclass(frozen=True)
class Image:
    """The name and the tag of an image."""

    name: str  #: without docker.io/library/
    tag: str  #: empty if there is none
    digest: str

    @property
    def is_variable(self) -> bool:
        """Whether a variable without a default is in the name or the tag."""
        return "$" in self.name or "$" in self.tag

    @property
    def is_floating(self) -> bool:
        """Whether the tag moves to another major version by itself."""
        known = self.name not in ("", "scratch") and not self.is_variable
        return known and not self.digest and self.tag in ("", "latest")

    @property
    def tools(self) -> Tools:
        """Which programs the image is known to lack."""
        if self.is_variable:
            return Tools.UNKNOWN
        if self.name == "scratch" or "/distroless/" in self.name or "distroless" in self.tag:
            return Tools.UNKNOWN if "debug" in self.tag else Tools.NO_SHELL
        if "alpine" in self.tag or self.name == "alpine":
            return Tools.NO_CURL if self.name in ALPINE_WITHOUT_CURL else Tools.UNKNOWN
        if self.name in BARE or (self.name in BARE_IF_SLIM and "slim" in self.tag):
            return Tools.NEITHER
        if self.name.startswith("mcr.microsoft.com/dotnet/") and not self.name.endswith("/sdk"):
            return Tools.NEITHER
        return Tools.UNKNOWN

    @property
    def runs_as_root(self) -> bool:
        """Whether it is known that the image runs as root if a Dockerfile does not change it."""
        if self.name in ROOT_IMAGES:
            return not re.search(r"nonroot|rootless|chiseled", self.tag)
        if self.name.startswith("gcr.io/distroless/"):
            return "nonroot" not in self.tag
        return False


def image(reference: str) -> Image:
    """Read an image's name. A variable with a default is replaced by it, and others by `$`."""
    while match := re.search(r"\$\{\w+:?-([^{}$]*)\}", reference):
        reference = reference.replace(match[0], match[1])
    reference = re.sub(r"\$\{[^{}]*\}|\$\w+", "$", reference)
    reference = reference.removeprefix("docker.io/").removeprefix("library/")
    name, _, digest = reference.partition("@")
    path, colon, tag = name.rpartition(":")
    # A slash follows the colon of a registry's port.
    return Image(path, tag, digest) if colon and "/" not in tag else Image(name, "", digest)


@functools.cache
def table() -> dict[str, Any]:
    """Return the release lines of products."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def numbers(version: str) -> tuple[int, ...]:
    """Return a version that can be compared."""
    return tuple(int(part) for part in version.split("."))


def line_end(product: str, version: str) -> tuple[str, str]:
    """Return the release line of a version, and its end: a date, `long ago`, or empty if unknown."""
    lines: dict[str, dict[str, Any]] = table()[product]["lines"]
    for line, row in lines.items():  # The newest first, for a tag such as `node:26` or `mysql:8`.
        if f"{version}.".startswith(f"{line}.") or f"{line}.".startswith(f"{version}."):
            return line, str(row.get("end", ""))
    return version, LONG_AGO if numbers(version) < numbers(list(lines)[-1]) else ""


def ended(reference: Image, today: date) -> str:
    """Return why an image is past its end of life; empty if it is not, or if that is not known."""
    if reference.is_variable:
        return ""
    version = re.match(r"v?(\d+(?:\.\d+)*)", reference.tag)
    for product, row in table().items():
        if reference.name in row["images"] and version:
            line, end = line_end(product, version[1])
            if is_past(end, today):
                return f"{reference.name} {line} ended {sentence(end)}"
    # `python:3.13-slim-buster` contains Debian 10, and `node:26-alpine3.15` contains Alpine 3.15.
    if reference.name == "openjdk":
        return "the image openjdk is no longer built: eclipse-temurin replaces it"
    words = set(re.split(r"[-_.]", reference.tag.lower()))
    for product in ("debian", "ubuntu"):
        for line, row in table()[product]["lines"].items():
            if row.get("name") in words and is_past(str(row.get("end", "")), today):
                return (
                    f"it contains {product.title()} {line}, which ended {sentence(str(row['end']))}"
                )
    if alpine := re.search(r"alpine-?(\d+\.\d+)", reference.tag):
        line, end = line_end("alpine", alpine[1])
        if is_past(end, today):
            return f"it contains Alpine {line}, which ended {sentence(end)}"
    return ""


def is_past(end: str, today: date) -> bool:
    """Return whether an end of life has passed."""
    return end == LONG_AGO or bool(end) and end < today.isoformat()


def sentence(end: str) -> str:
    """Return an end of life as the end of a sentence."""
    return end if end == LONG_AGO else f"on {end}"
