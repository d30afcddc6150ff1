"""The override files of an adopted project, for compose files of shapes that are common in public."""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from extensions import compose_reader
from extensions.commands import commands_of
from extensions.destination import adopted
from extensions.services import resolve

from .repositories import PYTHON, override_texts, write
from .test_discovery import by_name, search


class Loader(yaml.SafeLoader):
    """Reads a list with the tag `!override` as that list."""


def _list(loader: Loader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node)


Loader.add_constructor("!override", _list)


def overrides(root: Path, files: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the services of each override file, by its environment or by the service's name."""
    texts = override_texts(search(root, files))
    return {path.split("/")[1]: yaml.load(text, Loader)["services"] for path, text in texts.items()}


@pytest.mark.parametrize("reader", ["docker", "yaml"])
def test_secrets_and_configs_are_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    if reader == "yaml":
        monkeypatch.setattr(compose_reader, "_with_docker", lambda root, paths: None)
    elif subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs Docker Compose")
    found = overrides(tmp_path, {
        "compose.yaml": """
            services:
              api: {build: ., secrets: [password], configs: [{source: settings, target: /etc/s}]}
              shop: {image: "mariadb:11", secrets: [password], depends_on: [api]}
              db:
                image: postgres
                secrets: [password]
                environment: {POSTGRES_PASSWORD_FILE: /run/secrets/password}
            secrets: {password: {file: secrets/password.txt}}
            configs: {settings: {file: ./settings.ini}}
            """,
        "Dockerfile": PYTHON,
        "secrets/password.txt": "s3cret\n",
        "settings.ini": "",
    })  # fmt: skip
    secret = "../../secrets/password.txt:/run/secrets/password:ro"
    assert found["test"]["api"]["volumes"] == [secret, "../../settings.ini:/etc/s:ro"]
    assert secret in found["dev"]["shop"]["volumes"]
    # Their connection strings contain this password.
    assert found["test"]["database"]["environment"] == {"POSTGRES_PASSWORD": "s3cret"}


@pytest.mark.parametrize(
    ("end", "keeps"), [("ENTRYPOINT /start.sh\n", True), ("CMD uvicorn app:app\n", False)]
)
def test_a_development_server_is_kept_if_the_image_has_no_other(
    tmp_path: Path, end: str, keeps: bool
) -> None:
    found = overrides(tmp_path, {
        "compose.yaml": """
            services:
              api: {build: ., command: uvicorn app:app --reload, environment: {X: "1"}}
            """,
        "Dockerfile": f"FROM python:3.13\nCOPY . .\nEXPOSE 8000\n{end}",
    })  # fmt: skip
    assert ("command" in found["test"]["api"]) == keeps
    assert "command" in found["dev"]["api"]


def test_containers_never_wait_for_each_other(tmp_path: Path) -> None:
    found = overrides(tmp_path, {
        "compose.yaml": """
            services:
              api: {build: ., depends_on: [kafka, store], environment: {PROXY_URL: "http://proxy"}}
              kafka:
                image: apache/kafka:4
                environment: {KAFKA_ADVERTISED_LISTENERS: "PLAINTEXT://kafka:9092"}
              store: {image: "mariadb:11", environment: {MARIADB_USER: api, HOOK: "http://api/x"}}
              proxy: {image: "nginx:1", depends_on: [api]}
            """,
        "Dockerfile": PYTHON,
    })  # fmt: skip
    stack = found["test"]
    assert set(stack["api"]["depends_on"]) == {"kafka", "store"}
    assert "depends_on" not in stack["kafka"]
    assert "depends_on" not in stack["store"]
    assert set(stack["proxy"]["depends_on"]) == {"api"}


def test_an_address_of_the_tests_is_published(tmp_path: Path) -> None:
    found = overrides(tmp_path, {
        "compose.yaml": """
            services:
              web:
                build: .
                ports: ["8000:8000"]
                environment: {DATABASE_URL: "postgres://me:pw@web-db:5432/web"}
              web-db: {build: db}
            """,
        "Dockerfile": PYTHON,
        "db/Dockerfile": "FROM postgres:18\nADD create.sql /docker-entrypoint-initdb.d/\n",
        "db/create.sql": "",
        "tests/test_db.py": "import os\nURL = os.environ['DATABASE_URL']\n",
    })  # fmt: skip
    database = found["test"]["web-db"]
    assert database["labels"] == {
        "test.url.DATABASE_URL": "DATABASE_URL=postgres://me:pw@HOST:5432/web"
    }
    assert database["ports"] == ["127.0.0.1::5432"]


def test_the_first_address_is_that_of_the_known_port(tmp_path: Path) -> None:
    found = overrides(tmp_path, {
        "compose.yaml": """
            services:
              api: {build: ., depends_on: [mail]}
              mail: {image: "axllent/mailpit:v1", ports: ["8025:8025", "1025:1025"]}
            """,
        "Dockerfile": PYTHON,
    })  # fmt: skip
    assert found["test"]["mail"]["labels"]["test.url"] == "TEST_MAIL_URL=smtp://HOST:1025"


def test_a_development_server_with_another_port_than_the_image(tmp_path: Path) -> None:
    found = overrides(tmp_path, {
        "compose.yaml": """
            services:
              web: {build: {context: ., target: dev}, ports: ["3000:3000"]}
            """,
        "Dockerfile": """
            FROM node:24 AS dev
            COPY . .
            CMD npm run dev
            FROM nginx:1-alpine
            COPY --from=dev /dist /usr/share/nginx/html
            """,
        "package.json": "{}",
    })  # fmt: skip
    item = by_name(search(tmp_path, {}))["web"]
    assert (item["port"], item["published"]) == (80, 3000)
    assert "http://127.0.0.1:80/" in item["health"]
    assert found["dev"]["web"]["ports"] == ["127.0.0.1:${WEB_PORT:-3000}:3000"]
    assert "http://127.0.0.1:3000/" in found["dev"]["web"]["healthcheck"]["test"][-1]


def test_a_dockerfile_with_only_stages_for_development(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": "services: {web: {build: {context: ., target: development}}}",
        "Dockerfile": "FROM node:24 AS development\nEXPOSE 3000\nFROM development AS dev-envs\n",
    })  # fmt: skip
    assert by_name(result)["web"]["target"] == "development"


