"""The environments besides test: development and production, and a machine without Docker."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.error import HTTPError

import pytest

from extensions.rules import AnswerError, check_name

from .conftest import NOTHING, PYTHON_VERSION, Project, docker, inspect, sh

CUT = (
    # With a time limit in ms, it waits until the connection has ended.
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
    " WHERE usename = '{}' AND state = 'idle'"
)


def free_ports(count: int) -> list[int]:
    """Find ports of this machine that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def fetch(url: str, data: Any = None, timeout: float = 5) -> str:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return str(answer.read().decode())


def wait_for_text(url: str, text: str, seconds: float = 60) -> None:
    """Wait until a page holds a text."""
    deadline = time.monotonic() + seconds
    last = ""
    while time.monotonic() < deadline:
        try:
            last = fetch(url)
            if text in last:
                return
        except OSError as error:
            last = str(error)
        time.sleep(0.25)
    raise AssertionError(f"{url} never held {text!r}; at last: {last[-500:]}")


@pytest.fixture(scope="module")
def project(generate: Callable[..., Project]) -> Project:
    # The images and the mounts must not depend on the modes of the working tree.
    billing = "{name: billing, kind: custom, needs: [database]}"
    services = f"[api, {{name: orders, kind: node-api}}, worker, frontend, {billing}]"
    project = generate(services=services, cache="redis", umask="077")
    project.make("setup")
    env = project.path / "deploy/dev/.env"
    password = "POSTGRES_PASSWORD=p@ss/w:rd%1#2"
    env.write_text(env.read_text().replace("POSTGRES_PASSWORD=postgres", password))
    return project


def test_lint_and_format_find_nothing_to_fix(project: Project) -> None:
    project.commit()
    # This also checks the format of each file.
    project.make("lint")
    for service in ("worker", "frontend"):
        project.make("-C", f"services/{service}", "format")
    assert not project.run("git", "status", "--porcelain")


def test_the_tests_of_a_custom_service_pass(project: Project) -> None:
    done = sh(
        *("uv", "run", "--script", "scripts/test-runner.py", "--service=billing"), cwd=project.path
    )
    assert done.returncode == 0, done.stdout
    assert re.findall(r"^  ✓ (\w+) ", done.stdout, re.MULTILINE) == ["billing", "billing"]
    assert project.left() == NOTHING


@pytest.fixture
def ports(project: Project) -> Iterator[dict[str, int]]:
    """Free ports for the development environment, written into its .env."""
    names = [
        *("API_PORT", "ORDERS_PORT", "FRONTEND_PORT", "BILLING_PORT"),
        *("DATABASE_PORT", "CACHE_PORT"),
    ]
    chosen = dict(zip(names, free_ports(len(names)), strict=True))
    env = project.path / "deploy/dev/.env"
    before = env.read_text()
    env.write_text(before + "".join(f"{name}={port}\n" for name, port in chosen.items()))
    yield chosen
    sh("docker", "compose", "down", "--volumes", "--rmi=local", cwd=env.parent)
    env.write_text(before)


#: A proxy that logs what it is asked for, and answers nothing.
PROXY = """\
services:
  proxy:
    image: python:{version}-slim
    init: true
    command:
      - python
      - -c
      - |
        import socketserver
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                print(self.rfile.readline().decode(), flush=True)
        socketserver.ThreadingTCPServer(("", 3128), Handler).serve_forever()
"""


def proxied(folder: Path, address: str = "http://127.0.0.1:9") -> Path:
    """Return a configuration of Docker's client that gives containers a proxy."""
    own = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    made = folder / "docker"
    made.mkdir(exist_ok=True)
    if (own / "cli-plugins").is_dir():
        (made / "cli-plugins").symlink_to(own / "cli-plugins")
    proxies = {
        "default": {"httpProxy": address, "httpsProxy": address, "noProxy": "localhost,127.0.0.1"}
    }
    (made / "config.json").write_text(json.dumps({"proxies": proxies}))
    return made


