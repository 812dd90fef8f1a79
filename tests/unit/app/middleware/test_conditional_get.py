"""Conditional GET: ETag, If-None-Match and If-Modified-Since."""

import io
from wsgiref.util import FileWrapper

import pytest

from app.middleware.conditional_get import conditional_get
from app.middleware.head import head
from tests.wsgi import call

DATE = "Mon, 23 Nov 2026 08:00:00 GMT"


def page(*headers, status="200 OK", body=(b"one ", b"two")):
    """Return a handler with these headers, status and body, wrapped in conditional_get."""

    def handler(environ, start_response):
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", "7"), *headers])
        return [*body]

    return head(conditional_get(handler))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_matching_etag_gets_304_without_body(method):
    etag = call(page(), method=method).headers["ETag"]
    answer = call(page(("Vary", "Accept")), method=method, HTTP_IF_NONE_MATCH=etag)
    assert (answer.status, answer.body, dict(answer.headers)) == (304, b"", {"ETag": etag, "Vary": "Accept"})


@pytest.mark.parametrize("sent", ['"another"', '"another", {etag}', "{strong}", "*"])
def test_if_none_match_accepts_list_strong_etag_and_star(sent):
    etag = call(page()).headers["ETag"]
    answer = call(page(), HTTP_IF_NONE_MATCH=sent.format(etag=etag, strong=etag.removeprefix("W/")))
    assert answer.status == (200 if sent == '"another"' else 304)


def test_etag_depends_on_body():
    assert call(page()).headers["ETag"] != call(page(body=(b"one", b"four"))).headers["ETag"]
    assert call(page()).body == b"one two"


def test_status_lines_have_standard_phrases():
    seen = []
    for environ in ({}, {"HTTP_IF_NONE_MATCH": "*"}):
        page()({"REQUEST_METHOD": "GET", **environ}, lambda status, headers: seen.append(status))
    assert seen == ["200 OK", "304 Not Modified"]


def test_etag_of_handler_is_kept():
    answer = call(page(("ETag", '"own"')))
    assert answer.headers.get_all("ETag") == ['"own"']
    assert call(page(("ETag", '"own"')), HTTP_IF_NONE_MATCH='"own"').status == 304


@pytest.mark.parametrize(("since", "status"), [(DATE, 304), ("Mon, 23 Nov 2026 07:59:59 GMT", 200), ("nonsense", 200)])
def test_last_modified_of_handler_is_compared(since, status):
    assert call(page(("Last-Modified", DATE)), HTTP_IF_MODIFIED_SINCE=since).status == status


def test_other_status_is_unchanged():
    answer = call(page(status="404 Not Found"), HTTP_IF_NONE_MATCH="*")
    assert (answer.status, answer.headers["ETag"]) == (404, None)


def lazy(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"chunk"


def written(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])(b"chunk")
    return ()


def filed(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return FileWrapper(io.BytesIO(b"chunk"))


def test_body_begun_with_write_is_unchanged():
    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])(b"one ")
        return [b"two"]

    begun = []

    def start_response(status, headers, exc_info=None):
        begun.append(status)
        return lambda data: None

    assert conditional_get(handler)({"REQUEST_METHOD": "GET"}, start_response) == [b"two"]
    assert begun == ["200 OK"]


@pytest.mark.parametrize("handler", [lazy, written, filed])
def test_streamed_body_is_unchanged(handler):
    answer = call(conditional_get(handler), HTTP_IF_NONE_MATCH="*")
    assert (answer.status, answer.body, answer.headers["ETag"]) == (200, b"chunk", None)