def test_projects_of_tests_in_a_solution(tmp_path: Path) -> None:
    sdk = '<Project><PackageReference Include="Microsoft.NET.Test.Sdk"/>{}</Project>'
    reference = '<ProjectReference Include="..\\..\\src\\Web\\Web.csproj" />'
    write(tmp_path, {
        "src/Web/Web.csproj": "<Project/>",
        "tests/UnitTests/UnitTests.csproj": sdk.format(reference),
        "tests/FunctionalTests/FunctionalTests.csproj": sdk.format(reference),
        "tests/OtherTests/OtherTests.csproj": sdk.format(""),
    })  # fmt: skip
    commands = commands_of(tmp_path, {"name": "web", "path": "src/Web", "language": "dotnet"})
    assert [line.split()[2] for line in commands["test_unit"]] == ["../../tests/UnitTests"]
    assert [line.split()[2] for line in commands["test_service"]] == ["../../tests/FunctionalTests"]


@pytest.mark.parametrize(
    ("read", "in_unit"),
    [
        ("os.environ['TEST_DB']", False),
        ("os.environ.get('TEST_DB')", False),
        ("os.environ.get('TEST_DB') or pytest.skip()", True),
        ("os.environ.get('TEST_DB', 'postgres://localhost:5432/x')", True),
    ],
)
def test_tests_that_need_a_container_are_service_tests(
    tmp_path: Path, read: str, in_unit: bool
) -> None:
    result = search(tmp_path, {
        "compose.yaml": """
            services:
              api: {build: api, environment: {TEST_DB: "postgres://me:pw@db:5432/x"}}
              db: {image: postgres, environment: {POSTGRES_USER: me}}
            """,
        "api/Dockerfile": PYTHON,
        "api/requirements.txt": "fastapi",
        "api/tests/test_db.py": f"import os, pytest\nURL = {read}\ndef test_x(): ...\n",
    })  # fmt: skip
    services = resolve(
        layout="multi", services=result.items, service_kind="custom", database=result.database,
        cache=result.cache, project_slug="shop", registry="ghcr.io/me",
    )  # fmt: skip
    commands = adopted(tmp_path, [asdict(service) for service in services], result)["api"]
    assert "pytest" in commands["test_service"][0]
    assert ("need containers" not in commands["test_unit"][0]) == in_unit


def test_an_image_that_only_the_sources_name_is_in_the_stack(tmp_path: Path) -> None:
    files = {
        "compose.yaml": """
            services:
              web: {build: web}
              other: {build: other}
              store: {image: "mongo:8"}
            """,
        "web/Dockerfile": PYTHON,
        "web/main.py": "client = connect(host='store')\n",
        "other/Dockerfile": PYTHON,
    }
    found = overrides(tmp_path / "a", files)
    assert set(found["test"]["web"]["depends_on"]) == {"store"}
    assert "other" not in found["test"]
    files["web/main.py"] = ""
    assert search(tmp_path / "b", files).notes[0] == (
        "store in compose.yaml: no service says that it needs it; name it in `depends_on` there"
    )
