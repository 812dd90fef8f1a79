"""Chunks for uWSGI: which bodies are framed, and when the last chunk is sent."""

import pytest

from deploy.server.chunked import chunked


def answer(handler, protocol="HTTP/1.1", method="GET"):
    """Return the headers and the chunks that a server would send, and how the body was closed."""
    seen, written = {}, []

    def start_response(status, headers, exc_info=None):
        seen.update(headers)
        return written.append

    body = chunked(handler)({"SERVER_PROTOCOL": protocol, "REQUEST_METHOD": method}, start_response)
    try:
        written.extend(body)
    finally:
        getattr(body, "close", lambda: None)()
    return seen, written


def stream(*chunks, status="200 OK", headers=()):
    def handler(environ, start_response):
        start_response(status, [*headers])
        for chunk in chunks:
            if chunk is None:
                raise LookupError
            yield chunk

    return handler


def test_a_body_of_unknown_length_is_framed_and_ended():
    headers, sent = answer(stream(b"one", b"", b"x" * 16))
    assert headers == {"Transfer-Encoding": "chunked"}
    assert sent == [b"3\r\none\r\n", b"10\r\n" + b"x" * 16 + b"\r\n", b"0\r\n\r\n"]


def test_a_body_that_fails_has_no_last_chunk():
    with pytest.raises(LookupError):
        answer(stream(b"one", None))


def test_what_is_written_is_framed_too():
    def handler(environ, start_response):
        start_response("200 OK", [])(b"one")
        return [b"two"]

    assert answer(handler)[1] == [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({"headers": [("Content-Length", "3")]}, {}),
        ({"status": "304 Not Modified"}, {}),
        ({}, {"protocol": "HTTP/1.0"}),
        ({}, {"method": "HEAD"}),
    ],
)
def test_other_answers_are_left_alone(options, how):
    headers, sent = answer(stream(b"one", **options), **how)
    assert "Transfer-Encoding" not in headers
    assert sent == [b"one"]


def test_a_body_of_known_length_is_that_very_object():
    body = [b"one"]

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Length", "3")])
        return body

    environ = {"SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_METHOD": "GET"}
    assert chunked(handler)(environ, lambda *arguments: None) is body
