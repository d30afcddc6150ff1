"""Reads Dockerfiles: what the final image listens on, how it is healthy, and what it is based on."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .compose_reader import substitute
from .source_files import SourceFiles

#: `Dockerfile`, `Dockerfile.api`, `api.Dockerfile`, `Containerfile`.
NAME = re.compile(
    r"(?:Dockerfile|Containerfile)(?:[.\-_](?P<after>[\w.\-]+))?|(?P<before>[\w.\-]+)\.dockerfile",
    re.IGNORECASE,
)

#: Endings of files that describe a Dockerfile, or from which one is generated.
NOT_A_DOCKERFILE = re.compile(
    r"\.(dockerignore|md|txt|j2|jinja2?|tmpl|tpl|erb|in|bak|orig|swp|sh|py)$", re.IGNORECASE
)

#: Suffixes of other images of the same service: for development, for another system, and similar.
VARIANT = re.compile(
    r"(dev|devel|development|local|debug|test|tests|testing|ci|e2e|prod|production|staging|release|"
    r"alpine|debian|ubuntu|slim|distroless|scratch|windows|nanoserver|linux|arm|arm32|arm64|armhf|"
    r"amd64|x86|x86_64|gpu|cuda|cpu|base|builder|build|old|legacy|multistage)([.\-_].*)?",
    re.IGNORECASE,
)

#: The build arguments that the builder sets.
PREDEFINED = frozenset(
    f"{of}{what}" for of in ("TARGET", "BUILD") for what in ("PLATFORM", "OS", "ARCH", "VARIANT")
)


@dataclass
class Stage:
    """A stage of a Dockerfile, with what it inherits from earlier stages."""

    name: str
    image: str  #: the image that the chain of stages starts from
    expose: list[int] = field(default_factory=list)
    #: The command of HEALTHCHECK, `NONE`, or empty.
    health: str = ""
    command: str = ""  #: CMD, as one line
    entrypoint: str = ""  #: ENTRYPOINT, as one line
    env: dict[str, str] = field(default_factory=dict)
    user: str = ""
    run: str = ""  #: the text of all RUN instructions

    def heir(self, name: str) -> Stage:
        """Return a new stage that starts from this one."""
        return Stage(
            name, self.image, list(self.expose), self.health, self.command, self.entrypoint,
            dict(self.env), self.user, self.run,
        )  # fmt: skip


@dataclass(frozen=True)
class Dockerfile:
    """The stages of a Dockerfile, and the files that it copies from its context."""

    stages: tuple[Stage, ...] = ()
    copied: tuple[str, ...] = ()
    #: The stages from which another stage copies files, in lower case.
    copied_stages: frozenset[str] = frozenset()
    #: The build arguments without a value that name a file or an image, in their order.
    open_arguments: tuple[str, ...] = ()

    def stage(self, target: str = "") -> Stage:
        """Return a stage by its name; the last one if no stage has the name."""
        for stage in self.stages:
            if target and stage.name.lower() == target.lower():
                return stage
        return self.stages[-1] if self.stages else Stage("", "")


def is_dockerfile(name: str) -> bool:
    """Whether a file's name is that of a Dockerfile."""
    return NAME.fullmatch(name) is not None and not NOT_A_DOCKERFILE.search(name)


def variant_of(name: str) -> str:
    """Return what the name of a Dockerfile adds to `Dockerfile`: `api` for `Dockerfile.api`."""
    match = NAME.fullmatch(name)
    return (match["after"] or match["before"] or "") if match else ""


