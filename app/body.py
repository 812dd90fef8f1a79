"""Functions for middleware that wraps a response body."""

from collections.abc import Iterable, Iterator
from wsgiref.types import WSGIEnvironment

WHOLE = (list, tuple)


def close(body: Iterable[bytes]) -> None:
    """Close the body, if it can be closed, as middleware must (PEP 3333, Specification Details)."""
    closer = getattr(body, "close", None)
    if closer:
        closer()


class Wrapped:
    """An iterable of replacement chunks that closes the original body."""

    def __init__(self, chunks: Iterable[bytes], body: Iterable[bytes]) -> None:
        self.chunks = chunks
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        """Close the original body: the server closes only the object that it received."""
        close(self.body)


def is_file(body: Iterable[bytes], environ: WSGIEnvironment) -> bool:
    """Return whether the body is a wsgi.file_wrapper (PEP 3333, Optional Platform-Specific File Handling)."""
    wrapper = environ.get("wsgi.file_wrapper")
    # In uWSGI the wrapper is a function that returns the file itself.
    return isinstance(body, wrapper) if isinstance(wrapper, type) else hasattr(body, "read")
