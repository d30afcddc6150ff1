"""The files of a project fit together, and each check finds a broken project."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import contracts, pairwise
from .conftest import Project


def test_the_files_of_a_project_agree(project: Project) -> None:
    project.check(contracts.broken(project.root))


DEV = "deploy/dev/docker-compose.yml"
TEST = "deploy/test/docker-compose.yml"
API_TEST = "services/api/deploy/test/docker-compose.yml"
ORDERS_TEST = "services/orders/deploy/test/docker-compose.yml"
PROD = "deploy/prod/docker-compose.yml"
BUILD = "deploy/prod/docker-compose.build.yml"
DEV_ENV = "deploy/dev/.env.example"
PROD_ENV = "deploy/prod/.env.example"
CI = ".github/workflows/ci.yml"
RELEASE = ".github/workflows/release.yml"

#: How the project of the default answers is broken: the file, a pattern, the replacement of its first
#: match (None: the file is removed), and the problem that the contract must report.
MUTATIONS: dict[str, list[tuple[str, str, str | None, str]]] = {
    "has_all_files": [
        ("services/worker/Dockerfile", "", None, "worker has no"),
        ("services/api/Makefile", r"^test-service:", "test-services:", "no target test-service"),
        (DEV, r"target: dev", "target: development", "the stage 'development'"),
        (PROD, r"^  worker:", "  jobs:", "worker is missing"),
        ("services/api/Makefile", r"^lint:", "lint:\n\t@exit 1", "leaves a target to the user"),
    ],
    "mounts_existing_files": [
        (
            DEV,
            r"/frontend/src:/app",
            "/frontend/source:/app",
            "frontend mounts ../../services/frontend/source, which does not exist",
        ),
        (
            DEV,
            r"/services/frontend:/mnt/service",
            "/services/frontend/index.html:/app/index.html",
            "frontend mounts the file ../../services/frontend/index.html",
        ),
    ],
    "runs_safely": [
        ("services/api/Dockerfile", r"^USER .*$", "USER app", "USER is 'app'"),
        ("services/api/Dockerfile", r"^USER .*$", "USER 0:0", "USER is '0:0'"),
        ("services/worker/Dockerfile", r"^HEALTHCHECK .*$", "", "has no HEALTHCHECK"),
        ("services/api/Dockerfile", r"^EXPOSE .*$", "EXPOSE 80", "publishes 8000"),
        ("services/orders/Dockerfile", r"^USER .*$", "USER node", "USER is 'node'"),
        ("services/orders/Dockerfile", r"^HEALTHCHECK .*$", "", "has no HEALTHCHECK"),
        ("services/orders/Dockerfile", r"^EXPOSE .*$", "EXPOSE 3000", "publishes 8000"),
        ("services/orders/Dockerfile", r"^CMD \[\"node\", .*$", "CMD npm start", "exec form"),
        ("deploy/test/stub/Dockerfile", r"^USER .*$", "", "USER is ''"),
    ],
    "sets_modes": [
        ("services/api/Dockerfile", r"--chmod=755 ", "", "copies with the modes of the working"),
        ("services/orders/Dockerfile", r"--chmod=755 src", "--chmod=644 src", "not 755"),
        ("services/frontend/Dockerfile", r"--chmod=755 (?=--chown)", "", "COPY --chown=1000"),
        ("services/worker/Dockerfile", r"--chmod=644", "--chmod=600", "not 644"),
        ("deploy/test/stub/Dockerfile", r"--chmod=644 ", "", "copies with the modes"),
    ],
    "has_health_checks": [
        (TEST, r"    healthcheck: \*healthcheck\n", "", "has no healthcheck"),
        (DEV, r"interval: 30s", "interval: 5s", "is checked every 5 s"),
        (TEST, r"interval: 15s", "interval: 5s", "is checked every 5 s"),
        (TEST, r"start_interval: .*", "start_interval: 5s", "5 s at start"),
        (PROD, r"      test: \[CMD, pg_isready.*\n", "", "database has no healthcheck.test"),
    ],
    "explains_variables": [
        (DEV_ENV, r"# CACHE_PORT=", "# CASH_PORT=", "CACHE_PORT is missing"),
        (DEV_ENV, r"# CACHE_PORT=", "# CASH_PORT=", "CASH_PORT is not read by"),
        (DEV_ENV, r"# API_PORT=8000", "# API_PORT=8001", "API_PORT=8001, but"),
        (DEV_ENV, r"# The port of api.*\n", "", "API_PORT has no comment"),
        (PROD_ENV, r"^VERSION=$", "# VERSION=latest", "VERSION=latest, but"),
        (PROD_ENV, r"# RATES_URL=.*", "RATES_URL=", "does not require it"),
        (PROD_ENV, r"Required: (?=an .* for the data of the cache)", "", "does not say so"),
    ],
    "requires_secrets": [
        (PROD, r"POSTGRES_PASSWORD_FILE: .*", "POSTGRES_PASSWORD: x", "gets POSTGRES_PASSWORD"),
        (PROD, r"redis://cache", "redis://:x@cache", "gets a password as a part of CACHE_URL"),
        (PROD, r"    secrets: \[cache_password\]\n", "", "and reads ['cache_password']"),
        (
            PROD,
            r"    secrets: \[cache_",
            "    secrets: [postgres_password, cache_",
            "gets ['postgres",
        ),
        ("deploy/prod/deploy.sh", r"^(secrets=.*)cache_", r"\1cash_", "deploy.sh creates"),
        (PROD, r"\$\{VERSION:\?[^}]*\}", "${VERSION-latest}", "VERSION is not required"),
    ],
    "names_existing_targets_and_files": [
        ("README.md", r"`make test-unit`", "`make unit-tests`", "README.md: make unit-tests"),
        ("README.md", r"    make setup", "    make install", "README.md: make install"),
        ("README.md", r"\Z", "\nSee [this](docs/gone.md).\n", "links to docs/gone.md"),
        (
            "scripts/test_runner/compose.py",
            r"scripts/get-test-instance-id",
            "scripts/get-id",
            "scripts/get-id.sh does not exist",
        ),
        ("scripts/check-tools.sh", r"\Z", "# Then run make fix-all.\n", "make fix-all"),
        ("Makefile", r"\Z", "# As in make -C services/api tests.\n", "make tests is not a target"),
    ],
    "publishes_safe_ports": [
        (DEV, r"127\.0\.0\.1:\$\{API_PORT", "0.0.0.0:${API_PORT", "api publishes '0.0.0.0"),
        (DEV, r"API_PORT:-8000", "API_PORT:-8080", "both publish 8080"),
        (TEST, r"127\.0\.0\.1::8000", "127.0.0.1:8000:8000", "publishes '127.0.0.1:8000:8000'"),
        (PROD, r"^  api:\n", '  api:\n    ports: ["8000:8000"]\n', "api is published"),
        (PROD, r"      - .*FRONTEND_PORT.*\n", "", "frontend is not published"),
        (PROD, r'"80:80"', '"8000:80"', "https publishes '8000:80'"),
        ("README.md", r"127\.0\.0\.1:8000", "127.0.0.1:8010", "nothing is on port 8010"),
    ],
    "isolates_tests": [
        (TEST, r"    labels: \*labels\n    environment", "    environment", "is not labelled"),
        (TEST, r"      labels: \*image-labels\n", "", "the image of"),
        (TEST, r"networks:\n  default:\n    labels: .*\n", "", "default network is not labelled"),
        (TEST, r"    tmpfs:\n      - /data\n", "", "cache keeps its data on a disk"),
        (TEST, r"^  api:\n", "  api:\n    volumes: [./x:/x]\n", "api has volumes"),
        (TEST, r"-full$", "", "is called"),
        (API_TEST, r"test\.scope: api", "test.scope: full", "is not labelled"),
        (
            API_TEST,
            r"test\.url: TEST_API_URL=http://HOST:8000",
            "test.url: http://HOST",
            "test.url",
        ),
        (
            TEST,
            r"(?<=build:\n      context: ../../services/api\n      labels: \*image-labels\n    image: )\S+",
            "api",
            "is shared",
        ),
    ],
    "reaches_addresses": [
        (API_TEST, r"TEST_API_URL", "TEST_APP_URL", "offers no TEST_API_URL"),
    ],
    "gives_settings": [
        (PROD, r"      RATES_URL: .*\n", "", "api reads RATES_URL, which it does not get"),
        (ORDERS_TEST, r"      CACHE_URL: .*\n", "", "orders reads CACHE_URL, which it does not"),
        ("services/orders/src/settings.ts", r"^  CACHE_URL: .*\n", "", "orders gets CACHE_URL"),
        ("services/api/api/settings.py", r"^    cache_url: .*\n", "", "api gets CACHE_URL"),
        (TEST, r"      QUEUE_URL: .*\n", "", "api reads QUEUE_URL"),
    ],
    "replaces_the_outside": [
        (TEST, r"http://stub:8000", "https://open.er-api.com", "which is no container"),
        (ORDERS_TEST, r"http://stub:8000", "https://open.er-api.com", "which is no container"),
        (ORDERS_TEST, r"      stub:\n        condition: .*\n", "", "does not wait for stub"),
        (ORDERS_TEST, r"      orders-migrate:\n        condition: .*\n", "", "wait for database"),
    ],
    "avoids_proxies": [
        (API_TEST, r"      NO_PROXY: .*\n", "", "api calls stub, which is not in NO_PROXY"),
        (ORDERS_TEST, r"no_proxy: .*", "no_proxy: localhost", "orders calls stub"),
        (DEV, r"no_proxy: .*,api,.*", "no_proxy: ${NO_PROXY:-}", "frontend calls api"),
        (DEV, r"localhost,127.0.0.1,traces", "localhost,127.0.0.1", "api calls traces"),
        ("services/frontend/Dockerfile", r'"-Y", "off", ', "", "uses a proxy of the environment"),
        ("services/orders/Dockerfile", r"node --use-env-proxy", "node", "ignores a proxy"),
        ("services/orders/Dockerfile", r'"--use-env-proxy", ', "", "ignores a proxy"),
    ],
    "escapes_passwords": [
        (DEV, r"//api@", "//api:${POSTGRES_PASSWORD:-postgres}@", "as a part of DATABASE_URL"),
        (DEV, r"      PGPASSWORD: .*\n", "", "gets no PGPASSWORD"),
    ],
    "migrates_first": [
        (PROD, r"      orders-migrate:\n.*\n", "", "orders waits for 0 containers that migrate"),
        (TEST, r"src/migrate\.ts", "src/migration.ts", "run src/migration.ts, which is not"),
        (DEV, r"postgresql://orders@", "postgresql://api@", "the migrations of orders get"),
    ],
    "hardens_production": [
        (PROD, r"  read_only: true", "  read_only: false", "read_only: False, not True"),
        (PROD, r"  cap_drop: \[ALL\]\n", "", "cap_drop: None"),
        (PROD, r'  security_opt: \["no-new-privileges:true"\]\n', "", "security_opt: None"),
        (PROD, r"  init: true\n", "", "init: None"),
        (PROD, r"  stop_grace_period: 30s\n", "", "no stop_grace_period"),
        (PROD, r"  logging: \*logging\n", "", "is not rotated"),
        (PROD, r"          pids: .*\n", "", "no limit of pids"),
        (PROD, r"          cpus: .*", "          cpus: 1", "cpus of"),
        (PROD, r"restart: unless-stopped", "restart: always", "restart: always"),
        (PROD, r"^  api:\n", "  api:\n    build: ../..\n", "api has build"),
        (PROD, r":\$\{VERSION:\?[^}]*\}", ":latest", "not a required VERSION"),
        (PROD, r"source: \$\{DATABASE_DIR.*", "source: ./data", "keeps its data in ./data"),
    ],
    "separates_networks": [
        (PROD, r"    networks: \[front\]\n", "", "frontend is a page, and can reach the database"),
        (PROD, r"    networks: \[default, front\]\n", "", "frontend cannot reach api"),
    ],
    "separates_databases": [
        (TEST, r"      REVOKE .*\n", "", "every role can connect"),
        (DEV, r"        REVOKE .*\n", "", "every role can connect"),
        (PROD, r"        REVOKE .*\n", "", "every role can connect"),
    ],
    "creates_no_anonymous_volume": [
        (
            DEV,
            r"    volumes:\n      - database:\S+\n",
            "    tmpfs: [/srv]\n",
            "anonymous volume at /srv",
        ),
    ],
    "builds_the_images_of_prod": [
        (BUILD, r"-worker:\$", "-workers:$", "worker is built as"),
        (
            BUILD,
            r"build: \.\./\.\./services/api",
            "build: ../../services/frontend",
            "api is built from",
        ),
        (BUILD, r"^  worker:", "  jobs:", "worker is not a service that is built, or is missing"),
    ],
    "agrees_on_images": [
        (DEV, r"redis:\S+-alpine", "redis:7-alpine", "redis: runs in the versions 7-alpine, 8"),
        (DEV, r"redis:\S+-alpine", "redis:latest", "latest, which can change"),
    ],
    "starts_in_order": [
        (DEV, r"^      cache:\n", "      cash:\n", "waits for cash, which does not exist"),
        (DEV, r"condition: service_healthy", "condition: service_started", "started, not ready"),
        (PROD, r"(?s)    restart: \"no\"\n", "    restart: always\n", "which restarts"),
        (
            DEV,
            r"^  cache:\n",
            "  cache:\n    depends_on: {api: {condition: service_healthy}}\n",
            "a cycle of dependencies",
        ),
    ],
    "uses_no_old_compose": [
        (DEV, r"^name: ", 'version: "3"\nname: ', "has version:"),
        (DEV, r"^name: .*\n", "", "has no name"),
        (DEV, r"^  api:\n", "  api:\n    container_name: api\n", "api has container_name"),
        ("Makefile", r"docker compose --file", "docker-compose build --file", "which is Compose 1"),
    ],
    "tests_changed_services": [
        (
            CI,
            r"  service-api:\n",
            "  service-app:\n",
            "service-api is not the job of a service, or is",
        ),
        (CI, r"affected\), 'worker'\)", "affected), 'api')", "service-worker runs if"),
        (CI, r"SERVICE=worker", "SERVICE=api", "does not run make test-service SERVICE=worker"),
        (
            CI,
            r"            api orders worker frontend",
            "            api",
            "the services with a job are",
        ),
        (CI, r"      - service-worker\n", "", "integration needs"),
        (CI, r"      - integration\n", "", "gate needs"),
        (CI, r"    if: always\(\)\n", "    if: success()\n", "and runs if success()"),
    ],
    "releases_the_images_of_prod": [
        (RELEASE, r"          - worker\n", "", "builds ["),
        (RELEASE, r"/my-project-\$", "/my-projects-$", "builds ["),
        (RELEASE, r"context: services/", "context: service/", "builds from"),
        (RELEASE, r"-worker \\\n(?=.*-frontend\n)", "-workers \\\n", "promotes"),
        (
            RELEASE,
            r"    needs: \[test, build\]\n",
            "    needs: test\n",
            "need [None, 'test', 'test']",
        ),
        ("deploy/prod/deploy.sh", r"-worker (?=\S+-frontend\"$)", "-workers ", "verifies"),
    ],
    "limits_permissions": [
        (
            RELEASE,
            r"^permissions: \{\}",
            "permissions: write-all",
            "grants permissions to all jobs",
        ),
        (CI, r"concurrency:\n  .*\n  .*\n", "", "no concurrency"),
        (CI, r"      contents: read", "      contents: write", "has the permissions"),
        (CI, r"      contents: read", "      id-token: write", "has the permissions"),
        (CI, r"    timeout-minutes: 5\n", "", "changes has no timeout"),
        (CI, r"checkout@\w+", "checkout@v7", "uses actions/checkout in the version 'v7'"),
        (CI, r"persist-credentials: false", "persist-credentials: true", "leaves the token"),
        (CI, r'--base "\$BASE"', "--base ${{ github.event.before }}", "has an expression"),
        (
            RELEASE,
            r"        id: image\n",
            "        id: image\n        env: {A: '${{ secrets.REGISTRY_TOKEN }}'}\n",
            "gives ['secrets.REGISTRY_TOKEN'] to Check whether",
        ),
    ],
    "sets_executable_bits": [
        ("scripts/check-tools.sh", r"\A#!.*\n", "", "is executable, but not a script"),
        ("README.md", r"\A", "#!/bin/sh\n", "cannot be executed"),
    ],
}

CASES = [(contract, *case) for contract, cases in MUTATIONS.items() for case in cases]


@pytest.fixture(scope="session")
def whole(render: Callable[..., Path]) -> Path:
    return render(pairwise.NAMED["multi-node-api"])


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "project"))


@pytest.fixture(scope="session")
def shared_copy(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy for all tests that change one file and restore it."""
    return Path(shutil.copytree(whole, tmp_path_factory.mktemp("shared") / "project"))


