"""Backups of production: created, destroyed, restored, and every row compared."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .conftest import docker, sh

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
CREATE VIEW dear AS SELECT name FROM item WHERE price > 100;
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
        self.compose("up", "--detach", "--wait", "--no-deps", *names)

    def setup(self) -> None:
        self.compose("run", "--rm", "--no-deps", "-T", "database-setup")

    def destroy(self) -> None:
        """Remove the containers, the data and the secrets. Only the backups stay."""
        self.compose("down", "--timeout=5", "--volumes")
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


def fill(stack: Production) -> None:
    stack.setup()
    for name in ("api", "orders"):
        stack.sql(name, TABLES, role=name)
    # A database may have settings and rights of its own.
    stack.sql("orders", "DELETE FROM item WHERE id % 7 = 0; SELECT nextval('number');")
    stack.sql("api", "CREATE ROLE reader; GRANT SELECT ON item TO reader; GRANT reader TO orders;")
    stack.cache(
        *(f"RPUSH saq:queue:default job-{n}" for n in range(200)),
        r'SET saq:job:1 "\x00\xff\r\n{}"',
        "HSET schedule a 1 b 2",
        "SET soon 1 EX 100000",
    )


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

    # A damaged backup changes nothing.
    stack.in_backups(
        f"cp -r {name} 20990101T000001Z && truncate -s -1 20990101T000001Z/orders.dump;"
        f"cp -r {name} 20990101T000002Z && printf x | "
        "dd of=20990101T000002Z/api.dump bs=1 seek=900 conv=notrunc status=none;"
        f"cp -r {name} 20990101T000003Z && sed -i '$d' 20990101T000003Z/MANIFEST"
    )
    for damaged, reason in (
        ("20990101T000001Z", "orders.dump has"),
        ("20990101T000002Z", "api.dump has another checksum"),
        ("20990101T000003Z", "MANIFEST is incomplete"),
    ):
        refused = stack.backup("restore", damaged, "--replace", fails=True)
        assert reason in refused and "Nothing was changed" in refused
    assert reason in stack.backup("check", fails=True)
    stack.in_backups("rm -r 2099*")

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
