"""The override files of an adopted project: what its compose file says beyond the answers."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml

from extensions import compose_reader
from extensions.discovery import found
from extensions.override_files import override_files

from .repositories import CELERY, PYTHON, override_texts, write

DEV, TEST, PROD = (f"deploy/{name}/docker-compose.override.yml" for name in ("dev", "test", "prod"))
OWN = "services/web/deploy/test/docker-compose.override.yml"

WEB = "services:\n  web:\n    build: web\n    ports: ['8000:8000']\n"


@dataclass
class Overrides:
    """The override files of a project."""

    texts: dict[str, str]
    notes: list[str]

    def file(self, path: str) -> dict[str, Any]:
        """Return the content of a file."""
        content: dict[str, Any] = yaml.safe_load(self.texts[path])
        return content

    def service(self, path: str, name: str) -> dict[str, Any]:
        """Return a service of a file."""
        service: dict[str, Any] = self.file(path)["services"][name]
        return service


@pytest.fixture
def without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyYAML read, as on a machine without Docker."""
    monkeypatch.setattr(compose_reader, "_with_docker", lambda root, paths: None)


def overrides(
    root: Path, compose: str, files: Mapping[str, str] | None = None, *, git: bool = False
) -> Overrides:
    """Return the override files for a compose file, with the answers that adoption proposes."""
    more = {"docker-compose.yml": compose, "web/Dockerfile": PYTHON}
    known = found(write(root, more | dict(files or {}), git=git))
    return Overrides(override_texts(known), known.notes)


def web(more: str) -> str:
    """Return a compose file with the service web, and the lines of its further keys and services."""
    return WEB + more


pytestmark = pytest.mark.usefixtures("without_docker")

POSTGRES = """\
    environment:
      DATABASE_URL: postgres://shop:s3cret@db:5432/shopdb
    depends_on: [db]
  db:
    image: postgres:15
    environment: {POSTGRES_USER: shop, POSTGRES_PASSWORD: s3cret, POSTGRES_DB: shopdb}
    volumes: ["data:/var/lib/postgresql/data", "./sql/init.sql:/docker-entrypoint-initdb.d/init.sql"]
volumes: {data: }
"""


def test_the_role_and_the_database_of_their_postgres_are_created(tmp_path: Path) -> None:
    found = overrides(tmp_path, web(POSTGRES), {"sql/init.sql": "SELECT 1;\n"})
    for path in (DEV, TEST, OWN):
        database = found.service(path, "database")
        assert database["image"] == "postgres:15"
        assert database["environment"]["POSTGRES_DB"] == "shopdb"
        assert database["networks"] == {"default": {"aliases": ["db"]}}
        assert database["configs"] == [
            {"source": "own-role", "target": "/docker-entrypoint-initdb.d/00-own-role.sql"}
        ]
        sql = found.file(path)["configs"]["own-role"]["content"]
        assert "CREATE ROLE \"shop\" LOGIN SUPERUSER PASSWORD 's3cret';" in sql
        assert 'ALTER DATABASE "shopdb" OWNER TO "shop";' in sql
        assert found.service(path, "web")["environment"] == {
            "DATABASE_URL": "postgres://shop:s3cret@db:5432/shopdb"
        }
    assert found.service(TEST, "database")["volumes"] == [
        "../../sql/init.sql:/docker-entrypoint-initdb.d/init.sql:ro"
    ]
    assert found.service(OWN, "database")["volumes"] == [
        "../../../../sql/init.sql:/docker-entrypoint-initdb.d/init.sql:ro"
    ]
    # Before version 18, the image declares a volume in a deeper folder.
    assert found.service(TEST, "database")["tmpfs"] == ["/var/lib/postgresql/data"]
    assert found.service(DEV, "database")["volumes"] == [
        "database-data:/var/lib/postgresql/data",
        "../../sql/init.sql:/docker-entrypoint-initdb.d/init.sql",
    ]
    assert found.file(DEV)["volumes"] == {"database-data": None}


