"""Dispatch by HTTP method: HEAD uses the GET handler, OPTIONS lists the methods, other methods get 405."""

from collections.abc import Iterable, Mapping
from http import HTTPMethod, HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.response import empty, error


def by_method(methods: Mapping[str, WSGIApplication]) -> WSGIApplication:
    """Return an application that calls the handler for REQUEST_METHOD; raise ValueError for an unknown method."""
    table = {str(HTTPMethod(name)): handler for name, handler in methods.items()}
    if "GET" in table:
        table.setdefault("HEAD", table["GET"])  # middleware/head.py drops the body
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
