"""Backups of production: created, destroyed, restored, and every row compared."""

from __future__ import annotations

import calendar
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.projects import wait_until

from .conftest import docker, sh
from .test_production import small_disk

pytestmark = pytest.mark.docker

#: Each table has a column of every type that is easily damaged.
TABLES = """
CREATE TABLE item (
  id bigserial PRIMARY KEY, name text NOT NULL, data jsonb, raw bytea, price numeric, at timestamptz
);
INSERT INTO item (name, data, raw, price, at)
SELECT E'é\\t"''\\\\\\n' || n, jsonb_build_object('n', n), decode(md5(n::text), 'hex'), n / 7.0,
       CASE WHEN n % 3 > 0 THEN '2026-01-01'::timestamptz + n * interval '1 second' END
FROM generate_series(1, 2000) n;
CREATE TABLE tag (item bigint REFERENCES item ON DELETE CASCADE, word text, PRIMARY KEY (item, word));
INSERT INTO tag SELECT n, 'tag-' || n % 5 FROM generate_series(1, 500) n;
CREATE INDEX ON tag (word);
CREATE VIEW expensive AS SELECT name FROM item WHERE price > 100;
CREATE SEQUENCE number START 41;
SELECT nextval('number');
"""

#: Every row of every table, every sequence, and the owner of each of them.
EVERYTHING = r"""
SELECT format('SELECT %L, t.* FROM %I t ORDER BY 1, 2, 3', tablename, tablename)
FROM pg_tables WHERE schemaname = 'public' ORDER BY 1 \gexec
SELECT format('SELECT %L, last_value, is_called FROM %I', sequencename, sequencename)
FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1 \gexec
SELECT relname, relkind, pg_get_userbyid(relowner), relacl FROM pg_class
WHERE relnamespace = 'public'::regnamespace ORDER BY 1;
SELECT viewname, definition FROM pg_views WHERE schemaname = 'public';
"""


@dataclass
class Production:
    """The backing services of a project in production. Its own services are not needed."""

    folder: Path
    slug: str
    data: Path
    backups: Path
    env: dict[str, str] = field(default_factory=dict)

    def compose(self, *args: str, fails: bool = False, text: str = "") -> str:
        """Run Docker Compose, which must pass (or fail). Return its output."""
        command = ("docker", "compose", "--progress=quiet", *args)
        if text:
            quoted = "' '".join(arg.replace("'", "'\\''") for arg in command)
            (self.folder / "input").write_text(text)
            command = ("sh", "-c", f"'{quoted}' <input")
        done = sh(*command, cwd=self.folder, **self.env)
        assert bool(done.returncode) == fails, f"{args}:\n{done.stdout}"
        return done.stdout

    def backup(self, *args: str, fails: bool = False) -> str:
        return self.compose("run", "--rm", "--no-deps", "-T", "backup", *args, fails=fails)

    def push(self, *args: str, fails: bool = False) -> str:
        return self.compose("run", "--rm", "--no-deps", "-T", "backup-push", *args, fails=fails)

    def in_backups(self, script: str) -> str:
        """Run a shell script in the folder of backups, which belongs to the containers' user."""
        mount = f"--volume={self.backups}:/backups"
        return docker("run", "--rm", mount, "--workdir=/backups", "--entrypoint=sh",
                      "postgres:18-alpine", "-euc", script)  # fmt: skip

    def sql(self, database: str, statements: str, role: str = "postgres") -> str:
        psql = ("psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1")
        as_role = f"SET ROLE {role};\n"
        return self.compose(
            *("exec", "-T", "database", *psql, "--username=postgres", f"--dbname={database}"),
            text=as_role + statements,
        )

    def databases(self) -> list[str]:
        listed = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1"
        return self.sql("postgres", listed).split()

    def cache(self, *commands: str) -> str:
        """Run commands in the cache, and return the answers."""
        client = self.env.get("CLIENT", "redis-cli")
        script = f'REDISCLI_AUTH="$(cat /run/secrets/cache_password)" {client}'
        return self.compose(
            "exec", "-T", "cache", "sh", "-c", script, text="\n".join(commands) + "\n"
        )

    def login(self, role: str) -> str:
        """Log in as a service does, over the network and with the role's secret."""
        password = (self.folder / f"secrets/{role}_database_password").read_text()
        url = f"postgresql://{role}:{password}@database/{role}"
        # Not 127.0.0.1, which PostgreSQL's image trusts.
        return self.compose("exec", "-T", "database", "psql", url, "-Atc", "SELECT 1")

    def start(self, *names: str) -> None:
        """Start services with their data in folders that exist."""
        for folder in (self.data / "database", self.data / "cache", self.backups):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)
        if not (self.folder / "secrets").exists():
            done = sh("./deploy.sh", "init", cwd=self.folder)
            assert done.returncode == 0, done.stdout
        if names:
            self.compose("up", "--detach", "--wait", "--no-deps", *names)

    def setup(self) -> None:
        self.compose("run", "--rm", "--no-deps", "-T", "database-setup")

    def destroy(self) -> None:
        """Remove the containers, the data and the secrets. Only the backups stay."""
        self.compose("down", "--timeout=5", "--volumes")
        self.destroy_data()

    def destroy_data(self) -> None:
        docker("run", "--rm", f"--volume={self.data}:/data", "--entrypoint=sh", "postgres:18-alpine",
               "-c", "rm -rf /data/*")  # fmt: skip
        shutil.rmtree(self.folder / "secrets")


