"""Check that a response follows PEP 3333 and HTTP, on both servers: gunicorn checks some of this, uWSGI nothing.

Without these checks, a line break in a header's value would let a client add headers. A response that nginx refuses
would be a 503 without a reason in the log. Here each fault raises TypeError or ValueError: a 500 and a traceback.
"""

import re
from collections.abc import Iterable

from app.headers import Headers
from deploy.server.memo import Memo

STATUS = re.compile(r"[2-9][0-9][0-9]( [\t\x20-\x7e\x80-\xff]*)?")  # RFC 9112, 4; 1xx is not a final response
NAME_SIZE = 256  # bytes of a header's name
NAME = re.compile(rf"[!#$%&'*+.^_`|~0-9A-Za-z-]{{1,{NAME_SIZE}}}")  # RFC 9110, 5.6.2
NO_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")  # RFC 9110, 5.5
FIELD_SIZE = 8 * 1024  # bytes of one header; nginx has the same limit for requests (large_client_header_buffers)
HEADERS_SIZE = 32 * 1024  # bytes of all headers
# Only the server may send these (PEP 3333, Other HTTP Features; RFC 9110, 7.6.1). This module drops
# them, as gunicorn does.
HOP_BY_HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers", "transfer-encoding"),
    "upgrade",
}
REPLACED = {"x-request-id"}  # by nginx (nginx/headers.conf)
LENGTH, DROPPED = "content-length", "dropped"  # kinds of headers


def allows_body(status: object) -> bool:
    """Return whether a response with this status has a body (RFC 9110, 15.3.5, 15.4.5); raise ValueError if faulty."""
    if not isinstance(status, str) or not STATUS.fullmatch(status):
        raise ValueError(f"the status is {status!r}: it must be text such as '404 Not Found'")
    return not status.startswith(("204", "304"))


def kind(name: object) -> str:
    """Return LENGTH, DROPPED, or "" for other headers; raise TypeError or ValueError for a faulty name."""
    if not isinstance(name, str):
        raise TypeError(f"a header is named {name!r}: name and value, both must be str")
    if not NAME.fullmatch(name):
        raise ValueError(f"a header is named {name!r}: 1 to {NAME_SIZE} letters or digits, no spaces or colons")
    lower = name.lower()
    return LENGTH if lower == LENGTH else DROPPED if lower in HOP_BY_HOP | REPLACED else ""


has_body = Memo(allows_body)
kinds = Memo(kind)


def checked(headers: Iterable[tuple[str, str]]) -> tuple[Headers, int | None]:
    """Return the headers to send, and the value of Content-Length; raise TypeError or ValueError for a fault."""
    sent: Headers = []
    length: int | None = None
    text = ""  # all values: one check of it takes half the instructions of a check of each
    for name, value in headers:
        if found := kinds[name]:
            if found == DROPPED:
                continue
            length = content_length(value, length)
        try:
            text += value
        except TypeError:
            raise TypeError(f"the header {name!r} is {value!r}: both must be str") from None
        sent.append((name, value))
    if not (text.isascii() and text.isprintable()):
        check_values(sent)
    if len(text) + len(sent) * NAME_SIZE > FIELD_SIZE:  # otherwise no header can be too large
        check_sizes(sent)
    return sent, length


def content_length(value: object, earlier: int | None) -> int:
    """Return the value of Content-Length; raise ValueError unless it is a number, and the only one."""
    if isinstance(value, str) and value.isdecimal() and earlier is None:
        return int(value)
    raise ValueError(f"Content-Length is {value!r}: it must be one number of bytes")


def check_values(headers: Headers) -> None:
    """Raise ValueError unless each value is latin-1 text without control characters."""
    for name, value in headers:
        if NO_VALUE.search(value):
            raise ValueError(f"the header {name!r} is {value!r}: it must be latin-1 text without line breaks")


def check_sizes(headers: Headers) -> None:
    """Raise ValueError for a header or for headers that are too large."""
    for name, value in headers:
        if len(name) + len(value) > FIELD_SIZE:
            raise ValueError(f"the header {name!r} has {len(value)} bytes: at most {FIELD_SIZE} with its name")
    size = sum(len(f"{name}: {value}\r\n") for name, value in headers)
    if size > HEADERS_SIZE:
        raise ValueError(f"the headers have {size} bytes: they may have at most {HEADERS_SIZE}")


def check_chunk(chunk: object) -> None:
    """Raise TypeError unless the chunk is bytes (PEP 3333, Buffering and Streaming)."""
    if not isinstance(chunk, bytes):
        raise TypeError(f"a part of the body is {chunk!r:.60}: it must be bytes (PEP 3333)")
