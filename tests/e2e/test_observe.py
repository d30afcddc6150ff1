"""Logs, traces and readiness of a running project. A small receiver replaces the dashboard."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import NOTHING, PYTHON_VERSION, Project, docker
from .test_environments import free_ports

RECEIVER = Path(__file__).with_name("otlp_receiver.py")
TRACE = "0af7651916cd43dd8448eb211c80319c"

OVERRIDE = f"""\
x-json: &json
  LOG_FORMAT: json
  OTEL_BSP_SCHEDULE_DELAY: "200"
  OTEL_METRIC_EXPORT_INTERVAL: "1000"
services:
  api: {{environment: *json}}
  orders: {{environment: *json}}
  worker: {{environment: *json}}
  traces:
    image: python:{PYTHON_VERSION}-slim
    init: true
    command: [python, /receiver.py]
    volumes: ["{RECEIVER}:/receiver.py:ro"]
"""


class Stack:
    """The running development environment of a project."""

    def __init__(self, project: Project, api: int, orders: int) -> None:
        self.project = project
        self.ports = {"api": api, "orders": orders}

    def request(self, service: str, path: str, body: object = None) -> tuple[int, str, str]:
        """Return the status, the id and the body of a response."""
        headers = {
            "X-Request-ID": f"id-{service}",
            "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
            "Content-Type": "application/json",
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[service]}{path}",
            json.dumps(body).encode() if body else None,
            headers,
        )
        try:
            response = urllib.request.urlopen(request, timeout=20)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return response.status, response.headers["X-Request-ID"], response.read().decode()

    def lines(self, service: str) -> list[str]:
        """Return the log of a service."""
        return docker("logs", f"{self.project.slug}-dev-{service}-1").splitlines()

    def received(self) -> list[tuple[str, bytes]]:
        """Return the path and the body of each request to the receiver."""
        parts = [line.split() for line in self.lines("traces")]
        return [(path, bytes.fromhex(body)) for path, body in parts]


@pytest.fixture(scope="module")
def stack(generate: Callable[..., Project]) -> Iterator[Stack]:
    """An api, a worker and a node-api that run with `make dev TRACE=1`."""
    project = generate(services="api, worker, orders:node-api", cache="redis")
    names = ("API_PORT", "ORDERS_PORT", "DATABASE_PORT", "CACHE_PORT", "TRACES_PORT")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    lines = [f"{name}={port}\n" for name, port in ports.items()]
    (project.path / "deploy/dev/.env").write_text("".join(lines))
    (project.path / "deploy/dev/docker-compose.override.yml").write_text(OVERRIDE)
    assert f":{ports['TRACES_PORT']}" in project.make("dev", "TRACE=1")
    yield Stack(project, ports["API_PORT"], ports["ORDERS_PORT"])
    project.make("dev-down")
    assert not docker("ps", "-aq", f"--filter=label=com.docker.compose.project={project.slug}-dev")


@pytest.mark.drills
def test_one_id_and_one_trace_go_from_a_request_to_its_job(stack: Stack) -> None:
    status, given, _ = stack.request("api", "/api/jobs", {"text": "two words"})
    assert (status, given) == (202, "id-api")
    assert stack.request("orders", "/api/items", {"name": "lamp"})[:2] == (201, "id-orders")

    wanted = {b"POST /api/jobs", b"count_words", b"pg.query:INSERT", b"http.server"}
    end = time.monotonic() + 30
    while True:
        received = stack.received()
        if all(any(name in body for _, body in received) for name in wanted):
            break
        assert time.monotonic() < end, f"{wanted} did not all arrive"
        time.sleep(0.5)
    assert {path for path, _ in received} == {"/v1/traces", "/v1/metrics"}
    traced = b"".join(body for _, body in received if bytes.fromhex(TRACE) in body)
    assert all(name in traced for name in wanted - {b"http.server"})
    assert b"/health" not in traced

    for service, text in [("api", "POST /api/jobs"), ("worker", "count_words")]:
        logged = [json.loads(line) for line in stack.lines(service) if line.startswith("{")]
        ids = {entry.get("request_id") for entry in logged if text in entry["message"]}
        assert ids == {"id-api"}
    orders = [json.loads(line) for line in stack.lines("orders") if line.startswith("{")]
    assert "id-orders" in {entry.get("request_id") for entry in orders}
    assert not any("/health" in line for line in stack.lines("api") + stack.lines("orders"))


@pytest.mark.drills
def test_a_service_without_its_cache_is_alive_and_ready_without_jobs(stack: Stack) -> None:
    for service in ("api", "orders"):
        assert stack.request(service, "/ready")[0] == 200

    docker("stop", "--time=1", f"{stack.project.slug}-dev-cache-1")
    try:
        for service, wanted, state, failing in [
            ("api", 503, "not ready", ["cache", "queue"]),  # The cache also holds the jobs.
            ("orders", 200, "degraded", ["cache"]),
        ]:
            status, _, body = stack.request(service, "/ready")
            assert (status, json.loads(body)) == (wanted, {"status": state, "failing": failing})
            assert "redis" not in body
            assert stack.request(service, "/health")[0] == 200
    finally:
        docker("start", f"{stack.project.slug}-dev-cache-1")


#: Routes that are slow or fail, and a test of each.
SLOW_ROUTE = '''

@router.get("/slow", status_code=200)
def slow(session: SessionDep) -> None:
    """Be slow."""
    from sqlalchemy import text

    session.execute(text("SELECT pg_sleep(1.5)"))
'''
FAILING = """
import os
import httpx2
from waiting import wait_for

def test_slow(door):
    assert door.get("/api/items/slow").status_code == 500

def test_job(door):
    path = f"/api/jobs/{door.post('/api/jobs', json={'text': 'a'}).json()['id']}"
    wait_for(lambda: door.get(path).json()["status"] in ("failed", "complete"), timeout=20)
    assert door.get(path).json()["status"] == "complete"

def test_rates():
    url = os.environ["TEST_ORDERS_URL"]
    assert httpx2.get(f"{url}/api/rates/XXX", trust_env=False).status_code == 200
"""


@pytest.mark.drills
def test_a_failed_test_names_the_slowest_span_and_the_service_that_failed(
    generate: Callable[..., Project],
) -> None:
    project = generate(services="api, worker, orders:node-api", cache="redis")
    with (project.path / "services/api/api/items.py").open("a") as file:
        file.write(SLOW_ROUTE)
    worker = project.path / "services/worker/worker/main.py"
    worker.write_text(worker.read_text().replace("return len(", 'raise ValueError("no words", '))
    (project.path / "tests/integration/test_failing.py").write_text(FAILING)
    project.make("setup")
    selected = "TESTS=test_failing.py"
    said = project.make("test", "STAGE=integration", "TRACE=1", selected, fails=True)
    assert re.search(r"slowest span: api SELECT.* 1\.[5-9] s, in api GET /api/items/slow", said)
    assert "failed in: worker count_words: ValueError: " in said
    assert "slowest span: orders GET" in said
    assert project.left() == NOTHING
    said = project.make("test", "STAGE=integration", selected, fails=True)
    assert "span" not in said
