# Kept by the template: copier update merges its changes into this file.
"""Rules for Dockerfiles."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from . import images
from .dockerfile import Instruction
from .model import Edit, Finding, Severity, rule
from .project import Image, Project

#: Names of variables that contain a secret.
SECRET = re.compile(
    r"(?i)(?:^|_)(?:password|passwd|passphrase|secret|secret_key|token|api_?key|private_?key|"
    r"access_?key|secret_access_key|secret_key_base|credentials)\d*$"
)
#: Words in the name of a Dockerfile that no one runs in production.
NOT_FOR_PRODUCTION = frozenset("debug dev ci e2e local playwright test tests".split())

#: A program that starts another one as another user.
DROPS_ROOT = re.compile(r"\b(gosu|su-exec|setpriv|runuser|s6-setuidgid|chpst)\b")

SECRET_FILE = re.compile(
    r"(?:^|/)(\.env(\.(?!example|sample|template|dist)[\w.-]+)?|id_rsa|"
    r"id_ed25519|\.npmrc|\.pypirc|\.netrc|[\w.-]+\.(pem|p12|pfx))$"
)

DOCKERIGNORE = (
    ".git",
    ".env",
    ".env.*",
    "!.env.example",
    "**/.venv",
    "**/__pycache__",
    "**/node_modules",
    "Dockerfile*",
    "docker-compose*.yml",
)


def is_secret(name: str) -> bool:
    """Return whether a variable's name says that it contains a secret."""
    return bool(SECRET.search(name)) and not re.search(r"(?i)allow|random|public|_file$", name)


def is_for_production(image: Image) -> bool:
    """Return whether an image may run in production, by its path and by its users."""
    words = set(re.split(r"[-_./]", image.path.lower()))
    if words & NOT_FOR_PRODUCTION:
        return False
    last = image.dockerfile.stages[-1]
    return image.stage is last or not image.stage.name.startswith(("dev", "test", "builder"))


@rule("root-user", "A container runs as root")
def root_user(project: Project) -> Iterator[Finding]:
    """Report images whose process runs as root."""
    reported = set()
    # A cluster refuses to start such an image as root, or sets the user.
    in_cluster = any(
        "runAsNonRoot: true" in project.text(name)
        for name in project.files
        if name.endswith((".yaml", ".yml"))
    )
    for image in project.images:
        if not is_for_production(image):
            continue
        user = image.stage.last("USER")
        base = images.image(image.stage.image)
        if user:
            name = user.value.partition(":")[0]
            if name not in ("root", "0"):
                continue
        elif not base.runs_as_root:
            continue
        if DROPS_ROOT.search(image.dockerfile.text) or starts_with_gosu(project, image):
            continue
        if image.services and all("user" in service.merged for _, service in image.services):
            continue
        line = (
            user.line
            if user
            else (image.stage.own or [Instruction(image.stage.line, "", "")])[-1].line
        )
        if (image.path, line) in reported:
            continue
        reported.add((image.path, line))
        yield Finding(
            "root-user",
            image.path,
            line,
            "the image's process runs as root"
            + (f": USER {user.value}" if user else ", because no USER is set"),
            "A flaw in the service then gives an attacker root in the container, and its files on "
            "bind mounts belong to root.",
            "# before CMD; files that the process writes need: COPY --chown=10001:10001\n"
            "USER 10001:10001",
            Severity.ERROR if serves(image) and not in_cluster else Severity.WARNING,
        )


def serves(image: Image) -> bool:
    """Return whether an image is a service: Compose runs it, or it exposes a port."""
    return bool(image.services or image.stage.last("EXPOSE"))


def starts_with_gosu(project: Project, image: Image) -> bool:
    """Return whether a script of the build context drops root."""
    for item in image.stage.every("ENTRYPOINT", "CMD"):
        for word in item.words:
            name = posixpath.basename(word.strip("\"'"))
            for path in project.files:
                same = name.endswith(".sh") and posixpath.basename(path) == name
                if same and DROPS_ROOT.search(project.text(path)):
                    return True
    return False


@rule("secret-in-image", "A secret is copied into an image")
def secret_in_image(project: Project) -> Iterator[Finding]:
    """Report secrets in variables and files of images."""
    for path, dockerfile in project.dockerfiles.items():
        final = {id(item) for item in dockerfile.stages[-1].instructions}
        for stage in dockerfile.stages:
            for item in stage.own:
                if item.name in ("ARG", "ENV"):
                    yield from secret_variables(path, item, shipped=id(item) in final)
                if item.name in ("COPY", "ADD") and "from" not in item.flags:
                    for source in item.words[:-1]:
                        if SECRET_FILE.search(source):
                            yield Finding(
                                "secret-in-image",
                                path,
                                item.line,
                                f"{source} is copied into the image",
                                "Everyone who can pull the image can read it, even if a later "
                                "layer deletes it.",
                                "# give it to the build only, or set it when the container starts\n"
                                "RUN --mount=type=secret,id=env,target=/run/secrets/env …",
                            )