def test_a_quote_in_a_password_does_not_end_the_text_of_sql(tmp_path: Path) -> None:
    text = POSTGRES.replace("POSTGRES_PASSWORD: s3cret", "POSTGRES_PASSWORD: it's")
    sql = overrides(tmp_path, web(text)).file(TEST)["configs"]["own-role"]["content"]
    assert "PASSWORD 'it''s'" in sql


def test_the_password_of_the_role_postgres(tmp_path: Path) -> None:
    text = (
        "    depends_on: [db]\n  db: {image: postgres:18, environment: {POSTGRES_PASSWORD: pw}}\n"
    )
    found = overrides(tmp_path, web(text))
    database = found.service(TEST, "database")
    assert database["environment"] == {"POSTGRES_PASSWORD": "pw"}
    assert database["labels"] == {
        "test.url": "TEST_DATABASE_URL=postgresql://postgres:pw@HOST:5432/postgres"
    }
    assert "image" not in database  # The template has this version.
    assert "configs" not in database


def test_a_cache_keeps_its_name_and_its_password(tmp_path: Path) -> None:
    text = """\
    environment: {CACHE: "redis://:s3cret@redis:6379"}
    depends_on: [redis]
  redis: {image: "redis:6", command: redis-server --requirepass s3cret --appendonly yes}
"""
    found = overrides(tmp_path, web(text))
    for path in (DEV, TEST, OWN):
        cache = found.service(path, "cache")
        assert cache["networks"] == {"default": {"aliases": ["redis"]}}
        assert cache["image"] == "redis:6"
        assert cache["command"] == "redis-server --requirepass s3cret --appendonly yes"
        assert cache["environment"] == {"REDISCLI_AUTH": "s3cret"}
    assert found.service(TEST, "cache")["labels"] == {
        "test.url": "TEST_CACHE_URL=redis://:s3cret@HOST:6379/0"
    }


def test_a_plain_cache_needs_only_its_name(tmp_path: Path) -> None:
    text = "    depends_on: [store]\n  store: {image: redis}\n"
    cache = overrides(tmp_path, web(text)).service(TEST, "cache")
    assert cache == {"networks": {"default": {"aliases": ["store"]}}}


BACKING = {
    "mysql:8": (3306, ["/var/lib/mysql"], "mysql"),
    "mariadb:11": (3306, ["/var/lib/mysql"], "mysql"),
    "mongo:7": (27017, ["/data/db", "/data/configdb"], "mongodb"),
    "rabbitmq:4-management": (5672, ["/var/lib/rabbitmq"], "amqp"),
    "apache/kafka:4.0.0": (9092, ["/var/lib/kafka/data"], "tcp"),
    "axllent/mailpit:v1.27": (1025, [], "smtp"),
    "minio/minio:latest": (9000, ["/data"], "http"),
}