@pytest.fixture
def produce(render: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., Production]]:
    """The folder of production of a project that is never built."""
    with stacks(render, tmp_path) as produce:
        yield produce


@contextmanager
def stacks(render: Callable[..., Path], folder: Path) -> Iterator[Callable[..., Production]]:
    made: list[Production] = []

    def produce(
        services: str = "api, orders, worker", cache: str = "redis", **answers: str
    ) -> Production:
        root = render({"services": services, "cache": cache} | answers)
        slug = f"e2e-backup-{secrets.token_hex(3)}"
        to = folder / slug
        shutil.copytree(root / "deploy/prod", to)
        compose = to / "docker-compose.yml"
        compose.write_text(re.sub("(?m)^name: .*", f"name: {slug}", compose.read_text(), count=1))
        data, backups = folder / f"{slug}-data", folder / f"{slug}-backups"
        env = {
            "VERSION": "1.2.3",
            "DATABASE_DIR": str(data / "database"),
            "CACHE_DIR": str(data / "cache"),
            "BACKUP_DIR": str(backups),
            "CLIENT": f"{cache}-cli",
        }
        made.append(Production(to, slug, data, backups, env))
        return made[-1]

    yield produce
    for one in made:
        (one.folder / "secrets").mkdir(exist_ok=True)
        sh("docker", "compose", "down", "--timeout=1", "--volumes", cwd=one.folder, **one.env)
        for left in (one.data, one.backups):
            left.mkdir(exist_ok=True)
            docker("run", "--rm", f"--volume={left}:/data", "--entrypoint=sh", "postgres:18-alpine",
                   "-c", "rm -rf /data/* /data/.[!.]*")  # fmt: skip


JOBS = (
    *(f"RPUSH saq:queue:default job-{n}" for n in range(200)),
    r'SET saq:job:1 "\x00\xff\r\n{}"',
    "HSET schedule a 1 b 2",
    "SET soon 1 EX 100000",
)


def fill(stack: Production) -> None:
    fill_databases(stack)
    stack.cache(*JOBS)


def fill_databases(stack: Production) -> None:
    stack.setup()
    for name in ("api", "orders"):
        stack.sql(name, TABLES, role=name)
    # A database may have settings and rights of its own.
    stack.sql("orders", "DELETE FROM item WHERE id % 7 = 0; SELECT nextval('number');")
    stack.sql("api", "CREATE ROLE reader; GRANT SELECT ON item TO reader; GRANT reader TO orders;")


