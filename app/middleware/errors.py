"""Answers 500 for a handler that fails, and logs its traceback once, with the request id. Keep it in every chain.

A handler can fail after it has called start_response: a generator, on the way to its first chunk. PEP 3333 lets it be
called again then, with exc_info; but uWSGI 2.0 sends the new headers and loses the body. So start_response is held
back here until there is a first chunk, and the server sees one call only, for the page or for the error.
"""

import logging
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.body import WHOLE, Wrapped, is_file
from app.deferred import Deferred
from app.response import error

logger = logging.getLogger(__name__)


def errors(handler: WSGIApplication) -> WSGIApplication:
    """Turn an exception into an error response that tells nothing of it (PEP 3333, Error Handling)."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = Deferred(start_response)
        path = environ.get("PATH_INFO", "")  # before a mount moves it
        try:
            body = handler(environ, response)
        except Exception:  # noqa: BLE001 (whatever it is, it is answered)
            return fail(environ, path, response)
        if response.started and (isinstance(body, WHOLE) or is_file(body, environ)):
            response.begin()  # nothing is left to fail, and a server sends a file fast only if it gets that very object
            return body
        return Wrapped(chunks(body, environ, path, response), body)

    return guarded


def chunks(body: Iterable[bytes], environ: WSGIEnvironment, path: str, response: Deferred) -> Iterator[bytes]:
    """Yield the body's chunks, or those of an error page in their place."""
    try:
        for chunk in body:
            response.begin()
            yield chunk
        response.begin()  # for a body without a chunk
    except Exception:  # noqa: BLE001 (likewise)
        yield from fail(environ, path, response)


def fail(environ: WSGIEnvironment, path: str, response: Deferred) -> list[bytes]:
    """Log the exception in flight and answer for it; where the response has begun, raise it to the server."""
    logger.exception(  # noqa: LOG004 (called by those that handle it)
        "%s %s failed, request %s",
        environ["REQUEST_METHOD"],
        path.encode("unicode_escape").decode(),  # a newline in it cannot forge a line of the log
        environ.get("HTTP_X_REQUEST_ID", "-"),
    )
    if response.server_write:
        raise  # noqa: PLE0704 (the exception in flight is the caller's)
    return error(environ, response.start_response, HTTPStatus.INTERNAL_SERVER_ERROR)
