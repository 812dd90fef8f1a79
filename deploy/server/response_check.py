"""Check that a response follows PEP 3333 and HTTP, on both servers: gunicorn checks some of this, uWSGI nothing.

Without these checks, a line break in a header's value would let a client add headers. A response that nginx refuses
would be a 503 without a reason in the log. Here each fault raises TypeError or ValueError: a 500 and a traceback.
"""

import re
from collections.abc import Iterable

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


def checked(status: object, headers: Iterable[tuple[object, object]]) -> tuple[Headers, dict[str, str]]:
    """Return the headers to send, and a dict by lower-case name; raise TypeError or ValueError for a fault."""
    if not isinstance(status, str) or not STATUS.fullmatch(status):
        raise ValueError(f"the status is {status!r}: it must be text such as '404 Not Found'")
    by_name: dict[str, str] = {}
    size = 0
    sent: Headers = []
    for name, value in headers:
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(f"the header {name!r} is {value!r}: both must be str")
        if not NAME.fullmatch(name):
            raise ValueError(f"a header is named {name!r}: it must not contain spaces, line breaks or colons")
        if not (value.isascii() and value.isprintable()) and NO_VALUE.search(value):
            raise ValueError(f"the header {name!r} is {value!r}: it must be latin-1 text without line breaks")
        if len(name) + len(value) > FIELD_SIZE:
            raise ValueError(f"the header {name!r} has {len(value)} bytes: at most {FIELD_SIZE} with its name")
        size += len(name) + len(value) + 4
        lower = name.lower()
        if lower == "content-length" and not (value.isascii() and value.isdecimal() and lower not in by_name):
            raise ValueError(f"Content-Length is {value!r}: it must be one number of bytes")
        by_name[lower] = value
        sent.append((name, value))
    if size > HEADERS_SIZE:
        raise ValueError(f"the headers have {size} bytes: they may have at most {HEADERS_SIZE}")
    if not HOP_BY_HOP.isdisjoint(by_name):
        sent = [header for header in sent if header[0].lower() not in HOP_BY_HOP]
    return sent, by_name


def check_chunk(chunk: object) -> None:
    """Raise TypeError unless the chunk is bytes (PEP 3333, Buffering and Streaming)."""
    if not isinstance(chunk, bytes):
        raise TypeError(f"a part of the body is {chunk!r:.60}: it must be bytes (PEP 3333)")
