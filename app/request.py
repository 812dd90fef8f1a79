"""Functions that read a request from its environ, for values that need decoding or a limit."""

from wsgiref.types import WSGIEnvironment

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header
from werkzeug.wsgi import get_input_stream

from app.settings import settings


def body(environ: WSGIEnvironment) -> bytes:
    """Return the whole request body, chunked or not; raise RequestEntityTooLarge above MAX_BODY_BYTES."""
    return get_input_stream(environ, max_content_length=settings().max_body_bytes).read()


def media_type(environ: WSGIEnvironment) -> str:
    """Return the request body's media type in lower case, without parameters (RFC 9110, 8.3.1)."""
    return parse_options_header(environ.get("CONTENT_TYPE"))[0].lower()


def prefers_html(environ: WSGIEnvironment) -> bool:
    """Return whether the Accept header prefers HTML to JSON (RFC 9110, 12.5.1); `*/*` means JSON."""
    accept = parse_accept_header(environ.get("HTTP_ACCEPT"), MIMEAccept)
    return accept.best_match(["application/json", "text/html"]) == "text/html"
