"""Find the versions that rendered projects name: images, actions, languages and packages.

The files are recognised by their names and their format, never by a path of the template, so a file
that moves within the template is found again.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement


@dataclass(frozen=True, order=True)
class Pin:
    """A version that a project names."""

    kind: str  #: image, action, language, minimum (of a user's own tool), pypi or npm
    name: str
    version: str  #: as it is written; a range is kept as a range
    commit: str = ""  #: of an action


FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.MULTILINE | re.IGNORECASE)
COPY_FROM = re.compile(r"^\s*COPY\s.*?--from=(\S+)", re.MULTILINE | re.IGNORECASE)
IMAGE = re.compile(r"""^[ \t-]*image:\s*["']?([^\s"'#]+)""", re.MULTILINE)
#: An image that a script or a step runs is pinned by its digest.
DIGEST = re.compile(r"([a-z][\w./-]+:v?\d[\w.-]*@sha256:[0-9a-f]{64})")
#: `${POSTGRES_IMAGE:-postgres:18}` names an image too.
DEFAULT = re.compile(r"\$\{\w+:?-([^}]*)\}")
#: A commented step is a suggestion to the user, so it must be as current as the others.
ACTION = re.compile(r"^[ \t#-]*uses:\s*([\w.-]+/[\w./-]+)@(\S+)(?:\s+#\s*(\S+))?", re.MULTILINE)
SETUP = re.compile(r"""\b(python|node)-version:\s*["']?(\d[\d.]*)""")
#: `uvx ruff==0.17.6`, `uv run --with 'mypy==2.4.1'`, `RUFF = ruff==0.17.6`.
PYTHON_TOOL = re.compile(r"(?<![\w.-])([A-Za-z][\w.-]*(?:\[[\w,-]+\])?==\d[\w.]*)")
UVX_TOOL = re.compile(r"\buvx\s+(?:--\S+\s+)*([A-Za-z][\w.-]*)@(\d[\w.]*)")
NPX_TOOL = re.compile(r"\bnpx\s+(?:--?\S+\s+)*((?:@[\w.-]+/)?[a-z][\w.-]*)@([\^~]?\d[\w.]*)")
SCRIPT = re.compile(r"^# /// script$\n((?:^#(?: .*)?$\n)+?)^# ///$", re.MULTILINE)
#: The oldest Docker that a project's scripts accept: `at_least "$engine" 25`.
MINIMUM = re.compile(r'\bat_least "\$\{?(engine|compose)\b[^"]*" (\d[\d.]*)')
PRODUCTS = {
    "engine": "docker-engine",
    "compose": "docker-compose",
    "node": "nodejs",
    "python": "python",
}


def pins_of(project: Path) -> dict[Pin, str]:
    """Return the versions that a project names, with the first file that names each."""
    found: dict[Pin, str] = {}
    for path in sorted(project.rglob("*")):
        if path.is_file() and not path.is_symlink():
            text = path.read_text(encoding="utf-8", errors="replace")
            for pin in pins_in(path.name, text):
                found.setdefault(pin, str(path.relative_to(project)))
    return found


def pins_in(name: str, text: str) -> Iterator[Pin]:
    """Find the versions in the text of a file with this name."""
    suffix = Path(name).suffix
    if name.startswith("Dockerfile") or suffix == ".Dockerfile":
        yield from images_of(text)
    if suffix in {".yml", ".yaml"}:
        yield from (pin for match in IMAGE.finditer(text) for pin in image(match[1]))
        yield from (action(*match.groups("")) for match in ACTION.finditer(text))
        yield from (Pin("language", PRODUCTS[m[1]], m[2]) for m in SETUP.finditer(text))
    if suffix in {".yml", ".yaml", ".sh"}:
        yield from (pin for match in DIGEST.finditer(text) for pin in image(match[1]))
    if suffix in {".yml", ".yaml", ".sh", ".mk"} or name in {"Makefile", "justfile"}:
        yield from (requirement(match[1]) for match in PYTHON_TOOL.finditer(text))
        yield from (Pin("pypi", m[1].lower(), f"=={m[2]}") for m in UVX_TOOL.finditer(text))
        yield from (Pin("npm", m[1], m[2]) for m in NPX_TOOL.finditer(text))
        yield from (Pin("minimum", PRODUCTS[m[1]], m[2]) for m in MINIMUM.finditer(text))
    if name in {".python-version", ".node-version", ".nvmrc"}:
        yield Pin("language", "python" if "python" in name else "nodejs", text.strip().lstrip("v"))
    if name == "pyproject.toml":
        yield from pyproject(tomllib.loads(text))
    if name == "package.json":
        yield from package_json(json.loads(text))
    if re.fullmatch(r"requirements.*\.(txt|in)", name):
        lines = (line.split("#")[0].strip() for line in text.splitlines())
        yield from (requirement(line) for line in lines if line and not line.startswith("-"))
    if suffix == ".py":
        for match in SCRIPT.finditer(text):
            content = "".join(line[2:] or "\n" for line in match[1].splitlines(keepends=True))
            yield from script(tomllib.loads(content))


def images_of(dockerfile: str) -> Iterator[Pin]:
    """Find the images that a Dockerfile starts from or copies from; a stage is no image."""
    stages = {match[2] for match in FROM.finditer(dockerfile) if match[2]}
    names = [match[1] for match in FROM.finditer(dockerfile)]
    names += [match[1] for match in COPY_FROM.finditer(dockerfile)]
    for name in names:
        if name not in stages and name != "scratch" and not name.isdigit():
            yield from image(name)


def image(reference: str) -> Iterator[Pin]:
    """Read an image's name; an image that the project builds itself has a variable in its name.

    In the manifests of Kubernetes, such an image has the tag `unreleased`.
    """
    if default := DEFAULT.fullmatch(reference):
        reference = default[1]
    if "$" in reference or not reference or reference.endswith(":unreleased"):
        return
    reference = reference.split("@")[0].removeprefix("docker.io/").removeprefix("library/")
    name, _, tag = reference.rpartition(":")
    if not name or "/" in tag:  # No tag: the colon, if there is one, belongs to a registry's port.
        name, tag = reference, "latest"
    yield Pin("image", name, tag)


def action(name: str, commit: str, version: str) -> Pin:
    """Read a workflow's `uses:`; without a comment the version is unknown."""
    owner_and_repository = "/".join(name.split("/")[:2])
    return Pin("action", owner_and_repository, version, commit)


def requirement(text: str) -> Pin:
    """Read a Python requirement; a name without a version has an empty one."""
    parsed = Requirement(text)
    name = re.sub(r"[-_.]+", "-", parsed.name).lower()
    return Pin("pypi", name, str(parsed.specifier))


def requirements(texts: Iterable[Any]) -> Iterator[Pin]:
    """Read the requirements of a list in which other entries, such as groups, may stand."""
    return (requirement(text) for text in texts if isinstance(text, str))


def script(metadata: dict[str, Any]) -> Iterator[Pin]:
    """Read what a project or a script says of its Python and its dependencies."""
    if oldest := re.search(r">=\s*(\d[\d.]*)", metadata.get("requires-python", "")):
        yield Pin("minimum", "python", oldest[1])
    yield from requirements(metadata.get("dependencies", []))


def pyproject(content: dict[str, Any]) -> Iterator[Pin]:
    """Read a pyproject.toml."""
    project = content.get("project", {})
    yield from script(project)
    groups = content.get("dependency-groups", {}), project.get("optional-dependencies", {})
    for group in groups:
        for texts in group.values():
            yield from requirements(texts)
    yield from requirements(content.get("build-system", {}).get("requires", []))


def package_json(content: dict[str, Any]) -> Iterator[Pin]:
    """Read a package.json."""
    for oldest in re.findall(r"(\d[\d.]*)", content.get("engines", {}).get("node", "")):
        yield Pin("minimum", "nodejs", oldest)
    for key in ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies"):
        for name, version in content.get(key, {}).items():
            yield Pin("npm", name, version)
