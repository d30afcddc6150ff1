"""The variables in which existing tests look for the address of a container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from extensions import compose_reader
from extensions.addresses import address_labels, looks_for_addresses
from extensions.discovery import Found, found
from extensions.services import resolve

from .repositories import PYTHON, write


@pytest.fixture(autouse=True)
def without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyYAML read, as on a machine without Docker."""
    monkeypatch.setattr(compose_reader, "_with_docker", lambda root, paths: None)


COMPOSE = """
    services:
      web:
        build: web
        ports: ["3000:8000"]
        environment:
          DATABASE_URL: postgres://postgres:postgres@db:5432/postgres
          CACHE_HOST: redis
          CACHE_PORT: "6379"
          BROKERS: mq:5672
          MODE: live
        depends_on: [db, redis, mq]
      api: {build: api, ports: ["8081:8000"]}
      db: {image: "postgres:18", ports: ["15432:5432"]}
      redis: {image: redis}
      mq: {image: "rabbitmq:4", ports: ["5673:5672"]}
"""


def project(root: Path, files: Mapping[str, str]) -> tuple[Found, list[dict[str, Any]]]:
    """Write a project with the services web and api. Return what is found, and the services."""
    images = {"web/Dockerfile": PYTHON, "api/Dockerfile": PYTHON}
    known = found(write(root, {"docker-compose.yml": COMPOSE, **images, **files}))
    services = resolve(
        layout="multi", services=known.items, service_kind="custom", database=known.database,
        cache=known.cache, project_slug="shop", registry="x.io/y",
    )  # fmt: skip
    return known, [asdict(service) for service in services]


EVERY = ("web", "api", "database", "cache", "mq")


def labels(root: Path, files: Mapping[str, str], scope: str = "web") -> dict[str, str]:
    """Return each variable that tests get, as `container kind value`."""
    known, services = project(root, files)
    result = {}
    for container, found_labels in address_labels(known, services, scope, EVERY).items():
        for label, text in found_labels.items():
            _, kind, name = label.split(".")
            variable, _, value = text.partition("=")
            assert name == variable
            result[variable] = f"{container} {kind} {value}"
    return result


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("tests/test_x.py", 'URL = os.environ.get("SHOP", "http://localhost:3000/v1")'),
        ("tests/test_x.py", 'URL = os.getenv("SHOP", f"http://localhost:3000/v1")'),
        ("tests/x.test.js", "const url = process.env.SHOP || 'http://localhost:3000/v1'"),
        ("tests/x.spec.ts", "const url = process.env.SHOP ?? `http://127.0.0.1:3000/v1`"),
        ("spec/x_spec.rb", "URL = ENV.fetch('SHOP', 'http://localhost:3000/v1')"),
        ("spec/x_spec.rb", "URL = ENV['SHOP'] || 'http://localhost:3000/v1'"),
        ("tests/test_x.py", 'URL = os.environ.get("SHOP") or "http://localhost:3000/v1"'),
        ("tests/test_x.py", 'URL = env("SHOP", default="http://localhost:3000/v1")'),
        ("spec/x_spec.rb", "URL = ENV.fetch('SHOP') { 'http://localhost:3000/v1' }"),
        ("tests/XTest.php", "$url = getenv('SHOP') ?: 'http://localhost:3000/v1';"),
        ("x_test.go", 'url := getEnv("SHOP", "http://localhost:3000/v1")'),
        ("src/test/XIT.java", 'System.getenv().getOrDefault("SHOP", "http://localhost:3000/v1")'),
        ("tests/XTests.cs", 'GetEnvironmentVariable("SHOP") ?? "http://localhost:3000/v1"'),
        ("tests/smoke.sh", 'curl "${SHOP:-http://localhost:3000/v1}"'),
    ],
)
def test_a_default_on_the_own_machine_is_an_address(tmp_path: Path, file: str, text: str) -> None:
    # The port on the developer's machine becomes that of the container.
    assert labels(tmp_path, {f"web/{file}": text})["SHOP"] == "web url http://HOST:8000/v1"


def test_the_port_of_the_container_is_an_address_too(tmp_path: Path) -> None:
    text = 'URL = os.environ.get("SHOP", "http://localhost:8000")'
    assert labels(tmp_path, {"web/tests/test_x.py": text})["SHOP"] == "web url http://HOST:8000"


