"""Add a Server-Timing header to each response. For development only: every client can read it."""

from collections.abc import Iterable
from time import perf_counter
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.headers import Headers, change_headers


def timing(handler: WSGIApplication) -> WSGIApplication:
    """Add the milliseconds until start_response, as `Server-Timing: app;dur=1.23` (W3C Server Timing)."""

    def timed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = perf_counter()

        def add(headers: Headers) -> Headers:
            return [*headers, ("Server-Timing", f"app;dur={(perf_counter() - began) * 1000:.2f}")]

        return handler(environ, change_headers(start_response, add))

    return timed
