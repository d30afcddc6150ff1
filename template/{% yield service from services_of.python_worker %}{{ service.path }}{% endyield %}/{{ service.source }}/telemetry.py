"""Traces of jobs, if OTEL_EXPORTER_OTLP_ENDPOINT is set. Otherwise this imports nothing.

The variables OTEL_* of OpenTelemetry change what is sent and where.
"""

import os
from typing import Any

ENABLED = bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def start_telemetry() -> None:
    """Start to send traces."""
    if ENABLED:
        os.environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        from opentelemetry.instrumentation.auto_instrumentation import initialize

        initialize()


def start_span(ctx: dict[str, Any]) -> None:
    """Start the span of a job, in the trace of the request that created the job."""
    if ENABLED:
        from opentelemetry import context, propagate, trace

        job = ctx["job"]
        ctx["span"] = trace.get_tracer(__name__).start_span(
            job.function,
            propagate.extract(job.meta.get("trace", {})),
            trace.SpanKind.CONSUMER,
        )
        ctx["span_token"] = context.attach(trace.set_span_in_context(ctx["span"]))


def end_span(ctx: dict[str, Any]) -> None:
    """End the span of a job."""
    if ENABLED and "span" in ctx:
        from opentelemetry import context, trace

        if error := ctx.get("exception"):
            ctx["span"].record_exception(error)
            ctx["span"].set_status(trace.StatusCode.ERROR)
        ctx["span"].end()
        context.detach(ctx["span_token"])