def parse_dockerfile(text: str) -> Dockerfile:
    """Read the stages of a Dockerfile. An instruction that it does not know is ignored."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    copied: list[str] = []
    copied_stages: set[str] = set()
    open_arguments: dict[str, None] = {}
    for word, rest in _instructions(text):
        known = arguments | (stages[-1].env if stages else {})
        if word in ("FROM", "COPY", "ADD"):
            used = re.findall(r"\$\{?(\w+)\}?", rest)
            open_arguments |= {name: None for name in used if arguments.get(name) == ""}
        if word == "FROM":
            parts = [part for part in rest.split() if not part.startswith("--")]
            if not parts:
                continue
            image = _resolved(parts[0], known)
            name = parts[2] if len(parts) > 2 and parts[1].lower() == "as" else ""
            parent = next((s for s in stages if s.name and s.name.lower() == image.lower()), None)
            stages.append(parent.heir(name) if parent else Stage(name, image))
            continue
        if word == "ARG":
            name, _, value = rest.partition("=")
            name = name.strip()
            if value or (name not in arguments and name not in PREDEFINED):
                arguments[name] = _resolved(value.strip().strip("\"'"), known)
            continue
        if not stages:
            continue
        stage = stages[-1]
        if word == "EXPOSE":
            for port in rest.split():
                number, _, protocol = _resolved(port, known).partition("/")
                number = number.partition("-")[0]
                if (
                    number.isdigit()
                    and protocol.lower() != "udp"
                    and int(number) not in stage.expose
                ):
                    stage.expose.append(int(number))
        elif word == "HEALTHCHECK":
            stage.health = re.sub(r"^(--\S+\s+)*(CMD\s+)?", "", rest).strip() or "NONE"
        elif word == "CMD":
            stage.command = _line(rest)
        elif word == "ENTRYPOINT":
            stage.entrypoint, stage.command = _line(rest), ""
        elif word == "ENV":
            stage.env |= {key: _resolved(value, known) for key, value in _pairs(rest)}
        elif word == "USER":
            stage.user = _resolved(rest.strip(), known)
        elif word == "RUN":
            stage.run += f"{rest}\n"
        elif word in ("COPY", "ADD"):
            if match := re.search(r"--from=(\S+)", rest):
                copied_stages.add(_resolved(match[1], known).lower())
            else:
                copied += [_resolved(source, known) for source in _sources(rest)]
    return Dockerfile(tuple(stages), tuple(copied), frozenset(copied_stages), tuple(open_arguments))


def _resolved(value: str, known: dict[str, str]) -> str:
    """Replace the variables of a Dockerfile that are known."""
    return substitute(
        value, lambda name, op, default: known.get(name) or (default if "-" in op else "")
    )


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction in upper case, with the rest of its line."""
    logical = ""
    end_of_text = ""
    for line in text.splitlines():
        if end_of_text:
            end_of_text = "" if line.strip() == end_of_text else end_of_text
            continue
        if line.lstrip().startswith("#") or (logical and not line.strip()):
            continue
        stripped = line.rstrip()
        if stripped.endswith("\\"):
            logical += stripped[:-1] + " "
            continue
        logical += stripped
        word, _, rest = logical.strip().partition(" ")
        if heredoc := re.search(r"<<-?[\"']?(\w+)[\"']?", rest):
            end_of_text = heredoc[1] if word.upper() in ("RUN", "COPY", "ADD") else ""
        logical = ""
        if word:
            yield word.upper(), rest.strip()


def _line(text: str) -> str:
    """Return a command in either form as one line."""
    if text.startswith("["):
        try:
            return " ".join(str(word) for word in json.loads(text))
        except ValueError:
            return text
    return text


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    if "=" not in text.split(" ", 1)[0]:
        key, _, value = text.partition(" ")
        yield key, value.strip()
        return
    for match in re.finditer(r"([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|\S*)", text):
        yield match[1], match[2].strip("\"'")


def _sources(text: str) -> list[str]:
    text = re.sub(r"^(--\S+\s+)*", "", text)
    if text.startswith("["):
        try:
            words = [str(word) for word in json.loads(text)]
        except ValueError:
            return []
    else:
        words = text.split()
    return [word for word in words[:-1] if not word.startswith("<<")]


def context_of(path: str, dockerfile: Dockerfile, files: SourceFiles) -> str:
    """Find the build context of a Dockerfile that no compose file names.

    It is the deepest folder, from the Dockerfile's own to the root, that has all copied files.
    """
    folder = posixpath.dirname(path) or "."
    candidates = [folder]
    while candidates[-1] != ".":
        candidates.append(posixpath.dirname(candidates[-1]) or ".")

    def is_there(candidate: str, source: str) -> bool:
        source = re.split(r"[*?\[]", source.lstrip("/"), maxsplit=1)[0].rstrip("/")
        if not source or source == "." or re.match(r"https?:|git@", source):
            return True
        return (files.root / candidate / source).exists() or source != source.rstrip("*?[")

    needed = [
        source for source in dockerfile.copied
        if not re.search(r"[*?\[$]", source)
    ]  # fmt: skip
    for candidate in candidates:
        if all(is_there(candidate, source) for source in needed):
            if candidate == folder and needed and set(needed) <= {".", "./"}:
                return _of_sources(candidate)
            return candidate
    return _of_sources(folder)


def _of_sources(folder: str) -> str:
    """Return the folder of the sources for a Dockerfile in a folder such as `docker/`."""
    if posixpath.basename(folder) in ("docker", ".docker", "build", "deploy", "deployment"):
        return posixpath.dirname(folder) or "."
    return folder
