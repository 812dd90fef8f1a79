"""Add an ETag to a response, and answer 304 if the client has the current version.

Use it for pages that clients request repeatedly and that rarely change. It hashes each body, so wrap single routes.
"""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.http import generate_etag, is_resource_modified, quote_etag, remove_entity_headers

from app.deferred import Deferred


def conditional_get(handler: WSGIApplication) -> WSGIApplication:
    """Evaluate If-None-Match and If-Modified-Since (RFC 9110, 13.1) for 200 responses whose body is a list."""

    def conditional(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = Deferred(start_response)
        body = handler(environ, response)
        is_whole = isinstance(body, list) and not response.server_write  # write() may have sent part of it
        if not (is_whole and response.status == "200 OK"):
            response.release()
            return body
        headers = response.headers
        names = {name.lower(): value for name, value in headers}
        # Weak, because nginx compresses the body: it weakens a strong ETag in the 200 but not in the 304.
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
