"""Drop the body of responses to HEAD, because some servers send it. List this middleware first."""

from __future__ import annotations  # Python 3.11 would evaluate the annotations of `start` at each request

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.body import close
from app.headers import Headers

if TYPE_CHECKING:
    from _typeshed import OptExcInfo


def head(handler: WSGIApplication) -> WSGIApplication:
    """Pass the status and headers of a response to HEAD, without its body (RFC 9110, 9.3.2)."""

    def headed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "HEAD":
            return handler(environ, start_response)

        def start(status: str, headers: Headers, exc_info: OptExcInfo | None = None) -> Callable[[bytes], object]:
            start_response(status, headers, exc_info)
            return lambda _: None

        body = handler(environ, start)
        try:
            next(iter(body), None)  # a generator calls start_response when its first chunk is read
        finally:
            close(body)
        return []

    return headed
