"""The services of an existing project: what is found in small repositories of many shapes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from extensions import compose_reader
from extensions.destination import makefile
from extensions.discovery import Found, found, hosts_in, valid_name
from extensions.services import resolve

from ..adopt import conftest as samples


@pytest.fixture(autouse=True)
def without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyYAML read, as on a machine without Docker."""
    monkeypatch.setattr(compose_reader, "_with_docker", lambda root, paths: None)


PYTHON = "FROM python:3.13-slim\nCOPY . .\nEXPOSE 8000\nCMD python main.py\n"


def write(root: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))


def search(root: Path, texts: Mapping[str, str]) -> Found:
    write(root, texts)
    return found(root)


def items(found: Found) -> dict[str, dict[str, Any]]:
    """Return the items by name, without what all of them have."""
    return {
        item["name"]: {k: v for k, v in item.items() if k not in ("name", "kind")}
        for item in found.items
    }


@pytest.mark.parametrize("name", samples.NAMES)
def test_a_sample_has_the_expected_services(name: str) -> None:
    wanted = samples.expected(name)
    result = found(samples.REPOSITORIES / name)
    assert samples.complete(result.items) == samples.complete(wanted["services"])
    assert (result.database, result.cache) == (wanted["database"], wanted["cache"])
    replaced = {entry.name: name for name, entry in result.stores.items()}
    images = {name: entry.plain.image for name, entry in result.backing.items()}
    assert replaced | images == wanted["backing"]
    settings = {
        "layout": "multi", "service_kind": "custom", "project_slug": name, "registry": "x.io/y",
        "database": wanted["database"], "cache": wanted["cache"],
    }  # fmt: skip
    ports = {service.name: service.port for service in resolve(services=result.items, **settings)}
    for item in wanted["services"]:
        if "published" in item:
            assert ports[item["name"]] == item["published"]


def test_dockerfiles_at_any_depth_are_services(tmp_path: Path) -> None:
    names = [f"src/part{number}" for number in range(12)]
    result = search(tmp_path, {f"{name}/Dockerfile": PYTHON for name in names})
    assert sorted(items(result)) == sorted(name[4:] for name in names)
    assert items(result)["part3"] == {"path": "src/part3", "health": "none", "language": "python"}


def test_a_dockerfile_at_the_root_outranks_a_bare_manifest(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "Dockerfile": PYTHON,
        "pyproject.toml": "[project]\nname = 'x'\n",
        "tools/changelog/package.json": "{}",
    })  # fmt: skip
    assert items(result) == {"app": {"path": ".", "health": "none", "language": "python"}}
    [note] = result.notes
    assert note == "tools/changelog/: not taken, because it has a manifest but no Dockerfile"


def test_one_image_with_several_commands_is_several_services(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "Dockerfile": PYTHON,
        "requirements.txt": "celery\ndjango\n",
        "compose.yaml": """\
            services:
              web: {build: ., ports: ["8000:8000"], depends_on: [redis]}
              worker: {build: ., command: celery -A shop worker, depends_on: [redis]}
              beat: {build: ., command: celery -A shop beat, depends_on: [redis]}
              redis: {image: "redis:7"}
            """,
    })  # fmt: skip
    worker = {"path": ".", "http": False, "language": "python", "needs": ["cache"]}
    assert items(result)["worker"] == items(result)["beat"] == worker
    assert items(result)["web"] == {
        "path": ".", "health": "none", "language": "python", "needs": ["cache"]
    } | {"published": 8000}  # fmt: skip
    assert (result.cache, result.hosts["redis"]) == ("redis", "cache")


def test_a_seeder_runs_once_and_a_worker_has_no_server(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "seed/Dockerfile": "FROM alpine\nCMD sh seed.sh\n",
        "worker/Dockerfile": "FROM mcr.microsoft.com/dotnet/runtime:9.0\nCMD dotnet Worker.dll\n",
        "worker/Worker.csproj": '<Project Sdk="Microsoft.NET.Sdk" />',
        "compose.yaml": """\
            services:
              seed: {build: ./seed, depends_on: [db]}
              worker:
                build: ./worker
                depends_on: {seed: {condition: service_completed_successfully}}
              db: {image: "postgres:16"}
            """,
    })  # fmt: skip
    assert items(result)["seed"] == {"path": "seed", "one_shot": True, "needs": ["database"]}
    assert items(result)["worker"] == {
        "path": "worker", "http": False, "language": "dotnet", "needs": ["seed"]
    }  # fmt: skip
    assert result.database == "postgres"


