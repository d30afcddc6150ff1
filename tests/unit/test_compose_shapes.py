"""Compose files of existing projects: more of their keys and forms, and both readers on the samples."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from extensions import compose_reader
from extensions.compose_reader import Composition, Mount, Port, Variables, read_compose
from extensions.source_files import source_files

from ..adopt import conftest as samples


@pytest.fixture
def without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyYAML read, as on a machine without Docker."""
    monkeypatch.setattr(compose_reader, "_with_docker", lambda root, paths: None)


def read(root: Path, texts: Mapping[str, str | bytes]) -> Composition:
    """Write the files of a project and read its compose files."""
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        data = text if isinstance(text, bytes) else textwrap.dedent(text).encode()
        (root / name).write_bytes(data)
    return read_compose(source_files(root))


pytestmark = pytest.mark.usefixtures("without_docker")


def test_the_keys_of_a_service_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, {"compose.yaml": """\
        x-common: &common
          environment: {MODE: live, DEBUG: true, EMPTY: }
          restart: "no"
        services:
          api:
            <<: *common
            build: ./api
            container_name: shop-api
            env_file: api.env
            links: ["db:postgres"]
            depends_on: {db: {condition: service_healthy}}
            expose: [9000/tcp]
            ports: ["127.0.0.1:8080:80", "53:53/udp", {target: 90, published: "9090"}, 7000]
            volumes: ["./api:/srv:ro", "data:/data", "/cache"]
            healthcheck: {test: [CMD-SHELL, "curl localhost"]}
            command: [serve, 1]
            profiles: [web]
            networks: {default: {aliases: [shop]}}
          db: {image: "postgres:${PG:-16}"}
        """})  # fmt: skip
    api = found.entries["api"].plain
    assert api.build == {"context": "api"}
    assert api.environment == {"MODE": "live", "DEBUG": "true", "EMPTY": None}
    assert (api.env_file, api.links, api.expose) == (("api.env",), {"db": "postgres"}, (9000,))
    assert api.depends_on == {"db": "service_healthy"}
    assert api.ports == (Port(80, 8080), Port(90, 9090), Port(7000))
    assert api.volumes == (
        Mount("bind", "api", "/srv", True), Mount("volume", "data", "/data"),
        Mount("volume", "", "/cache"),
    )  # fmt: skip
    assert (api.health, api.command, api.restart) == ("curl localhost", ["serve", "1"], "no")
    assert (api.aliases, api.profiles) == (("shop-api", "shop"), ("web",))
    assert found.entries["db"].plain.image == "postgres:16"
    assert found.notes == []


def test_extends_and_include_are_followed(tmp_path: Path) -> None:
    found = read(tmp_path, {
        "compose.yaml": """\
            include: [infra/redis.yaml]
            services:
              base: {build: api, environment: {A: "1", B: "1"}}
              web: {extends: base, environment: {B: "2"}}
              far: {extends: {file: infra/base.yaml, service: other}}
            """,
        "infra/redis.yaml": "services: {cache: {image: redis}}",
        "infra/base.yaml": "services: {other: {build: ./img, command: go}}",
        "infra/img/Dockerfile": "FROM scratch",
    })  # fmt: skip
    assert found.entries.keys() == {"cache", "base", "web", "far"}
    assert found.entries["web"].plain.build == {"context": "api"}
    assert found.entries["web"].plain.environment == {"A": "1", "B": "2"}
    assert found.entries["far"].plain.build == {"context": "infra/img"}
    assert found.entries["far"].plain.command == "go"


def test_a_loop_of_extends_or_include_ends(tmp_path: Path) -> None:
    found = read(tmp_path, {
        "compose.yaml": """\
            include: [compose.yaml, other.yaml]
            services: {a: {extends: b, image: x}, b: {extends: a}}
            """,
        "other.yaml": "include: compose.yaml",
    })  # fmt: skip
    assert found.entries["a"].plain.image == "x"


def test_an_override_file_only_changes_development(tmp_path: Path) -> None:
    found = read(tmp_path, {
        "docker-compose.yml": "services: {web: {build: ., command: serve}}",
        "docker-compose.override.yml": "services: {web: {command: dev, volumes: ['.:/app']}}",
    })  # fmt: skip
    web = found.entries["web"]
    assert (web.plain.command, web.plain.volumes) == ("serve", ())
    assert (web.dev.command, web.dev.volumes) == ("dev", (Mount("bind", ".", "/app"),))


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (b"services: [", "compose.yaml: not read, because it is not valid YAML, line 1"),
        (b"services:\n  \xe9: {}", "compose.yaml: not read, because it is not UTF-8 text"),
        (b"", ""),
        (b"services:\n", ""),
        (b"- a\n- list\n", ""),
        (b"services: {web: no, other: [1]}", ""),
        (b"include: [gone.yaml]", "gone.yaml: named in a compose file, but missing"),
    ],
)
def test_a_broken_file_is_a_note(tmp_path: Path, data: bytes, note: str) -> None:
    found = read(tmp_path, {"compose.yaml": data})
    assert found.entries == {}
    assert found.notes == ([note] if note else [])


def test_paths_are_relative_to_the_root(tmp_path: Path) -> None:
    found = read(tmp_path, {
        "deploy/compose.yaml": """\
            services:
              api: {build: {context: .., dockerfile: api/Dockerfile}, env_file: [./api.env]}
              out: {build: ../../elsewhere}
            """,
        "api/Dockerfile": "FROM scratch",
        "deploy/api.env": "A=1",
    })  # fmt: skip
    api = found.entries["api"].plain
    assert api.build == {"context": ".", "dockerfile": "api/Dockerfile"}
    assert api.env_file == ("deploy/api.env",)
    assert found.entries["out"].plain.build == {"context": str(tmp_path.parent / "elsewhere")}


def test_files_of_examples_are_not_read(tmp_path: Path) -> None:
    text = "services: {x: {image: y}}"
    assert read(tmp_path, {"examples/compose.yaml": text, "a/b/c/compose.yml": text}).entries == {}


def test_values_of_a_committed_example_are_used(tmp_path: Path) -> None:
    samples.git("init", "--quiet", cwd=tmp_path)
    found = read(tmp_path, {
        ".gitignore": ".env\n",
        ".env": "DB_PASSWORD=real\nTAG=9\n",
        ".env.example": "TAG=17 # comment\nNAME='a b'\n",
        "compose.yaml": "services: {db: {image: 'postgres:$TAG'}}",
    })  # fmt: skip
    assert found.entries["db"].plain.image == "postgres:17"
    assert found.variables.fixed("${NAME}-${DB_PASSWORD}-$$") == "a b-db-password-$"


def test_variables_have_the_forms_of_compose() -> None:
    variables = Variables({"A": "1"})
    texts = [
        "$A",
        "${A:-2}",
        "${B:-2}",
        "${B-${A}}",
        "${B:?set it}",
        "${A:+on}",
        "${B+on}",
        "$",
        "${",
    ]
    assert [variables.fixed(text) for text in texts] == [
        "1", "1", "2", "1", "", "on", "", "$", "${"
    ]  # fmt: skip
    assert variables.kept("${A} ${B:-x} $$") == "${A:-1} ${B:-x} $$"


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize("name", samples.NAMES)
def test_both_readers_give_the_same_result(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = source_files(samples.REPOSITORIES / name)
    without = read_compose(files)
    monkeypatch.undo()
    paths = [chosen.plain for chosen in compose_reader.compose_files(files)]
    assert all(compose_reader._with_docker(files.root, path) for path in paths)
    found = read_compose(files)
    assert found.entries == without.entries
    assert list(found.entries) == list(without.entries)
