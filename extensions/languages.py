"""The language of a service, and what its frameworks are known for."""

from __future__ import annotations

import itertools
import json
import posixpath
import re
from collections.abc import Iterable
from typing import Any

from .dockerfiles import Stage
from .source_files import SourceFiles

#: By language, patterns of the names of its manifests. An earlier language wins: a web application in
#: Python or Ruby often has a package.json for its assets.
MANIFESTS: dict[str, re.Pattern[str]] = {
    "go": re.compile(r"go\.mod"),
    "rust": re.compile(r"Cargo\.toml"),
    "java": re.compile(r"pom\.xml|build\.gradle(\.kts)?"),
    "dotnet": re.compile(r".+\.(csproj|fsproj|vbproj|sln|slnx)"),
    "ruby": re.compile(r"Gemfile"),
    "php": re.compile(r"composer\.json"),
    "python": re.compile(r"pyproject\.toml|requirements\.txt|setup\.py|setup\.cfg|Pipfile"),
    "node": re.compile(r"package\.json"),
}

#: By language, the names of images that only contain this language.
IMAGES: dict[str, re.Pattern[str]] = {
    "go": re.compile(r"(^|/)golang\b"),
    "rust": re.compile(r"(^|/)rust\b|cargo-chef"),
    "java": re.compile(
        r"(^|/)(maven|gradle|openjdk|eclipse-temurin|amazoncorretto|ibm-semeru\w*)\b|/jdk|jre"
    ),
    "dotnet": re.compile(r"dotnet/"),
    "ruby": re.compile(r"(^|/)(ruby|jruby)\b"),
    "php": re.compile(r"(^|/)(php|composer|frankenphp)\b"),
    "python": re.compile(
        r"(^|/)(python|pypy|uvicorn-gunicorn\S*|miniconda3|mambaforge)\b|astral-sh/uv|tiangolo/"
    ),
    "node": re.compile(r"(^|/)(node|bun|deno)\b"),
}

#: A framework in the text of a manifest, by language, with the port that its server listens on.
FRAMEWORKS: tuple[tuple[str, str, int], ...] = (
    ("python", r"streamlit", 8501),
    (
        "python",
        r"fastapi|uvicorn|gunicorn|starlette|litestar|django|hypercorn|sanic|aiohttp\.web",
        8000,
    ),
    ("python", r"flask|quart", 5000),
    (
        "node",
        r'"(next|nuxt|express|fastify|koa|@nestjs/core|hono|@hapi/hapi|@remix-run/serve|restify)"',
        3000,
    ),
    ("node", r'"@angular/cli"', 4200),
    ("ruby", r"\brails\b|\bpuma\b", 3000),
    ("ruby", r"\bsinatra\b", 4567),
    ("java", r"spring-boot-starter-web|quarkus|micronaut|dropwizard|ktor-server|helidon", 8080),
    ("dotnet", r"Microsoft\.NET\.Sdk\.Web", 8080),
    ("go", r"gin-gonic|labstack/echo|gofiber|go-chi/chi|gorilla/mux", 8080),
    ("rust", r"\b(axum|actix-web|rocket|warp)\b", 8080),
)

#: The ports of images that are servers themselves, by the last part of the image's name.
SERVERS = {
    "nginx": 80, "nginx-unprivileged": 8080, "httpd": 80, "caddy": 80, "tomcat": 8080,
    "jetty": 8080, "frankenphp": 80, "uvicorn-gunicorn-fastapi": 80, "openresty": 80,
}  # fmt: skip

#: A port in the command of a server: `--port 5000`, `-p=5000`, `--bind 0.0.0.0:8000`.
PORT_IN_COMMAND = re.compile(
    r"(?:--port[= ]|-p[= ]?|--(?:bind|addr|address|host|listen|server\.port)[= ]\S*?:?|-b[= ]?\S*?:"
    r"|runserver\s+\S*?:?|0\.0\.0\.0:|\[::\]:)(\d{2,5})\b"
)

#: By language, a call in sources that listens on a port.
LISTENS = {
    "go": re.compile(r"\b(?:ListenAndServe|Run|Start|Listen)\(\s*\"[\w.]*:(\d{2,5})\""),
    "node": re.compile(r"(?:\.listen\(\s*|\bPORT\s*(?:\|\||\?\?)\s*[\"']?)(\d{2,5})\b"),
    "python": re.compile(r"\.run\([^()]*\bport\s*=\s*(\d{2,5})\b"),
}

#: Folders in which the sources of a language usually are not: they are searched last, or not at all.
SOURCES = re.compile(r"\.(py|js|mjs|cjs|ts|mts|go|rs|java|kt|rb|php|cs|fs)$")

#: Files of an application that may name a host: its sources, and its settings.
READ_FOR_HOSTS = re.compile(
    SOURCES.pattern + r"|(^|/)((application|bootstrap)[\w.\-]*\.ya?ml|[\w.\-]+\.properties)$"
)

#: Routes that only exist for health checks, the best one first.
_WORDS = "healthz|health|livez|healthcheck|health-check|_health|readyz|ready|ping|up"
#: Only routes of the application itself: the prefix of a router is unknown.
_ROUTE = re.compile(
    r"\b(?:app|server|fastify|application|mux|http|engine|e|r)\b[\w.]*\(\s*(?:b?[\"'`])"
    r"(?:GET )?(?P<path>(?:/api)?/(?:" + _WORDS + r")/?)[\"'`]"
)
#: A comparison with the path of a request, in a server without a framework.
_COMPARED = re.compile(
    r"\b(?:path|pathname|url|PATH_INFO)\b\W{0,3}\s*={2,3}\s*[\"'`](?P<path>(?:/api)?/(?:_healthz|"
    + _WORDS
    + r"))[\"'`]"
)
_FILE_ROUTE = re.compile(
    r"(?:^|/)(?:pages|app)(?P<path>/api/(?:" + _WORDS + r"))(?:/route)?\.(?:js|ts)$"
)

