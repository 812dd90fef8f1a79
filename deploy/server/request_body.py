"""Read the request body to its end before the response begins.

If a server closes a Unix socket with unread bytes, the connection is reset and nginx loses the response. This module
therefore reads the bytes that a handler leaves unread. It also replaces uWSGI's wsgi.input by an io.BufferedReader:
uWSGI's does not follow PEP 3333, because readline(3) returns the whole line and read(0) returns everything.
"""

import io
import sys
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import IO
from wsgiref.types import WSGIEnvironment

BLOCK = 65_536  # bytes
IN_MEMORY = 1_048_576  # bytes of a stored body; a larger one is stored in a file


class RequestBody(io.RawIOBase):
    """The bytes of one request's body that the handler has not read yet."""

    def __init__(self, source: IO[bytes], length: int) -> None:
        self.source = source
        self.left = length
        self.is_kept = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # io.BufferedReader passes a memoryview
        """Read into `buffer` and return the number of bytes, 0 at the end of the body."""
        data = self.source.read(min(len(buffer), self.left))
        self.left = self.left - len(data) if data else 0
        buffer[: len(data)] = data
        return len(data)

    def discard(self) -> None:
        """Read and discard the unread bytes, because the handler has ended."""
        with suppress(OSError):  # nginx has closed the connection: no client needs the response
            while self.left and (data := self.source.read(min(BLOCK, self.left))):
                self.left -= len(data)
        self.left = 0

    def keep(self) -> None:
        """Read and store the unread bytes for a handler that has begun its response and may still read them."""
        if self.left and not self.is_kept:
            kept = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (close() closes it)
            while self.left and (data := self.source.read(min(BLOCK, self.left))):
                self.left -= len(data)
                kept.write(data)
            self.left = kept.tell()
            kept.seek(0)
            self.source, self.is_kept = kept, True

    def close(self) -> None:
        """Close the stored bytes. The server closes its own input."""
        if self.is_kept:
            self.source.close()
        super().close()


def replace_input(environ: WSGIEnvironment) -> RequestBody | None:
    """Replace wsgi.input by a file that ends with the body (PEP 3333, Input and Error Streams), and return the body."""
    length = environ.get("CONTENT_LENGTH") or "0"
    environ["wsgi.input_terminated"] = True
    if length == "0" and "HTTP_TRANSFER_ENCODING" not in environ:  # nginx gives each body a length
        environ["wsgi.input"] = io.BytesIO()
        return None
    body = RequestBody(environ["wsgi.input"], int(length) or sys.maxsize)
    environ["wsgi.input"] = io.BufferedReader(body, BLOCK)
    return body
