"""What a middleware must know of the body that it wraps."""

from collections.abc import Iterable, Iterator
from wsgiref.types import WSGIEnvironment

WHOLE = (list, tuple)


def close(body: Iterable[bytes]) -> None:
    """Close the body if it can be closed, as whoever takes it from a handler must (PEP 3333, Specification Details)."""
    closer = getattr(body, "close", None)
    if closer:
        closer()


class Wrapped:
    """The chunks that a middleware makes of a body, and the body, to be closed with them."""

    def __init__(self, chunks: Iterable[bytes], body: Iterable[bytes]) -> None:
        self.chunks = chunks
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        """Close the body, which the server would have done without us."""
        close(self.body)


def is_file(body: Iterable[bytes], environ: WSGIEnvironment) -> bool:
    """Tell whether the server is to send a file (PEP 3333, Optional Platform-Specific File Handling)."""
    wrapper = environ.get("wsgi.file_wrapper")
    # uWSGI's is a function, and returns the file itself.
    return isinstance(body, wrapper) if isinstance(wrapper, type) else hasattr(body, "read")
