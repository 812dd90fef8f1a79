"""A start_response for middleware that needs the body before it can set the headers."""

from __future__ import annotations  # Python 3.11 would evaluate the annotations at each request

from collections.abc import Callable
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse

if TYPE_CHECKING:
    from _typeshed import OptExcInfo


class Deferred:
    """Hold the status and the headers until release() or a write() passes them to start_response."""

    __slots__ = ("headers", "is_held", "server_write", "start_response", "status")

    def __init__(self, start_response: StartResponse) -> None:
        self.start_response = start_response
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.server_write: Callable[[bytes], object] | None = None
        self.is_held = True

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """Store the status and the headers, or pass them on after release()."""
        if not self.is_held:
            return self.start_response(status, headers, exc_info)
        self.status, self.headers = status, headers
        return self.write

    def begin(self) -> Callable[[bytes], object]:
        """Call the server's start_response if it was not called yet, and return its write()."""
        if not self.server_write:
            self.server_write = self.start_response(self.status, self.headers)
        return self.server_write

    def release(self) -> None:
        """Pass the status and the headers to the server, now or when the handler sets them."""
        self.is_held = False
        if self.status:
            self.begin()

    def write(self, data: bytes) -> object:
        """Send the headers and `data` immediately (PEP 3333, The write Callable)."""
        return self.begin()(data)
