"""HEAD middleware: the headers of GET, without a body."""

import pytest

from app.middleware.head import head
from tests.wsgi import call


def page(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"page"]


def lazy(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"page"


@pytest.mark.parametrize("handler", [page, lazy])
def test_head_has_headers_of_get_without_body(handler):
    got, headed = (call(head(handler), method=method) for method in ("GET", "HEAD"))
    assert headed.headers.items() == got.headers.items()
    assert (got.body, headed.body) == (b"page", b"")


def test_head_closes_body():
    closed = []

    class Body:
        def __iter__(self):
            yield b"page"

        def close(self):
            closed.append(True)

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Body()

    call(head(handler), method="HEAD")
    assert closed == [True]


def test_head_drops_written_data():
    def handler(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"page")
        return []

    assert call(head(handler), method="HEAD").body == b""
