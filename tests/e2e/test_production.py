"""deploy.sh: starts, upgrades and rolls back a real stack, while a probe sends requests to it."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .conftest import Project, clean_environment, docker, inspect, sh
from .probe import PATIENCE, Answers, Probe
from .test_environments import fetch, free_ports, wait_for_text

#: Requests each second. A machine that runs other tests at the same time answers fewer.
RATE = float(os.environ.get("E2E_PROBE_RATE", "20"))

#: The sample in the default suite also passes on a machine that is four times slower, and busy.
SAMPLE_RATE, SAMPLE_PATIENCE = 5, 60

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = "{before}"


def upgrade() -> None:
    op.add_column("items", sa.Column("note", sa.Text))
    {then}
"""

#: Each release starts from another one. 2.0.0 adds a column, and the others have a fault each.
RELEASES = {
    "2.0.0": ("1.0.0", "COPY 0002.py /app/api/migrations/versions/0002.py"),
    "3.0.0": ("2.0.0", "COPY 0003.py /app/api/migrations/versions/0003.py"),
    "4.0.0": ("2.0.0", 'CMD ["sleep", "1000"]'),
    "5.0.0": (
        "2.0.0",
        'CMD ["sh", "-c", "timeout 60 uvicorn --factory api.main:create_app --host 0.0.0.0; exit 1"]',
    ),
}