def test_a_workspace_is_built_from_the_root(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "pyproject.toml": "[tool.uv.workspace]\nmembers = ['backend', 'libs/*']\n",
        "backend/pyproject.toml": "[project]\nname = 'backend'\n",
        "backend/Dockerfile": PYTHON,
        "libs/core/pyproject.toml": "[project]\nname = 'core'\n",
        "compose.yaml": "services: {api: {build: {context: ., dockerfile: backend/Dockerfile}}}",
    })  # fmt: skip
    assert items(result) == {
        "api": {
            "path": "backend", "context": ".", "dockerfile": "backend/Dockerfile",
            "health": "none", "language": "python",
        }
    }  # fmt: skip


def test_other_databases_are_not_postgres(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "Dockerfile": PYTHON,
        "compose.yaml": """\
            services:
              app: {build: ., depends_on: [db, docs]}
              db: {image: "mariadb:11"}
              docs: {image: "mongo:8"}
              proxy: {image: "traefik:3"}
            """,
    })  # fmt: skip
    assert (result.database, result.cache) == ("none", "none")
    assert result.backing.keys() == {"db", "docs"}
    assert result.notes == [
        (
            "proxy in compose.yaml: not taken, because traefik manages a host, and the stacks publish "
            "their own ports"
        )
    ]


def test_published_ports_stay_with_a_shared_container_port(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "a/Dockerfile": PYTHON,
        "b/Dockerfile": PYTHON,
        "compose.yaml": """\
            services:
              a: {build: a, ports: ["8080:8080"]}
              b: {build: b, ports: ["8081:8080"]}
            """,
    })  # fmt: skip
    assert [(i["port"], i["published"]) for i in result.items] == [(8080, 8080), (8080, 8081)]


@pytest.mark.parametrize("folder", ["vendor/x", "examples/x", "node_modules/x", "demo"])
def test_foreign_folders_are_left_out(tmp_path: Path, folder: str) -> None:
    samples.git("init", "--quiet", cwd=tmp_path)
    result = search(tmp_path, {f"{folder}/Dockerfile": PYTHON, "api/Dockerfile": PYTHON})
    assert items(result).keys() == {"api"}
    first = folder.partition("/")[0]
    assert result.notes == [
        (
            f"{first}/: 1 Dockerfile not taken, because such folders usually contain examples or the code "
            "of others"
        )
    ]


@pytest.mark.parametrize(
    ("texts", "note"),
    [
        ({"my api/Dockerfile": PYTHON}, "my api: not taken, because its path contains a space"),
        ({"compose.yaml": "services: {a: {build: ../x}}"}, "context is outside the project"),
        ({"compose.yaml": "services: {a: {build: gone}}"}, "its build context gone is missing"),
        ({"compose.yaml": "services: {a: {build: .}}"}, "its Dockerfile Dockerfile is missing"),
        (
            {
                "compose.yaml": "services: {a: {build: {context: x, dockerfile: ../../D}}}",
                "x/y": "",
            },
            "its Dockerfile is outside the project",
        ),
        (
            {"compose.yaml": "services: {a: {build: {context: ., dockerfile_inline: FROM x}}}"},
            "its Dockerfile is inside the compose file",
        ),
    ],
)
def test_what_is_not_taken_has_a_note(tmp_path: Path, texts: dict[str, str], note: str) -> None:
    result = search(tmp_path, texts)
    assert result.items == []
    assert [line for line in result.notes if note in line] == result.notes != []


def test_a_dockerfile_outside_its_context(tmp_path: Path) -> None:
    result = search(tmp_path, {
        "docker/api.Dockerfile": PYTHON,
        "api/requirements.txt": "flask\n",
        "compose.yaml": "services: {api: {build: {context: api, dockerfile: ../docker/api.Dockerfile}}}",
    })  # fmt: skip
    assert items(result)["api"] == {
        "path": "api", "dockerfile": "../docker/api.Dockerfile", "health": "none",
        "language": "python",
    }  # fmt: skip


def test_reserved_and_invalid_names_become_aliases(tmp_path: Path) -> None:
    text = "services: {site: {build: a}, My_App: {build: b, container_name: my-app-1}}"
    files = {"compose.yaml": text, "a/Dockerfile": PYTHON, "b/Dockerfile": PYTHON}
    result = search(tmp_path, files)
    aliases = {name: item["aliases"] for name, item in items(result).items()}
    assert aliases == {"site-service": ["site"], "my-app": ["My_App", "my-app-1"]}


def test_a_link_gives_an_alias_and_a_variable_a_need(tmp_path: Path) -> None:
    files = {
        "a/Dockerfile": PYTHON,
        "b/Dockerfile": PYTHON,
        "c/Dockerfile": PYTHON,
        "b/.env": "PEER=http://c:8000\n",
        "compose.yaml": """\
            services:
              a: {build: a, links: ["b:backend"]}
              b: {build: b, env_file: b/.env}
              c: {build: c, environment: ["URL=http://backend:8000"]}
            """,
    }
    found_items = items(search(tmp_path, files))
    assert found_items["a"]["needs"] == ["b"]
    # c needs b too, but a cycle cannot start.
    assert (found_items["b"]["needs"], "needs" in found_items["c"]) == (["c"], False)
    assert found_items["b"]["aliases"] == ["backend"]


