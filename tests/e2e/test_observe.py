"""Logs, traces and readiness of a running project. A small receiver replaces the dashboard."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import PYTHON_VERSION, Project, docker
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
def test_a_service_without_its_cache_is_alive_but_not_ready(stack: Stack) -> None:
    for service in ("api", "orders"):
        assert stack.request(service, "/ready")[0] == 200

    docker("stop", "--time=1", f"{stack.project.slug}-dev-cache-1")
    try:
        for service, failing in [("api", ["cache", "queue"]), ("orders", ["cache"])]:
            status, _, body = stack.request(service, "/ready")
            assert (status, json.loads(body)["failing"]) == (503, failing)
            assert "redis" not in body
            assert stack.request(service, "/health")[0] == 200
    finally:
        docker("start", f"{stack.project.slug}-dev-cache-1")
