"""What adoption guesses in repositories of shapes that are common in public."""

from __future__ import annotations

from pathlib import Path

import pytest

from .repositories import PYTHON, write
from .test_discovery import by_name, search

APP = {"Dockerfile": PYTHON, "requirements.txt": "fastapi"}


def test_an_application_at_the_root_with_a_folder_of_assets(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": """
            services:
              web: {build: {context: ., target: app}, ports: ["8000:8000"]}
              jobs: {build: {context: ., target: app}, command: celery worker}
              js: {build: {context: ., target: assets}, command: yarn build}
            """,
        "Dockerfile": """
            FROM node:24 AS assets
            COPY assets/package.json ./
            COPY . ..
            FROM python:3.13 AS app
            COPY --from=assets /public /public
            COPY . .
            """,
        "pyproject.toml": "[project]\nname = 'x'",
        "assets/package.json": "{}",
    })  # fmt: skip
    services = by_name(result)
    assert list(services) == ["web", "jobs"]
    assert all((s["path"], s["language"]) == (".", "python") for s in services.values())
    assert result.notes[0] == (
        "js in compose.yaml: not taken, because the image of web contains the files of its stage "
        "assets"
    )


@pytest.mark.parametrize(
    ("value", "health"),
    [
        ("/bin/true", "curl -f localhost:8000/up"),
        ("curl localhost:8000/x", "curl localhost:8000/x"),
    ],
)
def test_a_check_that_never_fails_is_replaced_by_the_default(
    tmp_path: Path, value: str, health: str
) -> None:
    result = search(tmp_path, {
        **APP,
        "compose.yaml": """
            services:
              web: {build: ., healthcheck: {test: "${CHECK:-curl -f localhost:8000/up}"}}
              api: {build: ., command: uvicorn x, healthcheck: {test: exit 0}}
            """,
        ".env.example": f"CHECK={value}\n",
    })  # fmt: skip
    assert by_name(result)["web"]["health"] == health
    assert by_name(result)["api"]["health"] == "none"


def test_the_route_of_a_shared_image_is_not_guessed(tmp_path: Path) -> None:
    result = search(tmp_path, {
        **APP,
        "compose.yaml": """
            services:
              web: {build: ., ports: ["8000:8000"]}
              admin: {build: ., command: uvicorn admin:app --port 9000, ports: ["9000:9000"]}
            """,
        "main.py": "@app.get('/health')\ndef health(): ...\n",
    })  # fmt: skip
    assert by_name(result)["web"]["health"] == "/health"
    assert by_name(result)["admin"]["health"] == "none"


def test_an_image_of_the_project_is_built_from_the_only_dockerfile(tmp_path: Path) -> None:
    compose = """
        services:
          shop:
            image: ghcr.io/me/shop:latest
            environment: {DATABASE_URL: "postgres://db/shop"}
            ports: ["8000:8000"]
          db: {image: "postgres:18"}
        """
    result = search(tmp_path, {**APP, "docker-compose.yml": compose})
    [item] = result.items
    assert (item["name"], item["path"], item["needs"]) == ("shop", ".", ["database"])
    assert result.notes == [
        (
            "shop in docker-compose.yml: Dockerfile is taken for the Dockerfile of its image "
            "ghcr.io/me/shop:latest"
        )
    ]


def test_modules_that_another_tool_builds_are_no_public_images(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "docker-compose.yml": """
            services:
              users: {image: org/shop-users}
              orders: {image: org/shop-orders}
              store: {image: org/other-store}
              graphs: {build: docker/grafana}
            """,
        "docker/Dockerfile": "FROM eclipse-temurin:21\nARG JAR\nCOPY $JAR.jar app.jar\n",
        "docker/grafana/Dockerfile": "FROM grafana/grafana:12\nCOPY x.ini /etc/x.ini\n",
        "docker/grafana/x.ini": "",
        "shop-users/pom.xml": "",
        "shop-orders/pom.xml": "",
    })  # fmt: skip
    assert result.items == []
    assert list(result.backing) == ["store"]
    assert result.notes[:3] == [
        "graphs in docker-compose.yml: not taken, because it is monitoring with a configuration",
        (
            "users, orders in docker-compose.yml: not taken, because no compose file builds "
            "org/shop-users and the others"
        ),
        (
            "docker/Dockerfile: not taken, because it needs the build argument JAR, and no compose file "
            "gives it a value"
        ),
    ]


def test_another_environment_of_the_same_service_adds_no_images(tmp_path: Path) -> None:
    result = search(tmp_path, {
        **APP,
        "docker/docker-compose.yml": """
            services:
              app: {build: .., ports: ["8000:8000"], depends_on: [db]}
              db: {image: pgautoupgrade/pgautoupgrade:18-alpine}
            """,
        "docker/federation/docker-compose.yml": """
            services:
              alpha: {build: ../..}
              beta: {build: ../..}
              db_alpha: {image: "postgres:18"}
              mail: {image: "axllent/mailpit:v1"}
            """,
    })  # fmt: skip
    assert list(by_name(result)) == ["app"]
    assert (result.database, result.backing) == ("postgres", {})
    assert result.notes == [
        (
            "alpha, beta in docker/federation/docker-compose.yml: not taken, because app is built from "
            "the same Dockerfile"
        )
    ]


def test_dockerfiles_for_several_systems_are_one_service(tmp_path: Path) -> None:
    go = "FROM golang AS build\nCOPY . .\nFROM {}\nCOPY --from=build /x /x\n"
    result = search(tmp_path, {
        "go.mod": "module x",
        "packaging/docker/alpine/Dockerfile": go.format("alpine") + "EXPOSE 8080\n",
        "packaging/docker/debian/Dockerfile": go.format("debian") + "EXPOSE 8080\n",
        "packaging/rpm/Dockerfile": go.format("fedora"),
        "packaging/rpm/x.spec": "",
    })  # fmt: skip
    assert result.items == [
        {"name": "app", "kind": "custom", "path": ".",
         "dockerfile": "packaging/docker/alpine/Dockerfile", "port": 8080, "health": "none",
         "language": "go"}
    ]  # fmt: skip
    assert result.notes == [
        (
            "packaging/docker/debian/Dockerfile, packaging/rpm/Dockerfile: not taken, because they look "
            "like a variant of packaging/docker/alpine/Dockerfile"
        )
    ]


@pytest.mark.parametrize(
    ("more", "main", "port"),
    [
        ('labels: ["traefik.http.services.go.loadbalancer.server.port=80"]', "", 80),
        ("environment: {VIRTUAL_PORT: 81}", "", 81),
        ("restart: always", 'func main() { http.ListenAndServe(":82", nil) }', 82),
    ],
)
def test_a_port_that_no_compose_file_publishes(
    tmp_path: Path, more: str, main: str, port: int
) -> None:
    result = search(tmp_path, {
        "compose.yaml": f"services: {{api: {{build: ., {more}}}}}",
        "Dockerfile": "FROM golang AS build\nCOPY . .\nFROM scratch\nCOPY --from=build /x /x\n",
        "go.mod": "module x",
        "main.go": main,
    })  # fmt: skip
    assert by_name(result)["api"]["port"] == port
    assert result.notes == []


def test_a_service_without_any_port_has_a_note(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": """
            services: {mirror: {build: .}, worker: {build: w}, tally: {build: t}, loadgen: {build: w}}
            """,
        "t/Dockerfile": "FROM mcr.microsoft.com/dotnet/runtime:10.0\nENTRYPOINT dotnet t.dll\n",
        "Dockerfile": "FROM golang\nCOPY . .\nCMD /mirror\n",
        "w/Dockerfile": "FROM golang\nCOPY . .\nCMD /w\n",
    })  # fmt: skip
    assert by_name(result)["mirror"]["http"] is False
    [note] = result.notes
    assert note.startswith("mirror: taken for a service without HTTP, because Dockerfile and")


def test_sources_that_are_only_mounted(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": """
            services:
              users:
                build: docker/app
                working_dir: /code/users
                volumes: ["./internal:/code"]
                ports: ["3000:3000"]
            """,
        "docker/app/Dockerfile": "FROM golang\nCOPY start.sh /\nENTRYPOINT /start.sh\n",
        "docker/app/start.sh": "",
        "internal/users/go.mod": "module users",
    })  # fmt: skip
    [item] = result.items
    assert (item["path"], item["context"]) == ("internal/users", "docker/app")
    assert result.notes[0].startswith("users: the sources are mounted and not in the image")


def test_needs_without_a_description_are_guessed_or_noted(tmp_path: Path) -> None:
    stores = {"compose.yaml": "services: {db: {image: postgres}, mq: {image: redis}}"}
    one = search(tmp_path / "one", {**APP, **stores})
    assert one.items[0]["needs"] == ["cache", "database"]
    assert one.notes[0].startswith("app: its need of cache and database is a guess")
    two = search(tmp_path / "two", {"a/Dockerfile": PYTHON, "b/Dockerfile": PYTHON})
    assert two.notes == [
        "a, b: no compose file describes them, so add their `needs` and their variables"
    ]


def test_the_name_of_a_user_or_a_database_is_no_host(tmp_path: Path) -> None:
    result = search(tmp_path, {
        **APP,
        "compose.yaml": """
            services:
              shop: {build: ., ports: ["8000:8000"]}
              web:
                build: w
                ports: ["80:80"]
                environment: {DB_USER: shop, POSTGRES_DB: shop, API_HOST: other}
              other: {build: o, ports: ["81:81"]}
            """,
        "w/Dockerfile": PYTHON,
        "o/Dockerfile": PYTHON,
    })  # fmt: skip
    assert by_name(result)["web"]["needs"] == ["other"]


def test_what_a_compose_file_does_build_is_not_called_unbuilt(tmp_path: Path) -> None:
    write(tmp_path, {"e2e/Dockerfile": "FROM node\n", "old/Dockerfile": PYTHON})
    result = search(tmp_path, {
        **APP,
        "compose.yaml": "services: {web: {build: .}, e2e: {build: e2e}}",
    })  # fmt: skip
    assert result.notes == [
        "e2e in compose.yaml: not taken, because it runs tests",
        "old/Dockerfile: not taken, because the compose files that were read do not build it",
    ]


def test_addresses_in_sources_are_needs(tmp_path: Path) -> None:
    files = {
        "compose.yaml": """
            services:
              api: {build: api}
              web: {build: web, ports: ["80:80"]}
              db: {image: postgres}
            """,
        "api/Dockerfile": "FROM eclipse-temurin:21\nCOPY . .\nEXPOSE 8080\n",
        "api/Main.java": 'var url = "jdbc:postgresql://db:5432/postgres"; // no//web\n',
        "web/Dockerfile": "FROM golang\nCOPY . .\n",
        "web/main.go": 'forward("http://api:8080")\n',
    }
    services = by_name(search(tmp_path / "a", files))
    assert services["api"]["needs"] == ["database"]
    assert services["web"]["needs"] == ["api"]
    files["api/Main.java"] = ""
    assert search(tmp_path / "b", files).notes == [
        (
            "db in compose.yaml: no service says that it needs it; add database to the `needs` of "
            "those that use it"
        )
    ]


def test_a_stage_for_development_that_is_the_only_one_has_a_note(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": "services: {api: {build: {context: ., target: api-dev}, ports: ['80:80']}}",
        "Dockerfile": "FROM node:24 AS api-dev\nCMD x\nFROM node:24 AS final\n",
    })  # fmt: skip
    assert by_name(result)["api"]["target"] == "api-dev"
    assert result.notes[0].startswith("api: its stage api-dev is for development")


def test_another_dockerfile_for_production_has_a_note(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "docker-compose.yml": "services: {web: {build: app, ports: ['80:80']}}",
        "docker-compose.prod.yml": (
            "services: {web: {build: {context: app, dockerfile: Dockerfile.prod}}}"
        ),
        "app/Dockerfile": PYTHON,
        "app/Dockerfile.prod": PYTHON,
    })  # fmt: skip
    assert result.notes == [
        (
            "web: app/Dockerfile is taken, as in docker-compose.yml, although "
            "docker-compose.prod.yml builds app/Dockerfile.prod"
        )
    ]


def test_an_image_that_only_the_settings_name(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": """
            services:
              api: {build: api, ports: ["8080:8080"]}
              broker: {image: "rabbitmq:4"}
              first: {image: "mongo:8"}
              second: {image: "mongo:8"}
            """,
        "api/Dockerfile": PYTHON,
        "api/src/main/resources/application-dev.yml": "spring:\n  rabbitmq:\n    host: broker\n",
    })  # fmt: skip
    assert result.in_sources == {"api": {"broker"}}
    assert result.notes == [
        (
            "first, second in compose.yaml: no service says that it needs them; name them in "
            "`depends_on` there"
        )
    ]


def test_an_own_image_of_a_database_that_nobody_names(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "compose.yaml": "services: {api: {build: api, ports: ['80:80']}, data: {build: data}}",
        "api/Dockerfile": PYTHON,
        "data/Dockerfile": "FROM mongo:8\nCOPY init.js /docker-entrypoint-initdb.d/\n",
        "data/init.js": "",
    })  # fmt: skip
    assert result.notes == [
        (
            "data in compose.yaml: no service says that it needs it; add it to the `needs` of those "
            "that use it"
        )
    ]
