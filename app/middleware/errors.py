"""Answers 500 for a handler that fails, and logs its traceback once, with the request id. Keep it in every chain."""

import logging
import sys
from collections.abc import Generator, Iterable, Iterator
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.response import error

logger = logging.getLogger(__name__)


def errors(handler: WSGIApplication) -> WSGIApplication:
    """Turn an exception into an error response that tells nothing of it (PEP 3333, Error Handling)."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            body = handler(environ, start_response)
        except Exception:
            return failed(environ, start_response)
        # A list is all there and a file is the server's to send: only a generator still has our code to run.
        return Guarded(body, environ, start_response) if isinstance(body, Generator) else body

    return guarded


class Guarded:
    """A generator that ends in an error response where it fails before its first chunk, and re-raises after it."""

    def __init__(self, body: Generator[bytes], environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self.body = body
        self.environ = environ
        self.start_response = start_response

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self.body
        except Exception:
            yield from failed(self.environ, self.start_response)

    def close(self) -> None:
        self.body.close()


def failed(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Log the exception in flight and answer for it; where the response has begun, start_response raises it again."""
    logger.exception(
        "%s %s failed, request %s",
        environ["REQUEST_METHOD"],
        environ.get("PATH_INFO", ""),
        environ.get("HTTP_X_REQUEST_ID", "-"),
    )
    return error(environ, start_response, HTTPStatus.INTERNAL_SERVER_ERROR, exc_info=sys.exc_info())
