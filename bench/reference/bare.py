"""The callable that every figure is relative to: the JSON with the least code that WSGI allows. It never changes."""

import json
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

PATH = "/json"
VALUE = {"message": "Hello", "numbers": [1, 2.5, 3], "nested": {"none": None, "true": True}}


def bare(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return VALUE as JSON."""
    body = json.dumps(VALUE).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
