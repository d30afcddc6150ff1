"""scripts/doctor.py: each rule finds its mistake, and not what only looks like it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ..conftest import ROOT
from ..fresh.releases import PRODUCTS

SCRIPTS = ROOT / "template/scripts"
TODAY = date(2026, 11, 27)


@pytest.fixture(scope="session", autouse=True)
def on_path() -> None:
    """Let the tests import the rules."""
    sys.path.append(str(SCRIPTS))


@pytest.fixture(scope="session")
def doctor(on_path: None, load: Callable[[str], ModuleType]) -> ModuleType:
    return load("template/scripts/doctor.py")


def module(name: str) -> Any:
    return import_module(f"doctor_rules.{name}")


def found(root: Path, files: Mapping[str, str]) -> list[Any]:
    """Return the findings of the built-in rules, and of those that replace zizmor."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    project = module("project").Project(root, today=TODAY)
    findings = module("registry").built_in(project)
    findings += module("check_workflows").fallback(project)
    return [finding for finding in findings if not project.is_ignored(finding)]


PYTHON = """\
FROM python:3.14-slim
COPY app.py ./
USER 10001:10001
EXPOSE 8000
HEALTHCHECK CMD ["python", "-m", "check"]
CMD ["python", "app.py"]
"""


def two_ports(port: str) -> str:
    """Return a compose file with two services that publish ports."""
    lines = [f"  {name}: {{image: 'nginx:1.30', ports: ['127.0.0.1:{one}:8000']}}\n"
             for name, one in (("a", port), ("b", "${B_PORT:-8001}"))]  # fmt: skip
    return "services:\n" + "".join(lines)


DATABASE = """
  database:
    image: postgres:18
    healthcheck: {test: [CMD, pg_isready]}
"""
TEST_STACK = "name: shop-test-${TEST_INSTANCE_ID:?}\nservices:\n"
WORKFLOW = """\
on: [push]
permissions: {}
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
"""
COMMIT = "3d3c42e5aac5ba805825da76410c181273ba90b1"


def built(compose: str, dockerfile: str = PYTHON, path: str = "compose.yml") -> dict[str, str]:
    return {path: f"services:\n  api:\n    build: .\n{compose}", "Dockerfile": dockerfile}


