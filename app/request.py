"""Functions that read a request from its environ, for values that need decoding or a limit."""

import json
import re
from typing import NoReturn
from wsgiref.types import WSGIEnvironment

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header
from werkzeug.wsgi import get_input_stream

from app.settings import settings

DEPTH = 100  # arrays and objects inside each other; how many Python's parser allows depends on the thread's stack
TOKENS = re.compile(r'"(?:[^"\\]+|\\.)*"?|[\[{\]}]', re.DOTALL)  # strings, which may contain brackets, and brackets


def body(environ: WSGIEnvironment) -> bytes:
    """Return the whole request body, chunked or not; raise RequestEntityTooLarge above MAX_BODY_BYTES."""
    return get_input_stream(environ, max_content_length=settings().max_body_bytes).read()


def json_body(environ: WSGIEnvironment) -> object:
    """Return the request's JSON (RFC 8259); raise ValueError if it is malformed or deeper than DEPTH.

    Raise RequestEntityTooLarge above MAX_BODY_BYTES.
    """
    content = body(environ)
    text = content.decode(json.detect_encoding(content))
    if text.count("[") + text.count("{") > DEPTH:
        depth = 0
        for token in TOKENS.finditer(text):
            depth += (token[0] in "[{") - (token[0] in "]}")
            if depth > DEPTH:
                raise ValueError(f"more than {DEPTH} arrays and objects are inside each other")
    return json.loads(text, parse_constant=refuse)


def refuse(constant: str) -> NoReturn:
    """Raise ValueError: Python's parser accepts NaN and Infinity, but JSON does not (RFC 8259, 6)."""
    raise ValueError(f"{constant} is not a JSON value")


def media_type(environ: WSGIEnvironment) -> str:
    """Return the request body's media type in lower case, without parameters (RFC 9110, 8.3.1)."""
    return parse_options_header(environ.get("CONTENT_TYPE"))[0].lower()


def prefers_html(environ: WSGIEnvironment) -> bool:
    """Return whether the Accept header prefers HTML to JSON (RFC 9110, 12.5.1); `*/*` means JSON."""
    accept = parse_accept_header(environ.get("HTTP_ACCEPT"), MIMEAccept)
    return accept.best_match(["application/json", "text/html"]) == "text/html"
