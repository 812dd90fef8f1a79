"""Gives every request an id and every response an X-Request-ID. nginx makes the id; without nginx this does."""

import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

# It is echoed in a header and written in the log, so what a client may send there is bounded.
acceptable = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


def request_id(handler: WSGIApplication) -> WSGIApplication:
    """Put an id into environ["HTTP_X_REQUEST_ID"], the client's where it is acceptable, and into the response."""

    def identified(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        identifier = environ.get("HTTP_X_REQUEST_ID", "")
        if not acceptable(identifier):
            identifier = environ["HTTP_X_REQUEST_ID"] = os.urandom(16).hex()

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: "OptExcInfo | None" = None
        ) -> Callable[[bytes], object]:
            return start_response(status, [*headers, ("X-Request-ID", identifier)], exc_info)

        return handler(environ, start)

    return identified
