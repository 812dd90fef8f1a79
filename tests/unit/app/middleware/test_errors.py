"""Error middleware: handlers that raise before, during and after the start of the response."""

import sys

import pytest

from app.middleware.errors import errors
from tests.wsgi import call


def plain(body):
    """Return a handler whose response has this body."""

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    return handler


def fails(environ, start_response):
    raise LookupError("a secret")


def fails_after_starting(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    raise LookupError("a secret")


def fails_before_its_first_chunk(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    raise LookupError("a secret")
    yield b""


def exits(environ, start_response):
    raise SystemExit("a secret: LookupError")


@pytest.mark.parametrize("handler", [fails, fails_after_starting, fails_before_its_first_chunk, exits])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_exception_gets_500_without_details(handler, accept, caplog):
    answer = call(errors(handler), "/path", HTTP_ACCEPT=accept, HTTP_X_REQUEST_ID="the-id")
    assert answer.status == 500
    assert "the-id" in answer.text
    assert "secret" not in answer.text
    assert "LookupError" not in answer.text
    [record] = caplog.records
    assert record.getMessage() == "GET /path failed, request the-id"
    assert "a secret" in str(record.exc_info[1])


def test_exception_is_logged_with_minimal_environ(caplog):
    errors(fails)({"REQUEST_METHOD": "GET"}, lambda *arguments: None)
    assert caplog.messages == ["GET  failed, request -"]


def test_path_cannot_forge_log_line(caplog):
    call(errors(fails), "/a\nforged")
    assert caplog.messages == ["GET /a\\nforged failed, request -"]


def test_exception_after_first_chunk_reaches_server(caplog):
    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"chunk"
        raise LookupError("a secret")

    with pytest.raises(LookupError):
        call(errors(handler))
    assert caplog.records == []


def test_generator_stays_lazy_and_is_closed_once():
    seen = []

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            yield b"one"
            seen.append("went on")
            yield b"two"
        finally:
            seen.append("closed")

    body = errors(handler)({"REQUEST_METHOD": "GET"}, lambda *arguments: None)
    assert next(iter(body)) == b"one"
    body.close()
    assert seen == ["closed"]


def test_list_and_tuple_are_returned_unchanged():
    for body in ([b"one"], (b"one",)):
        assert errors(plain(body))({}, lambda *arguments: None) is body


def test_response_begins_with_first_chunk():
    begun = []

    def handler(environ, start_response):
        start_response("200 OK", [])
        yield b"chunk"

    chunks = iter(errors(handler)({"REQUEST_METHOD": "GET"}, lambda *arguments: begun.append(arguments)))
    assert begun == []
    next(chunks)
    assert begun == [("200 OK", [])]


def test_handler_can_use_write():
    def handler(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"one ")
        return [b"two"]

    assert call(errors(handler)).body == b"one two"


def test_handler_can_replace_response_with_exc_info():
    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            {}["nothing"]
        except LookupError:
            start_response("404 Not Found", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"nothing"]

    assert call(errors(handler)).status == 404


def test_exc_info_is_raised_after_first_chunk():
    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"chunk"
        try:
            {}["too late"]
        except LookupError:
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")], sys.exc_info())

    with pytest.raises(LookupError, match="too late"):
        call(errors(handler))


# begin monitoring
def test_observers_see_the_exception_and_cannot_fail_the_response(monkeypatch):
    seen = []

    def fails_too(environ):
        seen.append((sys.exc_info()[0], environ["PATH_INFO"]))
        raise ValueError

    monkeypatch.setattr("app.middleware.errors.observers", [fails_too, fails_too])
    assert call(errors(fails), "/path").status == 500
    assert seen == [(LookupError, "/path")] * 2


# end monitoring
