"""Production on Docker Swarm: a swarm of one node, which this machine's engine becomes for the tests.

Virtual addresses and the ingress network need IPVS in the kernel, which machines of tests may lack.
Therefore an override gives each service the mode dnsrr and the door the ports of the node. So these
tests cover neither several nodes nor the ingress network.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.projects import wait_until

from .conftest import OF_TESTS, STAYS, Project, docker, inspect, node_has, sh
from .probe import Probe
from .test_backup import TABLES, TARGET, created
from .test_environments import free_ports
from .test_production import RATE, certificate, pebble_files

#: A migration that the old version can live with, and one that fails because there are rows.
MIGRATION = '''\
"""{text}"""

import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = "{before}"


def upgrade() -> None:
    op.add_column("items", sa.Column("{column}", sa.Text(), nullable={nullable}))
'''

#: How long the engine watches a new version. The default is a minute.
WATCH = 5


@pytest.fixture(scope="module")
def swarm() -> Iterator[None]:
    """Make the engine a swarm of one node. Only one test of this machine may do so at a time.

    The session leaves it at its end, see `pytest_sessionfinish`. With the label `e2e-stays`, the tests
    use a swarm that exists: docker node update --label-add e2e-stays=true NODE
    """
    with (Path(tempfile.gettempdir()) / "e2e-swarm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = docker("info", "--format={{.Swarm.LocalNodeState}}").strip()
        if state == "inactive":
            docker("swarm", "init", "--advertise-addr=127.0.0.1")
            node = docker("info", "--format={{.Swarm.NodeID}}").strip()
            docker("node", "update", f"--label-add={OF_TESTS}=", node)
        elif not node_has(OF_TESTS) and not node_has(STAYS):
            pytest.fail(f"the engine already belongs to a swarm ({state})")
        yield


@dataclass
class Stack:
    """A project that runs in the swarm."""

    project: Project
    folder: Path = field(init=False)
    services: dict[str, Any] = field(init=False)
    port: int = field(init=False)
    https_port: int = field(init=False)
    data: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.project.path / "deploy/swarm"
        self.services = yaml.safe_load((self.folder / "docker-stack.yml").read_text())["services"]

    def prepare(self, data: Path) -> None:
        """Write .env and the override, as a user does."""
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [one.getsockname()[1] for one in sockets]
        for one in sockets:
            one.close()
        self.port = ports[0]
        self.https_port = ports[1]
        self.data = data
        for name in ("database", "cache", "backups"):
            (data / name).mkdir()
        settings = {
            "DATABASE_DIR": data / "database", "CACHE_DIR": data / "cache",
            "BACKUP_DIR": data / "backups",
            "DOOR_HTTP_PORT": ports[0], "DOOR_HTTPS_PORT": ports[1],
            "DOOR_MODE": "host", "DOOR_ORDER": "stop-first",
            "RESOLVE_IMAGE": "never", "WATCH": WATCH,
        }  # fmt: skip
        (self.folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        override = {name: {"deploy": {"endpoint_mode": "dnsrr"}} for name in self.services}
        text = yaml.safe_dump({"services": override})
        (self.folder / "docker-stack.override.yml").write_text(text)

    @property
    def api(self) -> str:
        """The name of the service with the database."""
        return "api" if "api" in self.services else "app"

    def image(self, service: str) -> str:
        return str(self.services[service]["image"]).partition(":$")[0]

    def build(self, version: str, base: str, *lines: str, **files: str) -> None:
        """Build a version of the API from another one; the other services get a second name."""
        for name, service in self.services.items():
            if "${VERSION" in service["image"] and name != self.api:
                docker("tag", f"{self.image(name)}:{base}", f"{self.image(name)}:{version}")
        find = "find /app -path '*/migrations/versions' -type d"
        base_image = f"{self.image(self.api)}:{base}"
        folder = docker("run", "--rm", "--entrypoint=sh", base_image, "-c", find).strip()
        with tempfile.TemporaryDirectory() as context:
            copies = []
            for name, text in files.items():
                path = Path(context, f"{name.strip('_')}.py")
                path.write_text(text)
                path.chmod(0o644)
                copies.append(f"COPY {path.name} {folder}/")
            dockerfile = [f"FROM {base_image}", *copies, *lines]
            Path(context, "Dockerfile").write_text("\n".join(dockerfile) + "\n")
            docker("build", "--quiet", f"--tag={self.image(self.api)}:{version}", context)

    def versions(self) -> None:
        """Build 2.0.0 with a migration, and 3.0.0 with one that fails."""
        parts = {"text": "Notes.", "number": "0002", "before": "0001", "column": "note"}
        self.build("2.0.0", "1.0.0", _0002=MIGRATION.format(**parts, nullable=True))
        parts = {"text": "A mistake.", "number": "0003", "before": "0002", "column": "must"}
        self.build("3.0.0", "2.0.0", _0003=MIGRATION.format(**parts, nullable=False))

    def run(self, *arguments: str, exits: int = 0, **env: str) -> str:
        """Run deploy.sh and return its output."""
        done = sh("./deploy.sh", *arguments, cwd=self.folder, **env)
        assert done.returncode == exits, f"{arguments}: {done.returncode}\n{done.stdout}"
        return done.stdout

    @contextmanager
    def without_a_failed_request(self, least: int = 0) -> Iterator[None]:
        """Send requests through the door while something happens, and at least this many."""
        with Probe(self.port, "/api/items?limit=1", rate=RATE) as probe:
            time.sleep(1)
            yield
            deadline = time.monotonic() + 60 + least / RATE
            while probe.short.total < least and time.monotonic() < deadline:
                time.sleep(0.1)
        print(probe.short)
        print(probe.long)
        if probe.short.failed or probe.long.failed:
            # Of the running tasks: `docker service logs` waits without end for those that are gone.
            tasks = [task for task, image in self.tasks().items() if self.image(self.api) in image]
            logs = "".join(sh("docker", "logs", task, cwd=self.folder).stdout for task in tasks)
            errors = "\n".join(line for line in logs.splitlines() if "200 OK" not in line)
            pytest.fail(f"{probe.short}; {probe.long}\n{errors[-6000:]}", pytrace=False)
        assert probe.short.total >= least

    def tasks(self) -> dict[str, str]:
        """Return the container IDs of the running tasks, with their images."""
        listed = docker("ps", f"--filter=name={self.project.slug}_",
                        "--format={{.ID}} {{.Image}}").splitlines()  # fmt: skip
        return dict(line.split(" ", 1) for line in listed)

    def sql(self, statement: str) -> str:
        """Run a statement as the superuser, over the server's socket."""
        task = docker("ps", "--quiet", f"--filter=name={self.project.slug}_database").strip()
        return docker("exec", task, "psql", "-U", "postgres", "-Atc", statement, self.database)

    def psql(self, statements: str, database: str = "") -> str:
        """Run statements of psql as the superuser, each in its own transaction."""
        task = docker("ps", "--quiet", f"--filter=name={self.project.slug}_database").strip()
        command = ("psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres")
        done = subprocess.run(
            ["docker", "exec", "--interactive", task, *command, database or self.database],
            input=statements, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def in_data(self, script: str) -> None:
        """Run a shell script in the data folders, which belong to users of the containers."""
        docker("run", "--rm", f"--volume={self.data}:/data", "--workdir=/data", "--entrypoint=sh",
               self.services["door"]["image"], "-euc", script)  # fmt: skip

    @property
    def database(self) -> str:
        """The name of the API's database."""
        url = self.services[self.api]["environment"]["DATABASE_URL"]
        return str(url).rpartition("/")[2]

    def add_item(self) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/items",
            json.dumps({"name": "kept"}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 201

    def remove(self, data: Path) -> None:
        """Remove the stack, its secrets and its images, and take the data folders back."""
        slug = self.project.slug
        subprocess.run(["docker", "stack", "rm", slug], capture_output=True)
        listed = sh("docker", "service", "ls", f"--filter=name={slug}_", "--quiet", cwd=data)
        for job in listed.stdout.split() if listed.returncode == 0 else ():
            subprocess.run(["docker", "service", "rm", job], capture_output=True)
        deadline = time.monotonic() + 60
        while self.tasks() and time.monotonic() < deadline:
            time.sleep(0.5)
        for noun in ("secret", "config"):
            names = docker(noun, "ls", "--format={{.Name}}").split()
            own = [one for one in names if one.startswith(f"{slug}_")]
            subprocess.run(["docker", noun, "rm", *own], capture_output=True)
        owner = f"{os.getuid()}:{os.getgid()}"
        docker("run", "--rm", f"--volume={data}:/data", "--entrypoint=chown",
               self.services["door"]["image"], "-R", owner, "/data")  # fmt: skip
        tags = docker("image", "ls", "--format={{.Repository}}:{{.Tag}}").split()
        docker("image", "rm", "--force", *[tag for tag in tags if f"/{slug}" in tag])
        # The container of a task that has ended still uses the volume for a moment.
        volume = ("docker", "volume", "rm", "--force", f"{slug}_door")
        deadline = time.monotonic() + 30
        while sh(*volume, cwd=data).returncode and time.monotonic() < deadline:
            time.sleep(0.5)


@contextmanager
def started(generate: Callable[..., Project], data: Path, **answers: str) -> Iterator[Stack]:
    stack = Stack(generate(orchestrator="[swarm]", **answers))
    stack.prepare(data)
    try:
        stack.project.make("build", "VERSION=1.0.0")
        stack.versions()
        stack.run("init")
        stack.run("up", "1.0.0")
        yield stack
    finally:
        stack.remove(data)


def test_a_deploy_and_a_migration_that_fails(
    swarm: None, generate: Callable[..., Project], tmp_path: Path
) -> None:
    """The short sample of the drills below."""
    with started(generate, tmp_path, layout="single", service_kind="python-api") as stack:
        with stack.without_a_failed_request():
            stack.run("deploy", "2.0.0")
        stack.add_item()
        before = stack.tasks()
        with stack.without_a_failed_request():
            output = stack.run("deploy", "3.0.0", exits=3)
        assert "contains null values" in output
        assert "3.0.0 is not deployed. No service changed: 2.0.0 runs" in output
        assert stack.tasks() == before
        assert stack.run("status").startswith("version 2.0.0, before it 1.0.0\n")


@pytest.fixture(scope="module")
def shop(
    swarm: None, generate: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A shop whose services run in version 2.0.0, with an item."""
    data = tmp_path_factory.mktemp("data")
    with started(generate, data, services="api, worker, frontend", cache="redis") as stack:
        stack.run("deploy", "2.0.0")
        stack.add_item()
        yield stack


@pytest.mark.drills
def test_an_upgrade_and_a_rollback_across_a_migration(shop: Stack) -> None:
    with shop.without_a_failed_request(least=1000):
        shop.run("rollback")
        assert shop.run("status").startswith("version 1.0.0, before it 2.0.0\n")
        shop.run("deploy", "2.0.0")
    assert shop.sql("SELECT version_num FROM alembic_version") == "0002\n"


@pytest.mark.drills
@pytest.mark.parametrize("command", ['["sh", "-c", "sleep 4; exit 3"]', '["sleep", "900"]'],
                         ids=["crashes", "is never healthy"])  # fmt: skip
def test_the_engine_takes_a_bad_version_back(shop: Stack, command: str) -> None:
    shop.build("4.0.0", "2.0.0", f"CMD {command}")
    with shop.without_a_failed_request():
        output = shop.run("deploy", "4.0.0", exits=4)
    assert "4.0.0 is not deployed: 2.0.0 runs" in output
    assert "api failed, and the engine restores its old version" in output
    assert shop.run("status").startswith("version 2.0.0")
    assert {tag for tag in shop.tasks().values() if ":4" in tag} == set()


@pytest.mark.drills
def test_a_migration_that_takes_too_long(shop: Stack) -> None:
    # The shell ignores the arguments, which are the command of the migration.
    shop.build("5.0.0", "2.0.0", 'ENTRYPOINT ["sh", "-c", "sleep 900"]', "CMD []")
    before = shop.tasks()
    output = shop.run("deploy", "5.0.0", exits=3, JOB_TIMEOUT="40")
    assert "api-migrate: Failed: stopped after 40 seconds" in output
    # Docker removes the containers of jobs a moment later.
    wait_until(lambda: shop.tasks() == before, 120)


@pytest.mark.drills
def test_an_image_that_does_not_exist(shop: Stack) -> None:
    before = shop.tasks()
    assert "cannot be pulled. Nothing changed" in shop.run("deploy", "9.9.9", exits=2)
    assert shop.tasks() == before


@pytest.mark.drills
@pytest.mark.parametrize("secret", ["api_database_password", "cache_password", "postgres_password"])
def test_the_rotation_of_a_secret(shop: Stack, secret: str) -> None:
    servers = [
        f"--filter=name={shop.project.slug}_{name}." for name in ("database", "cache", "door")
    ]
    kept = set(docker("ps", "--quiet", *servers).split())
    assert len(kept) == 3
    hashes = shop.sql("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1")
    with shop.without_a_failed_request(least=1000):
        shop.run("rotate", secret)
    # Neither a server nor the door restarts.
    assert kept <= set(shop.tasks())
    if secret != "cache_password":
        assert shop.sql("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1") != hashes
    if secret == "api_database_password":
        roles = shop.sql("SELECT rolname FROM pg_authid WHERE rolname ~ '^api' ORDER BY 1")
        assert roles == "api\napi-2\n"
        assert shop.sql("SELECT count(*) FROM pg_tables WHERE tableowner = 'api-2'") == "0\n"
    shop.run("status")


@pytest.mark.drills
def test_nothing_shows_a_secret(shop: Stack) -> None:
    slug = shop.project.slug
    tasks = shop.tasks()
    names = docker("secret", "ls", f"--filter=name={slug}_", "--format={{.Name}}").split()
    found = set()
    for name in names:
        secret = re.sub(rf"^{slug}_|_\d+$", "", name)
        for task in tasks:
            done = sh("docker", "exec", task, "cat", f"/run/secrets/{secret}", cwd=Path("/"))
            if done.returncode == 0:
                found.add(done.stdout.strip())
    assert len(found) >= 3
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in found)
    shown = docker("inspect", *tasks) + docker("service", "inspect", *services_of(slug))
    logs = "".join(sh("docker", "logs", task, cwd=Path("/")).stdout for task in tasks)
    for value in found:
        assert value not in shown
        assert value not in logs


def services_of(slug: str) -> list[str]:
    return docker("service", "ls", f"--filter=name={slug}_", "--quiet").split()


@pytest.mark.drills
@pytest.mark.parametrize("seconds", [1, 6, 9, 12, 20])
def test_a_deploy_that_is_killed(shop: Stack, seconds: float) -> None:
    """Then both directions are open, and the old version or the new one serves all the time."""
    shop.build(f"2.1.{seconds}", "2.0.0", f"LABEL killed.after={seconds}")
    before = shop.run("status").split()[1].rstrip(",")
    with shop.without_a_failed_request():
        deploy = subprocess.Popen(
            ["./deploy.sh", "deploy", f"2.1.{seconds}"], cwd=shop.folder, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(seconds)
        os.killpg(deploy.pid, signal.SIGKILL)
        deploy.wait()
        if deploy.returncode == -signal.SIGKILL:
            if seconds % 2:
                shop.run("deploy", f"2.1.{seconds}")
                expected = f"2.1.{seconds}"
            else:
                shop.run("deploy", before)
                expected = before
            assert shop.run("status").startswith(f"version {expected}")


@pytest.mark.drills
def test_two_deploys_at_once(shop: Stack) -> None:
    with (shop.folder / "deploy.sh").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another deploy.sh runs" in shop.run("deploy", "2.0.0", exits=5)


@pytest.mark.drills
def test_a_change_of_the_environment_needs_no_version(shop: Stack) -> None:
    with (shop.folder / ".env").open("a") as file:
        file.write("WORKER_REPLICAS=2\n")
    version = shop.run("status").splitlines()[0]
    shop.run("up")
    status = shop.run("status")
    assert status.splitlines()[0] == version
    assert re.search(r"_worker\s+2/2", status)


#: Every row of every table, every sequence, and the owners.
ROWS = r"""
SELECT format('SELECT %L, t::text FROM %I t ORDER BY 2', tablename, tablename)
FROM pg_tables WHERE schemaname = 'public' ORDER BY 1 \gexec
SELECT format('SELECT %L, last_value, is_called FROM %I', sequencename, sequencename)
FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1 \gexec
SELECT relname, relkind, pg_get_userbyid(relowner), relacl FROM pg_class
WHERE relnamespace = 'public'::regnamespace ORDER BY 1;
"""


@pytest.mark.drills
def test_backups_are_restored_and_old_ones_are_red(shop: Stack) -> None:
    """Beside the data, instead of the data, and into a cluster that has lost everything."""
    slug = shop.project.slug
    shop.psql("SET ROLE api;" + TABLES)
    before = shop.psql(ROWS)
    assert before.count("\n") > 2500
    name = created(shop.run("backup"))
    assert name in shop.run("backup", "list")
    assert f"{name} is 0 h old and complete" in shop.run("status")

    shop.psql("DELETE FROM item WHERE id < 1000", "api")
    assert "restored the database api as api_restored" in shop.run("restore", name)
    assert shop.psql(ROWS, "api_restored") == before != shop.psql(ROWS)
    shop.psql("DROP DATABASE api_restored", "postgres")

    assert "replaced the database api" in shop.run("restore", name, "--replace")
    assert shop.psql(ROWS) == before
    shop.add_item()
    shop.run("status")

    # A damaged backup, and one that is too old.
    shop.in_data(f"cd backups; cp -r {name} 20990101T000000Z; truncate -s -1 2099*/api.dump")
    assert "Nothing" not in shop.run("restore", "20990101T000000Z", exits=2)
    shop.in_data("rm -r backups/2099*")
    # While the schedule is stopped, because it would create a backup at once.
    schedule = f"{slug}_backup"
    docker("service", "scale", "--detach=true", f"{schedule}=0")
    wait_until(lambda: not docker("ps", "--quiet", f"--filter=name={schedule}."), 120)
    shop.in_data(f"cd backups; find . -name '2*' ! -name {name} -exec rm -r {{}} +; rm .last; "
                 f"cp {name}/MANIFEST kept; sed -i 's/^backup 1 .*/backup 1 1000000000/' {name}/MANIFEST")  # fmt: skip
    assert "and the limit is 26 h" in shop.run("status", exits=1)
    shop.in_data(f"mv backups/kept backups/{name}/MANIFEST")
    docker("service", "scale", "--detach=true", f"{schedule}=1")

    # Everything is lost, except the backups.
    docker("stack", "rm", slug)
    for noun in ("secret", "config"):
        listed = docker(noun, "ls", "--format={{.Name}}").split()
        own = [one for one in listed if one.startswith(f"{slug}_")]
        wait_until(functools.partial(removed, noun, own), 120)
    wait_until(lambda: not shop.tasks(), 120)
    shop.in_data("rm -rf database/* cache/*")
    shop.run("init")
    assert "this host has no data" in shop.run("restore", name)
    shop.run("up", "2.0.0")
    assert shop.psql(ROWS) == before
    shop.add_item()
    assert "complete" in shop.run("status")


def removed(noun: str, names: list[str]) -> bool:
    """Remove secrets or configs, which Docker refuses while a task has them."""
    return not names or sh("docker", noun, "rm", *names, cwd=Path("/")).returncode == 0


@pytest.mark.drills
def test_the_door_gets_a_certificate(shop: Stack, tmp_path: Path) -> None:
    """The test authority of Let's Encrypt runs as a service beside the door."""
    files = pebble_files(tmp_path)
    override = shop.folder / "docker-stack.override.yml"
    before = override.read_text(), (shop.folder / ".env").read_text()
    added = yaml.safe_load(before[0])
    added["services"]["pebble"] = {
        "image": shop.services["door"]["image"],
        "command": ["/pebble/pebble", "-config=/pebble/config.json", "-dnsserver=127.0.0.11:53"],
        "environment": {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
        "volumes": [f"{files}:/pebble:ro"],
        "networks": ["front"],
        "deploy": {"endpoint_mode": "dnsrr"},
    }
    added["services"]["door"] |= {
        "environment": {"SSL_CERT_FILE": "/pebble/cert.pem"},
        "volumes": [f"{files}:/pebble:ro"],
        "networks": {"front": {"aliases": ["shop.test"]}},
    }
    override.write_text(yaml.safe_dump(added))
    with (shop.folder / ".env").open("a") as file:
        file.write(
            "DOMAIN=shop.test\nACME_OPTIONS='acme_ca https://pebble:14000/dir\nrenew_interval 5s'\n"
        )
    try:
        shop.run("up")
        # The authority finds the door when it is healthy. Caddy tries again after a minute.
        first = certificate(shop.https_port, tries=120)
        assert "Pebble Intermediate CA" in first
        redirected = sh("curl", "-si", "-H", "Host: shop.test", f"http://127.0.0.1:{shop.port}/x",
                        cwd=tmp_path).stdout  # fmt: skip
        assert "308 Permanent Redirect" in redirected
        assert "https://shop.test/x" in redirected
        items = sh("curl", "-sik", "--resolve", f"shop.test:{shop.https_port}:127.0.0.1",
                   f"https://shop.test:{shop.https_port}/api/items?limit=1", cwd=tmp_path).stdout  # fmt: skip
        assert "HTTP/2 200" in items
        assert "strict-transport-security" in items.lower()
        wait_until(lambda: certificate(shop.https_port) != first, 120)
    finally:
        override.write_text(before[0])
        (shop.folder / ".env").write_text(before[1])
        shop.run("up")


@pytest.mark.drills
def test_backups_are_pushed_and_fetched(shop: Stack, tmp_path: Path) -> None:
    """To a store on another machine, whose place a container outside the swarm takes."""
    (tmp_path / "Dockerfile").write_text(TARGET)
    docker("build", "--quiet", "--network=host", "--tag=e2e-backup-target", str(tmp_path))
    (gateway,) = inspect("network", "docker_gwbridge")[0]["IPAM"]["Config"]
    (port,) = free_ports(1)
    server = docker("run", "--detach", f"--publish={gateway['Gateway']}:{port}:5000",
                    "e2e-backup-target", *"moto_server --host 0.0.0.0 --port 5000".split()).strip()  # fmt: skip
    env, credentials = shop.folder / ".env", shop.folder / "secrets/backup_credentials"
    before = env.read_text()
    try:
        env.write_text(
            f"{before}BACKUP_TARGET=s3:http://{gateway['Gateway']}:{port}/backups/shop\n"
        )
        credentials.parent.mkdir(exist_ok=True)
        credentials.write_text("[default]\naws_access_key_id=AKIA\naws_secret_access_key=s3cret\n")
        shop.run("rotate", "backup_credentials")
        name = created(shop.run("backup"))
        pushed = f"at the target: {name}"
        wait_until(lambda: pushed in sh("./deploy.sh", "status", cwd=shop.folder).stdout, 180)
        shop.in_data(f"rm -r backups/{name}")
        assert f"fetched {name}" in shop.run("backup", "fetch", name)
        assert "restored the database api as api_restored" in shop.run("restore", name)
        shop.psql("DROP DATABASE api_restored", "postgres")
    finally:
        env.write_text(before)
        docker("rm", "--force", server)
