"""Functions that begin a response and return its body: a handler ends with `return html(start_response, page)`."""

from collections.abc import Iterable
from http import HTTPStatus
from json import JSONEncoder
from wsgiref.types import StartResponse, WSGIEnvironment

from app.page import render
from app.request import prefers_html

OK = HTTPStatus.OK
# Created once: json.dumps creates an encoder at each call that changes a default.
encode_json = JSONEncoder(allow_nan=False).encode


def html(start_response: StartResponse, page: str, status: HTTPStatus = OK) -> list[bytes]:
    """Begin an HTML response and return its body."""
    return whole(start_response, page.encode(), "text/html; charset=utf-8", status)


def json(start_response: StartResponse, value: object, status: HTTPStatus = OK) -> list[bytes]:
    """Begin a JSON response (RFC 8259) and return its body; raise TypeError or ValueError as `dump` does."""
    return whole(start_response, dump(value), "application/json", status)


def empty(
    start_response: StartResponse, status: HTTPStatus = HTTPStatus.NO_CONTENT, headers: Iterable[tuple[str, str]] = ()
) -> list[bytes]:
    """Begin a response without a body."""
    start_response(status_line(status), [*headers])
    return []


def error(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    status: HTTPStatus,
    detail: str = "",
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Begin an error response and return its body: HTML or problem details (RFC 9457), by the Accept header."""
    problem = {
        "title": status.phrase,
        "status": status.value,
        "detail": detail or status.description,
        "request_id": environ.get("HTTP_X_REQUEST_ID", ""),
    }
    if prefers_html(environ):
        content, content_type = render("error.html", **problem).encode(), "text/html; charset=utf-8"
    else:
        content, content_type = dump(problem), "application/problem+json"
    return whole(start_response, content, content_type, status, [*headers, ("Vary", "Accept")])


def not_found(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer 404: the handler for every path without a route."""
    return error(environ, start_response, HTTPStatus.NOT_FOUND)


def whole(
    start_response: StartResponse,
    content: bytes,
    content_type: str,
    status: HTTPStatus = OK,
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Begin a response with a complete body and return the body."""
    length = ("Content-Length", str(len(content)))
    start_response(status_line(status), [("Content-Type", content_type), length, *headers])
    return [content]


def dump(value: object) -> bytes:
    """Return `value` as ASCII JSON; raise TypeError for other objects, ValueError for NaN and infinity."""
    return encode_json(value).encode()


def status_line(status: HTTPStatus) -> str:
    """Return the status in the form that start_response takes, for example "404 Not Found"."""
    return "200 OK" if status is OK else f"{status.value} {status.phrase}"
