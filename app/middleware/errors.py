"""Answer 500 if a handler raises, and log the traceback once, with the request id. Keep it in every chain."""

import logging
import sys
from collections.abc import (
    Callable,  # only with monitoring
    Iterable,
    Iterator,
)
from contextlib import suppress  # only with monitoring
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.body import WHOLE, Wrapped
from app.response import error

logger = logging.getLogger(__name__)
# begin monitoring
observers: list[Callable[[WSGIEnvironment], object]] = []  # called for each exception, while it is being handled
# end monitoring


def errors(handler: WSGIApplication) -> WSGIApplication:
    """Turn any exception, SystemExit included, into an error response without details (PEP 3333, Error Handling)."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            body = handler(environ, start_response)
        except BaseException:  # noqa: BLE001 (sys.exit() in a handler must not end the server)
            return fail(environ, start_response)
        if isinstance(body, WHOLE):
            return body  # a list cannot fail
        return Wrapped(chunks(body, environ, start_response), body)

    return guarded


def chunks(body: Iterable[bytes], environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Yield the body's chunks, or an error page if the body raises before its first chunk."""
    try:
        rest = iter(body)
        first = next(rest, None)
    except BaseException:  # noqa: BLE001 (as above)
        yield from fail(environ, start_response)
        return
    if first is not None:
        yield first
        yield from rest  # the status is sent: the server cuts the response if this raises


def fail(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Begin the error response for the exception being handled, log the exception, and return the body.

    If the response has begun, start_response raises the exception again. The server then logs it and closes the
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
    """Log the exception being handled, with the request's method, path and id."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")  # a mount splits the path between the two
    logger.exception(  # noqa: LOG004 (the callers handle it)
        "%s %s failed, request %s",
        environ["REQUEST_METHOD"],
        path.encode("unicode_escape").decode(),  # a newline in the path cannot forge a log line
        environ.get("HTTP_X_REQUEST_ID", "-"),
    )
    # begin monitoring
    for observe in observers:
        with suppress(Exception):
            observe(environ)
    # end monitoring