@pytest.mark.parametrize("image", BACKING)
def test_another_image_is_complete(tmp_path: Path, image: str) -> None:
    port, data, scheme = BACKING[image]
    text = f"""\
    depends_on: [back]
  back: {{image: "{image}", environment: {{A: "1"}}, ports: ["{port}:{port}"], restart: always}}
"""
    found = overrides(tmp_path, web(text))
    for path in (TEST, OWN):
        back = found.service(path, "back")
        scope = "full" if path == TEST else "web"
        assert back["image"] == image
        assert back["environment"] == {"A": "1"}
        assert back["ports"] == [f"127.0.0.1::{port}"]
        assert back.get("tmpfs", []) == data
        assert "volumes" not in back
        assert "restart" not in back
        assert back["labels"] == {
            "test.project": "shop",
            "test.instance": "${TEST_INSTANCE_ID}",
            "test.scope": scope,
            "test.url": f"TEST_BACK_URL={scheme}://HOST:{port}",
        }
        assert back["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert back["healthcheck"]["start_period"] == "120s"
        assert found.service(path, "web")["depends_on"] == {
            "back": {"condition": "service_healthy"}
        }
    back = found.service(DEV, "back")
    assert back["ports"] == [f"127.0.0.1:${{BACK_PORT:-{port}}}:{port}"]
    assert [volume.partition(":")[2] for volume in back.get("volumes", [])] == data
    assert len(found.file(DEV).get("volumes", {})) == len(data)
    assert "labels" not in back
    assert not {"back"} & (found.file(PROD)["services"].keys() if PROD in found.texts else set())


def test_an_unknown_image_without_a_health_check_is_not_waited_for(tmp_path: Path) -> None:
    text = "    depends_on: [back]\n  back: {image: acme/thing:1}\n"
    found = overrides(tmp_path, web(text))
    assert "healthcheck" not in found.service(TEST, "back")
    assert found.service(TEST, "web")["depends_on"] == {"back": {"condition": "service_started"}}


def test_images_that_nothing_needs_are_only_for_development(tmp_path: Path) -> None:
    found = overrides(tmp_path, web("  adminer: {image: adminer, ports: ['8081:8080']}\n"))
    assert found.service(DEV, "adminer")["ports"] == ["127.0.0.1:${ADMINER_PORT:-8081}:8080"]
    assert TEST not in found.texts or "adminer" not in found.file(TEST)["services"]


def test_variables_are_fixed_in_test_and_have_defaults_in_dev(tmp_path: Path) -> None:
    text = """\
    environment:
      MODE: ${MODE:-live}
      LEVEL: $LEVEL
      API_TOKEN:
      PRICE: 5$$
"""
    found = overrides(tmp_path, web(text), {".env.example": "LEVEL=info\n"})
    assert found.service(TEST, "web")["environment"] == {
        "MODE": "live", "LEVEL": "info", "API_TOKEN": "api-token", "PRICE": "5$$",
    }  # fmt: skip
    assert found.service(DEV, "web")["environment"] == {
        "MODE": "${MODE:-live}", "LEVEL": "${LEVEL:-info}",
        "API_TOKEN": "${API_TOKEN:-api-token}", "PRICE": "5$$",
    }  # fmt: skip


def test_a_real_secret_is_in_no_file(tmp_path: Path) -> None:
    found = overrides(tmp_path, CELERY["docker-compose.yml"], CELERY, git=True)
    assert found.texts
    for path, text in found.texts.items():
        assert "real-secret" not in text, path


def test_files_with_variables_are_rebased(tmp_path: Path) -> None:
    files = {
        "web/.env": "A=1\n",
        ".gitignore": ".env\n",
        "web/.env.example": "A=2\n",
        "common.env": "",
    }
    text = "    env_file: [web/.env, common.env]\n"
    found = overrides(tmp_path, web(text), files, git=True)
    assert found.service(TEST, "web")["env_file"] == ["../../web/.env.example", "../../common.env"]
    assert found.service(OWN, "web")["env_file"] == [
        "../../../../web/.env.example", "../../../../common.env",
    ]  # fmt: skip
    assert found.service(DEV, "web")["env_file"] == [
        "../../web/.env.example",
        {"path": "../../web/.env", "required": False},
        "../../common.env",
    ]


MOUNTS = """\
    command: uvicorn app:app --reload
    volumes:
      - ./web:/code
      - ./config/app.yml:/etc/app.yml
      - cache:/cache
      - /var/run/docker.sock:/var/run/docker.sock
      - ./missing:/missing
volumes: {cache: }
"""


def test_sources_are_mounted_only_in_development(tmp_path: Path) -> None:
    found = overrides(tmp_path, web(MOUNTS), {"config/app.yml": "", "web/app.py": ""})
    assert found.service(TEST, "web")["volumes"] == ["../../config/app.yml:/etc/app.yml:ro"]
    assert "command" not in found.service(TEST, "web")  # The image has one without --reload.
    assert found.service(DEV, "web")["volumes"] == [
        "../../web:/code", "../../config/app.yml:/etc/app.yml", "cache:/cache",
        "/var/run/docker.sock:/var/run/docker.sock",
    ]  # fmt: skip
    assert found.service(DEV, "web")["command"] == "uvicorn app:app --reload"
    assert found.file(DEV)["volumes"] == {"cache": None}


def test_a_config_file_that_git_ignores_is_not_mounted_in_test(tmp_path: Path) -> None:
    files = {"config/app.yml": "", ".gitignore": "config/\n"}
    found = overrides(tmp_path, web(MOUNTS), files, git=True)
    assert TEST not in found.texts or "volumes" not in found.service(TEST, "web")


SECRETS = """\
    secrets: [token, {source: db-password, target: pw}]
    configs: [{source: app, target: /etc/app.ini}, inline]
    depends_on: [db]
  db:
    image: postgres:18
    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/db-password}
    secrets: [db-password]
secrets:
  token: {environment: API_TOKEN}
  db-password: {file: ./db/password.txt}
configs:
  app: {file: ./app.ini}
  inline: {content: "mode = ${MODE:-live}\\n"}
"""


def test_secrets_and_configs_are_mounted(tmp_path: Path) -> None:
    found = overrides(tmp_path, web(SECRETS), {"db/password.txt": "pw1\n", "app.ini": ""}, git=True)
    for path, up in ((TEST, "../.."), (OWN, "../../../.."), (DEV, "../..")):
        service = found.service(path, "web")
        assert service["volumes"] == [
            f"{up}/db/password.txt:/run/secrets/pw:ro", f"{up}/app.ini:/etc/app.ini:ro",
        ]  # fmt: skip
        assert service["configs"] == [
            {"source": "token", "target": "/run/secrets/token"},
            {"source": "inline", "target": "/inline"},
        ]
        assert found.service(path, "database")["environment"] == {"POSTGRES_PASSWORD": "pw1"}
    assert found.file(TEST)["configs"]["token"] == {"content": "token"}
    assert found.file(DEV)["configs"]["token"] == {"content": "${API_TOKEN:-token}"}
    assert found.file(TEST)["configs"]["inline"] == {"content": "mode = live\n"}
    assert found.file(DEV)["configs"]["inline"] == {"content": "mode = ${MODE:-live}\n"}
    assert [note for note in found.notes if "secret" in note] == [
        "the secret token has no committed file, so development and tests get a placeholder"
    ]


@pytest.mark.programs
def test_docker_compose_reads_the_same_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"db/password.txt": "pw1\n", "app.ini": ""}
    plain = overrides(tmp_path / "plain", web(SECRETS), files)
    monkeypatch.undo()  # Without the fixture without_docker.
    assert overrides(tmp_path / "docker", web(SECRETS), files) == plain


