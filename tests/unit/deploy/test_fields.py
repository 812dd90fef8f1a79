"""Header fields that gunicorn and uWSGI treat differently."""

import socket
import threading
from types import SimpleNamespace

import pytest

from deploy.server import fields


@pytest.mark.parametrize(
    ("value", "cleaned"), [("a", "a"), ("\ta b\t", "a b"), ("\t \xe9\t", "\xe9"), ("\x80\xa0", "\x80\xa0"), ("", "")]
)
def test_tabs_around_a_value_are_removed(value, cleaned):
    environ = {"HTTP_X": value, "CONTENT_TYPE": value, "PATH_INFO": "\t\x01"}
    assert fields.are_valid(environ)
    assert environ == {"HTTP_X": cleaned, "CONTENT_TYPE": cleaned, "PATH_INFO": "\t\x01"}


@pytest.mark.parametrize("name", ["HTTP_X", "CONTENT_TYPE"])
@pytest.mark.parametrize("code", [*range(9), *range(10, 32), 127])
def test_control_character_is_refused(code, name):
    assert not fields.are_valid({name: f"a{chr(code)}b"})


def test_repeated_fields_are_joined_in_the_place_of_the_first():
    request = SimpleNamespace(headers=[("A", "1"), ("B", "2"), ("A", ""), ("A", "3")])
    fields.join_repeated(None, request)
    assert request.headers == [("A", "1, , 3"), ("B", "2")]


@pytest.mark.parametrize(("status", "place"), [(400, "@malformed"), (431, "@too_large"), (500, "@unavailable")])
def test_refusal_reaches_nginx_while_the_body_arrives(status, place):
    server, nginx = socket.socketpair()
    refusing = threading.Thread(target=fields.refuse, args=(server, status, "", "<script>"))
    with nginx:
        refusing.start()
        nginx.sendall(b"x" * 100_000)
        received = nginx.recv(65_536).decode()
    refusing.join(10)
    server.close()
    assert received.startswith(f"HTTP/1.1 {status} ")
    assert f"\r\nX-Accel-Redirect: {place}\r\n" in received
    assert received.endswith("\r\n\r\n")
