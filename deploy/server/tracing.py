"""Makes a span for each request, for a receiver of OpenTelemetry. Only OTEL_EXPORTER_OTLP_ENDPOINT loads this module.

A span is named by the route's pattern: a receiver cannot group paths (opentelemetry-python-contrib#1914). It ends when
the server closes the response. A client's `traceparent` is continued (W3C Trace Context), but its flag "sampled" is not
obeyed: a stranger could make us send every request, or hide one. OTEL_TRACES_SAMPLER=parentbased_traceidratio obeys it.
"""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from traceback import format_exception
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.body import Wrapped
from app.headers import Headers
from app.middleware import errors
from app.router import pattern
from app.settings import settings
from deploy.server import spans
from deploy.server.private import without_private

TRACE = "app.trace"  # in environ
HEALTH = ("/healthz", "/readyz")  # not in nginx's log either
PROPAGATOR = TraceContextTextMapPropagator()


class Trace:
    """The span of one request. It is the current one of the thread until it ends."""

    def __init__(self, tracer: trace.Tracer, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self.environ, self.start_response = environ, start_response
        self.status = 0
        self.error = ""
        context = Context()
        if "HTTP_TRACEPARENT" in environ:
            fields = {name: environ.get(f"HTTP_{name.upper()}", "") for name in ("traceparent", "tracestate")}
            context = PROPAGATOR.extract(fields, context)
        self.span = tracer.start_span(environ["REQUEST_METHOD"], context, SpanKind.SERVER)
        self.token = attach(trace.set_span_in_context(self.span, context))
        environ["app.routes"] = []  # the router adds its key; the application has a copy of environ
        environ[TRACE] = self

    def start(self, line: str, headers: Headers) -> Callable[[bytes], object]:
        """Begin the response."""
        self.status = int(line[:3])
        return self.start_response(line, headers)

    def fail(self, error: BaseException) -> None:
        """Record an exception of the handler."""
        self.error = type(error).__qualname__
        attributes = {"exception.stacktrace": "".join(format_exception(error))}
        with suppress(Exception):  # of the exception's own __str__
            attributes["exception.message"] = str(error)
        for name, text in attributes.items():
            attributes[name] = without_private(text, self.environ).encode(errors="replace").decode()
        self.span.record_exception(error, attributes)

    def end(self) -> None:
        """Complete the span by the semantic conventions for HTTP, and end it."""
        environ = self.environ
        del environ[TRACE]  # otherwise the two refer to each other, and only the garbage collector would free them
        if self.span.is_recording():
            method, route = environ["REQUEST_METHOD"], pattern(environ)
            attributes: dict[str, str | int] = {
                "http.request.method": method,
                "url.path": environ["REQUEST_URI"].partition("?")[0],
                "url.scheme": environ["wsgi.url_scheme"],
                "request_id": environ.get("HTTP_X_REQUEST_ID", ""),  # as in the log
            }
            if route:
                self.span.update_name(f"{method} {route}")
                attributes["http.route"] = route
            if self.status:
                attributes["http.response.status_code"] = self.status
            if self.error or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                self.span.set_status(StatusCode.ERROR)
                attributes["error.type"] = self.error or str(self.status)
            self.span.set_attributes(attributes)
        self.span.end()
        detach(self.token)


class Stream(Wrapped):
    """A response that the server iterates over."""

    def __init__(self, body: Iterable[bytes], request: Trace) -> None:
        super().__init__(body, body)
        self.request = request

    def close(self) -> None:
        """Close the response, and end its span."""
        try:
            super().close()
        finally:
            self.request.end()


def fail(environ: WSGIEnvironment) -> None:
    """Record the exception that is being handled in the span of the request."""
    if (request := environ.get(TRACE)) and (error := sys.exc_info()[1]):
        request.fail(error)


def traced(served: WSGIApplication) -> WSGIApplication:
    """Return the server's callable with a span for each request."""
    tracer = spans.start(settings())
    errors.observers.append(fail)

    def spanned(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") in HEALTH:
            return served(environ, start_response)
        request = Trace(tracer, environ, start_response)
        try:
            body = served(environ, request.start)  # type: ignore[arg-type] # it passes no exc_info
        except BaseException:  # the server's sign to cut the response
            request.end()
            raise
        if isinstance(body, Wrapped):
            return Stream(body, request)
        request.end()
        return body

    return spanned