def test_a_secret_that_git_ignores_gets_a_placeholder_in_test(tmp_path: Path) -> None:
    files = {"db/password.txt": "real-secret\n", "app.ini": "", ".gitignore": "password.txt\n"}
    found = overrides(tmp_path, web(SECRETS), files, git=True)
    for text in found.texts.values():
        assert "real-secret" not in text
    configs = found.file(TEST)["configs"]
    assert configs["db-password"] == {"content": "db-password"}
    assert found.service(TEST, "database")["environment"] == {"POSTGRES_PASSWORD": "db-password"}
    assert any("secret db-password has no committed file" in note for note in found.notes)


PRODUCTION = """\
    command: serve
    environment:
      PORT: "8000"
      LEVEL: debug
      API_URL: http://api:8000/v1
      CACHE_HOST: redis
      QUEUE: redis://redis:6379/1
      DATABASE_URL: mysql://shop:s3cret@db/shop
      TOKEN: s3cret
      TOKEN_FILE: /run/secrets/token
      VERSION: "1"
    env_file: web.env
    secrets: [token]
    depends_on: [redis, mq]
  api:
    build: web
    environment: {LEVEL: info, TOKEN: s3cret, PORT: "9000"}
  redis: {image: redis}
  mq: {image: "rabbitmq:4"}
  adminer: {image: adminer}
secrets: {token: {file: ./token}}
"""


