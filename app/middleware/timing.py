"""Tells in Server-Timing how long the app took to begin its response. For development: browsers show it to anybody."""

from __future__ import annotations  # Python 3.11 would evaluate those of `start` at every request

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

if TYPE_CHECKING:
    from _typeshed import OptExcInfo


def timing(handler: WSGIApplication) -> WSGIApplication:
    """Add the milliseconds from here to start_response as `Server-Timing: app;dur=1.23` (W3C Server Timing)."""

    def timed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = perf_counter()

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
        ) -> Callable[[bytes], object]:
            duration = (perf_counter() - began) * 1000
            return start_response(status, [*headers, ("Server-Timing", f"app;dur={duration:.2f}")], exc_info)

        return handler(environ, start)

    return timed