def everything(stack: Production, suffix: str = "") -> dict[str, str]:
    return {name: stack.sql(name + suffix, EVERYTHING) for name in ("api", "orders")}


def jobs(stack: Production) -> str:
    return stack.cache(
        *("DBSIZE", "LRANGE saq:queue:default 0 -1", "GET saq:job:1", "HGETALL schedule"),
        "GET soon",
    )


def created(output: str) -> str:
    found = re.search(r"created (\d{8}T\d{6}Z)", output)
    assert found, output
    return found[1]


def test_a_backup_is_restored_on_an_empty_host(produce: Callable[..., Production]) -> None:
    stack = produce()
    stack.start("database", "cache")
    fill(stack)
    assert "no backup exists" in stack.backup("check", fails=True)
    name = created(stack.backup("now"))
    assert f"{name} is 0 h old and complete" in stack.backup("check")
    before, waiting = everything(stack), jobs(stack)
    assert before["api"].count("\n") > 2500
    assert before["api"] != before["orders"]
    assert waiting.startswith("4\n")

    # A damaged backup changes nothing. These are newer, and not in the future.
    time.sleep(3)
    when = datetime.strptime(name, "%Y%m%dT%H%M%SZ")
    short, wrong, cut = (f"{when + timedelta(seconds=n):%Y%m%dT%H%M%SZ}" for n in (1, 2, 3))
    stack.in_backups(
        f"cp -r {name} {short} && truncate -s -1 {short}/orders.dump;"
        f"cp -r {name} {wrong} && printf x | "
        f"dd of={wrong}/api.dump bs=1 seek=900 conv=notrunc status=none;"
        f"cp -r {name} {cut} && sed -i '$d' {cut}/MANIFEST"
    )
    for damaged, reason in (
        (short, "orders.dump has"),
        (wrong, "api.dump has another checksum"),
        (cut, "MANIFEST is incomplete"),
    ):
        refused = stack.backup("restore", damaged, "--replace", fails=True)
        assert reason in refused and "Nothing was changed" in refused
    assert reason in stack.backup("check", fails=True)
    stack.in_backups(f"rm -r {short} {wrong} {cut}")

    # Beside the live data.
    stack.sql("api", "INSERT INTO item (name) VALUES ('newer')")
    assert "beside it" in stack.backup("restore", name)
    assert everything(stack, "_restored") == before
    assert everything(stack)["api"] != before["api"]
    assert "api_restored exists" in stack.backup("restore", name, fails=True)

    # The new host creates its own secrets.
    stack.destroy()
    stack.start("database")
    assert "this host has no data" in stack.backup("restore", "latest")
    stack.setup()
    stack.start("cache")
    assert stack.databases() == ["api", "orders", "postgres"]
    assert everything(stack) == before
    assert jobs(stack) == waiting
    for role in ("api", "orders"):
        assert stack.login(role) == "1\n"
    # What is written now, survives a restart.
    stack.cache("RPUSH saq:queue:default job-200")
    stack.compose("restart", "cache")
    stack.start("cache")
    assert stack.cache("LLEN saq:queue:default") == "201\n"


@pytest.mark.drills
@pytest.mark.parametrize(
    "answers",
    [
        {"cache": "valkey"},
        {"cache": "none"},
        {"cache": "redis", "database": "none", "services": "api, worker"},
    ],
    ids=lambda answers: "-".join(answers.values()),
)
def test_every_kind_of_project_is_restored(
    produce: Callable[..., Production], answers: dict[str, str]
) -> None:
    stack = produce(**answers)
    servers = [
        *(["database"] if answers.get("database") != "none" else []),
        *(["cache"] if answers["cache"] != "none" else []),
    ]
    stack.start(*servers)
    if "database" in servers:
        stack.setup()
        for name in ("api", "orders"):
            stack.sql(name, TABLES, role=name)
    if "cache" in servers:
        stack.cache(*JOBS)

    def content() -> tuple[dict[str, str], str]:
        return (
            everything(stack) if "database" in servers else {},
            jobs(stack) if "cache" in servers else "",
        )

    before = content()
    stack.backup("now")
    stack.destroy()
    stack.start(*[name for name in servers if name != "cache"])
    stack.backup("restore", "latest")
    stack.start(*servers)
    assert content() == before