def secret_variables(path: str, item: Instruction, *, shipped: bool) -> Iterator[Finding]:
    """Yield the secrets in an ARG or ENV."""
    assignments = re.findall(r"([A-Za-z_]\w*)(?:=(\"[^\"]*\"|'[^']*'|\S*))?", item.value)
    if item.name == "ENV" and "=" not in item.value.split()[0]:
        name, _, value = item.value.partition(" ")
        assignments = [(name, value)]
    elif item.name == "ENV":
        assignments = re.findall(r"(?:^|\s)([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|\S*)", item.value)
    else:
        assignments = assignments[:1]
    for name, value in assignments:
        value = value.strip("\"'")
        if not is_secret(name) or (item.name == "ENV" and not value) or value.startswith("/"):
            continue
        yield Finding(
            "secret-in-image",
            path,
            item.line,
            f"{item.name} {name} stores a secret in the image's history",
            "Everyone who can pull the image can read it with docker history.",
            f"RUN --mount=type=secret,id={name.lower()},env={name} …",
            Severity.ERROR if shipped else Severity.WARNING,
        )


@rule("missing-dockerignore", "A whole folder is copied into an image, without a .dockerignore")
def missing_dockerignore(project: Project) -> Iterator[Finding]:
    """Report contexts that are copied with everything in them."""
    reported = set()
    for image in project.images:
        whole = [
            item
            for item in image.stage.instructions
            + [i for s in image.dockerfile.stages for i in s.own]
            if item.name in ("COPY", "ADD")
            and "from" not in item.flags
            and any(word in (".", "./", "/") for word in item.words[:-1])
        ]
        ignores = (
            f"{image.context}/.dockerignore".removeprefix("./"),
            f"{image.path}.dockerignore",
        )
        exists = any((project.root / name).is_file() for name in ignores)
        if not whole or exists or image.context in reported:
            continue
        if not image.services and only_dockerfiles(project, image.context):
            continue  # The context is another folder.
        reported.add(image.context)
        copied = " ".join(word for item in whole for word in item.words)
        lines = [line for line in DOCKERIGNORE if line.strip("*/!.") not in copied.split()]
        content = "\n".join(lines) + "\n"
        last = image.dockerfile.stages[-1].instructions
        shipped = [item for item in whole if item in image.stage.instructions or item in last]
        why = "each change of any file there builds it again."
        yield Finding(
            "missing-dockerignore",
            image.path,
            (shipped or whole)[0].line,
            f"the whole folder {image.context} is copied into "
            f"{'the image' if shipped else 'a build stage'}, and it has no .dockerignore",
            "The image contains every file there, such as .env and local builds, and " + why
            if shipped
            else "The build can see every file there, such as .env and local builds, and " + why,
            f"# {ignores[0]}\n{content}".rstrip(),
            Severity.ERROR if shipped else Severity.WARNING,
            Edit(ignores[0], content),
        )


def only_dockerfiles(project: Project, folder: str) -> bool:
    """Return whether a folder contains nothing but Dockerfiles."""
    below = [name for name in project.files if name.startswith(f"{folder}/")]
    others = len(below) < len(project.files)
    return folder not in ("", ".") and others and all(name in project.dockerfiles for name in below)


@rule("shell-form-cmd", "A CMD or ENTRYPOINT is in shell form")
def shell_form_cmd(project: Project) -> Iterator[Finding]:
    """Report commands for which a shell is the first process."""
    reported = set()
    for image in project.images:
        for name in ("ENTRYPOINT", "CMD"):
            item = image.stage.last(name)
            if (
                not item
                or item.exec_form
                or item.value.startswith(("exec ", "["))
                or (image.path, item.line) in reported
            ):
                continue
            if name == "CMD" and image.stage.last("ENTRYPOINT"):
                continue
            if image.services and all(service.command for _, service in image.services):
                continue
            reported.add((image.path, item.line))
            simple = not re.search(r"[$&|;<>*`'\"\\]", item.value)
            words = ", ".join(f'"{word}"' for word in item.value.split())
            yield Finding(
                "shell-form-cmd",
                image.path,
                item.line,
                f"{name} is in shell form",
                "It needs a shell in the image. Some shells stay the first process and do not pass "
                "SIGTERM on, so Docker kills the service after 10 seconds.",
                f"{name} [{words}]" if simple else f"{name} exec {item.value}",
                Severity.WARNING,
            )


@rule("entry-point-exec", "An entry point script does not end with exec")
def entry_point_exec(project: Project) -> Iterator[Finding]:
    """Report scripts that stay the first process without passing signals on."""
    for image in project.images:
        item = image.stage.last("ENTRYPOINT") or image.stage.last("CMD")
        words = item.words if item else []
        name = posixpath.basename(words[0].strip("\"'")) if words else ""
        if name in ("sh", "bash", "/bin/sh") and len(words) > 1:
            name = posixpath.basename(words[1])
        serves = image.stage.last("EXPOSE") or any(s.merged.get("ports") for _, s in image.services)
        if not item or not serves or not name.endswith(".sh"):
            continue
        found = [
            path
            for path in project.files
            if PurePosixPath(path).name == name
            and (image.context == "." or path.startswith(f"{image.context}/"))
        ]
        if len(found) != 1:
            continue
        text = project.text(found[0])
        if re.search(r"\bexec\b|\btrap\b|\bwait\b|\b(tini|dumb-init|supervisord)\b", text):
            continue
        lines = [line.strip() for line in text.splitlines()]
        last = next(
            (
                n
                for n, line in reversed(list(enumerate(lines, 1)))
                if line and not line.startswith("#")
            ),
            0,
        )
        command = lines[last - 1] if last else ""
        if not re.match(r"[\"$./\w-]+(\s|$)", command) or command in ("fi", "done", "esac", "}"):
            continue
        yield Finding(
            "entry-point-exec",
            found[0],
            last,
            f"{name} is the first process of the container, and starts the service without exec",
            "A shell does not pass SIGTERM on, so Docker kills the service after 10 seconds.",
            f"exec {command}",
            Severity.WARNING,
        )
