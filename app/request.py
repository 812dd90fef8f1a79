"""Functions that read a request out of its environ, where a plain `environ[...]` would not do."""

from wsgiref.types import WSGIEnvironment

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header
from werkzeug.wsgi import get_input_stream

from app.settings import settings


def body(environ: WSGIEnvironment) -> bytes:
    """Return the whole request body, chunked or not; raise RequestEntityTooLarge past settings().max_body_bytes."""
    return get_input_stream(environ, max_content_length=settings().max_body_bytes).read()


def media_type(environ: WSGIEnvironment) -> str:
    """Return the request body's media type in lower case, without its parameters (RFC 9110, 8.3.1)."""
    return parse_options_header(environ.get("CONTENT_TYPE"))[0].lower()


def prefers_html(environ: WSGIEnvironment) -> bool:
    """Tell whether the client asks for HTML rather than JSON (RFC 9110, 12.5.1); one that takes anything gets JSON."""
    accept = parse_accept_header(environ.get("HTTP_ACCEPT"), MIMEAccept)
    return accept.best_match(["application/json", "text/html"]) == "text/html"