def test_development_reloads_and_keeps_its_data(
    project: Project, ports: dict[str, int], tmp_path: Path
) -> None:
    api, orders, page = (
        f"http://127.0.0.1:{ports[name]}" for name in ("API_PORT", "ORDERS_PORT", "FRONTEND_PORT")
    )
    project.make("dev")
    check_password(project)
    started = {c["Id"]: c["State"]["StartedAt"] for c in dev_containers(project)}

    for url, name in ((api, "api/api/main.py"), (orders, "orders/src/app.ts")):
        source = project.path / "services" / name
        replace(source, '"ok"', '"reloaded"')
        wait_for_text(f"{url}/health", "reloaded")
        replace(source, '"reloaded"', '"ok"')
        wait_for_text(f"{url}/health", '"ok"')

    source = project.path / "services/frontend/src/main.ts"
    source.write_text(source.read_text() + '\nconsole.info("edited by hand");\n')
    wait_for_text(f"{page}/src/main.ts", "edited by hand")
    assert {c["Id"]: c["State"]["StartedAt"] for c in dev_containers(project)} == started

    source = project.path / "services/frontend/index.html"
    replace(source, "<main", "<p>replaced</p><main")
    wait_for_text(page, "<p>replaced</p>")

    for url in (page, orders):
        fetch(f"{url}/api/items", {"name": "kept"})
    project.make("dev-down")
    assert not dev_containers(project)
    # The second start has new images, and its containers get a proxy.
    override = project.path / "deploy/dev/docker-compose.override.yml"
    override.write_text(PROXY.format(version=PYTHON_VERSION))
    project.make("dev", DOCKER_CONFIG=str(proxied(tmp_path, "http://proxy:3128")))
    label = f"--filter=label=com.docker.compose.project={project.slug}-dev"
    assert not docker("image", "ls", "--quiet", "--filter=dangling=true", label)
    for url in (page, orders):
        wait_for_text(f"{url}/api/items", "kept")
    for url in (api, orders):
        with pytest.raises(HTTPError, match="502"):
            fetch(f"{url}/api/rates/USD")
    asked = docker("logs", f"{project.slug}-dev-proxy-1").split("\n\n")
    assert [line.split()[:2] for line in asked if line] == [["CONNECT", "open.er-api.com:443"]] * 2
    project.make("dev-down")
    override.unlink()


def check_password(project: Project) -> None:
    """A custom service can use the address of its database, whatever is in the password."""
    name = f"{project.slug}-dev-billing-1"
    env = dict(line.split("=", 1) for line in inspect("container", name)[0]["Config"]["Env"])
    url = env["DATABASE_URL"]
    assert url == "postgresql://billing:p%40ss%2Fw%3Ard%251%232@database:5432/billing"
    # The server in this container asks for a password only if the connection is not local.
    command = ("psql", url, "--tuples-only", "--command=SELECT current_user")
    assert "billing" in docker("exec", f"{project.slug}-dev-database-1", *command)


def replace(path: Path, old: str, new: str) -> None:
    """Replace a text in a file as many editors do: they write a new file and rename it."""
    text = path.read_text()
    assert old in text
    copy = path.with_name(f".{path.name}.new")
    copy.write_text(text.replace(old, new))
    copy.replace(path)


def dev_containers(project: Project) -> list[dict[str, Any]]:
    label = f"label=com.docker.compose.project={project.slug}-dev"
    running = docker("ps", "--quiet", f"--filter={label}").split()
    return inspect("container", *running)


