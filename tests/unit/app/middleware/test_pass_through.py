"""Each middleware passes exc_info to the server and the server's write() to the handler."""

import sys

import pytest

from app.middleware.head import head
from app.middleware.log_environ import log_environ
from app.middleware.query_parameters import query_parameters
from app.middleware.request_id import request_id
from app.middleware.timing import timing
from app.middleware.transform import reverse, transform


@pytest.mark.parametrize(
    "middleware",
    [
        log_environ,
        query_parameters,
        request_id,
        timing,
        head,
        transform("text/plain", reverse),
        transform("text/html", reverse),
    ],
)
def test_exc_info_reaches_server(middleware):
    given, seen = [], []

    def handler(environ, start_response):
        try:
            {}["nothing"]
        except LookupError:
            given.append(sys.exc_info())
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")], given[0])
        return []

    def start_response(status, headers, exc_info=None):
        seen.append((status, exc_info))
        return lambda data: None

    middleware(handler)({"REQUEST_METHOD": "HEAD"}, start_response)
    assert seen == [("500 Internal Server Error", given[0])]


@pytest.mark.parametrize("middleware", [log_environ, query_parameters, request_id, timing])
def test_write_of_server_reaches_handler(middleware):
    written = []

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])(b"chunk")
        return []

    middleware(handler)({"REQUEST_METHOD": "GET"}, lambda status, headers, exc_info=None: written.append)
    assert written == [b"chunk"]