def test_production_has_the_names_of_variables_and_no_value_of_development(tmp_path: Path) -> None:
    found = overrides(tmp_path, web(PRODUCTION), {"web.env": "MODE=local\n", "token": "s3cret"})
    assert found.service(PROD, "web") == {
        "command": "serve",
        "environment": {
            "MODE": "${MODE:?set it in .env}",
            "PORT": "8000",
            # The two services have different values.
            "LEVEL": "${WEB_LEVEL:?set it in .env}",
            "API_URL": "http://api:8000/v1",
            "CACHE_HOST": "redis",
            # In production, the cache has a password.
            "QUEUE": "${QUEUE:?set it in .env}",
            "DATABASE_URL": "${DATABASE_URL:?set it in .env}",
            "TOKEN": "${TOKEN:?set it in .env}",
            "TOKEN_FILE": "/run/secrets/token",
            # The template's own variable has this name.
            "VERSION": "${WEB_VERSION:?set it in .env}",
        },
    }
    assert found.service(PROD, "api")["environment"] == {
        "LEVEL": "${API_LEVEL:?set it in .env}",
        "TOKEN": "${TOKEN:?set it in .env}",
        # API_PORT is the port on the host.
        "PORT": "${OWN_API_PORT:?set it in .env}",
    }
    assert found.service(PROD, "cache") == {"networks": {"default": {"aliases": ["redis"]}}}
    assert "s3cret" not in found.texts[PROD]
    assert "# Not here: mq (rabbitmq:4).\n" in found.texts[PROD]
    assert "adminer" not in found.texts[PROD]
    assert "# Not here: the secrets and configs token." in found.texts[PROD]


def test_production_keeps_the_addresses_that_the_template_sets(tmp_path: Path) -> None:
    # The database has a password of its own there.
    text = POSTGRES.replace("postgres://", "postgresql://")
    found = overrides(tmp_path, web(text), {"sql/init.sql": "SELECT 1;\n"})
    assert PROD not in found.texts


def test_a_project_without_a_compose_file_gets_no_override_files(tmp_path: Path) -> None:
    known = found(write(tmp_path, {"web/Dockerfile": PYTHON}))
    assert known.items
    assert override_files(known, [], slug="shop", database="none", cache="none") == {}


@pytest.mark.parametrize(
    ("compose", "files"),
    [
        (web(POSTGRES), {"sql/init.sql": "SELECT 1;\n"}),
        (web(SECRETS), {"db/password.txt": "pw1\n", "app.ini": ""}),
        (CELERY["docker-compose.yml"], CELERY),
        (web("    depends_on: [my, mq, mail]\n  my: {image: 'mariadb:11', environment: "
             "{MARIADB_ROOT_PASSWORD: $PW}}\n  mq: {image: 'rabbitmq:4'}\n"
             "  mail: {image: axllent/mailpit}\n"), {}),
        (web(PRODUCTION), {"web.env": "MODE=local\n", "token": "s3cret"}),
        (web(MOUNTS), {"config/app.yml": "", "web/app.py": ""}),
    ],
    ids=["postgres", "secrets", "celery", "images", "production", "mounts"],
)  # fmt: skip
@pytest.mark.programs
def test_compose_accepts_the_override_files(
    template_copy: Path, tmp_path: Path, compose: str, files: Mapping[str, str]
) -> None:
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("there is no `docker compose`")
    root = tmp_path / "project"
    texts = overrides(root, compose, files, git=True).texts
    copier.run_copy(
        str(template_copy), root, data={"project_slug": "shop"}, defaults=True, overwrite=True,
        quiet=True, unsafe=True, skip_tasks=True,
    )  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "DOCKER_CONFIG")}
    environment["TEST_INSTANCE_ID"] = "main-0a1b2c"
    # A value for each variable that production requires; paths must look like paths.
    prod = root / "deploy/prod"
    required = "".join(path.read_text() for path in prod.glob("*.yml")) + texts.get(PROD, "")
    environment |= dict.fromkeys(re.findall(r"\$\{(\w+):\?", required), "/x")
    environment["VERSION"] = "1.2.3"
    problems = {}
    for path, text in texts.items():
        (root / path).write_text(text)
        done = subprocess.run(
            ["docker", "compose", "config", "--quiet"],
            cwd=(root / path).parent, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode or done.stderr:
            problems[path] = done.stderr
    assert {DEV, TEST} & texts.keys()
    assert problems == {}
