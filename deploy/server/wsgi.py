"""The callable that the servers run. It makes both servers follow PEP 3333 for the application.

gunicorn and uWSGI both deviate from PEP 3333, in different ways. Behind this callable they behave alike:

- The request's header fields are read alike (fields.py).
- The client's address, scheme and host come from nginx's headers (proxied.py).
- wsgi.input is a file that ends with the request body. A handler need not read it (request_body.py).
- wsgi.file_wrapper reads the file. uWSGI's own sends a file from its first byte, whatever its position, and both send
  the compressed bytes of a GzipFile.
- The application gets a copy of the environ, because it may change it in any way (PEP 3333, Specification Details).
- A faulty response becomes a 500 and a traceback (response_check.py). So does any exception. Otherwise SystemExit and
  KeyboardInterrupt would end a worker, or all of gunicorn.
- The server's start_response is called once, with the first byte. Until then a handler may call start_response again
  with exc_info (PEP 3333, The start_response() Callable). uWSGI 2.0 would send the new headers and lose the body.
- A body of unknown length is sent in chunks, so that nginx detects a cut response. gunicorn makes the chunks itself.
  For uWSGI this callable makes them.
- Each thread notes when it enters and leaves the application (progress.py).
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from errno import ECONNRESET
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import FileWrapper

import app.wsgi
from app.body import WHOLE, Wrapped
from app.headers import Headers
from app.log import configure_logging
from app.middleware import errors
from app.settings import settings
from deploy.server import live
from deploy.server.fields import are_valid, malformed
from deploy.server.progress import IDLE, SENDING, progress
from deploy.server.proxied import believe_nginx
from deploy.server.request_body import replace_input
from deploy.server.response_check import check_chunk, checked, has_body

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

# nginx streams these types. It buffers other types, so that a slow client does not hold a thread.
STREAMED = ("text/html", "text/event-stream", "application/x-ndjson")


class Exchange:
    """One request and its response, between the server and the application."""

    status = ""
    headers: Headers = []  # noqa: RUF012 (never changed: start() assigns another list)
    length: int | None = None  # the value of Content-Length
    has_body = True
    is_uwsgi = False
    is_framed = False
    sent = 0  # bytes of the body
    server_write: Callable[[bytes], object] | None = None  # set when the response has begun

    def __init__(self, environ: WSGIEnvironment, server_start: StartResponse) -> None:
        believe_nginx(environ)
        self.environ = environ
        self.server_start = server_start
        self.request_body = replace_input(environ)
        environ["wsgi.file_wrapper"] = FileWrapper
        # Not in PEP 3333, but applications read them: gunicorn has the first, uWSGI the second.
        environ["RAW_URI"] = environ["REQUEST_URI"] = environ.get("RAW_URI") or environ.get("REQUEST_URI", "")

    def start(self, status: str, headers: Headers, exc_info: "OptExcInfo | None" = None) -> Callable[[bytes], object]:
        """Store the status and the headers, and return write(). With exc_info, replace the stored ones."""
        if exc_info:
            if self.server_write and exc_info[1]:
                raise exc_info[1]
        elif self.status:
            raise AssertionError("start_response was called a second time, without exc_info")
        self.has_body = has_body[status] and self.environ["REQUEST_METHOD"] != "HEAD"
        self.headers, self.length = checked(headers)
        if not self.has_body and status.startswith("204"):  # gunicorn drops it (RFC 9110, 8.6)
            self.headers = [field for field in self.headers if field[0].lower() != "content-length"]
        self.headers.append(release)
        if ready and status.startswith("200") and self.environ.get("PATH_INFO") == "/readyz":
            self.headers += ready
        self.status = status
        return self.write

    def begin(self, length: int | None = None) -> Callable[[bytes], object]:
        """Begin the response at the server, and return its write(); `length` is the body's, in bytes, if known."""
        if not self.status:
            raise AssertionError("start_response was not called")
        if self.has_body and self.length is None:
            self.add_framing(length)
        self.server_write = self.server_start(self.status, self.headers)
        return self.server_write

    def add_framing(self, length: int | None) -> None:
        """Add the headers that say where a body without Content-Length ends, and whether nginx buffers it."""
        if length is not None:
            self.headers.append(("Content-Length", str(length)))
            return
        by_name = {name.lower(): value for name, value in self.headers}
        if by_name.get("content-type", "").startswith(STREAMED) and "x-accel-buffering" not in by_name:
            self.headers.append(("X-Accel-Buffering", "no"))
        self.is_framed = self.is_uwsgi and self.environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        if self.is_framed:
            self.headers.append(("Transfer-Encoding", "chunked"))

    def begin_early(self) -> Callable[[bytes], object]:
        """Begin the response of a handler that has not ended and may still read the request body."""
        if self.request_body:
            self.request_body.keep()
        return self.begin()

    def write(self, data: bytes) -> object:
        """Send `data` at once (PEP 3333, The write Callable)."""
        check_chunk(data)
        self.sent += len(data)
        if self.has_body and self.length is not None and self.sent > self.length:
            raise ValueError(f"Content-Length is {self.length}, but write() got {self.sent} bytes")
        write = self.server_write or self.begin_early()
        if not self.has_body:
            return None
        here.leave()
        try:
            return write(frame(data) if self.is_framed and data else data)
        finally:
            here.enter()

    def complete(self, body: list[bytes] | tuple[bytes, ...]) -> Iterable[bytes]:
        """Begin the response of a handler that has ended, and return its body."""
        length = 0
        for chunk in body:
            if type(chunk) is not bytes:  # otherwise a call for each chunk
                check_chunk(chunk)
            length += len(chunk)
        if self.has_body and self.length is not None and self.length != length:
            raise ValueError(f"Content-Length is {self.length}, but the body has {length} bytes")
        if self.request_body:
            self.request_body.discard()
        self.begin(length)
        return body if self.has_body else []

    def pieces(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the bytes to send for a body that the handler yields chunk by chunk."""
        if isinstance(body, str | bytes):  # iterable, but its items are not bytes
            check_chunk(body)
            raise TypeError("the handler returned bytes: it must return an iterable of bytes, such as [body]")
        for chunk in body:
            check_chunk(chunk)
            if chunk:
                if not self.server_write:
                    self.begin_early()
                if not self.has_body:
                    return
                self.sent += len(chunk)
                if self.length is not None and self.sent > self.length:  # stop (PEP 3333, Content-Length Header)
                    yield chunk[: self.length - self.sent]
                    return
                yield frame(chunk) if self.is_framed else chunk
        if not self.server_write:
            yield from self.complete([])
        elif self.has_body and self.length not in (None, self.sent):
            raise ValueError(f"Content-Length is {self.length}, but the body has {self.sent} bytes")
        if self.is_framed:
            yield b"0\r\n\r\n"

    def guarded(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces of the body; if the body raises, yield an error page or cut the response."""
        pieces = self.pieces(body)
        while True:
            here.enter()
            try:
                piece = next(pieces, None)
            except BaseException:  # noqa: BLE001 (sys.exit() in a handler must not end the server)
                yield from self.fail()
                return
            finally:
                here.leave()
            if piece is None:
                return
            yield piece

    def fail(self) -> Iterable[bytes]:
        """Answer 500 for the exception being handled and log it; if the response has begun, cut it."""
        try:
            return self.complete(errors.fail(self.environ, self.start))
        except BaseException:  # noqa: BLE001 (the response has begun, or the error page itself fails)
            errors.log(self.environ)
            if not self.server_write:
                self.start("500 Internal Server Error", [("Content-Type", "text/plain")], sys.exc_info())
                return self.complete([b"Internal Server Error\n"])
        if self.is_uwsgi:
            return []  # uWSGI closes the connection, and nginx detects that the end of the body is missing
        raise ConnectionResetError(ECONNRESET, "the response is cut")  # gunicorn closes the connection without a log


class Body(Wrapped):
    """The body that the server iterates over and closes."""

    def __init__(self, exchange: Exchange, body: Iterable[bytes]) -> None:
        super().__init__(exchange.guarded(body), body)
        self.environ = exchange.environ

    def close(self) -> None:
        """Close the application's body. Only log an exception, because the response is already sent."""
        here.enter()
        try:
            super().close()
        except BaseException:  # noqa: BLE001 (as above)
            errors.log(self.environ)
        finally:
            here.leave(IDLE)


def serve(handler: WSGIApplication, *, is_uwsgi: bool = False) -> WSGIApplication:
    """Return `handler` as the server's callable; `is_uwsgi`: check the fields and make the chunks, as gunicorn does."""

    def served(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        exchange = Exchange(environ, start_response)
        exchange.is_uwsgi = is_uwsgi
        place = here.enter()
        note = IDLE
        try:
            accepted = handler if not is_uwsgi or are_valid(environ) else malformed
            body = accepted(environ.copy(), exchange.start)
            if isinstance(body, WHOLE) and not exchange.server_write:
                return exchange.complete(body)
            note = SENDING
        except BaseException:  # noqa: BLE001 (as above)
            return exchange.fail()
        finally:
            here.notes[place] = note
        return Body(exchange, body)

    return served


def ready_headers(address: str) -> Headers:
    """Return, on a Swarm, the header with which nginx is ready only if it has this release's files (site.conf)."""
    return [] if address.startswith(live.UNIX) else [("X-Accel-Redirect", f"/nginx-published/{release[1]}")]


def frame(chunk: bytes) -> bytes:
    """Return the chunk in the chunked transfer coding (RFC 9112, 7.1)."""
    return b"%x\r\n%s\r\n" % (len(chunk), chunk)


configure_logging()
errors.logger.disabled = (
    False  # logging.config.dictConfig() in an application disables all loggers that it does not name
)
# For nginx's access log. nginx removes it from the response.
release = ("X-Release", f"{settings().release}-{settings().backend}")
ready = ready_headers(live.own_address(os.environ))
here = progress(settings().threads)
application = serve(app.wsgi.application, is_uwsgi=settings().backend == "uwsgi")
# begin monitoring
if settings().metrics_port:
    from deploy.server.metrics import measured  # not loaded otherwise

    application = measured(application)
if settings().traces_endpoint:
    from deploy.server.tracing import traced  # as above

    application = traced(application)
if settings().sentry_dsn:
    from deploy.server.error_reports import reported  # as above

    application = reported(application)
# end monitoring
