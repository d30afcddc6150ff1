"""The rules that single answers must follow."""

from __future__ import annotations

import json
import keyword
import re
import sys
import unicodedata
from collections.abc import Container, Mapping
from typing import Any

import yaml

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_NAME = 30
SLUG = re.compile(r"[a-z][a-z0-9-]*")
MAX_SLUG = 40

#: An image name without its last part: a host with an optional port, then lower-case folders.
REGISTRY = re.compile(
    r"[a-z0-9]+((\.|-+)[a-z0-9]+)*(:[0-9]+)?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
)

#: Words that a YAML parser reads as a boolean or as nothing. In a compose file, each would be an error.
YAML_WORDS = frozenset("false n no null off on true y yes".split())

#: The meaning of the names of the template's containers. No project can keep a service of such a name.
OF_THE_TEMPLATE = "a backing service or a helper of this project"

#: Names that a service cannot have, by their existing meaning.
RESERVED: Mapping[str, frozenset[str]] = {
    # Some are spelled out, because services may run on a newer Python than Copier does, and because
    # `sys.stdlib_module_names` does not contain `test`.
    "a Python keyword": frozenset([*keyword.kwlist, *keyword.softkwlist, "type"]),
    "a module of Python's standard library": sys.stdlib_module_names
    | {"annotationlib", "compression", "profiling", "test"},
    "a library that the services use": frozenset(
        # What a lock file installs; an end-to-end test compares both.
        "alembic annotated_doc annotated_types anyio asgiref charset_normalizer click croniter dateutil "
        "dotenv execnet fastapi google greenlet h11 httpcore2 httpx httpx2 idna iniconfig mako "
        "markupsafe opentelemetry packaging pluggy psycopg psycopg_binary psycopg_pool py pydantic "
        "pydantic_core pydantic_settings pygments pytest redis requests saq sqlalchemy starlette "
        "tenacity truststore typing_extensions typing_inspection tzdata urllib3 uvicorn watchfiles "
        "wrapt xdist "
        # What those import if it is installed.
        "aiohttp brotli certifi colorama h2 hiredis httptools jinja2 multipart orjson rich sniffio "
        "six socksio trio ujson uvloop websockets wsproto yaml zstandard".split()
    ),
    "a word that YAML does not read as text": YAML_WORDS,
    "the name of every machine for itself": frozenset(["localhost"]),
    OF_THE_TEMPLATE: frozenset(
        "backup backup-push cache database database-setup door full https migrate postgres rates stub "
        "traces".split()
    ),
    "a word that Compose uses": frozenset(
        "build compose configs default deploy extends include name networks profiles secrets "
        "services version volumes".split()
    ),
    "a folder of the layout": frozenset("migrations scripts src tests".split()),
    # Copier compares folders with filecmp, which ignores these names.
    "a version-control folder": frozenset("bzr cvs darcs git hg rcs svn tags".split()),
    "a device name on Windows": frozenset(
        ["aux", "con", "nul", "prn"] + [f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10)]
    ),
}


class AnswerError(ValueError):
    """An answer is refused. The text is one line: the value, the rule, and a way to fix it."""


