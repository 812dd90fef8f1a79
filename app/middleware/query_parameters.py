"""Puts the query parameters into environ["app.query"], a dict of lists. Leave it out where no route reads any."""

from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.response import error

MOST = 1000  # parameters


def query_parameters(handler: WSGIApplication) -> WSGIApplication:
    """Parse QUERY_STRING (WHATWG URL, 5.1), in UTF-8; too many parameters are 400."""

    def parsed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        query = environ.get("QUERY_STRING")
        if not query:
            environ["app.query"] = {}
            return handler(environ, start_response)
        try:
            # PEP 3333: text whose characters are bytes. What is not UTF-8 becomes U+FFFD, as in a browser.
            text = query.encode("latin-1").decode(errors="replace")
            environ["app.query"] = parse_qs(text, keep_blank_values=True, max_num_fields=MOST)
        except ValueError:
            return error(environ, start_response, HTTPStatus.BAD_REQUEST, f"More than {MOST} query parameters.")
        return handler(environ, start_response)

    return parsed
