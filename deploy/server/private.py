"""Removes from a text what belongs to the client of a request: its address, its query, its cookies and credentials.

The text of an exception often has the value at fault. It leaves the site in a trace or an error report.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote_plus
from wsgiref.types import WSGIEnvironment

from werkzeug.datastructures import Authorization
from werkzeug.http import parse_cookie

FIELDS = ("REMOTE_ADDR", "QUERY_STRING", "HTTP_COOKIE", "HTTP_AUTHORIZATION")
LEAST = 4  # characters: a shorter value can be a part of any word
PLACEHOLDER = "[private]"


def values(environ: WSGIEnvironment) -> Iterator[str]:
    """Yield each private field, and the values in it, as they were sent and decoded."""
    for name in FIELDS:
        field = environ.get(name, "")
        for text in (field, *re.findall(r"(?<==)[^&;]+", field), *re.findall(r"(?<==)[^&]+", field)):
            yield from (text, unquote_plus(text))
    yield from parse_cookie(environ).values()
    if credentials := Authorization.from_header(environ.get("HTTP_AUTHORIZATION")):
        yield from (credentials.token or "", *map(str, credentials.parameters.values()))


def without_private(text: str, environ: WSGIEnvironment) -> str:
    """Return the text with a placeholder in each place of a private value."""
    found = set(values(environ))
    found |= {repr(value)[1:-1] for value in found}  # as in the text of a KeyError
    found |= {line.strip() for value in found for line in value.splitlines()}
    for value in sorted(found, key=len, reverse=True):
        if len(value) >= LEAST:
            text = text.replace(value, PLACEHOLDER)
    return text
