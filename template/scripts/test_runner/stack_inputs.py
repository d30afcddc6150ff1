# Kept by the template: copier update merges its changes into this file.
"""What of a target's key comes from Docker: compose files, images, and the files that they name."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .memo import UnreadableError, digest, identity
from .processes import environment
from .project import ROOT, SLUG


class Engine(Protocol):
    """What is asked of Docker."""

    def config(self, scope: str) -> dict[str, Any]:
        """Return the resolved compose files of a scope."""

    def images(self, names: Iterable[str]) -> dict[str, str]:
        """Return the IDs of those images that exist."""

    def base_images(self, names: Iterable[str]) -> dict[str, str]:
        """Return the digests of those images that a build would get from a registry now."""

    def about(self) -> str:
        """Describe the engine."""


@dataclass(frozen=True)
class Images:
    """The images of some stacks."""

    used: frozenset[str] = frozenset()  #: by containers, and not built
    bases: frozenset[str] = frozenset()  #: named by Dockerfiles

    @classmethod
    def of(cls, configs: Iterable[dict[str, Any]]) -> Images:
        """Return the images in some resolved compose files.

        Raises:
            UnreadableError: a Dockerfile cannot be read; see `base_images`.
        """
        used: set[str] = set()
        bases: set[str] = set()
        for config in configs:
            services = (config.get("services") or {}).values()
            builds = [service["build"] for service in services if service.get("build")]
            built = {service.get("image") for service in services if service.get("build")}
            used |= {service["image"] for service in services if not service.get("build")} - built
            bases |= {name for build in builds for name in base_images(build)}
        return cls(frozenset(used), frozenset(bases))

    def __or__(self, other: Images) -> Images:
        """Return the images of both."""
        return Images(self.used | other.used, self.bases | other.bases)

    @property
    def all(self) -> frozenset[str]:
        """The names of all images."""
        return self.used | self.bases


def host_paths(config: dict[str, Any]) -> set[Path]:
    """Return the files and folders of the host that a stack builds, mounts or reads.

    Raises:
        UnreadableError: a build context is not on this machine.
    """
    found: set[Path] = set()
    for service in (config.get("services") or {}).values():
        build = service.get("build") or {}
        more = [str(path) for path in (build.get("additional_contexts") or {}).values()]
        for path in [*([build["context"]] if build.get("context") else []), *more]:
            if path.startswith(("docker-image://", "service:")):
                continue
            if not path.startswith("/"):
                raise UnreadableError(f"the build context {path} is not on this machine")
            found.add(Path(path))
        if build.get("dockerfile"):
            found.add(Path(build.get("context", "/"), build["dockerfile"]))
        for volume in service.get("volumes") or ():
            if isinstance(volume, dict) and volume.get("type") == "bind":
                found.add(Path(volume["source"]))
    for kind in ("configs", "secrets"):
        for about in (config.get(kind) or {}).values():
            if (about or {}).get("external"):
                raise UnreadableError(f"its stack uses one of {kind} that is external")
            if (about or {}).get("file"):
                found.add(Path(about["file"]))
    return found


def base_images(build: dict[str, Any]) -> set[str]:
    """Return the images that a Dockerfile names.

    Raises:
        UnreadableError: the Dockerfile cannot be read, or the name depends on an unknown variable.
    """
    text = build.get("dockerfile_inline") or ""
    if not text:
        path = Path(build["context"], build.get("dockerfile", "Dockerfile"))
        try:
            text = path.read_text(errors="replace")
        except OSError as error:
            raise UnreadableError(f"cannot read {path}: {error.strerror}") from None
    text = re.sub(r"\\\r?\n", " ", text)
    values = dict(re.findall(r"^\s*ARG\s+(\w+)=[\"']?([^\s\"']*)", text, re.MULTILINE))
    values |= {name: str(value) for name, value in (build.get("args") or {}).items() if value}
    contexts = build.get("additional_contexts") or {}
    stages = {"scratch", *contexts}
    found = {
        str(path).removeprefix("docker-image://")
        for path in contexts.values()
        if str(path).startswith("docker-image://")
    }
    for line in text.splitlines():
        start = re.match(r"\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", line, re.IGNORECASE)
        names = [start[1]] if start else []
        if re.match(r"\s*(COPY|ADD|RUN)\s", line, re.IGNORECASE):
            names = re.findall(r"(?:--|\b)from=([^\s,]+)", line)
        for name in names:
            image = expand(name, values)
            if image.lower() not in stages and not image.isdigit():
                found.add(image)
        if start and start[2]:
            stages.add(start[2].lower())
    return found


def expand(name: str, values: Mapping[str, str]) -> str:
    """Replace the variables in the name of an image.

    Raises:
        UnreadableError: a variable has no value.
    """

    def value(found: re.Match[str]) -> str:
        variable, default = found[1] or found[3], found[2]
        if variable not in values and default is None:
            raise UnreadableError(f"the image {name} depends on a variable without a value")
        return values.get(variable, default or "")

    return re.sub(r"\$(?:\{(\w+)(?::?-([^}]*))?\}|(\w+))", value, name)


def full_name(image: str) -> str:
    """Return the name of an image with its registry and tag: `docker.io/library/python:latest`."""
    first, slash, _ = image.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost"):
        image = f"docker.io/{image}" if slash else f"docker.io/library/{image}"
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


class DockerEngine:
    """Asks the docker command."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root

    def config(self, scope: str) -> dict[str, Any]:
        """Return the output of `docker compose config`, with a fixed instance id.

        Raises:
            UnreadableError: Compose failed.
        """
        service = "" if scope == "full" else f"services/{scope}/"
        own = {"COMPOSE_PROJECT_NAME": f"{SLUG}-test", "TEST_INSTANCE_ID": "cache"}
        env = environment("", **own)
        env.pop("COMPOSE_FILE", None)
        text = ask(
            *("compose", "config", "--format", "json"),
            cwd=self.root / f"{service}deploy/test",
            env=env,
        )
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:
            raise UnreadableError("docker compose config printed no JSON") from None
        return found

    def images(self, names: Iterable[str]) -> dict[str, str]:
        """Return the IDs of those images that exist.

        Raises:
            UnreadableError: the engine does not answer.
        """
        wanted = sorted(names)
        form = ("image", "inspect", "--format={{.Id}}")
        try:
            return dict(zip(wanted, ask(*form, *wanted).split(), strict=True))
        except (UnreadableError, ValueError):
            pass  # One of them does not exist.
        found = {}
        for name in wanted:
            with suppress(UnreadableError):
                found[name] = ask(*form, name).strip()
        return found

    def base_images(self, names: Iterable[str]) -> dict[str, str]:
        """Return the digests of those images that a build would get from a registry now.

        BuildKit does not put base images into the image store, and asks the registry for a tag's digest
        in each build. So it is asked here with a build for each image that has nothing to do. It finds
        no digest of an image that it would take from the image store. The classic builder, which needs
        no buildx, takes all images from there.
        """
        wanted = sorted(names)
        targets = {
            f"image-{number}": {"dockerfile-inline": f"FROM {name}", "output": ["type=cacheonly"]}
            for number, name in enumerate(wanted)
        }
        bake = {"group": {"default": {"targets": list(targets)}}, "target": targets}
        command = ("docker", "buildx", "bake", "--progress=plain", "--file=-")
        try:
            done = subprocess.run(
                command,
                cwd=Path(__file__).parent,  # Here is no .dockerignore, which bake would read.
                input=json.dumps(bake),
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=20,
            )
        except (OSError, subprocess.TimeoutExpired):
            return {}
        # By the image's name, as BuildKit may display one image under the name of another target. A
        # build that failed may have printed some digests.
        lines = re.findall(
            r"^#\d+ \[.*1/1\] FROM (\S+)@(sha256:[0-9a-f]{64})$", done.stderr, re.MULTILINE
        )
        found = dict(lines)
        return {name: found[full_name(name)] for name in wanted if full_name(name) in found}

    def about(self) -> str:
        """Return a digest of the engine's version and architecture, and of Docker's plugins.

        Raises:
            UnreadableError: the engine does not answer.
        """
        text = "{{.Server.Version}} {{.Server.Os}} {{.Server.Arch}} {{.Server.KernelVersion}}"
        server = ask("version", f"--format={text}")
        folders = [
            f"{os.environ.get('DOCKER_CONFIG', str(Path.home() / '.docker'))}/cli-plugins",
            *(f"/usr/{place}/docker/cli-plugins" for place in ("lib", "libexec", "local/lib")),
        ]
        plugins = [
            identity(os.path.realpath(f"{folder}/docker-{name}"))
            for folder in folders
            for name in ("compose", "buildx")
        ]
        proxies = ""
        with suppress(OSError, ValueError, AttributeError):
            settings = json.loads(Path(folders[0]).parent.joinpath("config.json").read_bytes())
            proxies = json.dumps([settings.get("proxies"), settings.get("currentContext")])
        return digest(server, proxies, *plugins)


def ask(*args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run docker and return its output.

    Raises:
        UnreadableError: docker failed; the text is its last line.
    """
    try:
        done = subprocess.run(
            ["docker", *args],
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        raise UnreadableError("docker does not answer") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise UnreadableError(lines[-1] if lines else "docker failed")
    return done.stdout
