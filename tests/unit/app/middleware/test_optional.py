"""The middleware that no chain has by default: timing, log_environ, transform."""

import io
import logging
from wsgiref.util import FileWrapper

import pytest

from app.middleware.log_environ import log_environ
from app.middleware.timing import timing
from app.middleware.transform import reverse, transform
from tests.wsgi import call


def text(content_type="text/plain; charset=utf-8"):
    """Return a handler that answers in two chunks, made one after the other."""

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", content_type), ("Content-Length", "7"), ("ETag", '"x"')])
        yield "Zoë".encode()
        yield b"abc"

    return handler


def test_timing_tells_how_many_milliseconds_the_response_took_to_begin(monkeypatch):
    monkeypatch.setattr("app.middleware.timing.perf_counter", iter([5.0, 6.5]).__next__)
    assert call(timing(text())).headers.items() == [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", "7"),
        ("ETag", '"x"'),
        ("Server-Timing", "app;dur=1500.00"),
    ]


def test_the_environ_is_logged_and_its_secrets_are_not(caplog):
    caplog.set_level(logging.INFO)
    call(log_environ(text()), "/a?b=1", HTTP_COOKIE="secret1", HTTP_AUTHORIZATION="secret2", HTTP_X_API_KEY="secret3")
    assert caplog.records[0].getMessage().startswith("environ:\n  ")
    assert "  PATH_INFO = '/a'\n" in caplog.text
    assert "  HTTP_COOKIE = ***\n" in caplog.text
    assert "secret" not in caplog.text


def test_a_value_cannot_forge_a_line_of_the_log(caplog):
    caplog.set_level(logging.INFO)
    call(log_environ(text()), "/a\nforged")
    assert "\nforged" not in caplog.text


def test_a_body_of_the_type_is_changed_chunk_by_chunk_and_its_old_length_and_etag_go():
    answer = call(transform("text/plain", reverse)(text()))
    assert answer.text == "ëoZcba"
    assert answer.headers.keys() == ["Content-Type"]


def test_a_body_of_another_type_is_left_alone():
    answer = call(transform("text/plain", reverse)(text("text/html")))
    assert (answer.text, answer.headers["Content-Length"]) == ("Zoëabc", "7")


def test_a_file_of_another_type_is_handed_on_untouched():
    body = FileWrapper(io.BytesIO(b"abc"))

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "image/png")])
        return body

    transformed = transform("text/plain", reverse)(handler)
    assert transformed({}, lambda status, headers, exc_info=None: lambda data: None) is body


def test_what_is_written_is_changed_too():
    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])(b"abc")
        return []

    assert call(transform("text/plain", reverse)(handler)).text == "cba"


@pytest.mark.parametrize("middleware", [timing, log_environ, transform("text/plain", reverse)])
def test_a_body_stays_lazy_and_is_closed_once(middleware):
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
