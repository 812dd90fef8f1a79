"""Gives every request an id and every response an X-Request-ID. nginx makes the id; without nginx this does."""

from __future__ import annotations  # Python 3.11 would evaluate those of `start` at every request

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

LONGEST = 128  # characters


def request_id(handler: WSGIApplication) -> WSGIApplication:
    """Put an id into environ["HTTP_X_REQUEST_ID"], the client's where it is acceptable, and into the response."""

    def identified(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        identifier = environ.get("HTTP_X_REQUEST_ID", "")
        # It is echoed in a header and written in the log: letters, digits and dashes, and not too many.
        if not (
            (identifier.isalnum() or identifier.replace("-", "").isalnum())
            and identifier.isascii()
            and len(identifier) <= LONGEST
        ):
            identifier = environ["HTTP_X_REQUEST_ID"] = os.urandom(16).hex()

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
        ) -> Callable[[bytes], object]:
            return start_response(status, [*headers, ("X-Request-ID", identifier)], exc_info)

        return handler(environ, start)

    return identified