def slug(text: str) -> str:
    """Convert any text to a project slug; `my-project` if the text has no usable character."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_text).lstrip("-0123456789")
    found = words[:MAX_SLUG].strip("-") or "my-project"
    return f"{found}-project" if found in YAML_WORDS else found


def quoted(text: str) -> str:
    """Write text as a string literal that YAML, TOML, JSON, Python and TypeScript all read."""
    return json.dumps(text, ensure_ascii=False)


def yaml_text(text: str) -> str:
    """Write text for YAML, in quotes only if YAML would not read the bare text as the same text."""
    try:
        is_same = yaml.safe_load(text) == text and yaml.safe_load(f"[{text}]") == [text]
    except yaml.YAMLError:
        is_same = False
    # YAML 1.2 reads some numbers that PyYAML reads as text, such as 1e3.
    is_number = re.fullmatch(r"[-+.]?\d[\d_.eExXoO+-]*", text) is not None
    return text if is_same and not is_number and text.lower() not in YAML_WORDS else quoted(text)


def markdown(text: str) -> str:
    """Escape the characters that Markdown would read as markup."""
    escaped = re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", text)
    # At the start of a line, these begin a list, a numbered list, a heading or a rule.
    return re.sub(r"^(\s*)([-+=]|\d+(?=[.)](\s|$)))", _escape_start, escaped)


def _escape_start(match: re.Match[str]) -> str:
    space, start = match[1], match[2]
    # A digit cannot be escaped, so its full stop is.
    return f"{space}{start}\\" if start[0].isdigit() else f"{space}\\{start}"


def check_text(question: str, value: str, *, required: bool = False) -> None:
    """Refuse text that is not one line of printable characters."""
    if required and not value.strip():
        raise AnswerError(f"{question} is empty; enter some text")
    # Bidirectional text needs format characters (Cf). All other characters of category C, and line
    # and paragraph separators, would break a line or be invisible in the files.
    bad = [c for c in value if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")]
    if bad:
        raise AnswerError(
            f"{question} contains {bad[0]!a}; it must be one line of printable text; remove the character"
        )


def check_slug(value: str) -> None:
    """Refuse a slug that cannot be part of the names of containers, networks and images."""
    if value in YAML_WORDS:
        raise AnswerError(
            f"project_slug {value!r} is a word that YAML does not read as text; "
            f"try {value + '-project'!r}"
        )
    if not SLUG.fullmatch(value) or value.endswith("-") or "--" in value:
        raise AnswerError(
            f"project_slug {value!r} must start with a letter and contain only a-z, 0-9 and single "
            f"hyphens; try {slug(value)!r}"
        )
    if len(value) > MAX_SLUG:
        raise AnswerError(
            f"project_slug {value!r} has {len(value)} characters, but {MAX_SLUG} is the maximum; "
            f"try {slug(value)!r}"
        )


def check_registry(value: str) -> None:
    """Refuse a registry that no image name can start with."""
    if not REGISTRY.fullmatch(value):
        raise AnswerError(
            f"registry {value!r} must be HOST[:PORT][/OWNER] in lower case, without a scheme and "
            "without a slash at the end; try 'ghcr.io/my-org'"
        )


def check_chosen(chosen: list[str]) -> None:
    """Refuse an empty set of choices."""
    if not chosen:
        # Short, because the prompt of a set cuts the line at the edge of the terminal.
        raise AnswerError("choose at least one")


def check_layout(layout: str, previous: Mapping[str, Any]) -> None:
    """Refuse to turn a multi project into a single one."""
    if layout == "single" and previous.get("layout") == "multi":
        raise AnswerError(
            "layout 'single': a multi project cannot become single, because its services have folders "
            "and test stages that a single project lacks; remove services instead, or generate a "
            "new project"
        )


def reserved_as(name: str) -> str:
    """Return the meaning for which a service cannot have a name; empty if it can."""
    package = name.replace("-", "_")
    return next((what for what, words in RESERVED.items() if {name, package} & words), "")


def check_name(name: str, kept: Container[str] = ()) -> None:
    """Refuse a service name that is not a DNS label, is not a Python package, or shadows something.

    A project may keep a name that was not reserved when it got it.
    """
    if len(name) > MAX_NAME:
        raise AnswerError(
            f"service name {name!r} has {len(name)} characters, but {MAX_NAME} is the maximum; "
            "shorten it"
        )
    if not NAME.fullmatch(name):
        guess = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789").strip("-") or "api"
        raise AnswerError(
            f"service name {name!r} must start with a letter and contain only a-z, 0-9 and single "
            f"hyphens; try {guess!r}"
        )
    if name not in kept and (what := reserved_as(name)):
        raise AnswerError(
            f"service name {name!r} is reserved: it is {what}; try {name + '-service'!r}"
        )
    if name.endswith("-migrate"):
        raise AnswerError(
            f"service name {name!r} must not end in '-migrate', because that names the container "
            f"that runs a service's migrations; try {name.removesuffix('-migrate') + '-mover'!r}"
        )
    if name.startswith("pg-"):
        raise AnswerError(
            f"service name {name!r} must not start with 'pg-': its database role would be "
            f"{name.replace('-', '_')!r}, and PostgreSQL reserves 'pg_'; "
            f"try {'postgres' + name.removeprefix('pg')!r}"
        )
