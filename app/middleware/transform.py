"""Change the body of responses of one media type, chunk by chunk: `transform("text/plain", reverse)`.

Use it for handlers that you cannot change. Otherwise change the body in the handler.
"""

from __future__ import annotations  # Python 3.11 would evaluate the annotations of `start` at each request

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.body import Wrapped
from app.headers import Headers

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

# Headers that describe the body before the change.
STALE = {"content-length", "etag", "content-md5", "digest", "accept-ranges"}


def transform(media_type: str, change: Callable[[bytes], bytes]) -> Callable[[WSGIApplication], WSGIApplication]:
    """Return middleware that applies `change` to each chunk of responses whose Content-Type is `media_type`."""

    def middleware(handler: WSGIApplication) -> WSGIApplication:
        def transformed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            types: list[str] = []  # the response's media type, empty until the handler calls `start`

            def start(status: str, headers: Headers, exc_info: OptExcInfo | None = None) -> Callable[[bytes], object]:
                types[:] = [
                    value.partition(";")[0].lower() for name, value in headers if name.lower() == "content-type"
                ]
                if types != [media_type]:
                    return start_response(status, headers, exc_info)
                kept = [(name, value) for name, value in headers if name.lower() not in STALE]
                write = start_response(status, kept, exc_info)
                return lambda data: write(change(data))

            body = handler(environ, start)
            if types and types != [media_type]:
                return body
            return Wrapped((change(chunk) if types == [media_type] else chunk for chunk in body), body)

        return transformed

    return middleware


def reverse(chunk: bytes) -> bytes:
    """Return the text with its characters in reverse order. Reversed bytes would not be UTF-8."""
    return chunk.decode()[::-1].encode()
