"""Functions for middleware that wraps a response body."""

from collections.abc import Iterable, Iterator

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
