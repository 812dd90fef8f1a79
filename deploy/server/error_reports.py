"""Sends the exceptions of handlers to Sentry, or what speaks its protocol. Only SENTRY_DSN loads this module.

A report has the exception, its traceback without local variables, the release, the request's id, method and route, and
nothing else of the request. The SDK's integrations are off: they add breadcrumbs, headers and the client's address.
"""

import logging
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import sentry_sdk
from sentry_sdk.envelope import Envelope, Item
from sentry_sdk.transport import HttpTransport
from sentry_sdk.types import Event, Hint

from app.middleware import errors
from app.router import pattern
from app.settings import settings
from deploy.server.private import without_private
from deploy.server.reports import Reports

GZIP: Any = {"transport_compression_algo": "gzip"}  # not every receiver reads Brotli
found = Reports("error reports", 100)


class Transport(HttpTransport):
    """Sends the reports in a thread of the worker."""

    TIMEOUT = 10  # seconds
    reason = ""

    def capture_envelope(self, envelope: Envelope) -> None:
        """Put a report into the queue."""
        if not envelope.get_event() or found.accept():
            super().capture_envelope(envelope)

    def _send_envelope(self, envelope: Envelope) -> None:
        try:
            super()._send_envelope(envelope)
        finally:
            found.leave(envelope.get_event() is not None)

    def on_dropped_event(self, reason: str) -> None:
        """Keep the reason. The SDK does not count a report that the receiver refuses because there are too many."""
        self.reason = reason
        if reason == "status_429":
            found.lose(1, reason)

    def record_lost_event(self, reason: str, data_category: Any = None, item: Item | None = None, **more: Any) -> None:  # noqa: ANN401 (the SDK's)
        """Count a report that could not be sent."""
        if (item.data_category if item else data_category) == "error":
            found.lose(1, self.reason)
        super().record_lost_event(reason, data_category, item, **more)


def report(environ: WSGIEnvironment) -> None:
    """Report the exception that is being handled."""

    def scrub(event: Event, _: Hint) -> Event:
        for each in event.get("exception", {}).get("values", []):
            each["value"] = without_private(each["value"] or "", environ)
            each["mechanism"] = {"type": "wsgi", "handled": False}
        if request := environ.get("app.trace"):  # tracing.py: the report leads to the span
            span = request.span.get_span_context()
            event.setdefault("contexts", {})["trace"] = {
                "trace_id": f"{span.trace_id:032x}",
                "span_id": f"{span.span_id:016x}",
            }
        return event

    route = pattern(environ)
    with sentry_sdk.new_scope() as scope:
        scope.set_transaction_name(f"{environ['REQUEST_METHOD']} {route}")
        scope.set_tag("request_id", environ.get("HTTP_X_REQUEST_ID", ""))
        scope.set_tag("method", environ["REQUEST_METHOD"])
        scope.set_tag("route", route)
        scope.add_event_processor(scrub)
        scope.set_new_propagation_context()  # otherwise all reports of a worker have the same trace id
        sentry_sdk.capture_exception()


def reported(served: WSGIApplication) -> WSGIApplication:
    """Return the server's callable; report its exceptions."""
    sentry_sdk.init(
        settings().sentry_dsn,
        release=settings().release,
        transport=Transport,
        default_integrations=False,
        include_local_variables=False,
        _experiments=GZIP,
    )
    logging.getLogger("urllib3.connectionpool").addFilter(is_of_app)
    errors.observers.append(report)

    found.at_worker_end(sentry_sdk.flush)

    def routed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["app.routes"] = []  # the router adds its key; the application has a copy of environ
        return served(environ, start_response)

    return routed


def is_of_app(record: logging.LogRecord) -> bool:
    """Return whether the record is not one of the SDK's thread, whose losses are counted."""
    return record.threadName != "sentry-sdk.BackgroundWorker"