@pytest.mark.drills
def test_live_data_is_only_replaced_if_asked(produce: Callable[..., Production]) -> None:
    stack = produce()
    stack.start("database", "cache")
    fill(stack)
    before, waiting = everything(stack), jobs(stack)
    name = created(stack.backup("now"))
    stack.sql(
        "api", "DELETE FROM item WHERE id < 1000; CREATE TABLE more (a int, b int)", role="api"
    )
    stack.sql("orders", "DROP TABLE tag", role="orders")
    stack.cache("DEL saq:queue:default")
    after = everything(stack)

    # A single database, beside the live ones.
    stack.backup("restore", name, "orders")
    assert stack.databases() == ["api", "orders", "orders_restored", "postgres"]
    assert "no database nope" in stack.backup("restore", name, "nope", fails=True)
    assert everything(stack) == after

    assert "the cache is running" in stack.backup("restore", name, "--replace", fails=True)
    stack.compose("stop", "cache")
    client = ("exec", "--detach", "database", "psql", "-U", "postgres", "-d", "api", "-c")
    stack.compose(*client, "SELECT pg_sleep(600)")
    wait_until(lambda: "t" in stack.sql("api", SLEEPING))
    assert "1 clients are connected" in stack.backup("restore", name, "--replace", fails=True)
    assert everything(stack) == after
    stack.sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sl%'",
    )

    output = stack.backup("restore", name, "--replace")
    taken = created(output)
    assert everything(stack) == before
    assert stack.databases() == ["api", "orders", "orders_restored", "postgres"]
    stack.start("cache")
    assert jobs(stack) == waiting
    for role in ("api", "orders"):
        assert stack.login(role) == "1\n"

    # The backup that was taken before has what was replaced.
    stack.backup("restore", taken, "api")
    assert stack.sql("api_restored", EVERYTHING) == after["api"]

    # A database that was lost is restored under its own name, although the cache has data.
    for lost in ("api", "orders"):
        stack.sql("postgres", f"DROP DATABASE {lost}")
    assert "the cache is not restored" in stack.backup("restore", name)
    assert everything(stack) == before


SLEEPING = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'"


@pytest.mark.drills
def test_old_backups_are_removed_and_reported(produce: Callable[..., Production]) -> None:
    stack = produce(services="api", cache="none")
    stack.start("database")
    stack.setup()
    name = created(stack.backup("now"))

    def copies(*hours: int) -> None:
        for age in hours:
            at = int(time.time()) - age * 3600
            to = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
            stack.in_backups(
                f"cp -r {name} {to}; sed -i 's/^backup 1 .*/backup 1 {at}/' {to}/MANIFEST"
            )

    def ages() -> list[int]:
        listed = [line.split()[0] for line in stack.backup("list").splitlines()]
        times = [time.strptime(one, "%Y%m%dT%H%M%SZ") for one in listed]
        return [int((time.time() - calendar.timegm(one)) / 3600) for one in times]

    copies(24, 5 * 24, 40 * 24, 50 * 24)
    stack.in_backups("mkdir .tmp-killed && touch .tmp-killed/x; mkdir mine && touch mine/x")
    stack.env |= {"BACKUP_KEEP": "4", "BACKUP_KEEP_DAYS": "30"}
    stack.backup("now")
    assert ages() == [120, 24, 0, 0]
    copies(40 * 24)
    stack.env |= {"BACKUP_KEEP": "2", "BACKUP_KEEP_DAYS": "3"}
    stack.backup("now")
    assert ages() == [24, 0, 0, 0]
    # Only backups are removed.
    assert "mine" in stack.in_backups("ls")
    assert ".tmp" not in stack.in_backups("ls -a")

    # Too old, for a time of day and for an interval.
    stack.in_backups("rm -r 2*; rm .last")
    assert "no backup exists" in stack.backup("check", fails=True)
    name = created(stack.backup("now"))
    copies(25)
    stack.in_backups(f"rm -r {name}")
    assert "25 h old and complete" in stack.backup("check")
    stack.env["BACKUP_AT"] = "6h"
    assert "25 h old, and the limit is 12 h" in stack.backup("check", fails=True)
    stack.env["BACKUP_AT"] = "noon"
    assert "neither HH:MM" in stack.backup("schedule", fails=True)
    stack.env["BACKUP_AT"] = "08:09"

    # A failed backup is not listed, keeps the older ones, and is reported until the next one.
    kept = stack.backup("list")
    stack.sql("postgres", 'CREATE DATABASE "a b"')
    assert "no backup was created" in stack.backup("now", fails=True)
    assert stack.backup("list") == kept
    assert "the last backup failed 0 h ago: the name of the database a b" in stack.backup(
        "check", fails=True
    )
    stack.sql("postgres", 'DROP DATABASE "a b"')
    stack.backup("now")
    stack.backup("check")

    # The schedule creates a backup when one is due, and only then.
    stack.in_backups("rm -r 2*")
    stack.start("backup")
    wait_until(lambda: len(ages()) == 1)
    stack.compose("restart", "backup")
    time.sleep(5)
    assert len(ages()) == 1


