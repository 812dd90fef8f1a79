"""Middleware that is off by default: timing, log_environ, transform."""

import io
import logging
from wsgiref.util import FileWrapper

import pytest

from app.middleware.log_environ import log_environ
from app.middleware.timing import timing
from app.middleware.transform import reverse, transform
from tests.wsgi import call


def text(content_type="text/plain; charset=utf-8"):
    """Return a generator handler that yields two chunks."""

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", content_type), ("Content-Length", "7"), ("ETag", '"x"')])
        yield "Zoë".encode()
        yield b"abc"

    return handler


def test_timing_adds_milliseconds_until_response_begins(monkeypatch):
    monkeypatch.setattr("app.middleware.timing.perf_counter", iter([5.0, 6.5]).__next__)
    assert call(timing(text())).headers.items() == [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", "7"),
        ("ETag", '"x"'),
        ("Server-Timing", "app;dur=1500.00"),
    ]


def test_log_environ_masks_secrets(caplog):
    caplog.set_level(logging.INFO)
    call(log_environ(text()), "/a?b=1", HTTP_COOKIE="secret1", HTTP_AUTHORIZATION="secret2", HTTP_X_API_KEY="secret3")
    assert caplog.records[0].getMessage().startswith("environ:\n  ")
    assert "  PATH_INFO = '/a'\n" in caplog.text
    assert "  HTTP_COOKIE = ***\n" in caplog.text
    assert "secret" not in caplog.text


def test_log_environ_value_cannot_forge_log_line(caplog):
    caplog.set_level(logging.INFO)
    call(log_environ(text()), "/a\nforged")
    assert "\nforged" not in caplog.text


def test_transform_changes_chunks_and_drops_length_and_etag():
    answer = call(transform("text/plain", reverse)(text()))
    assert answer.text == "ëoZcba"
    assert answer.headers.keys() == ["Content-Type"]


def test_transform_ignores_other_media_types():
    answer = call(transform("text/plain", reverse)(text("text/html")))
    assert (answer.text, answer.headers["Content-Length"]) == ("Zoëabc", "7")


def test_transform_returns_file_of_other_media_type_unchanged():
    body = FileWrapper(io.BytesIO(b"abc"))

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "image/png")])
        return body

    transformed = transform("text/plain", reverse)(handler)
    assert transformed({}, lambda status, headers, exc_info=None: lambda data: None) is body


def test_transform_changes_written_data():
    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])(b"abc")
        return []

    assert call(transform("text/plain", reverse)(handler)).text == "cba"


@pytest.mark.parametrize("middleware", [timing, log_environ, transform("text/plain", reverse)])
def test_body_stays_lazy_and_is_closed_once(middleware):
    seen = []

    class Body:
        def __iter__(self):
            seen.append("begun")
            yield b"abc"

        def close(self):
            seen.append("closed")

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Body()

    body = middleware(handler)({}, lambda status, headers, exc_info=None: lambda data: None)
    assert seen == []
    assert len(list(body)) == 1
    body.close()
    assert seen == ["begun", "closed"]