#: For each rule, a file with the mistake and its line, and a similar one without it.
CASES: dict[str, tuple[str, dict[str, str], str, dict[str, str]]] = {
    "YAML": (
        "invalid-yaml",
        {"compose.yml": "services:\n  a: [\n"},
        "compose.yml:",
        {"compose.yml": "services:\n  a: {image: 'x:1'}\n"},
    ),
    "a health check of a built image": (
        "missing-health-check",
        built("", PYTHON.replace("HEALTHCHECK", "#")),
        "compose.yml:2",
        built(""),
    ),
    "a health check that is switched off": (
        "missing-health-check",
        built("    healthcheck: {disable: true}\n    ports: ['127.0.0.1:8000:8000']\n"),
        "compose.yml:2",
        built("    healthcheck: {interval: 5s}\n    ports: ['127.0.0.1:8000:8000']\n"),
    ),
    "a health check of a database": (
        "missing-health-check",
        built("    depends_on: [db]\n  db: {image: 'postgres:18'}\n"),
        "compose.yml:5",
        built("    depends_on: [db]\n  db: {image: 'example/db:18'}\n"),
    ),
    "a health check in an override": (
        "missing-health-check",
        {"compose.yml": "services:\n  db: {image: 'redis:8', expose: ['6379']}\n"},
        "compose.yml:2",
        {
            "compose.yml": "services:\n  db: {image: 'redis:8', expose: ['6379']}\n",
            "compose.override.yml": "services:\n  db: {healthcheck: {test: [CMD, redis-cli]}}\n",
        },
    ),
    "curl in a slim image": (
        "health-check-tool",
        {"Dockerfile": "FROM python:3.14-slim\nHEALTHCHECK CMD curl -f http://localhost:8000/\n"},
        "Dockerfile:2",
        {
            "Dockerfile": "FROM python:3.14-slim\nRUN apt-get install -y curl\n"
            "HEALTHCHECK CMD curl -f http://localhost:8000/\n"
        },
    ),
    "curl in Alpine": (
        "health-check-tool",
        {"Dockerfile": "FROM node:26-alpine AS base\nFROM base\nHEALTHCHECK CMD curl localhost\n"},
        "Dockerfile:3",
        {"Dockerfile": "FROM node:26-alpine AS base\nFROM base\nHEALTHCHECK CMD wget localhost\n"},
    ),
    "curl in a compose file": (
        "health-check-tool",
        built("    healthcheck:\n      test: [CMD, curl, -f, 'http://localhost']\n"),
        "compose.yml:5",
        built("    healthcheck:\n      test: [CMD, python, -m, curl_check]\n"),
    ),
    "a shell in a distroless image": (
        "health-check-tool",
        {"Dockerfile": "FROM gcr.io/distroless/static:nonroot\nHEALTHCHECK CMD /check\n"},
        "Dockerfile:2",
        {"Dockerfile": 'FROM gcr.io/distroless/static:nonroot\nHEALTHCHECK CMD ["/check"]\n'},
    ),
    "another port": (
        "port-mismatch",
        built("    ports: ['127.0.0.1:8080:3000']\n"),
        "compose.yml:4",
        built("    ports: ['127.0.0.1:8080:8000', '127.0.0.1:9229:9229']\n"),
    ),
    "the same port twice": (
        "same-port",
        {"deploy/dev/docker-compose.yml": two_ports("${A_PORT:-8001}")},
        "deploy/dev/docker-compose.yml:3",
        {"deploy/dev/docker-compose.yml": two_ports("${A_PORT:-8002}")},
    ),
    "all interfaces": (
        "open-port",
        built("    ports:\n      - 8000:8000\n"),
        "compose.yml:5",
        built("    ports:\n      - 127.0.0.1:8000:8000\n"),
    ),
    "all interfaces with an address": (
        "open-port",
        built('    ports:\n      - "0.0.0.0:${PORT:-8000}:8000"\n'),
        "compose.yml:5",
        built('    ports:\n      - "${BIND:-127.0.0.1}:${PORT:-8000}:8000"\n'),
    ),
    "a database in production": (
        "open-port",
        {"deploy/prod/compose.yml": f"services:{DATABASE}    ports: ['5432:5432']\n"},
        "deploy/prod/compose.yml:5",
        {"deploy/prod/compose.yml": "services:\n  web: {image: 'nginx:1.30', ports: ['80:80']}\n"},
    ),
    "latest": (
        "floating-image",
        {"compose.yml": "services:\n  a: {image: 'nginx:latest'}\n"},
        "compose.yml:2",
        {"compose.yml": "services:\n  a: {image: 'localhost:5000/nginx:1.30'}\n"},
    ),
    "no tag after a port": (
        "floating-image",
        {"compose.yml": "services:\n  a: {image: 'localhost:5000/nginx'}\n"},
        "compose.yml:2",
        {"compose.yml": "services:\n  a: {image: 'app:${VERSION:?set it: now}'}\n"},
    ),
    "no tag in a Dockerfile": (
        "floating-image",
        {"Dockerfile": "FROM node AS build\nFROM build\nUSER 1\n"},
        "Dockerfile:1",
        {"Dockerfile": "ARG V=26\nFROM node:${V} AS build\nFROM build\nUSER 1\n"},
    ),
    "an old language": (
        "end-of-life",
        {"Dockerfile": "FROM python:3.9-slim\nUSER 1\n"},
        "Dockerfile:1",
        {"Dockerfile": "FROM python:3.14-slim\nUSER 1\n"},
    ),
    "an old system": (
        "end-of-life",
        {"Dockerfile": "FROM python:3.14-slim-buster\nUSER 1\n"},
        "Dockerfile:1",
        {"Dockerfile": "FROM python:3.14-slim-bookworm\nUSER 1\n"},
    ),
    "an old database": (
        "end-of-life",
        {"compose.yml": "services:\n  a: {image: 'postgres:9.6-alpine'}\n"},
        "compose.yml:2",
        {"compose.yml": "services:\n  a: {image: 'postgres:18-alpine'}\n"},
    ),
    "a list of dependencies": (
        "depends-on-condition",
        built(f"    depends_on: [database]\n{DATABASE}"),
        "compose.yml:4",
        built(f"    depends_on: {{database: {{condition: service_healthy}}}}\n{DATABASE}"),
    ),
    "a migration": (
        "one-shot-not-awaited",
        built(
            "    depends_on: {migrate: {condition: service_started}}\n"
            "  migrate: {build: ., command: alembic upgrade head}\n"
        ),
        "compose.yml:4",
        built(
            "    depends_on: {migrate: {condition: service_completed_successfully}}\n"
            "  migrate: {build: ., command: alembic upgrade head}\n"
        ),
    ),
    "a migration that no service knows": (
        "one-shot-not-awaited",
        built("  migrate: {build: ., command: alembic upgrade head}\n"),
        "compose.yml:4",
        built("    command: sh -c 'alembic upgrade head && uvicorn a'\n  a: {image: 'a:1'}\n"),
    ),
    "a seeder": (
        "one-shot-not-awaited",
        built(
            "    depends_on: {database: {condition: service_healthy}}\n"
            "  seed:\n    build: .\n    depends_on: {database: {condition: service_healthy}}\n"
            f"{DATABASE}"
        ),
        "compose.yml:5",
        built(
            "    depends_on: {database: {condition: service_healthy}}\n"
            "  seed:\n    build: .\n    profiles: [seed]\n"
            f"    depends_on: {{database: {{condition: service_healthy}}}}\n{DATABASE}"
        ),
    ),
    "two projects in folders of one name": (
        "project-name-collision",
        {"a/dev/compose.yml": "services: {a: {image: 'a:1'}}\n"}
        | {"b/dev/compose.yml": "services: {a: {image: 'a:1'}}\n"},
        "b/dev/compose.yml:1",
        {"a/dev/compose.yml": "name: a-dev\nservices: {a: {image: 'a:1'}}\n"}
        | {"b/dev/compose.yml": "services: {a: {image: 'a:1'}}\n"},
    ),
    "two projects of one name": (
        "project-name-collision",
        {"a/compose.yml": "name: shop\nservices: {a: {image: 'a:1'}}\n"}
        | {"b/compose.yml": "name: shop\nservices: {a: {image: 'a:1'}}\n"},
        "b/compose.yml:1",
        {"a/compose.yml": "name: shop\nservices: {a: {image: 'a:1'}}\n"}
        | {"a/compose.build.yml": "name: shop\nservices: {a: {build: .}}\n"},
    ),
    "no user": (
        "root-user",
        {"Dockerfile": PYTHON.replace("USER 10001:10001", "")},
        "Dockerfile:",
        {"Dockerfile": PYTHON},
    ),
    "root again": (
        "root-user",
        {"Dockerfile": PYTHON + "USER root\n"},
        "Dockerfile:7",
        {"Dockerfile": PYTHON.replace("FROM", "FROM node:26 AS build\nUSER root\nFROM")},
    ),
    "no user, and no gosu": (
        "root-user",
        {"Dockerfile": 'FROM debian:13\nENTRYPOINT ["/run.sh"]\n', "run.sh": 'exec "$@"\n'},
        "Dockerfile:2",
        {"Dockerfile": 'FROM debian:13\nENTRYPOINT ["/run.sh"]\n', "run.sh": "exec gosu app $@\n"},
    ),
    "a copied .env": (
        "secret-in-image",
        {"Dockerfile": "FROM scratch\nCOPY .env ./\nUSER 1\n"},
        "Dockerfile:2",
        {"Dockerfile": "FROM scratch\nCOPY .env.example ./\nUSER 1\n"},
    ),
    "a secret argument": (
        "secret-in-image",
        {"Dockerfile": "FROM scratch\nARG NPM_TOKEN\nUSER 1\n"},
        "Dockerfile:2",
        {"Dockerfile": "FROM scratch\nARG TOKEN_MINUTES=5\nENV API_KEY_FILE=/run/k\nUSER 1\n"},
    ),
    "a secret variable": (
        "secret-in-image",
        {"Dockerfile": "FROM scratch\nENV A=1 \\\n    DB_PASSWORD=x\nUSER 1\n"},
        "Dockerfile:2",
        {"Dockerfile": 'FROM scratch\nENV A=1 \\\n    DB_PASSWORD=""\nUSER 1\n'},
    ),
    "no .dockerignore": (
        "missing-dockerignore",
        {"a/Dockerfile": "FROM scratch\nCOPY . .\nUSER 1\n"},
        "a/Dockerfile:2",
        {"a/Dockerfile": "FROM scratch\nCOPY . .\nUSER 1\n", "a/.dockerignore": ".git\n"},
    ),
    "a shell as first process": (
        "shell-form-cmd",
        {"Dockerfile": PYTHON.replace('["python", "app.py"]', "python app.py")},
        "Dockerfile:6",
        {"Dockerfile": PYTHON.replace('["python", "app.py"]', "exec python app.py")},
    ),
    "a script without exec": (
        "entry-point-exec",
        {"Dockerfile": PYTHON + 'ENTRYPOINT ["/run.sh"]\n', "run.sh": "#!/bin/sh\npython app.py\n"},
        "run.sh:2",
        {"Dockerfile": PYTHON + 'ENTRYPOINT ["/run.sh"]\n', "run.sh": "#!/bin/sh\nexec python a\n"},
    ),
    "a fixed port in tests": (
        "test-fixed-port",
        {"deploy/test/compose.yml": f"{TEST_STACK}  a: {{image: 'a:1', ports: ['5432:5432']}}\n"},
        "deploy/test/compose.yml:3",
        {"deploy/test/compose.yml": f"{TEST_STACK}  a: {{image: 'a:1', ports: ['5432']}}\n"},
    ),
    "a fixed container name": (
        "test-fixed-name",
        {"compose.test.yml": f"{TEST_STACK}  a: {{image: 'a:1', container_name: db}}\n"},
        "compose.test.yml:3",
        {"compose.test.yml": f"{TEST_STACK}  a: {{image: 'a:1', container_name: 'db-$ID'}}\n"},
    ),
    "a fixed network name": (
        "test-fixed-name",
        {
            "compose.test.yml": f"{TEST_STACK}  a: {{image: 'a:1'}}\nnetworks:\n  n:\n    name: shop\n"
        },
        "compose.test.yml:6",
        {"compose.yml": f"{TEST_STACK}  a: {{image: 'a:1'}}\nnetworks:\n  n:\n    name: shop\n"},
    ),
    "no project name": (
        "test-project-name",
        {"deploy/test/compose.yml": "services: {a: {image: 'a:1'}}\n"},
        "deploy/test/compose.yml:1",
        {
            "deploy/test/compose.yml": "services: {a: {image: 'a:1'}}\n",
            "test.sh": 'export COMPOSE_PROJECT_NAME="test-$TEST_INSTANCE_ID"\n',
        },
    ),
    "one project name for all branches": (
        "branch-isolation",
        {"deploy/test/compose.yml": "name: shop-test\nservices: {a: {image: 'a:1'}}\n"},
        "deploy/test/compose.yml:1",
        {"deploy/test/compose.yml": "name: shop-test-${ID}\nservices: {a: {image: 'a:1'}}\n"},
    ),
    "one project name in a script": (
        "branch-isolation",
        {
            "deploy/test/compose.yml": "services: {a: {image: 'a:1'}}\n",
            "test.sh": "export COMPOSE_PROJECT_NAME=test\ndocker compose up\n",
        },
        "test.sh:1",
        {
            "deploy/test/compose.yml": "services: {a: {image: 'a:1'}}\n",
            "test.sh": "export COMPOSE_PROJECT_NAME=test-$ID\ndocker compose up\n",
        },
    ),
    "a volume in tests": (
        "test-volume",
        {
            "compose.test.yml": f"{TEST_STACK}  a: {{image: 'mysql:8.4', volumes: ['d:/var/lib/mysql']}}\n"
        },
        "compose.test.yml:3",
        {"compose.test.yml": f"{TEST_STACK}  a: {{image: 'mysql:8.4', tmpfs: [/var/lib/mysql]}}\n"},
    ),
    "sources in tests": (
        "test-bind-mount",
        {"compose.test.yml": f"{TEST_STACK}  a: {{image: 'a:1', volumes: ['./src:/app']}}\n"},
        "compose.test.yml:3",
        {
            "compose.test.yml": f"{TEST_STACK}  a: {{image: 'a:1', volumes: ['./a.conf:/a.conf:ro']}}\n"
        },
    ),
    "one stage": (
        "single-test-stage",
        {"Makefile": "test:\n\tdocker compose run app pytest\n"},
        "Makefile:1",
        {"Makefile": "test: test-unit\n\tdocker compose run app pytest\ntest-unit:\n\tpytest\n"},
    ),
    "all output": (
        "verbose-test-output",
        {"Makefile": "test:\n\tpytest -v tests\n"},
        "Makefile:2",
        {"Makefile": "test:\n\tpytest tests\ntest-verbose:\n\tpytest -v tests\n"},
    ),
    "a migration that removes a column": (
        "breaking-migration",
        {"app/migrations/versions/2.py": "def upgrade():\n    op.drop_column('items', 'a')\n"},
        "app/migrations/versions/2.py:2",
        {"app/migrations/versions/2.py": "def downgrade():\n    op.drop_column('items', 'a')\n"},
    ),
    "a migration that adds a required column": (
        "breaking-migration",
        {
            "app/migrations/versions/3.py": (
                "def upgrade():\n"
                "    op.add_column(\n        'items', sa.Column('a', sa.Text(), nullable=False)\n    )\n"
            )
        },
        "app/migrations/versions/3.py:2",
        {
            "app/migrations/versions/3.py": (
                "def upgrade():\n    op.add_column('items', sa.Column('a', sa.Text(), nullable=False, "
                "server_default=''))\n"
            )
        },
    ),
    "a migration of Kysely": (
        "breaking-migration",
        {
            "src/migrations/2.ts": (
                "export async function up(db: K) {\n"
                "  await db.schema.alterTable('items').renameColumn('a', 'b').execute();\n}\n"
            )
        },
        "src/migrations/2.ts:2",
        {
            "src/migrations/2.ts": (
                "export async function up(db: K) {\n"
                "  await db.schema.alterTable('items').addColumn('b', 'text').execute();\n}\n"
                "export async function down(db: K) {\n"
                "  await db.schema.alterTable('items').dropColumn('b').execute();\n}\n"
            )
        },
    ),
    "a default password": (
        "default-secret",
        {"deploy/prod/compose.yml": "services:\n  a: {image: 'a:${DB_PASSWORD:-x}'}\n"},
        "deploy/prod/compose.yml:2",
        {"deploy/prod/compose.yml": "services:\n  a: {image: 'a:${DB_PASSWORD:?x}'}\n"},
    ),
    "a fixed password": (
        "default-secret",
        {"compose.prod.yml": "services:\n  a:\n    image: a:1\n    environment: [A_TOKEN=abc]\n"},
        "compose.prod.yml:4",
        {"compose.yml": "services:\n  a:\n    image: a:1\n    environment: [A_TOKEN=abc]\n"},
    ),
    "a password in an address": (
        "default-secret",
        {"compose.prod.yml": "services:\n  a:\n    image: a:1\n    command: run db://u:pw@db/x\n"},
        "compose.prod.yml:4",
        {"compose.prod.yml": "services:\n  a:\n    image: a:1\n    command: run db://u:$P@db/x\n"},
    ),
    "tmpfs in a stack file": (
        "stack-ignores",
        {"deploy/docker-stack.yml": "services:\n  a:\n    image: a:1\n    tmpfs: [/tmp]\n"},
        "deploy/docker-stack.yml:4",
        {"deploy/docker-stack.yml": "services:\n  a:\n    image: a:1\n    volumes: [a:/tmp]\n"},
    ),
    "a local port in a stack file": (
        "stack-ignores",
        {"stack.yml": "services:\n  a:\n    image: a:1\n    ports: ['127.0.0.1:80:80']\n"},
        "stack.yml:4",
        {"stack.yml": "services:\n  a:\n    image: a:1\n    ports: ['80:80']\n"},
    ),
    "an action": (
        "action-not-pinned",
        {".gitea/workflows/a.yml": f"{WORKFLOW}      - uses: actions/checkout@v7\n"},
        ".gitea/workflows/a.yml:7",
        {".gitea/workflows/a.yml": f"{WORKFLOW}      - uses: actions/checkout@{COMMIT}\n"},
    ),
    "permissions": (
        "workflow-permissions",
        {".github/workflows/a.yml": f"{WORKFLOW}      - run: a\n".replace("permissions: {}", "")},
        ".github/workflows/a.yml:1",
        {".github/workflows/a.yml": f"{WORKFLOW}      - run: a\n"},
    ),
    "all images": (
        "build-everything",
        {
            ".github/workflows/a.yml": f"{WORKFLOW}      - run: docker build a\n"
            "      - run: docker build b\n"
        },
        ".github/workflows/a.yml:4",
        {
            ".github/workflows/a.yml": f"{WORKFLOW}      - run: docker build a\n"
            "      - run: docker build b\n".replace("[push]", "{push: {tags: ['v*']}}")
            + "      - run: git diff --name-only\n"
        },
    ),
    "all containers": (
        "clean-up-scope",
        {"Makefile": "clean:\n\tdocker rm -f $$(docker ps -aq)\n"},
        "Makefile:2",
        {"Makefile": "clean:\n\tdocker rm -f $$(docker ps -aq --filter label=a=b)\n"},
    ),
    "a filter by name": (
        "clean-up-scope",
        {"a.sh": "docker ps -a --filter name=test- -q \\\n  | xargs -r docker rm -f\n"},
        "a.sh:1",
        {"a.sh": "docker ps -a --filter name=test- -q\n# docker rm\n"},
    ),
    "prune": (
        "clean-up-scope",
        {"a.sh": "set -e\ndocker system prune -af\n"},
        "a.sh:2",
        {"a.sh": "docker container prune --filter label=a --force\ndocker image prune -f\n"},
    ),
    "a variable": (
        "env-example",
        {"compose.yml": "services:\n  a: {image: 'a:${VERSION}'}\n", ".env.example": "A=\n"},
        "compose.yml:2",
        {
            "compose.yml": "services:\n  a: {image: 'a:${VERSION}'}\n",
            ".env.example": "# VERSION=1\n",
        },
    ),
    "no list of variables": (
        "env-example",
        {"compose.yml": "services:\n  a: {image: 'a:${VERSION}'}\n"},
        "compose.yml:2",
        {"compose.yml": "services:\n  a: {image: 'a:${VERSION:-1}', command: 'echo $$HI'}\n"},
    ),
}


