"""Functions that begin a response and return its body: a handler ends with `return html(start_response, page)`."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from json import JSONEncoder
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined] # not in typeshed
from wsgiref.types import StartResponse, WSGIEnvironment

from app.page import render
from app.request import prefers_html

OK = HTTPStatus.OK
# The texts of error pages. nginx's error pages have the same texts (nginx/errors.conf).
TITLES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",  # RFC 9110; Python's phrase is older before 3.13
    HTTPStatus.REQUEST_URI_TOO_LONG: "URI Too Long",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Range Not Satisfiable",
}
DETAILS = {
    HTTPStatus.PERMANENT_REDIRECT: "This page has another address.",
    HTTPStatus.BAD_REQUEST: "The server does not understand this request.",
    HTTPStatus.FORBIDDEN: "You do not have access to this page.",
    HTTPStatus.NOT_FOUND: "There is no page at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not support that method.",
    HTTPStatus.PRECONDITION_FAILED: "The file does not meet the condition in the request.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body of the request is larger than this site accepts.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "The address is longer than this site accepts.",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "The file does not have the requested range.",
    HTTPStatus.MISDIRECTED_REQUEST: "This server does not serve that host.",
    HTTPStatus.TOO_MANY_REQUESTS: "You sent too many requests. Try again in a moment.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "A request header, often a cookie, is larger than this site accepts.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The server could not handle this request. Its log has the reason.",
    HTTPStatus.NOT_IMPLEMENTED: "The server does not support this method, or the encoding of the request body.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The site is not available at the moment. Try again shortly.",
    HTTPStatus.GATEWAY_TIMEOUT: "The site took too long to respond. Try again shortly.",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "This server supports HTTP/1.1 on this port.",
}
# JSONEncoder.encode creates this encoder at each call, which takes 1.6 times the instructions. It is not documented, so
# a test compares it with json.dumps. Without its first argument, which costs a tenth, a value that contains itself
# raises RecursionError instead of ValueError. The last one refuses NaN and infinity.
encode_json: Callable[[object, int], Iterable[str]] = c_make_encoder(  # pyright: ignore[reportUnknownVariableType]
    *(None, JSONEncoder().default, encode_basestring_ascii, None), *(": ", ", "), *(False, False, False)
)


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
        "title": TITLES.get(status, status.phrase),
        "status": status.value,
        "detail": detail or DETAILS.get(status, status.description),
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
    return "".join(encode_json(value, 0)).encode()


def status_line(status: HTTPStatus) -> str:
    """Return the status in the form that start_response takes, for example "404 Not Found"."""
    return "200 OK" if status is OK else f"{status.value} {status.phrase}"
