"""Check that a response follows PEP 3333 and HTTP, on both servers: gunicorn checks some of this, uWSGI nothing.

Without these checks, a line break in a header's value would let a client add headers. A response that nginx refuses
would be a 503 without a reason in the log. Here each fault raises TypeError or ValueError: a 500 and a traceback.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from app.headers import Headers

STATUS = re.compile(r"[2-9][0-9][0-9]( [\t\x20-\x7e\x80-\xff]*)?")  # RFC 9112, 4; 1xx is not a final response
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
NO_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")  # RFC 9110, 5.5
FIELD_SIZE = 8 * 1024  # bytes of one header; nginx has the same limit for requests (large_client_header_buffers)
HEADERS_SIZE = 32 * 1024  # bytes of all headers
# Only the server may send these (PEP 3333, Other HTTP Features; RFC 9110, 7.6.1). This module drops
# them, as gunicorn does.
HOP_BY_HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers", "transfer-encoding"),
    "upgrade",
}


@lru_cache(64)
def allows_body(status: object) -> bool:
    """Return whether a response with this status has a body (RFC 9110, 15.3.5, 15.4.5); raise ValueError if faulty."""
    if not isinstance(status, str) or not STATUS.fullmatch(status):
        raise ValueError(f"the status is {status!r}: it must be text such as '404 Not Found'")
    return not status.startswith(("204", "304"))


@lru_cache(256)
def special(name: object) -> str:
    """Return the lower-case name of a header that `checked` handles, "" for others; raise TypeError or ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"a header is named {name!r}: name and value, both must be str")
    if not NAME.fullmatch(name):
        raise ValueError(f"a header is named {name!r}: it must not contain spaces, line breaks or colons")
    lower = name.lower()
    return lower if lower == "content-length" or lower in HOP_BY_HOP else ""


def checked(headers: Iterable[tuple[str, str]]) -> tuple[Headers, int | None]:
    """Return the headers to send, and the value of Content-Length; raise TypeError or ValueError for a fault."""
    sent: Headers = []
    length: int | None = None
    size = 0
    for name, value in headers:
        handled = special(name)
        if not (type(value) is str and value.isascii() and value.isprintable()):
            check_value(name, value)
        size += len(name) + len(value) + 4
        if handled:
            if handled != "content-length":
                continue
            if not (value.isdecimal() and length is None):
                raise ValueError(f"Content-Length is {value!r}: it must be one number of bytes")
            length = int(value)
        sent.append((name, value))
    if size > FIELD_SIZE:  # otherwise no header can be too large
        check_sizes(sent, size)
    return sent, length


def check_value(name: str, value: object) -> None:
    """Raise TypeError or ValueError unless the value is latin-1 text without control characters."""
    if not isinstance(value, str):
        raise TypeError(f"the header {name!r} is {value!r}: both must be str")
    if NO_VALUE.search(value):
        raise ValueError(f"the header {name!r} is {value!r}: it must be latin-1 text without line breaks")


def check_sizes(headers: Headers, size: int) -> None:
    """Raise ValueError for a header or for headers, of `size` bytes, that are too large."""
    for name, value in headers:
        if len(name) + len(value) > FIELD_SIZE:
            raise ValueError(f"the header {name!r} has {len(value)} bytes: at most {FIELD_SIZE} with its name")
    if size > HEADERS_SIZE:
        raise ValueError(f"the headers have {size} bytes: they may have at most {HEADERS_SIZE}")


def check_chunk(chunk: object) -> None:
    """Raise TypeError unless the chunk is bytes (PEP 3333, Buffering and Streaming)."""
    if not isinstance(chunk, bytes):
        raise TypeError(f"a part of the body is {chunk!r:.60}: it must be bytes (PEP 3333)")
