"""The application as uWSGI runs it: a body of unknown length is sent in chunks, which uWSGI leaves to others.

Without chunks the end of such a body is the end of the connection. So nginx takes a stream that fails half-way for one
that is complete, and its client never learns of it; behind gunicorn, which sends chunks, it does. Transfer-Encoding is
for servers, and no application may send it (PEP 3333, Other HTTP Features): here we stand in for the server.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.body import Wrapped
from deploy.server import proxied

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

BODILESS = ("1", "204", "304")  # how the statuses of answers without a body begin (RFC 9112, 6.3)


def chunked(handler: WSGIApplication) -> WSGIApplication:
    """Send a body without Content-Length in chunks (RFC 9112, 7.1), the last one only when it has come to its end."""

    def framed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["SERVER_PROTOCOL"] != "HTTP/1.1" or environ["REQUEST_METHOD"] == "HEAD":
            return handler(environ, start_response)
        in_chunks: list[bool] = []  # empty until start_response says

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: "OptExcInfo | None" = None
        ) -> Callable[[bytes], object]:
            has_length = any(name.lower() == "content-length" for name, _ in headers)
            in_chunks[:] = [not has_length and not status.startswith(BODILESS)]
            if in_chunks[0]:
                headers = [*headers, ("Transfer-Encoding", "chunked")]
            write = start_response(status, headers, exc_info)
            return (lambda data: write(frame(data))) if in_chunks[0] else write

        body = handler(environ, start)
        return body if in_chunks == [False] else Wrapped(frames(body, in_chunks), body)

    return framed


def frames(body: Iterable[bytes], in_chunks: list[bool]) -> Iterator[bytes]:
    """Yield the body's chunks, framed where they have to be."""
    for chunk in body:
        if chunk:
            yield frame(chunk) if in_chunks == [True] else chunk
    if in_chunks == [True]:
        yield b"0\r\n\r\n"


def frame(chunk: bytes) -> bytes:
    """Return one chunk as it is sent."""
    return b"%x\r\n%s\r\n" % (len(chunk), chunk)


application = chunked(proxied.application)