@pytest.mark.parametrize(
    ("rule", "files", "place"), [case[:3] for case in CASES.values()], ids=CASES
)
def test_a_mistake_is_found(rule: str, files: dict[str, str], place: str, tmp_path: Path) -> None:
    findings = found(tmp_path, files)
    places = [f"{f.path}:{f.line}" for f in findings if f.rule == rule]
    assert len(places) == 1, findings
    assert places[0] == place or (place.endswith(":") and places[0].startswith(place))


@pytest.mark.parametrize(
    ("rule", "files"), [(case[0], case[3]) for case in CASES.values()], ids=CASES
)
def test_what_looks_like_a_mistake_is_not_reported(
    rule: str, files: dict[str, str], tmp_path: Path
) -> None:
    assert [f for f in found(tmp_path, files) if f.rule == rule] == []


@pytest.mark.parametrize(
    ("first", "second", "proposed"),
    [
        ("127.0.0.1:${A_PORT:-80}:80", "127.0.0.1:${API_8080_PORT:-80}:80", "127.0.0.1:${API_8080_PORT:-81}:80"),
        ("53:53/udp", "53:53/udp", "54:53/udp"),
        ("8000:80", "127.0.0.1:8000:80", "127.0.0.1:8001:80"),
        ("127.0.0.1:8000:80", "8000:80", "8001:80"),
        ("127.0.0.1:8000:80", "127.0.0.2:8000:80", ""),
        ("53:53/udp", "53:53/tcp", ""),
    ],
)  # fmt: skip
def test_the_line_for_a_port_that_is_taken(
    on_path: None, first: str, second: str, proposed: str, tmp_path: Path
) -> None:
    text = "services:\n" + "".join(
        f"  {name}:\n    image: nginx:1.30\n    ports: ['{port}']\n"
        for name, port in (("a", first), ("b", second))
    )
    lines = [f.lines for f in found(tmp_path, {"compose.yml": text}) if f.rule == "same-port"]
    assert lines == ([f'    ports:\n      - "{proposed}"'] if proposed else [])


