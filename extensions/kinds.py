"""The table of the kinds of services: all that the rest of the project needs to know of a kind.

The files of a kind are in its own folder of the template. Everything outside that folder (compose
files, Makefiles, workflows, documentation) reads this table and never asks for a kind by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Kind:
    """One kind of service.

    In commands and mounts, `{source}` stands for the folder of the service's code and `{scripts}`
    for the project's scripts/, both as seen from the service's folder.
    """

    title: str  #: what it is built with, for people
    language: str  #: what its tools run on: python, node, or nothing that we know of
    words: tuple[str, ...] = ()  #: a service with one of these words in its name is of this kind

    container_port: int = 0  #: where its container listens; 0: it does not answer HTTP
    first_port: int = 0  #: the first port that services of this kind get on a developer's machine
    dev_port: int = 0  #: where its container listens in dev, if not at `container_port`
    front_door: int = 0  #: the integration tests enter by the service that has the highest value

    needs: tuple[
        str, ...
    ] = ()  #: by default it needs the first service of the first of these kinds
    has_database: bool = False  #: it has a database of its own if the project has a database
    does_jobs: bool = False  #: it works on background jobs
    defers_jobs: bool = False  #: it gives background jobs to a service that works on them
    uses_cache: bool = False  #: it uses the cache if the project has one
    calls_api: bool = False  #: it calls the external API, which a stub replaces in tests
    is_api: bool = (
        False  #: offers /api/items (with a database), /api/rates, /api/jobs (with a worker)
    )
    is_page: bool = False  #: it runs in a browser; its web server passes /api on to a service
    is_own: bool = False  #: it is the user's own: no skeleton but a placeholder

    database_scheme: str = "postgresql"  #: how its database library spells the address
    migrate: str = ""  #: the command, as a YAML list, that migrates its database

    dev_target: bool = True  #: its Dockerfile has a stage `dev`, which reloads mounted sources
    mounts: tuple[str, ...] = ()  #: what dev mounts, from the service's folder into /app

    setup: str = ""
    test_unit: str = ""
    test_service: str = ""
    lint: str = ""
    format: str = ""
    lock: str = ""
    select: str = "-k word"  #: how its test tool selects tests by name


_PYTHON = Kind(
    title="",
    language="python",
    database_scheme="postgresql+psycopg",
    mounts=("{source}",),
    setup="uv sync",
    test_unit="uv run pytest $(or $(TESTS),tests/unit) $(ARGS)",
    test_service="uv run pytest $(or $(TESTS),tests/integration) --integration $(ARGS)",
    lint="{scripts}/lint/python.sh check",
    format="{scripts}/lint/python.sh fix",
    lock="uv lock",
)

_NODE = Kind(
    title="",
    language="node",
    setup="npm $(if $(wildcard package-lock.json),ci,install)",
    test_unit="npm run --silent test:unit -- $(TESTS) $(ARGS)",
    test_service="npm run --silent test:integration -- $(TESTS) $(ARGS)",
    lint="{scripts}/lint/node.sh check",
    format="{scripts}/lint/node.sh fix",
    lock="npm install --package-lock-only",
    select="-t word",
)

KINDS: Mapping[str, Kind] = {
    "python-api": replace(
        _PYTHON,
        title="FastAPI",
        container_port=8000,
        first_port=8000,
        front_door=2,
        needs=("python-worker",),
        has_database=True,
        defers_jobs=True,
        uses_cache=True,
        calls_api=True,
        is_api=True,
        migrate="[alembic, upgrade, head]",
    ),
    "python-worker": replace(
        _PYTHON,
        title="background jobs with SAQ",
        words=("worker", "jobs", "consumer", "scheduler"),
        does_jobs=True,
        uses_cache=True,
    ),
    "node-api": replace(
        _NODE,
        title="Fastify, in TypeScript",
        container_port=8000,
        first_port=8000,
        front_door=2,
        has_database=True,
        uses_cache=True,
        calls_api=True,
        is_api=True,
        migrate="[node, src/migrate.ts]",
        mounts=("src",),
    ),
    "node-web": replace(
        _NODE,
        title="TypeScript, Vite and nginx",
        words=("frontend", "web", "ui", "dashboard"),
        container_port=8080,
        first_port=8080,
        dev_port=5173,
        front_door=3,
        needs=("python-api", "node-api", "custom"),
        is_page=True,
        mounts=("index.html", "src"),
    ),
    "custom": Kind(
        title="your own Dockerfile, any language",
        language="",
        container_port=8000,
        first_port=9000,
        front_door=1,
        is_own=True,
        dev_target=False,
        setup="@: # nothing to install yet",
        test_unit="uv run --no-project python -m unittest $(or $(TESTS),discover -s tests/unit) $(ARGS)",
        test_service=(
            "uv run --no-project python -m unittest $(or $(TESTS),discover -s tests/integration) $(ARGS)"
        ),
        lint="uvx ruff check app.py tests\nuvx ruff format --check app.py tests",
        format="uvx ruff check --fix --exit-zero app.py tests\nuvx ruff format app.py tests",
        lock="@: # no lock file yet",
    ),
}

#: The kind of a service whose name says nothing about it.
DEFAULT_KIND = "python-api"


def kind_of(name: str) -> str:
    """Read a kind from the words of a service's name: `email-worker` is a python-worker."""
    by_word = {word: kind for kind, row in KINDS.items() for word in row.words}
    return next((by_word[word] for word in name.split("-") if word in by_word), DEFAULT_KIND)
