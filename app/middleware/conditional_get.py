"""Gives a whole body an ETag, and answers 304 to who has it already. It pays where a page is asked for again unchanged.

It hashes each body, so wrap the routes that gain by it, as ROUTES does, rather than all of them.
"""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.http import generate_etag, is_resource_modified, quote_etag, remove_entity_headers

from app.deferred import Deferred


def conditional_get(handler: WSGIApplication) -> WSGIApplication:
    """Answer If-None-Match and If-Modified-Since (RFC 9110, 13.1) for a response that is 200 and whole."""

    def conditional(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = Deferred(start_response)
        body = handler(environ, response)
        is_whole = isinstance(body, list) and not response.server_write  # write() may have sent a part of it
        if not (is_whole and response.started and response.started[0] == "200 OK"):
            response.release()  # a file or a stream is sent as it is
            return body
        _, headers = response.started
        names = {name.lower(): value for name, value in headers}
        # Weak, since nginx compresses the body: it would weaken a strong one, and in the 304 it would be another.
        etag = names.get("etag") or quote_etag(generate_etag(b"".join(body)), weak=True)
        if "etag" not in names:
            headers = [*headers, ("ETag", etag)]
        if is_resource_modified(environ, etag, last_modified=names.get("last-modified")):
            start_response("200 OK", headers)
            return body
        headers = [*headers]
        remove_entity_headers(headers)
        start_response("304 Not Modified", headers)
        return []

    return conditional
