# Kept by the template: copier update merges its changes into this file.
"""The traces of a stack, with `make test TRACE=1`: which span was slow, and which service failed.

One more container of the stack receives the traces by OTLP over HTTP and writes them to its log, in which
this module finds the spans of a failed test by their time. So the containers need no way to this machine.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

#: The receiver's name in the stack, and its port.
NAME, PORT = "traces", 4318

#: Seconds until the services have sent the spans of a test that has ended.
FLUSH = 1.0

#: Seconds by which the clocks of a test and of a span may differ.
TOLERANCE = 0.01

#: The receiver. Clients send gzip and chunks only if they are configured to, or for large bodies.
RECEIVER = f"""
import base64, gzip, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCK = threading.Lock()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer()

    def do_POST(self):
        body = b""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/traces":
            with LOCK:
                print(base64.b64encode(body).decode(), flush=True)
        self.answer()

    def answer(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass

ThreadingHTTPServer(("", {PORT}), Handler).serve_forever()
"""

HEALTH = f"import urllib.request as u; u.build_opener(u.ProxyHandler(dict())).open('http://127.0.0.1:{PORT}')"


@dataclass(frozen=True)
class Span:
    """A unit of work of a service. Times are in seconds since 1970."""

    service: str
    name: str
    id: str
    parent: str
    start: float
    end: float
    error: str | None = None  #: None: it has not failed

    @property
    def title(self) -> str:
        """The service and the name."""
        return f"{self.service} {self.name}"


def override(model: dict[str, Any], image: str, labels: dict[str, str]) -> dict[str, Any]:
    """Return the compose file that adds the receiver, and lets the services send their traces to it.

    Args:
        model: the stack, as `docker compose config` prints it.
        image: an image with Python.
        labels: the labels of the stack's containers.
    """
    services: dict[str, Any] = {
        NAME: {
            "image": image,
            "command": ["python", "-c", RECEIVER],
            "init": True,
            "labels": labels,
            "healthcheck": {
                "test": ["CMD", "python", "-c", HEALTH],
                "start_period": "60s",
                "start_interval": "500ms",
            },
        }
    }
    for name, service in model["services"].items():
        if "build" not in service:
            continue
        given = service.get("environment") or {}
        proxies = {
            key: f"{given.get(key) or 'localhost,127.0.0.1'},{NAME}"
            for key in ("NO_PROXY", "no_proxy")
        }
        services[name] = {
            "environment": {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{NAME}:{PORT}",
                "OTEL_SERVICE_NAME": name,
                "OTEL_BSP_SCHEDULE_DELAY": "200",
                "OTEL_METRICS_EXPORTER": "none",
                "OTEL_LOGS_EXPORTER": "none",
                **proxies,
            },
            "depends_on": {NAME: {"condition": "service_healthy"}},
        }
    return {"services": services}


def spans(log: str) -> list[Span]:
    """Return the spans in the log of the receiver, without what is no protobuf, such as JSON."""
    service = import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    found: list[Span] = []
    for line in log.splitlines():
        try:
            request = service.ExportTraceServiceRequest.FromString(base64.b64decode(line))
        except Exception:  # noqa: BLE001, S112 - traces must not change the verdict
            continue
        for resource in request.resource_spans:
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            found += [
                span_of(names.get("service.name", ""), span)
                for scope in resource.scope_spans
                for span in scope.spans
            ]
    return found


def span_of(service: str, span: Any) -> Span:
    """Return a span of a request."""
    error = None
    if span.status.code == span.status.STATUS_CODE_ERROR:
        texts = [
            {one.key: one.value.string_value for one in event.attributes} for event in span.events
        ]
        raised = [text for text in texts if "exception.type" in text]
        error = span.status.message
        if raised:
            error = f"{raised[-1]['exception.type']}: {raised[-1].get('exception.message', '')}"
    return Span(
        service,
        span.name,
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano / 1e9,
        span.end_time_unix_nano / 1e9,
        error,
    )


def explain(found: Iterable[Span], began: float, ended: float) -> list[str]:
    """Return the slowest span and the failed service of the spans that started during a test."""
    during = [span for span in found if began - TOLERANCE <= span.start <= ended + TOLERANCE]
    if not during:
        return ["no span while it ran"]
    by_id = {span.id: span for span in during}
    slowest = max(during, key=lambda span: own_seconds(span, during))
    lines = [f"slowest span: {slowest.title} {text_of(own_seconds(slowest, during))}"]
    if outer := by_id.get(slowest.parent):
        while outer.parent in by_id:
            outer = by_id[outer.parent]
        lines[0] += f", in {outer.title} {text_of(outer.end - outer.start)}"
    # If the service has handled an error, the span around it has not failed.
    failed = [
        innermost(span, during)
        for span in during
        if span.error is not None and not is_inside(span, by_id.get(span.parent))
    ]
    if failed:
        first = min(failed, key=lambda span: span.end)
        lines.append(": ".join(filter(None, [f"failed in: {first.title}", first.error])))
    return lines


def own_seconds(span: Span, every: Iterable[Span]) -> float:
    """Return the duration of a span without the time in which spans inside it ran."""
    inner = (one for one in every if one.parent == span.id)
    overlaps = (min(one.end, span.end) - max(one.start, span.start) for one in inner)
    return max(0.0, span.end - span.start - sum(max(0.0, overlap) for overlap in overlaps))


def is_inside(span: Span, parent: Span | None) -> bool:
    """Return whether a span is a part of the work of another span of the same service."""
    return parent is not None and parent.service == span.service


def innermost(span: Span, every: list[Span]) -> Span:
    """Return the span in which the error of a failed span began."""
    while inner := [one for one in every if one.parent == span.id and one.error is not None]:
        span = max(inner, key=lambda one: one.end)
    return span


def text_of(seconds: float) -> str:
    """Return a duration: `1.2 s` or `45 ms`."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