def contract_of(name: str) -> Callable[[Path], Iterator[str]]:
    return next(contract for contract in contracts.CONTRACTS if contract.__name__ == name)


@pytest.mark.parametrize(
    ("contract", "file", "pattern", "text", "problem"),
    CASES,
    ids=[f"{number:02}-{case[0]}" for number, case in enumerate(CASES, 1)],
)
def test_a_broken_project_is_found(
    shared_copy: Path,
    tmp_path: Path,
    contract: str,
    file: str,
    pattern: str,
    text: str | None,
    problem: str,
) -> None:
    before = set(contract_of(contract)(shared_copy))
    path = shared_copy / file
    original = shutil.copy2(path, tmp_path / "original")
    if text is None:
        path.unlink()
    else:
        found = path.read_text(encoding="utf-8")
        changed = re.sub(pattern, lambda _: text, found, count=1, flags=re.MULTILINE)
        assert changed != found, f"the pattern is not in {file}"
        path.write_text(changed, encoding="utf-8")
    try:
        new = set(contract_of(contract)(shared_copy)) - before
    finally:
        shutil.copy2(original, path)
    assert any(problem in line for line in new), sorted(new)


def test_every_contract_is_tested_with_a_broken_project() -> None:
    assert set(MUTATIONS) == {contract.__name__ for contract in contracts.CONTRACTS}


def test_a_service_that_is_missing_in_compose_is_found(copy: Path) -> None:
    shutil.copytree(copy / "services/api", copy / "services/forgotten")
    assert any("services/forgotten is not in it" in x for x in contracts.has_all_files(copy))


def test_missing_tests_are_found(copy: Path) -> None:
    shutil.rmtree(copy / "services/worker/tests/integration")
    assert any("worker: has no tests/integration" in x for x in contracts.has_all_files(copy))


def test_a_missing_executable_bit_is_found(copy: Path) -> None:
    (copy / "scripts/stack.py").chmod(0o644)
    assert any("stack.py: cannot be executed" in x for x in contracts.sets_executable_bits(copy))