def test_a_service_of_several_files_lacks_its_health_check_once(tmp_path: Path) -> None:
    api = "services:\n  api: {build: .}\n"
    db = "services:\n  db: {image: 'postgres:18', expose: ['5432']}\n"
    findings = found(
        tmp_path,
        {
            "Dockerfile": PYTHON.replace("HEALTHCHECK", "#"),
            "compose.dev.yml": api,
            "compose.prod.yml": api,
            "compose.test.yml": f"{api}  web: {{image: 'example/web:1', depends_on: [api]}}\n",
            "db/compose.dev.yml": db,
            "db/compose.prod.yml": db,
        },
    )
    missing = [finding for finding in findings if finding.rule == "missing-health-check"]
    # Where another service waits for it, or else the first file.
    assert [f"{finding.path}:{finding.line}" for finding in missing] == [
        "compose.test.yml:2",
        "db/compose.dev.yml:2",
    ]
    assert (
        "api has no health check (also in compose.dev.yml, compose.prod.yml), but web depends"
        in (str(missing[0]))
    )


def test_a_file_that_only_builds_images_runs_no_container(tmp_path: Path) -> None:
    files = {
        "Dockerfile": PYTHON.replace("HEALTHCHECK", "#"),
        "docker-compose.yml": "services:\n  api:\n    image: 'api:1'\n"
        "    healthcheck: {test: [CMD, check]}\n",
        "docker-compose.build.yml": "services:\n  api: {build: ., image: 'api:1'}\n",
    }
    assert [f for f in found(tmp_path, files) if f.rule == "missing-health-check"] == []
    files["docker-compose.build.yml"] = "services:\n  job: {build: ., image: 'job:1'}\n"
    assert [f.path for f in found(tmp_path, files) if f.rule == "missing-health-check"] == [
        "docker-compose.build.yml"
    ]


