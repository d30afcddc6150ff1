"""Compose files of existing projects, read with Docker Compose and without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from extensions import compose_reader
from extensions.compose_reader import Composition, Mount, Port, read_compose
from extensions.source_files import source_files

from .repositories import write

Read = Callable[[dict[str, str]], Composition]


@pytest.fixture(params=["docker", "yaml"])
def read(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    if request.param == "yaml":
        monkeypatch.setattr(compose_reader, "_with_docker", lambda root, paths: None)
    elif compose_reader._with_docker(write(tmp_path, {"x.yml": "services: {}"}), ["x.yml"]) is None:
        pytest.skip("Docker Compose is not installed")

    def done(files: dict[str, str]) -> Composition:
        return read_compose(source_files(write(tmp_path, files)))

    return done


def test_the_short_forms(read: Read) -> None:
    api = read({
        "compose.yaml": """
            services:
              api:
                build: ./api
                ports: ["127.0.0.1:3001:3000", "9:9/udp", "${PORT:-81}:80", "90"]
                environment: [A=1, B]
                depends_on: [db]
                volumes: ["./api:/app:ro", "data:/data", /anonymous]
                healthcheck: {test: curl -f localhost}
              db: {image: postgres}
            volumes: {data: }
            """,
        "api/Dockerfile": "FROM scratch",
    }).entries["api"].plain  # fmt: skip
    assert api.build["context"] == "api"
    assert api.ports == (Port(3000, 3001), Port(80, 81), Port(90))
    assert api.environment == {"A": "1", "B": None}
    assert api.depends_on == {"db": "service_started"}
    assert api.volumes == (
        Mount("bind", "api", "/app", True),
        Mount("volume", "data", "/data"),
        Mount("volume", "", "/anonymous"),
    )
    assert api.health == "curl -f localhost"


def test_anchors_extends_and_profiles(read: Read) -> None:
    entries = read({
        "docker-compose.yml": """
            x-env: &env {A: "1"}
            services:
              base: {build: ., environment: {<<: *env, B: "2"}}
              worker: {extends: base, command: work, profiles: [jobs], environment: {B: "3"}}
              other: {extends: {file: more/common.yml, service: common}}
            """,
        "more/common.yml": "services: {common: {image: nats, env_file: nats.env}}",
        "more/nats.env": "X=1",
        "Dockerfile": "FROM scratch",
    }).entries  # fmt: skip
    assert entries["worker"].plain.environment == {"A": "1", "B": "3"}
    assert entries["worker"].plain.build["context"] == "."
    assert entries["other"].plain.image == "nats"
    assert entries["other"].plain.env_file == ("more/nats.env",)


def test_included_files(read: Read) -> None:
    entries = read({
        "compose.yaml": "include: [infra/db.yml]\nservices: {api: {build: .}}",
        "infra/db.yml": "services: {db: {image: 'postgres:17', volumes: ['./init:/init']}}",
        "infra/init/a.sql": "",
        "Dockerfile": "FROM scratch",
    }).entries  # fmt: skip
    assert entries["db"].plain.volumes[0].source == "infra/init"


def test_the_override_is_for_development(read: Read) -> None:
    api = read({
        "compose.yaml": "services: {api: {build: ., command: serve}}",
        "compose.override.yaml": "services: {api: {command: serve --reload, volumes: ['.:/app']}}",
        "Dockerfile": "FROM scratch",
    }).entries["api"]  # fmt: skip
    assert (api.plain.command, api.dev.command) != (api.dev.command, api.plain.command)
    assert not api.plain.volumes
    assert api.dev.volumes == (Mount("bind", ".", "/app"),)


def test_files_for_dev_and_prod_describe_one_service(read: Read) -> None:
    entries = read({
        "docker-compose.dev.yml": "services: {api: {build: {context: ., target: dev}, ports: ['1:1']}}",
        "docker-compose.prod.yml": "services: {api: {image: ghcr.io/me/api, build: .}}",
        "Dockerfile": "FROM scratch",
    }).entries  # fmt: skip
    assert list(entries) == ["api"]
    assert "target" not in entries["api"].plain.build
    assert entries["api"].dev.build["target"] == "dev"
    assert entries["api"].plain.ports == (Port(1, 1),)


def test_a_file_in_a_folder_that_is_run_from_the_root(read: Read) -> None:
    files = {"deploy/docker-compose.yml": "services: {api: {build: ./api}}", "api/Dockerfile": ""}
    assert read(files).entries["api"].plain.build["context"] == "api"


@pytest.mark.parametrize(
    ("text", "note"),
    [("services: [", "compose.yaml: not read, because it is not valid YAML"), ("", ""), ("a", "")],
)
def test_a_broken_file_gives_a_note(read: Read, text: str, note: str) -> None:
    found = read({"compose.yaml": text})
    assert found.entries == {}
    assert [line[: len(note)] for line in found.notes] == ([note] if note else [])


def test_a_file_that_is_not_utf_8(read: Read, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_bytes(b"services: {api: {image: '\xe9'}}")
    assert read({}).notes == ["compose.yaml: not read, because it is not UTF-8 text"]


def test_own_files_and_examples_are_ignored(read: Read) -> None:
    service = "services: {a: {image: x}}"
    assert not read({
        "deploy/dev/docker-compose.yml": f"# Kept by the template\n{service}",
        "examples/compose.yaml": service,
        "node_modules/x/docker-compose.yml": service,
    }).entries  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fixed", "kept"),
    [
        ("$A", "1", "${A:-1}"),
        ("${A:?why}", "1", "${A:-1}"),
        ("${B:-${A}}", "1", "${B:-1}"),
        ("${B-x}", "x", "${B:-x}"),
        ("x$$y", "x$y", "x$$y"),
        ("${DB_PASSWORD}", "db-password", "${DB_PASSWORD:-db-password}"),
        ("${A:+yes}${B:+no}", "yes", "yes"),
        ("100$", "100$", "100$"),
        # deploy/dev/.env has a value of its own for this one.
        ("${POSTGRES_PASSWORD:-theirs}", "theirs", "theirs"),
    ],
)
def test_variables(text: str, fixed: str, kept: str) -> None:
    variables = compose_reader.Variables({"A": "1"})
    assert variables.fixed(text) == fixed
    assert variables.kept(text) == kept
