"""A line of the JSON log. It imports little, because the first process of a container uses it too."""

import re
import time
from collections.abc import Mapping
from json import dumps

# Also what reverses the direction of text: a terminal would show it in another order.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
ESCAPE = re.compile(r"\\(?:ud[89ab]..\\ud[c-f]..|(ud[89a-f]..)|.)")  # in JSON; the group is half a pair of surrogates


def timestamp(seconds: float) -> str:
    """Return the time in UTC with milliseconds (RFC 3339)."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}+00:00"


def encode(entry: Mapping[str, object]) -> str:
    """Return the entry as ASCII JSON, without the end of the line. A value that JSON lacks becomes text."""
    try:
        line = dumps(entry, default=str, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # NaN, a key that is no text, a value that contains itself
        line = dumps(texts(entry))
    # Many parsers refuse half of a pair.
    return ESCAPE.sub(lambda found: r"\ufffd" if found[1] else found[0], line) if r"\ud" in line else line


def texts(entry: Mapping[str, object]) -> dict[str, str]:
    """Return the entry with each value as text."""
    return {key: value if isinstance(value, str) else repr(value) for key, value in entry.items()}


def printable(text: str) -> str:
    """Return the text for a terminal, which it cannot control: no further line can pass for an entry of the log."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text).replace("\n", "\n    ")
