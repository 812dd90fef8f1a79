"""Each form of WSGI callable that PEP 3333 allows works as a handler behind the default chain."""

import pytest

from app.router import router
from app.wsgi import MIDDLEWARES, chain
from tests.wsgi import call

HEADERS = [("Content-Type", "text/plain")]


def function(environ, start_response):
    start_response("200 OK", HEADERS)
    return [b"one ", b"two"]


def generator(environ, start_response):
    start_response("200 OK", HEADERS)
    yield b"one "
    yield b"two"


class Iterated:
    """A class as the application: each request creates an instance, which is the response body."""

    def __init__(self, environ, start_response):
        self.start_response = start_response

    def __iter__(self):
        self.start_response("200 OK", HEADERS)
        yield b"one "
        yield b"two"


class Called:
    """An instance as the application."""

    def __call__(self, environ, start_response):
        start_response("200 OK", HEADERS)
        return (b"one ", b"two")


def legacy(environ, start_response):
    write = start_response("200 OK", HEADERS)
    write(b"one ")
    return [b"two"]


def empty_first(environ, start_response):
    start_response("200 OK", HEADERS)
    yield b""
    yield b"one two"


FORMS = [function, generator, Iterated, Called(), legacy, empty_first]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", ["/x", "/{name}", "/x/*"])
def test_handler_can_be_any_wsgi_callable(form, key):
    application = chain(MIDDLEWARES, router({key: form}))
    answer = call(application, "/x")
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"one two", "text/plain")
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize("form", FORMS)
def test_head_drops_body_of_any_wsgi_callable(form):
    answer = call(chain(MIDDLEWARES, router({"/x": {"GET": form}})), "/x", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
