"""A line of the JSON log. It imports little, because the first process of a container uses it too."""

import re
import time
from collections.abc import Mapping
from json import dumps

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def timestamp(seconds: float) -> str:
    """Return the time in UTC with milliseconds (RFC 3339)."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}+00:00"


def encode(entry: Mapping[str, object]) -> str:
    """Return the entry as ASCII JSON, without the end of the line. A value that JSON lacks becomes text."""
    try:
        return dumps(entry, default=str, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # NaN, a key that is no text, a value that contains itself
        return dumps(texts(entry))


def texts(entry: Mapping[str, object]) -> dict[str, str]:
    """Return the entry with each value as text."""
    return {key: value if isinstance(value, str) else repr(value) for key, value in entry.items()}


def printable(text: str) -> str:
    """Return the text for a terminal, which it cannot control: no further line can pass for an entry of the log."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text).replace("\n", "\n    ")
