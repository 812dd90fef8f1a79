"""Put the query parameters into environ["app.query"], a dict of lists. Wrap the routes that read them."""

from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.response import error

MOST = 1000  # parameters


def query_parameters(handler: WSGIApplication) -> WSGIApplication:
    """Parse QUERY_STRING as UTF-8 (WHATWG URL, 5.1); answer 400 to more than MOST parameters."""

    def parsed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        query = environ.get("QUERY_STRING")
        if not query:
            environ["app.query"] = {}
            return handler(environ, start_response)
        try:
            # PEP 3333: each character is one byte. Bytes that are not UTF-8 become U+FFFD, as in browsers.
            text = query.encode("latin-1").decode(errors="replace")
            environ["app.query"] = parse_qs(text, keep_blank_values=True, max_num_fields=MOST)
        except ValueError:
            return error(environ, start_response, HTTPStatus.BAD_REQUEST, f"More than {MOST} query parameters.")
        return handler(environ, start_response)

    return parsed