@pytest.mark.drills
def test_a_full_disk_keeps_the_older_backups(produce: Callable[..., Production]) -> None:
    """The failure is reported, and the next backup is created when there is space again."""
    stack = produce(services="api", cache="none")
    with small_disk(stack.backups) as mounted:
        if not mounted:
            pytest.skip("only root can mount a small disk")
        stack.start("database")
        stack.setup()
        name = created(stack.backup("now"))
        # Random text hardly compresses, and the dump needs more than the 4 MB of the disk.
        rows = "SELECT md5(random()::text) || md5(random()::text) FROM generate_series(1, 200000)"
        stack.sql("api", f"CREATE TABLE big AS {rows}", role="api")
        assert "no backup was created" in stack.backup("now", fails=True)
        assert stack.backup("list").split()[0] == name
        assert "the last backup failed" in stack.backup("check", fails=True)
        assert ".tmp" not in stack.in_backups("ls -a")
        stack.sql("api", "DROP TABLE big", role="api")
        assert created(stack.backup("now")) > name
        assert "complete" in stack.backup("check")
        stack.compose("down", "--timeout=1")


#: A server for SFTP, and one with the interface of S3.
TARGET = """
FROM python:3.13-slim
RUN apt-get update -qq \\
    && apt-get install -y -qq --no-install-recommends openssh-server \\
    && pip install --quiet --root-user-action=ignore 'moto[server]>=5'
"""
SFTP = """
mkdir -p /run/sshd
if [ ! -e /srv/client ]; then
  useradd --create-home keeper
  install -d -o keeper /srv/backups /home/keeper/.ssh
  ssh-keygen -q -A
  ssh-keygen -q -t ed25519 -N '' -f /srv/client
  cp /srv/client.pub /home/keeper/.ssh/authorized_keys
fi
exec /usr/sbin/sshd -D -e -p 2222 -o ForceCommand=internal-sftp -o PasswordAuthentication=no
"""


@contextmanager
def target(stack: Production, folder: Path, script: str) -> Iterator[str]:
    """Start a container in the stack's network, with the name `target`."""
    (folder / "Dockerfile").write_text(TARGET)
    docker("build", "--quiet", "--network=host", "--tag=e2e-backup-target", str(folder))
    name = f"{stack.slug}-target"
    docker("run", "--detach", f"--name={name}", f"--network={stack.slug}_default",
           "--network-alias=target", "e2e-backup-target", "bash", "-euc", script)  # fmt: skip
    try:
        yield name
    finally:
        docker("rm", "--force", name)


