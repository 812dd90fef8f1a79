"""Gives every request an id, and every response an X-Request-ID. Behind nginx the id is nginx's."""

import os
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.headers import change_headers

LONGEST = 128  # characters


def request_id(handler: WSGIApplication) -> WSGIApplication:
    """Put an id into environ["HTTP_X_REQUEST_ID"], the client's if it is acceptable, and into the response."""

    def identified(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        identifier = environ.get("HTTP_X_REQUEST_ID", "")
        if not is_acceptable(identifier):
            identifier = environ["HTTP_X_REQUEST_ID"] = os.urandom(16).hex()
        header = ("X-Request-ID", identifier)
        return handler(environ, change_headers(start_response, lambda headers: [*headers, header]))

    return identified


def is_acceptable(identifier: str) -> bool:
    """Tell whether an id may be written to a header and to the log: ASCII letters, digits and dashes, not too long."""
    is_word = identifier.isalnum() or identifier.replace("-", "").isalnum()
    return is_word and identifier.isascii() and len(identifier) <= LONGEST