@pytest.mark.programs
def test_compose_reads_an_override_only_with_the_main_file(on_path: None, tmp_path: Path) -> None:
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("there is no `docker compose`")
    prod = tmp_path / "deploy/prod"
    prod.mkdir(parents=True)
    (prod / "docker-compose.yml").write_text("services:\n  db: {image: 'postgres:18'}\n")
    # Its variable is required, and the other file has no service of this name.
    (prod / "docker-compose.override.yml").write_text(
        "services:\n  db: {environment: {A: '${A:?set it in .env}'}}\n"
    )
    (prod / "docker-compose.build.yml").write_text("services:\n  api: {build: .}\n")
    result = module("linters").compose_config(module("project").Project(tmp_path))
    assert (result.findings, result.skipped) == ([], "")


def test_every_rule_has_an_example(doctor: ModuleType) -> None:
    external = {"actionlint", "compose-refused", "hadolint", "zizmor"}  # Other programs check them.
    in_git = {"template-drift"}
    assert {case[0] for case in CASES.values()} | external | in_git == set(doctor.RULES)


def test_every_rule_is_explained(doctor: ModuleType) -> None:
    page = (ROOT / "docs/doctor.md").read_text()
    assert set(re.findall(r"^### ([a-z-]+)$", page, re.MULTILINE)) == set(doctor.RULES)


