"""A route's dict of methods as one WSGI application: HEAD follows GET, OPTIONS answers itself, the rest is 405."""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.body import close
from app.response import Headers, empty, error

if TYPE_CHECKING:
    from _typeshed import OptExcInfo


def by_method(methods: Mapping[str, WSGIApplication]) -> WSGIApplication:
    """Return the application that picks by REQUEST_METHOD (RFC 9110, 9.3); raise ValueError for an unknown method."""
    table = {str(HTTPMethod(name)): handler for name, handler in methods.items()}
    if "GET" in table:
        table.setdefault("HEAD", head(table["GET"]))
    allow = [("Allow", ", ".join(sorted({*table, "OPTIONS"})))]

    def options(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return empty(start_response, headers=allow)

    table.setdefault("OPTIONS", options)

    def dispatch(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        handler = table.get(environ["REQUEST_METHOD"])
        if handler is None:
            return error(environ, start_response, HTTPStatus.METHOD_NOT_ALLOWED, headers=allow)
        return handler(environ, start_response)

    return dispatch


def head(get: WSGIApplication) -> WSGIApplication:
    """Return `get` with its headers and without its body: not every server drops it (RFC 9110, 9.3.2)."""

    def headers_only(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: Headers, exc_info: "OptExcInfo | None" = None) -> Callable[[bytes], object]:
            start_response(status, headers, exc_info)
            return lambda _: None

        body = get(environ, start)
        try:
            # A generator has not begun yet: it calls start_response on the way to its first chunk.
            next(iter(body), None)
        finally:
            close(body)
        return []

    return headers_only
