"""The request body, read to its end before the response begins.

A server that closes a Unix socket with unread bytes resets it, and nginx then loses the response. So what a handler
leaves unread is read here. uWSGI's own wsgi.input is also no file as PEP 3333 wants it (readline(3) returns the whole
line, read(0) everything), and io.BufferedReader is.
"""

import io
import sys
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import IO
from wsgiref.types import WSGIEnvironment

BLOCK = 65_536  # bytes
IN_MEMORY = 1_048_576  # bytes of a body that is kept for a handler which reads it after its first chunk; more: a file


class RequestBody(io.RawIOBase):
    """The bytes of one request's body that the handler has not read yet."""

    def __init__(self, source: IO[bytes], length: int) -> None:
        self.source = source
        self.left = length
        self.is_kept = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # what io.BufferedReader hands over
        """Read into `buffer`, and return how many bytes; none at the end of the body."""
        data = self.source.read(min(len(buffer), self.left))
        self.left = self.left - len(data) if data else 0
        buffer[: len(data)] = data
        return len(data)

    def discard(self) -> None:
        """Read what is left, for nothing: no handler will."""
        with suppress(OSError):  # nginx is gone, and with it whoever would get the response
            while self.left and (data := self.source.read(min(BLOCK, self.left))):
                self.left -= len(data)
        self.left = 0

    def keep(self) -> None:
        """Read what is left, and keep it for the handler to read: it has begun its response, and not ended."""
        if self.left and not self.is_kept:
            kept = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (close() closes it)
            while self.left and (data := self.source.read(min(BLOCK, self.left))):
                self.left -= len(data)
                kept.write(data)
            self.left = kept.tell()
            kept.seek(0)
            self.source, self.is_kept = kept, True

    def close(self) -> None:
        """Close what was kept; the server's own input is the server's to close."""
        if self.is_kept:
            self.source.close()
        super().close()


def replace_input(environ: WSGIEnvironment) -> RequestBody | None:
    """Put a wsgi.input that ends with the body into environ (PEP 3333, Input and Error Streams); return its bytes."""
    length = environ.get("CONTENT_LENGTH") or "0"
    environ["wsgi.input_terminated"] = True
    if length == "0" and "HTTP_TRANSFER_ENCODING" not in environ:  # through nginx, only a body has a length
        environ["wsgi.input"] = io.BytesIO()
        return None
    body = RequestBody(environ["wsgi.input"], int(length) or sys.maxsize)
    environ["wsgi.input"] = io.BufferedReader(body, BLOCK)
    return body
