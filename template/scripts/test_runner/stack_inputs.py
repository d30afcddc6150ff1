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

from . import engine
from .engine import NoSocketError
from .memo import UnreadableError, digest, identity
from .processes import environment
from .project import ROOT, SLUG

#: The first line of a stage in a Dockerfile: its options, its image, and its name.
FROM = re.compile(r"\s*FROM\s+((?:--\S+\s+)*)(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
ARG = re.compile(r"^\s*ARG\s+(\w+)=[\"']?([^\s\"']*)", re.MULTILINE | re.IGNORECASE)
PLATFORM = re.compile(r"--platform=(\S+)")
#: A base image as `base_images` returns it.
PLATFORM_AND_NAME = re.compile(r"(?:--platform=(\S+) )?(\S+)")


class Engine(Protocol):
    """What is asked of Docker."""

    def config(self, scope: str) -> dict[str, Any]:
        """Return the resolved compose files of a scope."""

    def images(self, names: Iterable[str]) -> dict[str, str]:
        """Return the IDs of those images that exist."""

    def base_images(self, names: Iterable[str]) -> dict[str, str]:
        """Return the digests or IDs of those images that a build would use now."""

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
            built = {service.get("image") for service in services if service.get("build")}
            used |= {service["image"] for service in services if not service.get("build")} - built
            for service in services:
                if build := service.get("build"):
                    platform = service.get("platform") or ",".join(build.get("platforms") or ())
                    bases |= base_images(build, platform)
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
    for about in (config.get("volumes") or {}).values():
        options = (about or {}).get("driver_opts") or {}
        if options.get("device") and options.get("type") != "tmpfs":
            if "bind" not in str(options.get("o")):
                raise UnreadableError(f"a volume of its stack uses {options['device']}")
            found.add(Path(options["device"]))
    for kind in ("configs", "secrets"):
        for about in (config.get(kind) or {}).values():
            if (about or {}).get("external"):
                raise UnreadableError(f"its stack uses one of {kind} that is external")
            if (about or {}).get("file"):
                found.add(Path(about["file"]))
    return found


def base_images(build: dict[str, Any], platform: str = "") -> set[str]:
    """Return the images that a Dockerfile names, with their platform if it is not the engine's.

    An image with a platform is `--platform=PLATFORM NAME`, as in a Dockerfile.

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
    start = re.search(
        r"^\s*FROM\s", text, re.MULTILINE | re.IGNORECASE
    )  # FROM uses what is before it.
    values = dict(ARG.findall(text[: start.start() if start else None]))
    values |= {name: str(value) for name, value in (build.get("args") or {}).items() if value}
    contexts = build.get("additional_contexts") or {}
    stages = {"scratch", *contexts}
    found = {
        str(path).removeprefix("docker-image://")
        for path in contexts.values()
        if str(path).startswith("docker-image://")
    }
    for line in text.splitlines():
        start = FROM.match(line)
        names = [start[2]] if start else []
        own = PLATFORM.search(start[1] if start else "")
        where = platform if not own or "TARGETPLATFORM" in own[1] else own[1]
        where = "" if "BUILDPLATFORM" in where else where
        if re.match(r"\s*(COPY|ADD|RUN)\s", line, re.IGNORECASE):
            names = re.findall(r"(?:--|\b)from=([^\s,]+)", line)
        for name in names:
            image = expand(name, values)
            if image.lower() not in stages and not image.isdigit():
                found.add(f"--platform={where} {image}" if where else image)
        if start and start[3]:
            stages.add(start[3].lower())
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
    """Asks Docker."""

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
        return {name: str(image["Id"]) for name, image in self._store(names).items()}

    def _store(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return what is known of those images that are in Docker's image store.

        Raises:
            UnreadableError: the engine does not answer.
        """
        wanted = sorted(name for name in names if "@sha256:" not in name)
        if not wanted:
            return {}
        try:
            answers = {name: engine.get(f"/images/{name}/json") for name in wanted}
            return {name: answer for name, answer in answers.items() if answer}
        except TimeoutError:
            raise UnreadableError("docker does not answer") from None
        except NoSocketError:
            pass
        try:
            found = json.loads(ask("image", "inspect", *wanted))
            return dict(zip(wanted, found, strict=True))
        except (UnreadableError, ValueError):
            pass  # One of them does not exist.
        one_by_one = {}
        for name in wanted:
            with suppress(UnreadableError):
                one_by_one[name] = json.loads(ask("image", "inspect", name))[0]
        return one_by_one

    def base_images(self, names: Iterable[str]) -> dict[str, str]:
        """Return the digests or IDs of those images that a build would use now.

        A build with Docker's own builder uses an image of the image store, if it has one for the
        engine's platform. For the others, and for a builder of the user's, BuildKit is asked. A name with
        a digest says all.
        """
        wanted = {name for name in names if "@sha256:" not in name}
        found: dict[str, str] = {}
        if not has_own_builder():
            own = "/".join(self._server()[1:3])
            parts = {name: PLATFORM_AND_NAME.fullmatch(name) for name in wanted}
            known = self._store({part[2] for part in parts.values() if part})
            for name, part in parts.items():
                image = known.get(part[2]) if part else None
                if part and image and f"{image['Os']}/{image['Architecture']}" == (part[1] or own):
                    found[name] = str(image["Id"])
        return found | self._ask_builder(wanted - found.keys())

    def _ask_builder(self, names: Iterable[str]) -> dict[str, str]:
        """Return the digests of those images that a build would get from a registry now.

        BuildKit does not put base images into the image store, and asks the registry for a tag's digest
        in each build. So it is asked here with a build for each image that has nothing to do. It finds
        no digest of an image that it would take from the image store. The classic builder, which needs
        no buildx, takes all images from there.
        """
        if not names:
            return {}
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
        full = {name: full_name(name.rpartition(" ")[2]) for name in wanted}
        return {name: found[full[name]] for name in wanted if full[name] in found}

    def about(self) -> str:
        """Return a digest of the engine's version and architecture, and of Docker's plugins.

        Raises:
            UnreadableError: the engine does not answer.
        """
        settings_folder, settings = engine.settings()
        folders = [
            f"{settings_folder}/cli-plugins",
            *(f"/usr/{place}/docker/cli-plugins" for place in ("lib", "libexec", "local/lib")),
        ]
        plugins = [
            identity(os.path.realpath(f"{folder}/docker-{name}"))
            for folder in folders
            for name in ("compose", "buildx")
        ]
        proxies = json.dumps([settings.get("proxies"), settings.get("currentContext")])
        return digest(" ".join(self._server()), proxies, *plugins)

    def _server(self) -> tuple[str, ...]:
        """Return the engine's version, operating system and architecture, and the kernel's version.

        Raises:
            UnreadableError: the engine does not answer.
        """
        names = ("Version", "Os", "Arch", "KernelVersion")
        try:
            found = engine.get("/version") or {}
        except TimeoutError:
            raise UnreadableError("docker does not answer") from None
        except NoSocketError:
            found = json.loads(ask("version", "--format={{json .Server}}"))
        return tuple(str(found.get(name, "")) for name in names)


def has_own_builder() -> bool:
    """Whether builds may use another builder than Docker's own, or another platform than the engine's."""
    if os.environ.get("DOCKER_DEFAULT_PLATFORM"):
        return True
    if name := os.environ.get("BUILDX_BUILDER"):
        return name != "default"
    folder = Path(os.environ.get("BUILDX_CONFIG") or engine.settings()[0] / "buildx")
    try:
        if any(folder.glob("defaults/*")):
            return True
        chosen = json.loads((folder / "current").read_bytes())
    except FileNotFoundError:
        return False  # None was ever chosen.
    except (OSError, ValueError):
        return True
    return bool(chosen.get("Name")) if isinstance(chosen, dict) else True


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