def test_production_refuses_without_secrets_and_is_hardened(
    project: Project, tmp_path: Path
) -> None:
    folder = project.path / "deploy/prod"
    required = [
        line.removesuffix("=")
        for line in (folder / ".env.example").read_text().splitlines()
        if line.endswith("=") and not line.startswith("#")
    ]
    values = {"VERSION": "1.2.3"}
    for name in set(required) - {"VERSION"}:
        values[name] = str(tmp_path / name.lower())
        Path(values[name]).mkdir()
        # Whatever user an image runs as may keep its data there.
        Path(values[name]).chmod(0o777)
    doors = ("FRONTEND_PORT", "ORDERS_PORT")
    ports = (*doors, "BILLING_PORT")
    values |= dict(zip(ports, map(str, free_ports(len(ports))), strict=True))

    for missing in required:
        there = {name: value for name, value in values.items() if name != missing}
        done = sh("docker", "compose", "up", "--detach", cwd=folder, **there)
        assert done.returncode != 0
        assert missing in done.stdout
    done = sh("docker", "compose", "up", "--detach", "database", cwd=folder, **values)
    assert done.returncode != 0
    assert "secrets/postgres_password" in done.stdout
    made = sh("./deploy.sh", "init", cwd=folder).stdout
    kept = secrets_of(folder)
    assert not any(secret in made for secret in kept.values())
    sh("./deploy.sh", "init", cwd=folder)
    assert secrets_of(folder) == kept

    # The door runs as another user than the owner of its files. `./deploy.sh up` does the same.
    sh("chmod", "--recursive", "a+rX", "door", cwd=folder)
    project.make("build", "VERSION=1.2.3")
    try:
        up = sh(
            *("docker", "compose", "up", "--detach", "--wait", "--wait-timeout=600"),
            cwd=folder,
            DOCKER_CONFIG=str(proxied(tmp_path)),
            **values,
        )
        assert up.returncode == 0, up.stdout
        for door in doors:
            assert json.loads(fetch(f"http://127.0.0.1:{values[door]}/api/items")) == []
        label = f"label=com.docker.compose.project={project.slug}"
        containers = inspect("container", *docker("ps", "-aq", f"--filter={label}").split())
        own = [c for c in containers if project.slug in c["Config"]["Image"]]
        assert len(own) == 7  # api and orders, each with its migrations, worker, frontend, billing
        for container in own:
            check_hardened(container)
        servers = {"redis-server", "postgres"}
        for container in containers:
            if container["State"]["Running"]:
                programs = docker("top", container["Id"], "-eo", "uid,comm,pid").splitlines()
                owners = [line.split()[0] for line in programs if line.split()[1] in servers]
                assert "0" not in owners, container["Name"]
                servers -= {line.split()[1] for line in programs}
        assert not servers
        for container in containers:
            for bindings in (container["HostConfig"]["PortBindings"] or {}).values():
                assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}
        check_clients(folder, values)
        check_secrets(folder, values, containers)
        check_separated(folder, values)
        for role, door in (("api", "FRONTEND_PORT"), ("orders", "ORDERS_PORT")):
            url = f"http://127.0.0.1:{values[door]}/api/items"
            check_new_password(folder, values, role, url)
    finally:
        sh("docker", "compose", "down", "--volumes", cwd=folder, **values)
        images = docker("image", "ls", "--quiet", f"--filter=reference=*/*/{project.slug}-*")
        for image in set(images.split()):
            docker("image", "rm", "--force", image)
        for name in set(required) - {"VERSION"}:
            shutil.rmtree(values[name], ignore_errors=True)


def secrets_of(folder: Path) -> dict[str, str]:
    """Return the secrets that `init` creates, after a check of their modes."""
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700
    # The credentials of a remote store of backups are empty by default.
    files = [file for file in (folder / "secrets").iterdir() if file.stat().st_size]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o444}
    return {file.name: file.read_text() for file in files}


def check_secrets(folder: Path, values: dict[str, str], containers: list[dict[str, Any]]) -> None:
    """No secret is in what Docker and the list of processes show."""
    shown = {
        "docker inspect": json.dumps(containers),
        "docker compose config": sh("docker", "compose", "config", cwd=folder, **values).stdout,
        "docker compose logs": sh("docker", "compose", "logs", cwd=folder, **values).stdout,
        "the processes": "".join(
            docker("top", container["Id"], "-eo", "pid,args")
            for container in containers
            if container["State"]["Running"]
        ),
    }
    for name, secret in secrets_of(folder).items():
        assert len(secret) == 48
        for place, text in shown.items():
            assert text, place
            assert secret not in text, f"{name} is in the output of {place}"


