"""Answers 500 for a handler that fails, and logs its traceback once, with the request id. Keep it in every chain.

A handler can fail after it has called start_response: a generator, on the way to its first chunk. PEP 3333 lets it be
called again then, with exc_info; but uWSGI 2.0 sends the new headers and loses the body. So start_response is held
back here until there is a first chunk, and the server sees one call only, for the page or for the error.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.response import Headers, error

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

logger = logging.getLogger(__name__)


def errors(handler: WSGIApplication) -> WSGIApplication:
    """Turn an exception into an error response that tells nothing of it (PEP 3333, Error Handling)."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = Response(start_response)
        try:
            body = handler(environ, response)
        except Exception:  # noqa: BLE001 (whatever it is, it is answered)
            return response.fail(environ)
        if response.started and (isinstance(body, list | tuple) or is_file(body, environ)):
            response.begin()  # nothing is left to fail, and a server sends a file fast only if it gets that very object
            return body
        return Guarded(body, environ, response)

    return guarded


class Response:
    """A start_response that waits for the first chunk; until then the response can become another one."""

    __slots__ = ("server_write", "start_response", "started")

    def __init__(self, start_response: StartResponse) -> None:
        self.start_response = start_response
        self.started: tuple[str, Headers] | None = None
        self.server_write: Callable[[bytes], object] | None = None

    def __call__(
        self, status: str, headers: Headers, exc_info: "OptExcInfo | None" = None
    ) -> Callable[[bytes], object]:
        """Take the response, or, with exc_info, another one in its place (PEP 3333, The start_response() Callable)."""
        if self.started and not exc_info:
            raise AssertionError("start_response was called a second time, without exc_info")
        if self.server_write and exc_info and exc_info[1]:
            raise exc_info[1]
        self.started = (status, headers)
        return self.write

    def begin(self) -> Callable[[bytes], object]:
        """Call the server's start_response, if that has not been done yet."""
        if not self.server_write:
            if not self.started:
                raise AssertionError("there is a body, and start_response was not called")
            self.server_write = self.start_response(*self.started)
        return self.server_write

    def write(self, data: bytes) -> object:
        """Send `data` at once: the legacy way to make a body, which PEP 3333 keeps for old frameworks."""
        return self.begin()(data)

    def fail(self, environ: WSGIEnvironment) -> list[bytes]:
        """Log the exception in flight and answer for it; where the response has begun, raise it to the server."""
        logger.exception(  # noqa: LOG004 (called by those that handle it)
            "%s %s failed, request %s",
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO", ""),
            environ.get("HTTP_X_REQUEST_ID", "-"),
        )
        if self.server_write:
            raise  # noqa: PLE0704 (the exception in flight is the caller's)
        return error(environ, self.start_response, HTTPStatus.INTERNAL_SERVER_ERROR)


class Guarded:
    """A body whose chunks are still to be made."""

    def __init__(self, body: Iterable[bytes], environ: WSGIEnvironment, response: Response) -> None:
        self.body = body
        self.environ = environ
        self.response = response

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self.body:
                self.response.begin()
                yield chunk
            self.response.begin()  # for a body without a chunk
        except Exception:  # noqa: BLE001 (likewise)
            yield from self.response.fail(self.environ)

    def close(self) -> None:
        """Close the body, which the server would have done without us."""
        if hasattr(self.body, "close"):
            self.body.close()


def is_file(body: Iterable[bytes], environ: WSGIEnvironment) -> bool:
    """Tell whether the server is to send a file (PEP 3333, Optional Platform-Specific File Handling)."""
    wrapper = environ.get("wsgi.file_wrapper")
    # uWSGI's is a function, and returns the file itself.
    return isinstance(body, wrapper) if isinstance(wrapper, type) else hasattr(body, "read")
