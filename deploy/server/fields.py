"""Equalise how gunicorn and uWSGI treat the header fields of a request. Where one server refuses them, nginx answers.

| Fields | gunicorn alone | uWSGI alone | here |
| --- | --- | --- | --- |
| a control character in a value | a page of its own, 400 | passed on | nginx's page, 400 |
| a tab before or after a value | removed | passed on | removed |
| a repeated name | joined by "," | joined by ", " | joined by ", " |
| more than limit_request_fields | a page of its own, 431 | connection closed | nginx's page, 431 |
"""

import re
import socket
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from deploy.server.memo import Memo

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110, 5.5
PLAIN = bytes([*range(0x20, 0x7F), *range(0x80, 0x100)])  # all but control characters and tabs
# Locations in nginx/proxy.conf.
MALFORMED, TOO_LARGE, UNAVAILABLE = "@malformed", "@too_large", "@unavailable"
LINGER = 2  # seconds


def names_of_fields(names: tuple[str, ...]) -> list[str]:
    """Return those of the names in an environ that belong to header fields with text."""
    return [name for name in names if name.startswith("HTTP_") or name == "CONTENT_TYPE"]


fields = Memo(names_of_fields)


def are_valid(environ: WSGIEnvironment) -> bool:
    """Remove tabs around the values of fields, and return whether no value has a control character."""
    # Clients send few combinations of fields. To look each name up takes twice the instructions, and isprintable()
    # from 120 characters on more than translate().
    names = fields[(*environ,)]
    if not "".join([environ[name] for name in names]).encode("latin-1").translate(None, PLAIN):
        return True
    for name in names:
        if CONTROL.search(environ[name]):
            return False
        environ[name] = environ[name].strip("\t ")
    return True


def malformed(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Let nginx answer 400, as it does for gunicorn."""
    start_response("400 Bad Request", [("X-Accel-Redirect", MALFORMED)])
    return []


def join_repeated(_worker: object, request: Any) -> None:  # noqa: ANN401 (gunicorn has no types)
    """Join repeated fields by ", " (RFC 9110, 5.3): gunicorn's hook pre_request."""
    if len({name for name, _ in request.headers}) < len(request.headers):
        joined: dict[str, str] = {}
        for name, value in request.headers:
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        request.headers = [*joined.items()]


def refuse(connection: socket.socket, status: int, _reason: str, _message: str) -> None:
    """Let nginx answer instead of gunicorn: a replacement of gunicorn.util.write_error, with its arguments."""
    place = TOO_LARGE if status == 431 else MALFORMED if status < 500 else UNAVAILABLE  # noqa: PLR2004 (HTTP's own)
    head = f"HTTP/1.1 {status} Refused\r\nConnection: close\r\nContent-Length: 0\r\nX-Accel-Redirect: {place}\r\n\r\n"
    connection.sendall(head.encode())
    # Unread bytes would reset the connection, and nginx would lose this response (request_body.py).
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(LINGER)
    while connection.recv(65_536):
        pass
