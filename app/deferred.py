"""A start_response that waits, for a middleware that decides about a response when it has seen the body."""

from __future__ import annotations  # Python 3.11 would evaluate some of these at every request

from collections.abc import Callable
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse

if TYPE_CHECKING:
    from _typeshed import OptExcInfo


class Deferred:
    """Holds the status and the headers back until `begin` or `release` hands them to the server's start_response."""

    __slots__ = ("held", "server_write", "start_response", "started")

    def __init__(self, start_response: StartResponse) -> None:
        self.start_response = start_response
        self.started: tuple[str, list[tuple[str, str]]] | None = None
        self.server_write: Callable[[bytes], object] | None = None
        self.held = True

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """Take the response, or, with exc_info, another one in its place (PEP 3333, The start_response() Callable)."""
        if exc_info:
            if self.server_write and exc_info[1]:
                raise exc_info[1]
        elif self.started:
            raise AssertionError("start_response was called a second time, without exc_info")
        self.started = (status, headers)
        return self.write if self.held else self.begin()

    def begin(self) -> Callable[[bytes], object]:
        """Call the server's start_response, if that has not been done yet, and return its write."""
        if not self.server_write:
            if not self.started:
                raise AssertionError("there is a body, and start_response was not called")
            self.server_write = self.start_response(*self.started)
        return self.server_write

    def release(self) -> None:
        """Begin now, or as soon as the handler starts the response."""
        self.held = False
        if self.started:
            self.begin()

    def write(self, data: bytes) -> object:
        """Send `data` at once: the legacy way to make a body, which PEP 3333 keeps for old frameworks."""
        return self.begin()(data)