#: A text without any of these has no such route.
_STARTS = ("/health", "/_health", "/livez", "/ready", "/ping", "/up", "rails/")

#: How many source files are searched for a health route, and how many characters of each.
MAX_SOURCES, MAX_CHARACTERS = 300, 100_000


def manifests_in(files: SourceFiles, folder: str) -> dict[str, str]:
    """Return the languages whose manifests a folder contains, each with a manifest's name."""
    names = sorted(files.files_in(folder))
    found = {}
    for language, pattern in MANIFESTS.items():
        name = next((name for name in names if pattern.fullmatch(name)), "")
        if name:
            found[language] = name
    return found


def language_of(files: SourceFiles, folders: Iterable[str], stages: Iterable[Stage]) -> str:
    """Find the language of a service from its manifests and from the images that it is built on."""
    images = [stage.image for stage in stages][::-1]
    known = [
        language
        for image in images
        for language, pattern in IMAGES.items()
        if pattern.search(image)
    ]
    found: dict[str, str] = {}
    for folder in folders:
        found = manifests_in(files, folder)
        if found:
            break
    for language in known:
        if language in found:
            return language
    return next(iter(found), known[0] if known else "")


def manifest_text(files: SourceFiles, folder: str) -> str:
    """Return the text of all manifests in a folder."""
    names = [
        name for name in files.files_in(folder)
        if any(pattern.fullmatch(name) for pattern in MANIFESTS.values())
        or re.fullmatch(r"requirements\S*\.(txt|in)", name)
    ]  # fmt: skip
    return "\n".join(files.read(posixpath.join(folder, name)) for name in sorted(names))


def framework_port(language: str, manifests: str) -> int:
    """Return the port of a known framework in the manifests of a language; 0 if there is none."""
    for of, pattern, port in FRAMEWORKS:
        if of == language and re.search(pattern, manifests, re.IGNORECASE):
            return port
    return 0


def port_in_command(command: str) -> int:
    """Return the port that a command names; 0 if it names none."""
    match = PORT_IN_COMMAND.search(command)
    return int(match[1]) if match and 0 < int(match[1]) < 65536 else 0


def port_in_sources(files: SourceFiles, folder: str, language: str) -> int:
    """Return the only port that sources in a folder listen on; 0 if there is none, or several."""
    pattern = LISTENS.get(language)
    if pattern is None:
        return 0
    found: set[int] = set()
    names = (name for name in files.below(folder) if SOURCES.search(name))
    for name in itertools.islice(names, MAX_SOURCES):
        if not re.search(r"(^|/)(tests?|spec|__tests__|node_modules)/|_test\.go$", name):
            text = files.read(name)[:MAX_CHARACTERS]
            found |= {int(match[1]) for match in pattern.finditer(text)}
    return found.pop() if len(found) == 1 else 0


def hosts_in_sources(
    files: SourceFiles, folder: str, hosts: Iterable[str], stores: Iterable[str]
) -> set[str]:
    """Return those of some hosts that sources in a folder have in an address, as in `//db:5432`.

    A quoted name is enough for the hosts in `stores`: the name of a service can be any word.
    """
    names = "|".join(map(re.escape, sorted(hosts)))
    words = "|".join(map(re.escape, sorted(set(hosts) & set(stores)))) or "(?!)"
    pattern = re.compile(
        rf"(?:(?<=://)|(?<=@))(?:{names})(?=[:/\"'`])|(?<=[\"'`])(?:{words})(?=[\"'`])"
        rf"|(?:(?<=host: )|(?<=host=))(?:{words})\b"
    )
    found: set[str] = set()
    sources = (name for name in files.below(folder) if READ_FOR_HOSTS.search(name))
    for name in itertools.islice(sources, MAX_SOURCES):
        found |= set(pattern.findall(files.read(name)[:MAX_CHARACTERS]))
    return found


def health_route(files: SourceFiles, folder: str, manifests: str) -> str:
    """Return the path of a route for health checks in the sources of a folder; else an empty text."""
    if "spring-boot-starter-actuator" in manifests:
        return "/actuator/health"
    found: set[str] = set()
    count = 0
    for name in files.below(folder):
        if not SOURCES.search(name) or re.search(
            r"(^|/)(tests?|spec|__tests__|node_modules)/", name
        ):
            continue
        if match := _FILE_ROUTE.search(name):
            found.add(match["path"])
        count += 1
        if count > MAX_SOURCES:
            break
        text = files.read(name)[:MAX_CHARACTERS]
        if not any(word in text for word in _STARTS):
            continue
        for pattern in (_ROUTE, _COMPARED):
            found |= {match["path"] for match in pattern.finditer(text)}
        if re.search(r"get\s+[\"']up[\"']\s*=>\s*[\"']rails/health#show", text):
            found.add("/up")
    order = [
        f"{prefix}/{word}" for prefix in ("", "/api") for word in (*_WORDS.split("|"), "_healthz")
    ]
    return min(found, key=lambda path: order.index(path.rstrip("/")), default="")


def package_json(files: SourceFiles, folder: str) -> dict[str, Any]:
    """Return the content of a folder's package.json; empty if it is missing or broken."""
    try:
        found = json.loads(files.read(posixpath.join(folder, "package.json")) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