@dataclass
class Production:
    """A folder deploy/prod on a host."""

    project: Project
    folder: Path
    port: int
    env: dict[str, str] = field(default_factory=dict)

    @property
    def images(self) -> list[str]:
        return docker("image", "ls", f"--filter=reference=*/*/{self.project.slug}-*",
                      "--format={{.Repository}}:{{.Tag}}").split()  # fmt: skip

    def __call__(self, *words: str, code: int = 0, **env: str) -> str:
        """Run a verb of deploy.sh, which must exit with a code. Return its output."""
        done = sh("./deploy.sh", *words, cwd=self.folder, **self.env | env)
        assert done.returncode == code, f"{words} exited with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a verb of deploy.sh, and do not wait."""
        return subprocess.Popen(
            ["./deploy.sh", *words],
            cwd=self.folder,
            env=clean_environment(**self.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def containers(self) -> list[dict[str, Any]]:
        label = f"--filter=label=com.docker.compose.project={self.project.slug}"
        return inspect("container", *docker("ps", "--all", "--quiet", label).split())

    def serves(self, version: str) -> None:
        """Check that exactly this release runs, and that nothing is left of another one."""
        assert f"VERSION={version}\n" in (self.folder / ".env").read_text()
        assert not (self.folder / ".state/deploy").exists()
        own = [one for one in self.containers() if self.project.slug in one["Config"]["Image"]]
        assert {one["Config"]["Image"].rpartition(":")[2] for one in own} == {version}
        services = [one["Config"]["Labels"]["com.docker.compose.service"] for one in own]
        assert len(services) == len(set(services)), services
        assert all(one["State"]["Running"] for one in own)
        for name in (self.folder / ".state/switch").iterdir():
            assert name.read_text() in [one["Name"].strip("/") for one in own]

    def has_column(self) -> bool:
        """Whether the migration of 2.0.0 has run."""
        query = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'note'"
        (database,) = [one for one in self.containers() if "database" in one["Name"]]
        command = ("psql", "--username=postgres", "--tuples-only", f"--command={query}", "api")
        return docker("exec", database["Id"], *command).strip() == "1"

    @property
    def version(self) -> str:
        (found,) = re.findall(r"^VERSION=(.*)", (self.folder / ".env").read_text(), re.MULTILINE)
        return str(found)

    def probe(
        self, rate: float = RATE, path: str = "/api/items?limit=1", patience: float = PATIENCE
    ) -> Probe:
        return Probe(self.port, path, rate=rate, patience=patience)


@contextmanager
def production(project: Project, folder: Path) -> Iterator[Production]:
    """Build the releases of a project, and copy its folder deploy/prod to another place."""
    ports = free_ports(4)
    folder.mkdir(exist_ok=True)
    # The door runs as another user than the one that owns this folder.
    folder.chmod(0o755)
    shutil.copytree(project.path / "deploy/prod", folder, dirs_exist_ok=True)
    made = Production(project, folder, ports[0], {"WATCH": "3", "HEALTHY_TIMEOUT": "600"})
    try:
        project.make("build", "VERSION=1.0.0")
        build_releases(made)
        made("init")
        settings = (folder / ".env").read_text()
        for name in re.findall(r"^(\w+_DIR)=$", settings, re.MULTILINE):
            data = folder.with_name(f"{folder.name}-{name.lower()}")
            data.mkdir()
            data.chmod(0o777)
            settings = settings.replace(f"\n{name}=\n", f"\n{name}={data}\n")
        settings = settings.replace("\nVERSION=\n", "\nVERSION=1.0.0\n")
        # The first one is that of the service behind DOMAIN, or of the only service.
        for name, port in zip(
            re.findall(r"^# (\w+_PORT)=", settings, re.MULTILINE), ports, strict=False
        ):
            settings = re.sub(rf"^# {name}=.*", f"{name}={port}", settings, flags=re.MULTILINE)
        (folder / ".env").write_text(settings)
        yield made
    finally:
        sh("docker", "compose", "down", "--volumes", "--timeout=1", cwd=folder, VERSION="1.0.0")
        for one in made.containers():
            docker("rm", "--force", one["Id"])
        for image in made.images:
            docker("image", "rm", "--force", image)


def build_releases(made: Production) -> None:
    """Derive the releases from 1.0.0 with one layer each."""
    context = made.folder.with_name(f"{made.folder.name}-images")
    context.mkdir()
    (context / "0002.py").write_text(MIGRATION.format(number="0002", before="0001", then=""))
    failing = MIGRATION.format(number="0003", before="0002", then='op.execute("SELECT 1 / 0")')
    (context / "0003.py").write_text(failing.replace('"note"', '"other"'))
    first = [image.rpartition(":")[0] for image in made.images]
    has_migrations = any((made.project.path / "services").glob("api/api/migrations"))
    for version, (before, layer) in RELEASES.items():
        for image in first:
            if not image.endswith("-api") or not has_migrations:
                docker("tag", f"{image}:1.0.0", f"{image}:{version}")
                continue
            (context / "Dockerfile").write_text(f"FROM {image}:{before}\n{layer}\n")
            docker("build", "--quiet", f"--tag={image}:{version}", str(context))


def test_upgrade_and_rollback_without_a_failed_request(
    generate: Callable[..., Project], tmp_path: Path
) -> None:
    """The short sample of the drills below."""
    project = generate(services="api", cache="none")
    with production(project, tmp_path / "prod") as prod:
        assert "secrets/postgres_password is missing" not in prod("up")
        prod.serves("1.0.0")
        assert "release 1.0.0, before it none" in prod("status")
        assert "no release is known" in prod("rollback", code=2)
        with prod.probe(SAMPLE_RATE, patience=SAMPLE_PATIENCE) as probe:
            assert "2.0.0 serves" in prod("deploy", "2.0.0")
            prod.serves("2.0.0")
            failed = prod("deploy", "3.0.0", code=3)
            assert "division by zero" in failed
            assert "api-migrate failed" in failed
            prod.serves("2.0.0")
            prod("rotate", "api_database_password")
            assert "api-migrate" not in prod("rollback")
            prod.serves("1.0.0")
            assert prod.has_column(), "a rollback does not undo migrations"
        assert not probe.short.failed, str(probe.short)
        assert not probe.long.failed, str(probe.long)
        assert "is missing" in prod("deploy", "9.9.9", code=2)
        assert "usage:" in prod("deploy", code=2)
        check_inspection(prod)


def check_inspection(prod: Production) -> None:
    """No secret is in what Docker shows of the containers."""
    values = [path.read_text() for path in (prod.folder / "secrets").iterdir()]
    values = [value for value in values if value]  # backup_credentials is empty.
    assert values
    for container in prod.containers():
        for value in values:
            assert value not in str(container), container["Name"]


@pytest.fixture(scope="module")
def shop(
    generate: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Production]:
    """A whole stack for the drills, which leave 1.0.0 running."""
    project = generate(services="api, worker, frontend", cache="redis")
    folder = tmp_path_factory.mktemp("host") / "prod"
    folder.parent.chmod(0o755)
    with small_disk(folder), production(project, folder) as prod:
        prod("up")
        yield prod


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a file system of 4 MB at a folder, if this user may. Yield whether it is mounted."""
    folder.mkdir(exist_ok=True)
    mount = ("mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", str(folder))
    mounted = sh(*mount, cwd=Path("/")).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            sh("umount", "--lazy", str(folder), cwd=Path("/"))


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Fill the file system of a folder, to the last byte."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                # A partial write fills the last block.
                file.write(b"x" * 65536)
        yield
    finally:
        filler.unlink()


#: Docker's group of containers where systemd does not manage it (cgroup v1 and v2), and its new weight.
WEIGHTS = {
    Path("/sys/fs/cgroup/cpu/docker/cpu.shares"): "8192",
    Path("/sys/fs/cgroup/docker/cpu.weight"): "800",
}


@pytest.fixture
def weight_of_systemd() -> Iterator[None]:
    """Give the containers the share of the processors that they have on a host with systemd.

    There, each container weighs as much as Docker's daemon. Elsewhere, all of them weigh one process.
    """
    before = {path: path.read_text() for path in WEIGHTS if path.exists()}
    for path in before:
        path.write_text(WEIGHTS[path])
    yield
    for path, weight in before.items():
        path.write_text(weight)


@pytest.mark.drills
@pytest.mark.usefixtures("weight_of_systemd")
def test_changes_under_load(shop: Production) -> None:
    """An upgrade, a rollback across its migration, and the rotation of each secret."""
    rate = float(os.environ.get("E2E_PROBE_RATE", "100"))
    with shop.probe(rate) as quiet:
        time.sleep(20)
    assert not quiet.short.failed, str(quiet.short)
    with shop.probe(rate) as probe:

        def timed(*words: str, watch: str = "3") -> str:
            """Run a verb, and print how long it took and what requests noticed."""
            start, first = time.monotonic(), len(probe.short.seconds)
            output = shop(*words, WATCH=watch)
            during = Answers(probe.short.seconds[first:])
            print(f"{words}: {time.monotonic() - start:.1f} s, {during}")
            return output

        timed("deploy", "2.0.0", watch="20")
        rolled = timed("rollback")
        secrets = {path.name for path in (shop.folder / "secrets").iterdir()}
        # Those of backups open what exists already.
        for secret in sorted(name for name in secrets if not name.startswith("backup_")):
            before = (shop.folder / "secrets" / secret).read_text()
            timed("rotate", secret)
            assert (shop.folder / "secrets" / secret).read_text() != before
        while probe.short.total < 10_000:
            time.sleep(1)
    print(f"quiet: {quiet.short}\nchanges: {probe.short}\nuploads: {probe.long}\n{rolled}")
    assert not probe.short.failed, str(probe.short)
    assert not probe.long.failed, str(probe.long)
    shop.serves("1.0.0")
    # The old release answers every new request from the switch.
    (switched,) = re.findall(r"switched after (\d+) s", rolled)
    assert int(switched) <= 10
    assert probe.short.percentile(0.99) <= 2 * quiet.short.percentile(0.99)


@pytest.mark.drills
@pytest.mark.parametrize(
    ("version", "code", "said", "settings"),
    [
        ("3.0.0", 3, "api-migrate failed", {}),
        ("4.0.0", 4, "-api-", {"HEALTHY_TIMEOUT": "15"}),
        ("5.0.0", 4, "the last lines of", {"WATCH": "90"}),
        ("9.9.9", 2, "an image of 9.9.9 is missing", {}),
        ("2.0.0", 2, "of free space, less than MIN_FREE_MB", {"MIN_FREE_MB": "999999999"}),
        ("2/0", 2, "is not a release", {}),
    ],
)
def test_a_bad_release_changes_nothing(
    shop: Production, version: str, code: int, said: str, settings: dict[str, str]
) -> None:
    with shop.probe() as probe:
        assert said in shop("deploy", version, code=code, **settings)
    assert not probe.short.failed, str(probe.short)
    shop.serves("1.0.0")


@pytest.mark.drills
def test_two_deploys_at_once(shop: Production) -> None:
    first = shop.start("deploy", "2.0.0")
    time.sleep(1)
    assert "another command of deploy.sh is running" in shop("deploy", "1.0.0", code=5)
    assert (
        "a command of deploy.sh is running" in sh("./deploy.sh", "status", cwd=shop.folder).stdout
    )
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 0, said
    shop.serves("2.0.0")
    shop("rollback")


def read_until(output: Callable[[], str], text: str) -> str:
    """Read lines until one contains a text. Return all of them."""
    read = ""
    while text not in read:
        line = output()
        assert line, f"{text!r} is not in:\n{read}"
        read += line
    return read


def recovered(shop: Production) -> str:
    """Run the next command, as soon as nothing of a killed one runs any more. Return its output."""
    for _ in range(120):
        done = sh("./deploy.sh", "up", cwd=shop.folder, **shop.env)
        if done.returncode != 5:
            break
        # What the script started may still run, and keeps the lock until it ends.
        time.sleep(1)
    assert done.returncode == 0, done.stdout
    return done.stdout


#: What a deploy of the shop prints, and the release that serves if it is interrupted after that line.
POINTS = {
    "deploy 2.0.0": "1.0.0",
    "database-setup": "1.0.0",
    "api-migrate": "1.0.0",
    "starting: ": "1.0.0",
    "switched after": "1.0.0",
    "watching for": "1.0.0",
    "stopping the old containers": "2.0.0",
}


@pytest.mark.drills
@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "terminal", "pipe"])
def test_interrupted_at_each_point(shop: Production, end: str) -> None:
    """By Ctrl-C, by a signal, or by a connection that ends, with and without a terminal."""
    with shop.probe() as probe:
        for point, serves in POINTS.items():
            code = interrupt(shop, end, point)
            said = recovered(shop) if (shop.folder / ".state/deploy").exists() else ""
            if end == "pipe":
                # It is noticed at the next line, also by a migration, or at the end.
                assert code in (0, 3, 130), (point, code)
            else:
                assert code == 130, (point, code)
                assert shop.version == serves, point
                assert ("after its switch: finishing it" in said) == (serves == "2.0.0"), point
            shop.serves(shop.version)
            if shop.version == "2.0.0":
                shop("rollback", "1.0.0")
    print(f"{end}: {probe.short}")
    assert not probe.short.failed, str(probe.short)


def interrupt(shop: Production, end: str, point: str) -> int:
    """Start a deploy, interrupt it after a line of its output, and return its exit code."""
    if end == "terminal":
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(shop.folder)
            os.execve(
                "./deploy.sh", ["./deploy.sh", "deploy", "2.0.0"], clean_environment(**shop.env)
            )

        def read() -> str:
            # At its end, a terminal is an error.
            with suppress(OSError):
                return os.read(terminal, 1000).decode()
            return ""

        read_until(read, point)
        # The kernel sends SIGHUP to what runs in it.
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    deploy = shop.start("deploy", "2.0.0")
    assert deploy.stdout
    read_until(deploy.stdout.readline, point)
    if end == "SIGINT":
        os.killpg(deploy.pid, signal.SIGINT)
    elif end == "SIGTERM":
        deploy.terminate()
    if end == "pipe":
        deploy.stdout.close()
        return deploy.wait(300)
    deploy.communicate(timeout=300)
    return deploy.returncode


@pytest.mark.drills
def test_killed_after_the_commit(shop: Production) -> None:
    """The next command finishes the deploy."""
    with shop.probe() as probe:
        for verb, to in (("deploy", "2.0.0"), ("rollback", "1.0.0")):
            deploy = shop.start(verb, to)
            state = shop.folder / ".state/deploy"
            while not state.exists() or "committed='yes'" not in state.read_text():
                assert deploy.poll() is None, deploy.communicate()[0]
                time.sleep(0.05)
            deploy.kill()
            deploy.communicate()
            said = recovered(shop)
            assert f"The {verb} of {to} was interrupted after its switch: finishing it." in said
            shop.serves(to)
    assert not probe.short.failed, str(probe.short)
    assert "no release is known" in shop("rollback", code=2)


@pytest.mark.drills
def test_the_disk_of_the_folder_is_full(shop: Production) -> None:
    """Before a deploy, and at each of its steps. The old release serves."""
    if sh("mountpoint", "--quiet", str(shop.folder), cwd=shop.folder).returncode:
        pytest.skip("only root can mount a small disk")
    with shop.probe() as probe:
        with full_disk(shop.folder):
            assert "less than 1 MB of free space" in shop("deploy", "2.0.0", code=2)
            sh("./deploy.sh", "status", cwd=shop.folder)
        shop.serves("1.0.0")
        for point in ("api-migrate", "starting: ", "watching for"):
            deploy = shop.start("deploy", "2.0.0")
            assert deploy.stdout
            read = read_until(deploy.stdout.readline, point)
            with full_disk(shop.folder):
                read += deploy.communicate(timeout=300)[0]
            assert deploy.returncode == 4, read
            assert "the folder .state cannot be written" in read
            assert "1.0.0 serves" in read
            shop("up")
            shop.serves("1.0.0")
    assert not probe.short.failed, str(probe.short)


@pytest.mark.drills
def test_sigkill_at_ten_points(shop: Production) -> None:
    """The next command finishes the deploy or goes back, and no request fails."""
    start = time.monotonic()
    shop("deploy", "2.0.0")
    duration = time.monotonic() - start
    shop("rollback", "1.0.0")
    ends = []
    with shop.probe() as probe:
        for point in range(10):
            (other,) = {"1.0.0", "2.0.0"} - {shop.version}
            # The migrations of 1.0.0 do not know those of 2.0.0, so only a rollback returns to it.
            deploy = shop.start("deploy" if other == "2.0.0" else "rollback", other)
            time.sleep(duration * (point + 0.5) / 10)
            deploy.kill()
            deploy.wait()
            recovered(shop)
            if deploy.stdout:
                deploy.stdout.close()
            shop.serves(shop.version)
            ends.append(shop.version == other)
    print(f"finished: {ends}, {probe.short}")
    assert not probe.short.failed, str(probe.short)
    if shop.version != "1.0.0":
        shop("rollback", "1.0.0")


@pytest.mark.drills
@pytest.mark.parametrize("point", ["api-migrate", "starting: ", "watching for", "stopping"])
def test_a_restart_of_the_host(shop: Production, point: str) -> None:
    """Everything dies at once, and Docker starts again what was running, in any order."""
    deploy = shop.start("deploy", "2.0.0")
    assert deploy.stdout
    read_until(deploy.stdout.readline, point)
    os.killpg(deploy.pid, signal.SIGKILL)
    running = [one["Id"] for one in shop.containers() if one["State"]["Running"]]
    subprocess.run(["docker", "kill", *running], capture_output=True)
    deploy.communicate()
    (shop.folder / ".state/lock").unlink()
    # What ran once has no restart policy.
    again = [
        one["Id"]
        for one in shop.containers()
        if one["Id"] in running and one["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    ]
    docker("start", *reversed(again))
    status = sh("./deploy.sh", "status", cwd=shop.folder)
    assert status.returncode == 1
    assert "RED: a deploy was interrupted" in status.stdout
    said = recovered(shop)
    if point == "stopping":
        assert "finishing it" in said
        shop.serves("2.0.0")
        shop("rollback")
    else:
        assert "going back" in said
    shop.serves("1.0.0")
    with shop.probe() as probe:
        shop("up")
    assert not probe.short.failed, str(probe.short)
    wait_for_green(shop)


def wait_for_green(shop: Production) -> None:
    """Wait until `status` finds nothing wrong, as health checks take a while."""
    for _ in range(60):
        status = sh("./deploy.sh", "status", cwd=shop.folder)
        if status.returncode == 0:
            return
        time.sleep(1)
    raise AssertionError(status.stdout)


SHAPES: dict[str, tuple[dict[str, str], str]] = {
    "node": ({"services": "orders:node-api", "cache": "none"}, "/api/items?limit=1"),
    "pages": ({"services": "api, frontend, admin:node-web", "cache": "redis"}, "/"),
    "stateless": ({"services": "api, frontend", "database": "none", "cache": "none"}, "/health"),
    "workers": ({"services": "api, worker", "cache": "none"}, "/api/items?limit=1"),
    "custom": (
        {
            "services": json.dumps(
                [
                    {"name": "shopfront", "kind": "custom", "health": "none", "needs": ["seed"]},
                    {"name": "seed", "kind": "custom", "one_shot": True, "needs": ["database"]},
                    {"name": "later", "kind": "custom", "one_shot": True, "needs": ["api"]},
                    {"name": "api", "kind": "python-api"},
                ]
            ),
            "cache": "none",
        },
        "/health",
    ),
    "single": ({"services": "shopfront:custom", "database": "none", "cache": "none"}, "/health"),
}


@pytest.mark.drills
@pytest.mark.parametrize("shape", SHAPES)
def test_projects_of_every_shape(
    generate: Callable[..., Project], tmp_path: Path, shape: str
) -> None:
    """A first start, a deploy, a rollback, an unchanged `up`, and the rotation of each secret."""
    answers, path = SHAPES[shape]
    project = generate(**answers)
    for script in project.path.glob("services/*/app.py"):
        if script.parent.name in ("seed", "later"):
            script.write_text('print("done once")\n')
    with production(project, tmp_path / "prod") as prod:
        first = prod("up")
        prod.serves("1.0.0")
        with prod.probe(SAMPLE_RATE, path, SAMPLE_PATIENCE) as probe:
            deployed = prod("deploy", "2.0.0")
            prod.serves("2.0.0")
            rolled = prod("rollback")
            prod.serves("1.0.0")
            before = {one["Id"] for one in prod.containers()}
            assert "starting" not in prod("up")
            assert {one["Id"] for one in prod.containers()} == before
            for secret in (prod.folder / "secrets").glob("[!b]*"):
                prod("rotate", secret.name)
        assert not probe.short.failed, str(probe.short)
        for output in (first, deployed):
            assert output.count("done once") == (2 if shape == "custom" else 0), output
        assert "done once" not in rolled
        wait_for_green(prod)
        if (prod.folder / "secrets").exists():
            check_inspection(prod)


@pytest.mark.drills
def test_jobs_in_the_database_survive_a_rotation(
    generate: Callable[..., Project], tmp_path: Path
) -> None:
    """The queue is in PostgreSQL. Each job that was accepted is done, and no request fails.

    Connections that are open stay open. While the passwords change, the pools need more of them.
    """
    project = generate(services="api, worker", cache="none")
    with production(project, tmp_path / "prod") as prod, ThreadPoolExecutor(16) as pool:
        prod("up")
        url = f"http://127.0.0.1:{prod.port}/api/jobs"
        jobs: list[str] = []
        for secret in ("worker_database_password", "api_database_password") * 2:
            rotated = pool.submit(prod, "rotate", secret)
            while not rotated.done():
                posts = [pool.submit(fetch, url, {"text": "one two"}, 60) for _ in range(15)]
                jobs += [json.loads(post.result())["id"] for post in posts]
            assert rotated.result() == f"rotated {secret}\n"
        print(f"{len(jobs)} jobs")
        for job in jobs:
            wait_for_text(f"{url}/{job}", '"words":2')


PEBBLE = {
    "listenAddress": "0.0.0.0:14000",
    "managementListenAddress": "0.0.0.0:15000",
    "certificate": "/pebble/cert.pem",
    "privateKey": "/pebble/key.pem",
    "httpPort": 80,
    "tlsPort": 443,
    "certificateValidityPeriod": 40,
}


def pebble_files(folder: Path) -> Path:
    """Return a folder with the program of the test authority, and what it reads."""
    if not shutil.which("pebble"):
        pytest.skip("there is no pebble: .ci/engine/up tools installs it")
    files = folder / "pebble"
    files.mkdir()
    (files / "config.json").write_text(json.dumps({"pebble": PEBBLE}))
    shutil.copy(Path(str(shutil.which("pebble"))).resolve(), files / "pebble")
    made = sh(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=pebble", "-addext", "subjectAltName=DNS:pebble"),
        *("-keyout", str(files / "key.pem"), "-out", str(files / "cert.pem")),
        cwd=folder,
    )
    assert made.returncode == 0, made.stdout
    for file in files.iterdir():
        file.chmod(0o755)
    return files


@pytest.mark.drills
def test_certificates_are_issued_and_renewed(
    generate: Callable[..., Project], tmp_path: Path
) -> None:
    """The test authority of Let's Encrypt certifies the service https, for 40 seconds."""
    files = pebble_files(tmp_path)
    project = generate(services="api", cache="none")
    name = f"{project.slug}-acme"
    (tmp_path / "data").mkdir()
    http, https = free_ports(2)
    common = ("run", "--detach", f"--network={name}", f"--volume={files}:/pebble:ro")
    docker("network", "create", name)
    try:
        docker(*common, f"--name={name}-pebble", "--network-alias=pebble",
               "--env=PEBBLE_VA_NOSLEEP=1", "--env=PEBBLE_WFE_NONCEREJECT=0", "caddy:2-alpine", "/pebble/pebble",
               "-config=/pebble/config.json", "-dnsserver=127.0.0.11:53")  # fmt: skip
        # Caddy would wait for a minute before its second try.
        while "Listening on" not in sh("docker", "logs", f"{name}-pebble", cwd=tmp_path).stdout:
            time.sleep(0.2)
        docker(*common, f"--name={name}-door", "--network-alias=door", "caddy:2-alpine",
               *("caddy", "respond", "--listen=:8080", "hello"))  # fmt: skip
        docker(*common, f"--name={name}-https", "--network-alias=shop.test", "--read-only",
               *("--tmpfs=/tmp", "--cap-drop=ALL", "--cap-add=NET_BIND_SERVICE"),
               *("--security-opt=no-new-privileges:true", f"--volume={tmp_path}/data:/data"),
               f"--volume={project.path}/deploy/prod/door:/etc/caddy:ro",
               *(f"--publish=127.0.0.1:{http}:80", f"--publish=127.0.0.1:{https}:443"),
               *("--env=SSL_CERT_FILE=/pebble/cert.pem", "--env=DOMAIN=shop.test"),
               "--env=ACME_OPTIONS=acme_ca https://pebble:14000/dir\nrenew_interval 5s",
               *("caddy:2-alpine", "caddy", "run", "--config=/etc/caddy/https.Caddyfile"),
               "--adapter=caddyfile")  # fmt: skip
        first = certificate(https)
        assert "Pebble Intermediate CA" in first
        redirected = sh(
            "curl", "-si", "-H", "Host: shop.test", f"http://127.0.0.1:{http}/x", cwd=tmp_path
        )
        assert "308 Permanent Redirect" in redirected.stdout
        assert "https://shop.test/x" in redirected.stdout
        page = sh("curl", "-sik", "--resolve", f"shop.test:{https}:127.0.0.1",
                  f"https://shop.test:{https}/", cwd=tmp_path).stdout  # fmt: skip
        assert "hello" in page
        assert "strict-transport-security" in page.lower()
        deadline = time.monotonic() + 60
        while (now := certificate(https)) == first and time.monotonic() < deadline:
            time.sleep(1)
        assert now != first
    except AssertionError:
        print(sh("docker", "logs", f"{name}-https", cwd=tmp_path).stdout[-4000:])
        raise
    finally:
        for container in ("https", "door", "pebble"):
            subprocess.run(["docker", "rm", "--force", f"{name}-{container}"], capture_output=True)
        docker("network", "rm", name)


def certificate(port: int, tries: int = 30) -> str:
    """Return the issuer and the serial number of the certificate, when there is one."""
    script = (
        f"openssl s_client -connect 127.0.0.1:{port} -servername shop.test </dev/null 2>/dev/null"
        " | openssl x509 -noout -issuer -serial"
    )
    for _ in range(tries):
        done = sh("sh", "-c", script, cwd=Path("/"))
        if "serial=" in done.stdout:
            return done.stdout
        time.sleep(1)
    raise AssertionError(done.stdout)
