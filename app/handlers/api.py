"""JSON and streaming endpoints."""

import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app.request import DEPTH, json_body, media_type
from app.response import error, json, status_line
from app.settings import settings

CHUNKS = 7
CHUNK_INTERVAL = 0.5  # seconds


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the request's JSON; answer 415 to another media type, 413 to a large body, 400 to invalid JSON."""
    if media_type(environ) != "application/json":
        detail, accept = "Send Content-Type: application/json.", [("Accept", "application/json")]  # RFC 9110, 15.5.16
        return error(environ, start_response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, accept)
    try:
        return json(start_response, json_body(environ))
    except RequestEntityTooLarge:
        detail = f"The limit is {settings().max_body_bytes} bytes."
        return error(environ, start_response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    except (ValueError, ClientDisconnected):  # their text is for developers, and Python can change it
        detail = f"The body is not JSON of at most {DEPTH} levels."
        return error(environ, start_response, HTTPStatus.BAD_REQUEST, detail)


def stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Stream a text in chunks, one every CHUNK_INTERVAL seconds."""
    # Without X-Accel-Buffering, nginx collects the chunks and sends them together.
    start_response(
        status_line(HTTPStatus.OK), [("Content-Type", "text/plain; charset=utf-8"), ("X-Accel-Buffering", "no")]
    )
    for number in range(1, CHUNKS + 1):
        yield f"chunk {number} of {CHUNKS}\n".encode()
        if number < CHUNKS:
            time.sleep(CHUNK_INTERVAL)
