"""What the traces of a stack say about a failed test, and the receiver that a stack gets for them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


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