def test_the_table_of_ends_of_life_agrees_with_that_of_the_template(on_path: None) -> None:
    table = module("images").table()
    for name, row in tomllib.loads(PRODUCTS.read_text()).items():
        if "images" in row and "lines" in row:
            assert set(row["images"]) <= set(table[name]["images"])
            lines = {
                line: end for line, end in row["lines"].items() if line in table[name]["lines"]
            }
            assert {n: table[name]["lines"][n].get("end") for n in lines} == {
                n: end.get("end") for n, end in lines.items()
            }
            past = set(row["lines"]) - set(lines)
            assert all(row["lines"][line].get("end", TODAY) < TODAY for line in past)


@pytest.mark.parametrize(
    ("reference", "name", "tag", "floating"),
    [
        ("python", "python", "", True),
        ("docker.io/library/python:3", "python", "3", False),
        ("localhost:5000/a", "localhost:5000/a", "", True),
        ("localhost:5000/a:1", "localhost:5000/a", "1", False),
        ("${REGISTRY:-ghcr.io/x}/a:${TAG:-latest}", "ghcr.io/x/a", "latest", True),
        ("a:${TAG:?set it: now}", "a", "$", False),
        ("$IMAGE", "$", "", False),
        ("a@sha256:0", "a", "", False),
    ],
)
def test_names_of_images(
    on_path: None, reference: str, name: str, tag: str, floating: bool
) -> None:
    image = module("images").image(reference)
    assert (image.name, image.tag, image.is_floating) == (name, tag, floating)


