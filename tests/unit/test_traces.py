"""What the traces of a stack say about a failed test, and the receiver that a stack gets for them."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.request import urlopen

import pytest

from tests.projects import wait_until


@pytest.fixture
def traces(runner: Callable[[str], ModuleType]) -> ModuleType:
    return runner("traces")


#: A request that waits for a query, and then starts a job, which fails after the request has ended.
SPANS = [
    ("api", "GET /before", "1", "", 90, 95, None),
    ("api", "POST /api/jobs", "2", "", 100, 101.2, None),
    ("api", "SELECT shop", "3", "2", 100.1, 101.1, None),
    ("worker", "count_words", "4", "2", 101.5, 101.6, "ValueError: no words"),
    ("api", "GET /api/jobs/{id}", "5", "", 102, 102.1, ""),
    ("worker", "charge", "6", "5", 102.01, 102.09, "Timeout: bank"),
    ("api", "EVALSHA", "7", "2", 100.05, 100.06, "NoScriptError: use EVAL"),
]


def explained(
    traces: ModuleType, *chosen: int, began: float = 100, ended: float = 103
) -> list[str]:
    spans = [traces.Span(*SPANS[number]) for number in chosen or range(len(SPANS))]
    found: list[str] = traces.explain(spans, began, ended)
    return found


def test_the_slowest_span_and_the_service_that_failed_first(traces: ModuleType) -> None:
    assert explained(traces) == [
        "slowest span: api SELECT shop 1.0 s, in api POST /api/jobs 1.2 s",
        "failed in: worker count_words: ValueError: no words",
    ]


def test_the_innermost_failure_counts(traces: ModuleType) -> None:
    assert explained(traces, 4, 5)[1:] == ["failed in: worker charge: Timeout: bank"]
    assert explained(traces, 4)[1:] == ["failed in: api GET /api/jobs/{id}"]


def test_a_handled_failure_does_not_count(traces: ModuleType) -> None:
    assert explained(traces, 1, 6) == ["slowest span: api POST /api/jobs 1.2 s"]


def test_only_spans_that_start_during_the_test_count(traces: ModuleType) -> None:
    assert explained(traces, began=80, ended=99) == ["slowest span: api GET /before 5.0 s"]
    assert explained(traces, began=96, ended=99) == ["no span while it ran"]


def test_own_services_send_their_traces_and_wait_for_the_receiver(traces: ModuleType) -> None:
    model = {
        "services": {
            "api": {"build": {"context": "."}, "environment": {"NO_PROXY": "stub"}},
            "database": {"image": "postgres"},
        }
    }
    services = traces.override(model, "python", {"test.project": "shop"})["services"]
    assert services.keys() == {"traces", "api"}
    assert services["traces"]["image"] == "python"
    given = services["api"]["environment"]
    assert given["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://traces:4318"
    assert (given["OTEL_SERVICE_NAME"], given["NO_PROXY"], given["no_proxy"]) == (
        "api",
        "stub,traces",
        "localhost,127.0.0.1,traces",
    )
    assert services["api"]["depends_on"] == {"traces": {"condition": "service_healthy"}}


class Service:
    """A substitute of the module of opentelemetry-proto that decodes a request."""

    class ExportTraceServiceRequest:
        @staticmethod
        def FromString(body: bytes) -> object:
            if body.startswith(b"{"):
                raise RuntimeError("no protobuf")
            return SimpleNamespace(resource_spans=[])


def test_what_is_no_protobuf_does_not_end_the_run(
    traces: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "import_module", lambda _: Service)
    lines = [base64.b64encode(body).decode() for body in (b"{}", b"x")]
    assert traces.spans("\n".join([*lines, "half a lin"])) == []


def test_the_receiver_writes_each_request_on_a_line_of_its_own(
    runner: Callable[[str], ModuleType], traces: ModuleType, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = traces.RECEIVER.replace(f'("", {traces.PORT})', f'("127.0.0.1", {port})')
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"

    def send(body: bytes) -> None:
        with urlopen(f"{url}/v1/traces", data=body, timeout=30):
            pass

    bodies = [b"%d" % number * 1000 for number in range(100, 140)]
    with log.open("wb") as file:
        receiver = subprocess.Popen([sys.executable, "-c", code], stdout=file)
    try:
        wait_until(lambda: runner("compose").answers(url))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, bodies))
    finally:
        receiver.kill()
        receiver.wait()
    assert sorted(map(base64.b64decode, log.read_bytes().splitlines())) == bodies