def test_a_default_names_a_backing_service_by_its_port(tmp_path: Path) -> None:
    text = """
        A = os.environ.get("DB_A", "postgres://postgres:postgres@localhost:15432/postgres")
        B = os.environ.get("DB_B", "postgres://postgres:postgres@localhost:5432/postgres")
        C = os.environ.get("MQ", "amqp://localhost:5673")
        D = os.environ.get("REDIS", "redis://localhost:6379/1")
        """
    known = labels(tmp_path, {"web/tests/test_x.py": text})
    url = "database url postgres://postgres:postgres@HOST:5432/postgres"
    assert known["DB_A"] == known["DB_B"] == url
    assert known["MQ"] == "mq url amqp://HOST:5672"
    assert known["REDIS"] == "cache url redis://HOST:6379/1"


def test_a_second_place_without_a_default_does_not_matter(tmp_path: Path) -> None:
    files = {
        "web/tests/conftest.py": 'os.environ.get("SHOP", "http://localhost:3000")',
        "web/tests/test_x.py": 'os.environ["SHOP"]',
    }
    assert labels(tmp_path, files)["SHOP"] == "web url http://HOST:8000"


def test_an_unknown_port_is_no_address(tmp_path: Path) -> None:
    text = 'A = os.environ.get("OTHER", "http://localhost:9999")\nB = os.environ.get("X", "y:3000")'
    assert not {"OTHER", "X"} & labels(tmp_path, {"web/tests/test_x.py": text}).keys()


def test_the_variables_of_the_compose_file(tmp_path: Path) -> None:
    # The service reads them, and so do tests that import it.
    text = 'os.environ["DATABASE_URL"], os.environ["CACHE_HOST"], os.environ["CACHE_PORT"]\n'
    assert labels(tmp_path, {"web/app.py": text}) == {
        "DATABASE_URL": "database url postgres://postgres:postgres@HOST:5432/postgres",
        "CACHE_HOST": "cache host 6379",
        "CACHE_PORT": "cache port 6379",
    }


def test_a_host_with_a_port_and_without_a_scheme(tmp_path: Path) -> None:
    assert labels(tmp_path, {"web/app.py": 'os.environ["BROKERS"]'}) == {
        "BROKERS": "mq url HOST:5672"
    }


def test_a_settings_class_reads_a_variable_in_lower_case(tmp_path: Path) -> None:
    known = labels(tmp_path, {"web/settings.py": "class Settings:\n    database_url: str\n"})
    assert list(known) == ["DATABASE_URL"]


def test_a_variable_that_nothing_reads_gets_no_label(tmp_path: Path) -> None:
    assert labels(tmp_path, {"web/app.py": "my_database_url_x = 1\n"}) == {}


def test_a_variable_without_a_default_is_known_by_its_name(tmp_path: Path) -> None:
    text = """
        A = os.environ["API_URL"]
        B = os.environ["BASE_URL"]
        C = os.environ["STRIPE_URL"]
        D = os.environ["MODE"]
        """
    assert labels(tmp_path, {"web/tests/test_x.py": text}) == {
        "API_URL": "api url http://HOST:8000",
        # The service whose tests these are.
        "BASE_URL": "web url http://HOST:8000",
    }


def test_a_general_name_is_not_sure_for_all_services(tmp_path: Path) -> None:
    files = {"tests/integration/test_x.py": 'os.environ["BASE_URL"], os.environ["WEB_URL"]'}
    assert labels(tmp_path, files, "full") == {"WEB_URL": "web url http://HOST:8000"}


def test_the_tests_of_other_services_do_not_matter(tmp_path: Path) -> None:
    files = {"api/tests/test_x.py": 'os.environ["API_URL"]', "web/app.py": 'os.environ["API_URL"]'}
    assert labels(tmp_path, files) == {}
    assert labels(tmp_path, files, "api") == {"API_URL": "api url http://HOST:8000"}
    # Nor do they for the tests of the whole project.
    assert labels(tmp_path, files, "full") == {}


def test_containers_outside_the_stack_get_no_label(tmp_path: Path) -> None:
    known, services = project(tmp_path, {"web/tests/test_x.py": 'os.environ["API_URL"]'})
    assert address_labels(known, services, "web", ("web", "database")) == {}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('URL = os.environ.get("SHOP", "http://localhost:3000")\n', True),
        ('@skipUnless("DATABASE_URL" in os.environ, "")\n', True),
        ("def test_x():\n    assert 1\n", False),
    ],
)
def test_tests_that_look_for_an_address_run_in_the_service_stage(
    tmp_path: Path, text: str, wanted: bool
) -> None:
    app = 'os.environ["DATABASE_URL"]\n'
    known, services = project(tmp_path, {"web/tests/test_x.py": text, "web/app.py": app})
    assert looks_for_addresses(known, services, "web", EVERY) is wanted