def check_clients(folder: Path, values: dict[str, str]) -> None:
    """The APIs see the client of a proxy on this host, whatever the client itself has sent."""
    for service, door in (("api", "FRONTEND_PORT"), ("orders", "ORDERS_PORT")):
        url = f"http://127.0.0.1:{values[door]}/api/items?after=7"
        headers = {"X-Forwarded-For": "192.0.2.66, 203.0.113.7", "X-Request-ID": "forged"}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20):
            pass
        command = ("docker", "compose", "logs", "--no-log-prefix", service)
        shown = sh(*command, cwd=folder, **values).stdout
        lines = [
            line for line in shown.splitlines() if '"request_id":' in line and "forged" in line
        ]
        assert any("203.0.113.7" in line for line in lines), lines
        assert not any("192.0.2.66" in line for line in lines), lines


def check_new_password(folder: Path, values: dict[str, str], role: str, url: str) -> None:
    """While the password of a role changes, no request fails, though many need new connections."""
    file = folder / f"secrets/{role}_database_password"
    file.chmod(0o644)
    old, new = file.read_text(), token_hex(24)
    psql = ("docker", "compose", "exec", "-T", "database", "psql", "--username=postgres")
    with ThreadPoolExecutor(20) as pool:

        def burst() -> None:
            # A busy machine answers slowly.
            assert set(pool.map(partial(fetch, timeout=60), [url] * 20)) == {"[]"}

        burst()
        # The same file: a container sees the file that it was started with.
        file.write_text(new)
        burst()
        alter = f"--command=ALTER ROLE {role} PASSWORD '{new}'"
        changed = pool.submit(sh, *psql, alter, cwd=folder, **values)
        while not changed.done():
            burst()
        assert changed.result().returncode == 0, changed.result().stdout
        # Ends what the pools keep, so that all connections are new.
        sh(*psql, f"--command={CUT.format(role)}", cwd=folder, **values)
        burst()
    assert old != new


def check_separated(folder: Path, values: dict[str, str]) -> None:
    """The page cannot reach the database, and a role only reaches its own database."""
    compose = ("docker", "compose", "exec", "-T")
    found = sh(*compose, "frontend", "getent", "hosts", "database", cwd=folder, **values)
    assert found.returncode != 0, found.stdout
    for role, database in (
        ("api", "orders"),
        ("orders", "api"),
        ("api", "postgres"),
        ("api", "api"),
    ):
        password = (folder / f"secrets/{role}_database_password").read_text()
        url = f"postgresql://{role}:{password}@127.0.0.1/{database}"
        done = sh(*compose, "database", "psql", url, "-c", "SELECT 1", cwd=folder, **values)
        assert (done.returncode == 0) == (role == database), done.stdout


def check_hardened(container: dict[str, Any]) -> None:
    name, host = container["Name"], container["HostConfig"]
    user = container["Config"]["User"].split(":")[0]
    assert user.isdigit(), name
    assert int(user) > 0, name
    assert host["ReadonlyRootfs"], name
    assert host["CapDrop"] == ["ALL"], name
    assert not host["CapAdd"], name
    assert "no-new-privileges:true" in host["SecurityOpt"], name
    assert host["NanoCpus"] > 0, name
    assert host["Memory"] > 0, name
    assert host["PidsLimit"] > 0, name
    assert host["LogConfig"]["Type"] == "json-file", name
    assert set(host["LogConfig"]["Config"]) == {"max-size", "max-file"}, name
    one_shot = name.endswith("-migrate-1")
    assert host["RestartPolicy"]["Name"] == ("no" if one_shot else "unless-stopped"), name


def test_no_service_can_shadow_an_installed_library(project: Project) -> None:
    """`uv sync` has installed what the lock files name."""
    shadowing = []
    folders = [*project.path.glob("services/*/.venv"), project.path / "tests/integration/.venv"]
    installed = {path for folder in folders for path in folder.glob("lib/*/site-packages/*")}
    assert any(path.name == "fastapi" for path in installed)
    for module in {path.name.partition(".")[0] for path in installed}:
        # Not a dist-info, whose name has the version, and not a private module.
        if "-" not in module and not module.startswith("_"):
            with suppress(AnswerError):
                check_name(module.replace("_", "-"))
                shadowing.append(module)
    assert not shadowing