@pytest.mark.parametrize(
    ("text", "address", "published", "container"),
    [
        ("80", "", "", "80"),
        ("8080:80", "", "8080", "80"),
        ("127.0.0.1::80", "127.0.0.1", "", "80"),
        ("${IP:-127.0.0.1}:${PORT:?set: it}:80/udp", "${IP:-127.0.0.1}", "${PORT:?set: it}", "80"),
        ("[::1]:80:80", "[::1]", "80", "80"),
    ],
)
def test_short_ports(
    on_path: None, text: str, address: str, published: str, container: str
) -> None:
    port = module("compose").short_port(1, 0, text)
    assert (port.address, port.published, port.container) == (address, published, container)


@pytest.mark.parametrize(
    ("path", "environment"),
    [
        ("deploy/test/docker-compose.yml", "test"),
        ("services/api/deploy/test/docker-compose.yml", "test"),
        ("docker-compose.test.yml", "test"),
        ("docker-compose.prod.yml", "prod"),
        ("test/docker-compose.prod.yml", "prod"),
        ("deploy/prod/docker-compose.override.yml", "prod"),
        ("docker-compose.override.yml", "dev"),
        ("latest/compose.yml", ""),
        ("compose.yml", ""),
    ],
)
def test_what_a_compose_file_is_for(on_path: None, path: str, environment: str) -> None:
    assert module("compose").environment_of(path) == environment


def test_a_dockerfile_with_a_heredoc_and_continued_lines(on_path: None) -> None:
    text = "FROM a AS b\nRUN <<EOF\nUSER 0\nEOF\nENV A=1 \\\n  # no\n  B=2\nFROM b\nUSER 7\n"
    stage = module("dockerfile").parse(text).stage()
    assert [item.name for item in stage.instructions] == ["RUN", "ENV", "USER"]
    assert stage.last("ENV").value == "A=1 B=2"
    assert stage.last("USER").line == 9


def test_merged_keys_know_their_anchor(on_path: None) -> None:
    (content,) = module("located_yaml").parse("x: &a\n  k: 1\nb:\n  <<: *a\n  c: 22:22\n")
    assert content["b"] == {"c": "22:22", "k": "1"}
    assert content["b"].places["k"] == (2, 2)
    assert content["b"].merged == {"k"}


IGNORED = {
    "on the line": "services:\n  a: {image: nginx}  # doctor: ignore=floating-image\n",
    "above it": "services:\n  # Always the newest.\n  # doctor: ignore=floating-image\n  a: {image: nginx}\n",
    "two rules": "services:\n  a: {image: nginx}  # doctor: ignore=open-port,floating-image\n",
}


@pytest.mark.parametrize("text", IGNORED.values(), ids=IGNORED)
def test_a_comment_ignores_a_rule(text: str, tmp_path: Path) -> None:
    assert found(tmp_path, {"compose.yml": text}) == []
    other = text.replace("ignore=", "ignore=root-user,").replace("floating-image", "other")
    assert len(found(tmp_path, {"compose.yml": other})) == 1


def run(doctor: ModuleType, root: Path, *options: str) -> int:
    code: int = doctor.main([f"--root={root}", "--no-linters", "--no-docker", *options])
    return code


