"""A dict of a function's results, for what every request asks again."""

from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
MOST = 256  # results; clients can make up new keys for ever


class Memo(dict[Key, Value]):
    """The results of a function by argument. A look-up takes a third of the instructions of functools.lru_cache's."""

    def __init__(self, function: Callable[[Key], Value]) -> None:
        super().__init__()
        self.function = function

    def __missing__(self, key: Key) -> Value:
        """Return the result for a new key, and remember it; an exception is raised again each time."""
        value = self.function(key)
        if len(self) < MOST:
            self[key] = value
        return value