def test_loops_of_links_and_other_encodings_do_not_stop_it(tmp_path: Path) -> None:
    write(tmp_path, {"api/Dockerfile": PYTHON})
    (tmp_path / "api/loop").symlink_to("..")
    (tmp_path / "Dockerfile.self").symlink_to("Dockerfile.self")
    (tmp_path / "api/main.py").write_bytes(b"# caf\xe9\nname = 'x'\n")
    (tmp_path / "api/package.json").write_bytes(b"\xff{")
    assert items(found(tmp_path)).keys() == {"api"}


@pytest.mark.parametrize("in_git", [True, False])
def test_links_without_a_target_and_deleted_files_are_not_there(
    tmp_path: Path, in_git: bool
) -> None:
    (tmp_path / "api").mkdir()
    for link in ("Dockerfile.jobs", "api/package.json", "api/bun.lock", "docker-compose.yml"):
        (tmp_path / link).symlink_to("gone")
    write(tmp_path, {"api/Dockerfile": PYTHON, "web/Dockerfile": PYTHON})
    if in_git:
        samples.git("init", "--quiet", cwd=tmp_path)
        samples.git("add", "--all", cwd=tmp_path)
    (tmp_path / "web/Dockerfile").unlink()
    result = found(tmp_path)
    assert items(result).keys() == {"api"}
    assert items(result)["api"].get("language", "python") == "python"
    assert result.files.names == ("api/Dockerfile",)
    assert result.notes == []


def test_folders_with_shell_characters_are_not_taken(tmp_path: Path) -> None:
    for name in ("$(touch pwned)", "a;b", "a'b", 'a"b', "a`b`", "a&b", "a|b", "a b", "-a", "a\nb"):
        write(tmp_path, {f"{name}/Dockerfile": PYTHON})
    write(tmp_path, {"api/Dockerfile": PYTHON})
    result = found(tmp_path)
    assert items(result).keys() == {"api"}
    reasons = [note for note in result.notes if "special character" in note]
    assert len(reasons) == 10


def test_a_submodule_is_not_searched(tmp_path: Path) -> None:
    samples.git("init", "--quiet", cwd=tmp_path)
    write(tmp_path, {"api/Dockerfile": PYTHON})
    sha = "1" * 40
    samples.git("update-index", "--add", "--cacheinfo", f"160000,{sha},libs/theirs", cwd=tmp_path)
    result = found(tmp_path)
    assert items(result).keys() == {"api"}
    assert result.notes == ["libs/theirs: not searched, because it is a git submodule"]


def test_ignored_files_are_not_searched(tmp_path: Path) -> None:
    samples.git("init", "--quiet", cwd=tmp_path)
    result = search(tmp_path, {"x/Dockerfile": PYTHON, "y/Dockerfile": PYTHON, ".gitignore": "x/"})
    assert items(result).keys() == {"y-service"}


@pytest.mark.parametrize("texts", [{"README.md": "x"}, {"compose.yaml": "services: ["}, {}])
def test_nothing_is_found_without_a_service(tmp_path: Path, texts: dict[str, str]) -> None:
    result = search(tmp_path, texts)
    assert (result.items, result.database, result.cache) == ([], "none", "none")


def test_a_health_check_of_the_compose_file_wins(tmp_path: Path) -> None:
    text = """\
        services:
          a: {build: ., healthcheck: {test: "curl -f localhost || exit 1"}}
        """
    result = search(
        tmp_path, {"Dockerfile": f"{PYTHON}HEALTHCHECK CMD true\n", "compose.yaml": text}
    )
    assert items(result)["a"]["health"] == "curl -f localhost || exit 1"


def test_a_health_route_of_the_sources_is_used(tmp_path: Path) -> None:
    code = '@app.get("/health")\ndef health(): ...\n'
    result = search(tmp_path, {"a/Dockerfile": PYTHON, "a/main.py": code})
    assert items(result)["a"]["health"] == "/health"


def test_names_and_hosts() -> None:
    assert [valid_name(text) for text in ("API_v2", "9-lives", "ünï", "migrate")] == [
        "api-v2", "lives", "n-service", "migrate-service"
    ]  # fmt: skip
    hosts = dict.fromkeys(["db", "api", "mq"], "x")
    values = ["postgres://u:p@db:5432/x", "http://api/v1", "mq:1,db:2", "database", "no db here"]
    assert list(hosts_in(values, hosts)) == ["db", "api", "mq", "db"]


@pytest.mark.parametrize("name", ["Makefile", "makefile", "GNUmakefile"])
def test_a_link_in_the_place_of_the_makefile_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("gone")
    assert makefile(tmp_path, adopting=True) == "pipeline.mk"