def test_settings_ignore_rules_and_files(
    doctor: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/Dockerfile").write_text("FROM python:3.9\n")
    (tmp_path / "compose.yml").write_text("services:\n  a: {image: nginx}\n")
    assert run(doctor, tmp_path) == 1
    (tmp_path / ".doctor.toml").write_text(
        'ignore = ["floating-image:*.yml"]\nexclude = ["old/*"]\n'
    )
    assert run(doctor, tmp_path) == 0
    (tmp_path / ".doctor.toml").write_text('ignore = ["no-such-rule"]\n')
    with pytest.raises(SystemExit) as stopped:
        run(doctor, tmp_path)
    assert stopped.value.code == 2
    assert "unknown rule 'no-such-rule'" in capsys.readouterr().err


def test_a_report_fits_into_80_columns(
    doctor: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found(tmp_path, CASES["a list of dependencies"][1])
    assert run(doctor, tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("compose.yml:4 depends-on-condition: api does not wait")
    assert "          condition: service_healthy" in lines
    assert all(len(line) <= 80 for line in lines if "https://" not in line)


def test_json(doctor: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found(tmp_path, CASES["latest"][1])
    assert run(doctor, tmp_path, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["errors"], report["warnings"]) == (1, 0)
    (finding,) = report["findings"]
    assert (finding["rule"], finding["path"], finding["line"]) == (
        "floating-image",
        "compose.yml",
        2,
    )
    assert finding["help"].endswith("docs/doctor.md#floating-image")


def test_sarif(doctor: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found(tmp_path, CASES["latest"][1])
    assert run(doctor, tmp_path, "--sarif") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["version"] == "2.1.0"
    (only,) = report["runs"]
    (result,) = only["results"]
    rule = only["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert rule["id"] == result["ruleId"] == "floating-image"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "compose.yml", "uriBaseId": "SRCROOT"}
    assert place["region"] == {"startLine": 2}
    assert result["level"] == "error"


def test_fix_keeps_comments(
    doctor: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/Dockerfile").write_text(PYTHON.replace("COPY app.py", "COPY ."))
    text = """\
services:
  api:
    build: a  # here
    ports:
      - 8000:8000  # the API
      - "0.0.0.0:9000:9000"
      - '${PORT:-70}:70'
"""
    (tmp_path / "compose.yml").write_text(text)
    run(doctor, tmp_path, "--fix")
    expected = text.replace("- 8000:8000", '- "127.0.0.1:8000:8000"')
    expected = expected.replace('"0.0.0.0:9000', '"127.0.0.1:9000')
    expected = expected.replace("'${PORT:-70}:70'", "'127.0.0.1:${PORT:-70}:70'")
    assert (tmp_path / "compose.yml").read_text() == expected
    assert ".env\n" in (tmp_path / "a/.dockerignore").read_text()
    output = capsys.readouterr().out
    assert "fixed compose.yml:5: 8000:8000 -> 127.0.0.1:8000:8000" in output
    assert "fixed a/.dockerignore: created" in output
    assert run(doctor, tmp_path, "--fix") == 0
    assert "fixed" not in capsys.readouterr().out.replace("can be fixed", "")


def test_a_missing_folder_is_a_usage_error(doctor: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(doctor, tmp_path / "gone")
    assert stopped.value.code == 2


def test_without_uv_the_linters_are_skipped(
    on_path: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(tmp_path, CASES["an action"][1])
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", "")
    result = module("linters").zizmor(module("project").Project(tmp_path))
    assert [finding.rule for finding in result.findings] == ["action-not-pinned"]
    assert "zizmor did not run: uv is not installed" in result.skipped


def zizmor_item(ident: str, feature: str, severity: str, confidence: str) -> dict[str, Any]:
    """Return a finding as zizmor prints it, as far as it is read."""
    return {
        "ident": ident,
        "desc": "a problem",
        "url": "https://docs.zizmor.sh/audits/",
        "determinations": {"severity": severity, "confidence": confidence},
        "locations": [
            {
                "symbolic": {
                    "kind": "Primary",
                    "annotation": "here",
                    "key": {"Local": {"verbatim_path": ".github/workflows/a.yml"}},
                },
                "concrete": {"feature": feature, "location": {"start_point": {"row": 6}}},
            }
        ],
    }


def test_findings_of_zizmor(on_path: None) -> None:
    items = [
        zizmor_item("unpinned-uses", "actions/checkout@v7", "High", "High"),
        zizmor_item("excessive-permissions", "jobs:", "Medium", "Medium"),
        zizmor_item("github-env", "run: a", "High", "High"),
        zizmor_item("template-injection", "run: a", "Medium", "High"),
        zizmor_item("artipacked", "uses: a", "High", "Low"),
    ]
    findings = list(module("linters").zizmor_findings(items))
    assert {(f.path, f.line) for f in findings} == {(".github/workflows/a.yml", 7)}
    assert [(f.rule, f.severity.value) for f in findings] == [
        ("action-not-pinned", "error"),
        ("workflow-permissions", "error"),
        ("zizmor", "error"),
        ("zizmor", "warning"),
    ]
    assert "actions/checkout@v7 is not pinned" in findings[0].message


def test_a_changed_file_of_the_template_is_reported(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    def drift() -> list[tuple[str, str]]:
        findings = found(tmp_path, {})
        return [(f.path, f.message) for f in findings if f.rule == "template-drift"]

    mark = "# Kept by the template: copier update merges its changes into this file.\n"
    for name, text in {".copier-answers.yml": "_commit: v1\n", "a.sh": mark, "b.sh": "\n"}.items():
        (tmp_path / name).write_text(text)
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message=Start")
    assert drift() == []
    for name in ("a.sh", "b.sh"):
        (tmp_path / name).write_text(f"{mark}echo\n")
    ((path, message),) = drift()
    assert path == "a.sh"
    assert "was changed since the last update" in message
    # An update changes the answers too.
    (tmp_path / ".copier-answers.yml").write_text("_commit: v2\n")
    assert drift() == []
    git("commit", "--quiet", "--all", "--message=Update")
    assert drift() == []
