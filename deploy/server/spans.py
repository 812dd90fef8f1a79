"""Sends the spans of a worker in batches, from threads of its own. tracing.py makes the spans.

Each worker has its own provider, made after the fork (opentelemetry-python#2266).
"""

import logging
import os
from collections.abc import Sequence
from random import getrandbits
from threading import Event, Thread
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, SamplingResult, TraceIdRatioBased

from app.settings import Settings
from deploy.server.reports import Reports

WAITING = 2048  # spans of a worker that wait for the receiver; further ones are lost
BATCH, DELAY = 512, 1000  # spans that are sent together, and milliseconds in which they are collected
QUIET = ("opentelemetry.trace.span", "opentelemetry.trace.propagation.tracecontext")  # warn of a client's header


class Chance(TraceIdRatioBased):
    """Samples by chance, not by the trace id, which a client can choose."""

    def should_sample(self, parent_context: Context | None, trace_id: int, *more: Any, **named: Any) -> SamplingResult:  # noqa: ANN401, ARG002 (the SDK's)
        """Return the decision for a new span."""
        return super().should_sample(parent_context, getrandbits(64), *more, **named)


class Exporter(OTLPSpanExporter):
    """Sends spans in the SDK's thread."""

    def __init__(self, spans: Reports) -> None:
        super().__init__()
        self.spans = spans
        self.reason = ""
        logging.getLogger(trace_exporter.__name__).addFilter(self.keep_reason)

    def keep_reason(self, record: logging.LogRecord) -> bool:
        """Keep the SDK's message for the line about the loss; the SDK would log it several times a minute."""
        self.reason = record.getMessage()
        return False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans."""
        result = super().export(spans)
        self.spans.leave(len(spans))
        if result is not SpanExportResult.SUCCESS:
            self.spans.lose(len(spans), self.reason)
        return result


class Processor(BatchSpanProcessor):
    """Collects the spans that have ended, with a limit."""

    def __init__(self, spans: Reports) -> None:
        super().__init__(Exporter(spans), WAITING, DELAY, BATCH)
        self.spans = spans

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended."""
        if self.spans.accept():
            super().on_end(span)


def sampler(given: Settings) -> ParentBased:
    """Return the rule that chooses the requests with a span. Spans that a handler makes follow their request's."""
    chance = Chance(given.traces_rate)
    if given.traces_sampler == "parentbased_traceidratio":
        return ParentBased(chance)
    return ParentBased(chance, remote_parent_sampled=chance, remote_parent_not_sampled=chance)


def start(given: Settings) -> trace.Tracer:
    """Return the tracer of this worker, and let it send its last spans when it ends."""
    spans = Reports("spans", WAITING)
    # The SDK adds service.instance.id, by process (opentelemetry-python#3885).
    attributes = {"service.name": given.service_name, "service.version": given.release}
    resource = Resource.create({**attributes, "process.pid": os.getpid()})
    provider = TracerProvider(sampler(given), resource, shutdown_on_exit=False)
    provider.add_span_processor(Processor(spans))
    trace.set_tracer_provider(provider)  # for spans that a handler makes
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    is_sent = Event()

    def send_last() -> None:
        Reports.worker_ends.wait()
        provider.shutdown()
        is_sent.set()

    Thread(target=send_last, daemon=True).start()  # now: a process that ends can start none
    spans.at_worker_end(is_sent.wait)
    return provider.get_tracer("wsgi")
