"""Public images of databases, queues and similar services: their port, data and health check."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Images of PostgreSQL whose settings are those of the official image.
POSTGRES = frozenset(
    {"postgres", "postgis", "timescaledb", "timescaledb-ha", "pgvector", "pgautoupgrade"}
)

#: An image of PostgreSQL with its own settings, which the official image replaces.
OTHER_POSTGRES = frozenset({"postgresql"})

CACHES = {"redis": "redis", "valkey": "valkey"}

#: Reverse proxies and updaters: they manage a host, not a project.
OF_THE_HOST = frozenset(
    "traefik nginx-proxy acme-companion letsencrypt-nginx-proxy-companion nginx-proxy-manager certbot "
    "watchtower autoheal ouroboros portainer portainer-ce cloudflared dockge".split()
)

#: Web pages for people who develop, and monitoring. The tests do not need them.
TOOLS = frozenset(
    "prometheus grafana loki promtail tempo alertmanager node-exporter cadvisor kibana fluentd "
    "fluent-bit filebeat jaeger all-in-one zipkin opentelemetry-collector "
    "opentelemetry-collector-contrib adminer pgadmin4 pgadmin phpmyadmin mongo-express redis-commander redisinsight pgweb kafka-ui "
    "kafdrop akhq flower dozzle cloudbeaver rediscommander bull-board mailcatcher swagger-ui".split()
)


@dataclass(frozen=True)
class BackingImage:
    """What a public image is known for."""

    port: int = 0  #: 0: unknown
    data: tuple[str, ...] = ()  #: the folders of its data
    #: The health check, as Compose writes it; a text is for a shell. Empty: none is known.
    health: str | tuple[str, ...] = ""


def _tcp(port: int) -> str:
    # The image has no client, but bash can open a connection.
    return f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'"


def _web(address: str) -> str:
    return f"wget -q -O /dev/null http://127.0.0.1:{address}"


def _curl(address: str) -> str:
    return f"curl -fsS -o /dev/null http://127.0.0.1:{address}"


_MYSQL = BackingImage(
    3306, ("/var/lib/mysql",), ("mysqladmin", "ping", "--host=127.0.0.1", "--silent")
)
# While the image initialises the data, MongoDB only listens on 127.0.0.1.
_MONGO = '{shell} --quiet --host "$$HOSTNAME" --eval "db.adminCommand(\'ping\').ok"'
_REDIS = BackingImage(6379, ("/data",), ("redis-cli", "ping"))
_ELASTIC = (
    "curl -s -o /dev/null http://127.0.0.1:9200 || curl -sk -o /dev/null https://127.0.0.1:9200"
)

#: By the last part of an image's name.
KNOWN: dict[str, BackingImage] = {
    "mysql": _MYSQL,
    "mysql-server": _MYSQL,
    "percona": _MYSQL,
    "mariadb": BackingImage(
        3306, ("/var/lib/mysql",), ("healthcheck.sh", "--connect", "--innodb_initialized")
    ),
    "mongo": BackingImage(27017, ("/data/db", "/data/configdb"), _MONGO),
    "mongodb": BackingImage(27017, ("/bitnami/mongodb",), _MONGO),
    "mongodb-community-server": BackingImage(27017, ("/data/db",), _MONGO),
    "rabbitmq": BackingImage(
        5672, ("/var/lib/rabbitmq",), ("rabbitmq-diagnostics", "--quiet", "check_port_connectivity")
    ),
    "apache/kafka": BackingImage(
        9092,
        ("/var/lib/kafka/data",),
        "/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server 127.0.0.1:9092",
    ),
    "bitnami/kafka": BackingImage(
        9092, ("/bitnami/kafka",), "kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --list"
    ),
    "cp-kafka": BackingImage(
        9092, ("/var/lib/kafka/data",), "kafka-topics --bootstrap-server 127.0.0.1:9092 --list"
    ),
    "redpanda": BackingImage(
        9092, ("/var/lib/redpanda/data",), "rpk cluster health | grep -q 'Healthy:.*true'"
    ),
    "zookeeper": BackingImage(2181, ("/data", "/datalog"), ("zkServer.sh", "status")),
    "cp-zookeeper": BackingImage(2181, ("/var/lib/zookeeper/data", "/var/lib/zookeeper/log")),
    "nats": BackingImage(4222),
    "elasticsearch": BackingImage(9200, ("/usr/share/elasticsearch/data",), _ELASTIC),
    "opensearch": BackingImage(9200, ("/usr/share/opensearch/data",), _ELASTIC),
    "minio": BackingImage(9000, ("/data",), ("mc", "ready", "local")),
    "mailpit": BackingImage(1025, (), ("/mailpit", "readyz")),
    "mailhog": BackingImage(1025, (), _web("8025")),
    "maildev": BackingImage(1025),
    "memcached": BackingImage(11211, (), _tcp(11211)),
    "localstack": BackingImage(4566, ("/var/lib/localstack",), _curl("4566/_localstack/health")),
    "clickhouse-server": BackingImage(8123, ("/var/lib/clickhouse",), _web("8123/ping")),
    "keycloak": BackingImage(8080, ("/opt/keycloak/data",), _tcp(8080)),
    "meilisearch": BackingImage(7700, ("/meili_data",), _curl("7700/health")),
    "qdrant": BackingImage(6333, ("/qdrant/storage",), _tcp(6333)),
    "weaviate": BackingImage(8080, ("/var/lib/weaviate",), _web("8080/v1/.well-known/ready")),
    "redismod": _REDIS,
    "redis-stack": _REDIS,
    "redis-stack-server": _REDIS,
    "keydb": _REDIS,
    "dragonfly": _REDIS,
    "redis": _REDIS,
    "valkey": BackingImage(6379, ("/data",), ("valkey-cli", "ping")),
    "postgres": BackingImage(5432, ("/var/lib/postgresql/data",), ("pg_isready", "--host=127.0.0.1")),
    "cassandra": BackingImage(9042, ("/var/lib/cassandra",), "cqlsh -e 'DESCRIBE CLUSTER'"),
    "cockroach": BackingImage(26257, ("/cockroach/cockroach-data",), _curl("8080/health?ready=1")),
    "server": BackingImage(1433, ("/var/opt/mssql",), _tcp(1433)),  # mcr.microsoft.com/mssql/server
    "azure-sql-edge": BackingImage(1433, ("/var/opt/mssql",), _tcp(1433)),
    "azurite": BackingImage(10000, ("/data",)),
    "neo4j": BackingImage(7687, ("/data",), _web("7474")),
    "influxdb": BackingImage(8086, ("/var/lib/influxdb2",), ("influx", "ping")),
    "couchdb": BackingImage(5984, ("/opt/couchdb/data",), _curl("5984/_up")),
    "etcd": BackingImage(2379, ("/bitnami/etcd",), ("etcdctl", "endpoint", "health")),
    "vault": BackingImage(8200, (), "VAULT_ADDR=http://127.0.0.1:8200 vault status"),
    "consul": BackingImage(8500, (), ("consul", "members")),
    "solr": BackingImage(8983, ("/var/solr",), _curl("8983/solr/")),
    "dynamodb-local": BackingImage(8000),
    "gotenberg": BackingImage(3000, (), _curl("3000/health")),
    "wiremock": BackingImage(8080, (), _curl("8080/__admin/health")),
}  # fmt: skip


def split_image(image: str) -> tuple[str, str]:
    """Split an image into its name, without the host, and its tag."""
    name, _, _ = image.partition("@")
    head, _, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    first = head.partition("/")[0]
    if "." in first or ":" in first or first == "localhost":
        head = head.partition("/")[2]
    head = "" if head == "library" else head
    return (f"{head}/{last}" if head else last), tag


def last_part(image: str) -> str:
    """Return the last part of an image's name: `kafka` for `docker.io/apache/kafka:4`."""
    return split_image(image)[0].rpartition("/")[2]


