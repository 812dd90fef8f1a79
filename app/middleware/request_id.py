"""Give each request an id and each response an X-Request-ID header. Behind nginx, nginx makes the id."""

import os
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.headers import change_headers

LONGEST = 128  # characters


def request_id(handler: WSGIApplication) -> WSGIApplication:
    """Put an id into environ["HTTP_X_REQUEST_ID"] and the response; keep the id in the request if it is valid."""

    def identified(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        identifier = environ.get("HTTP_X_REQUEST_ID", "")
        if not is_valid(identifier):
            identifier = environ["HTTP_X_REQUEST_ID"] = os.urandom(16).hex()
        header = ("X-Request-ID", identifier)
        return handler(environ, change_headers(start_response, lambda headers: [*headers, header]))

    return identified


def is_valid(identifier: str) -> bool:
    """Return whether the id has 1 to LONGEST ASCII letters, digits and dashes: safe in headers and logs."""
    is_word = identifier.isalnum() or identifier.replace("-", "").isalnum()
    return is_word and identifier.isascii() and len(identifier) <= LONGEST
