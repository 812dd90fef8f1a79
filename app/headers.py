"""A helper for middleware that changes response headers."""

from __future__ import annotations  # Python 3.11 would evaluate the annotations of `start` at each request

from collections.abc import Callable
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

Headers = list[tuple[str, str]]


def change_headers(start_response: StartResponse, change: Callable[[Headers], Headers]) -> StartResponse:
    """Return a start_response that passes `change(headers)`, and exc_info unchanged, to the given one."""

    def start(status: str, headers: Headers, exc_info: OptExcInfo | None = None) -> Callable[[bytes], object]:
        return start_response(status, change(headers), exc_info)

    return start
