"""The table of the kinds of services, with all properties that other files need.

The files of a kind are in its own folder of the template. Everything outside that folder (compose
files, Makefiles, workflows, documentation) reads this table and never tests the name of a kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Kind:
    """One kind of service.

    In commands and mounts, `{source}` is replaced by the folder of the service's code and
    `{scripts}` by the project's scripts/, both relative to the service's folder.
    """

    language: str  #: the language of its tools: python, node, or empty if unknown
    minimum_version: tuple[int, ...] = ()  #: the oldest Node.js that its commands run on
    words: tuple[str, ...] = ()  #: a service with one of these words in its name has this kind

    container_port: int = 0  #: the port of its container; 0: it has no HTTP server
    first_port: int = 0  #: on a developer's machine, the first port for services of this kind
    dev_port: int = 0  #: the port of its container in dev, if it is not `container_port`
    front_door: int = 0  #: the integration tests use the service with the highest value

    #: By default, it needs one service: the first service of the first of these kinds.
    needs: tuple[str, ...] = ()
    has_database: bool = False  #: it has its own database if the project has a database
    does_jobs: bool = False  #: it runs background jobs
    defers_jobs: bool = False  #: it sends background jobs to a service that runs them
    uses_cache: bool = False  #: it uses the cache if the project has one
    calls_api: bool = False  #: it calls the external API, which a stub replaces in tests
    #: It has /api/rates, with a database also /api/items, and with a worker also /api/jobs.
    is_api: bool = False
    is_page: bool = False  #: it is a web page; its web server forwards /api to a service
    is_own: bool = False  #: the user writes it; the template only has a placeholder

    database_scheme: str = "postgresql"  #: the scheme of a database's address for its library
    migrate: str = ""  #: the command, as a YAML list, that migrates its database

    dev_target: bool = True  #: its Dockerfile has a stage `dev`, which reloads mounted sources
    mounts: tuple[str, ...] = ()  #: folders in the service's folder that dev mounts into /app
    #: Dev also mounts the service's folder on /mnt/service, for files beside those folders. A mount of
    #: a single file would keep the old file when an editor replaces it.
    mounts_folder: bool = False

    setup: str = ""
    test_unit: str = ""
    test_service: str = ""
    lint: str = ""
    format: str = ""
    lock: str = ""
    select: str = "-k word"  #: how its test tool selects tests by name


_PYTHON = Kind(
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
    language="node",
    # ESLint 10 needs it, and Vitest 5 needs almost the same.
    minimum_version=(22, 13),
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
        words=("worker", "jobs", "consumer", "scheduler"),
        does_jobs=True,
        uses_cache=True,
    ),
    "node-api": replace(
        _NODE,
        # Its sources use `import.meta.main`.
        minimum_version=(24, 2),
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
        words=("frontend", "web", "ui", "dashboard"),
        container_port=8080,
        first_port=8080,
        dev_port=5173,
        front_door=3,
        needs=("python-api", "node-api", "custom"),
        is_page=True,
        mounts=("src",),
        mounts_folder=True,
    ),
    "custom": Kind(
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

#: The kind of a service whose name has no word of another kind.
DEFAULT_KIND = "python-api"


def kind_of(name: str) -> str:
    """Derive a kind from the words of a service's name: `email-worker` is a python-worker."""
    by_word = {word: kind for kind, row in KINDS.items() for word in row.words}
    return next((by_word[word] for word in name.split("-") if word in by_word), DEFAULT_KIND)