@pytest.mark.drills
@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_backups_are_pushed_and_fetched(
    produce: Callable[..., Production], tmp_path: Path, kind: str
) -> None:
    stack = produce(services="api, orders", cache="none")
    stack.start("database")
    fill_databases(stack)
    before = everything(stack)
    credentials = stack.folder / "secrets/backup_credentials"
    assert stack.compose("config", "--services").split().count("backup-push") == 1
    script = {"sftp": SFTP, "s3": "exec moto_server --host 0.0.0.0 --port 5000"}[kind]
    (tmp_path / "target").mkdir()
    with target(stack, tmp_path / "target", script) as server:
        if kind == "sftp":
            stack.env["BACKUP_TARGET"] = "sftp://keeper@target:2222//srv/backups/shop"
            key = "cat /etc/ssh/ssh_host_ed25519_key.pub /srv/client"
            wait_until(lambda: "PRIVATE KEY" in run_in(server, key))
            public, _, private = run_in(server, key).partition("\n")
            credentials.write_text(private.strip())
            stack.env["BACKUP_KNOWN_HOST"] = " ".join(public.split()[:2])
        else:
            stack.env["BACKUP_TARGET"] = "s3:http://target:5000/backups/shop"
            credentials.write_text(
                "[default]\naws_access_key_id=AKIA\naws_secret_access_key=s3cret\n"
            )
            probe = "python -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:5000\")' && echo up"
            wait_until(lambda: "up" in run_in(server, probe))

        # Both run on their own.
        stack.start("backup", "backup-push")
        wait_until(lambda: stack.backup("list") != "", 120)
        wait_until(lambda: "at the target: 2" in stack.compose("exec", "backup", "sh", "/opt/backup/backup.sh", "check"), 120)  # fmt: skip
        wait_until(lambda: "pushed 2" in stack.compose("logs", "--no-log-prefix", "backup-push"))
        stack.compose("stop", "backup", "backup-push")
        first = stack.backup("list").split()[0]
        assert first in stack.push("list")
        if kind == "sftp":
            stored = "grep -rlE 'CREATE|PGDMP|api.dump|SCRAM' /srv/backups || echo encrypted"
            assert run_in(server, stored) == "encrypted\n"

        stack.sql("api", "INSERT INTO item (name) VALUES ('newer')", role="api")
        second = created(stack.backup("now"))
        newer = everything(stack)
        if kind == "sftp":
            # A server with another key gets nothing, and a target that fails is reported.
            right = dict(stack.env)
            stack.env["BACKUP_KNOWN_HOST"] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA" + "I" * 44
            assert "pushed" not in stack.push("now", fails=True)
            assert "the push to the target fails" in stack.backup("check", fails=True)
            stack.env |= right
            docker("stop", "--time=1", server)
            stack.push("now", fails=True)
            assert "the push to the target fails" in stack.backup("check", fails=True)
            docker("start", server)
        stack.env |= {"BACKUP_KEEP": "1", "BACKUP_KEEP_DAYS": "0"}
        assert f"pushed {second}" in stack.push("now")
        listed = stack.push("list")
        assert second in listed and first not in listed
        assert second in stack.backup("check")

        # Another host: only the secrets of the target are kept.
        password = (stack.folder / "secrets/backup_password").read_text()
        kept = credentials.read_text()
        stack.compose("rm", "--stop", "--force")
        stack.in_backups("rm -r 2* .last .pushed")
        stack.destroy_data()
        stack.start("database")
        for name, value in (("backup_password", password), ("backup_credentials", kept)):
            path = stack.folder / "secrets" / name
            path.unlink(missing_ok=True)
            path.write_text(value)
        assert f"fetched {second}" in stack.push("fetch", "latest")
        stack.backup("restore", second)
        stack.setup()
        assert everything(stack) == newer != before


def run_in(container: str, script: str) -> str:
    done = sh("docker", "exec", container, "bash", "-c", script, cwd=Path("/"))
    return done.stdout
