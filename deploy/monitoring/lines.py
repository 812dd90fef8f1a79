"""Turn the JSON lines of the logs into text for a terminal."""

import json
import re
from typing import Any, cast

from app.log_line import printable

LINE = re.compile(r"(?P<source>[\w.@-]+ +\| )?(?P<entry>\{.*\})")  # Docker writes the name of the container before it
COLOURS = {"warning": "33", "error": "31", "critical": "31"}  # ECMA-48, SGR


def readable(line: str, *, is_coloured: bool = False) -> str:
    """Return a line of a log as text. A line that is not of this project's logs stays as it is."""
    found = LINE.fullmatch(line)
    source, entry = (found["source"] or "", parsed(found["entry"])) if found else ("", None)
    if entry is None:
        return printable(line)
    clock = printable(str(entry["time"]).partition("T")[2][:12].partition("+")[0])
    identifier = str(entry.get("request_id", ""))
    if "message" in entry:
        level = str(entry.get("level"))
        subject = coloured(level, COLOURS.get(level, "32"), is_coloured=is_coloured)
        text = f"{entry.get('logger')}: {entry['message']}"
        if "traceback" in entry:
            text += f"\n{entry['traceback']}"
    else:
        status = str(entry.get("status"))
        colour = {"4": "33", "5": "31"}.get(status[:1], "32")
        subject = coloured(status, colour, is_coloured=is_coloured)
        text = f"{entry.get('method')} {entry.get('path')} {entry.get('seconds')}s {entry.get('error', '')}".rstrip()
    return f"{source}{clock} {subject} {printable(text)} {coloured(identifier, '2', is_coloured=is_coloured)}".rstrip()


def parsed(text: str) -> dict[str, Any] | None:
    """Return the entry of a log, or None for other text."""
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_entry = type(entry) is dict and "time" in entry and ("message" in entry or "status" in entry)
    return cast("dict[str, Any]", entry) if is_entry else None


def coloured(text: str, colour: str, *, is_coloured: bool) -> str:
    """Return the text in a colour, if there is any text."""
    return f"\x1b[{colour}m{printable(text)}\x1b[0m" if is_coloured and text else printable(text)