def major(image: str) -> int | None:
    """Return the major version in an image's tag; None if the tag has none."""
    tag = split_image(image)[1]
    match = re.search(r"pg(\d+)", tag) or re.match(r"v?(\d+)", tag)
    # A tag of postgis such as `16-3.4` also starts with the version of PostgreSQL.
    return int(match[1]) if match else None


def is_postgres(image: str) -> bool:
    """Whether an image is PostgreSQL."""
    return last_part(image) in POSTGRES | OTHER_POSTGRES


def cache_of(image: str) -> str:
    """Return the cache that an image is, `redis` or `valkey`; empty if it is neither."""
    return CACHES.get(last_part(image), "")


def known_image(image: str) -> BackingImage | None:
    """Return what an image is known for; None if it is unknown."""
    name, tag = split_image(image)
    last = name.rpartition("/")[2]
    if last in ("nginx", "nginx-unprivileged", "caddy"):
        port = 8080 if last == "nginx-unprivileged" else 80
        has_wget = "alpine" in tag or last == "caddy"
        return BackingImage(port, (), _web(f"{port}/") if has_wget else _curl(f"{port}/"))
    if is_postgres(image):
        found = KNOWN["postgres"]
        if (version := major(image)) is None or version >= 18:
            found = BackingImage(found.port, ("/var/lib/postgresql",), found.health)
        return found
    known = KNOWN.get(name) or KNOWN.get(last)
    if last == "kafka" and known is None:
        known = KNOWN["apache/kafka"]
    if known is not None and last.startswith("mongo") and isinstance(known.health, str):
        version = major(image)
        shell = "mongo" if version is not None and version < 5 else "mongosh"
        return BackingImage(known.port, known.data, known.health.replace("{shell}", shell))
    if known is not None and last == "memcached" and "alpine" in tag:
        return BackingImage(known.port, known.data, "nc -z 127.0.0.1 11211")
    return known
