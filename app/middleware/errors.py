"""Answers 500 for a handler that fails, and logs its traceback once, with the request id. Keep it in every chain."""

import logging
import sys
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.body import WHOLE, Wrapped, is_file
from app.response import error

logger = logging.getLogger(__name__)


def errors(handler: WSGIApplication) -> WSGIApplication:
    """Turn any exception, SystemExit included, into an error response that hides it (PEP 3333, Error Handling)."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            body = handler(environ, start_response)
        except BaseException:  # noqa: BLE001 (sys.exit() in a handler must not end the server)
            return fail(environ, start_response)
        if isinstance(body, WHOLE) or is_file(body, environ):
            return body  # nothing is left to fail, and a server sends a file fast only if it gets that very object
        return Wrapped(chunks(body, environ, start_response), body)

    return guarded


def chunks(body: Iterable[bytes], environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Yield the body's chunks; where it fails before the first one, yield an error page instead."""
    try:
        rest = iter(body)
        first = next(rest, None)
    except BaseException:  # noqa: BLE001 (likewise)
        yield from fail(environ, start_response)
        return
    if first is not None:
        yield first
        yield from rest  # an exception from here on ends the response: its status is sent


def fail(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Begin the error response for the exception being handled, log that, and return the body.

    Where the response has begun, start_response raises the exception again, for the server to log and to cut the
    connection (PEP 3333, The start_response() Callable).
    """
    failure = sys.exc_info()
    body = error(
        environ,
        lambda status, headers, _=None: start_response(status, headers, failure),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    log(environ)
    return body


def log(environ: WSGIEnvironment) -> None:
    """Log the exception being handled, with the request that it failed."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")  # a mount moves a part of one to the other
    logger.exception(  # noqa: LOG004 (the callers handle it)
        "%s %s failed, request %s",
        environ["REQUEST_METHOD"],
        path.encode("unicode_escape").decode(),  # a newline in it cannot forge a line of the log
        environ.get("HTTP_X_REQUEST_ID", "-"),
    )
