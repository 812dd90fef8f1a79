"""A start_response that waits, for a middleware that needs the body before it decides about the headers."""

from __future__ import annotations  # Python 3.11 would evaluate some of these at every request

from collections.abc import Callable
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse

if TYPE_CHECKING:
    from _typeshed import OptExcInfo


class Deferred:
    """Holds back the status and the headers until `release` or a write() passes them to start_response."""

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
        """Take the status and the headers, or pass them on after `release`."""
        if not self.is_held:
            return self.start_response(status, headers, exc_info)
        self.status, self.headers = status, headers
        return self.write

    def begin(self) -> Callable[[bytes], object]:
        """Call start_response, if that has not been done, and return the server's write()."""
        if not self.server_write:
            self.server_write = self.start_response(self.status, self.headers)
        return self.server_write

    def release(self) -> None:
        """Call start_response now, or as soon as the handler calls this one."""
        self.is_held = False
        if self.status:
            self.begin()

    def write(self, data: bytes) -> object:
        """Send `data` at once, after the headers (PEP 3333, The write Callable)."""
        return self.begin()(data)
