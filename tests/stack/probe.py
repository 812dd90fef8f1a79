"""An application for tests, in place of app/wsgi.py: it answers with what it sees, or what it is asked to answer."""

import os
import time
from collections.abc import Iterable
from http import HTTPStatus
from itertools import count
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse, WSGIEnvironment

from app.handlers import health
from app.request import body
from app.response import json, status_line
from app.router import router

requests = count()


def environ(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the environ, objects by their kind, and with the body."""
    seen = {key: value if isinstance(value, str | bool | tuple) else "object" for key, value in environ.items()}
    return json(start_response, seen | {"the body": body(environ).decode("latin-1")})


def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the path's {status}, and with the query's variables as headers."""
    _, arguments = environ["wsgiorg.routing_args"]
    headers = [("Content-Type", "text/plain; charset=utf-8"), *parse_qsl(environ["QUERY_STRING"])]
    start_response(status_line(HTTPStatus(int(arguments["status"]))), headers)
    return [b"the app's own"]


def large(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with so many bytes."""
    _, arguments = environ["wsgiorg.routing_args"]
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", arguments["bytes"])])
    return [b"x" * int(arguments["bytes"])]


def think(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer after so many seconds."""
    _, arguments = environ["wsgiorg.routing_args"]
    time.sleep(float(arguments["seconds"]))
    return json(start_response, "a thought")


def die(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """End this worker instead of answering."""
    environ["wsgi.errors"].write(f"dying of {environ['HTTP_X_REQUEST_ID']}\n")
    environ["wsgi.errors"].flush()
    os._exit(1)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer, and count: /count tells how many requests there were before it, but for health checks."""
    if environ["PATH_INFO"] == "/readyz":
        return health.ready(environ, start_response)
    number = next(requests)
    if environ["PATH_INFO"] == "/count":
        return json(start_response, number)
    return routes(environ, start_response)


routes = router(
    {
        "/environ/*": environ,
        "/answer/{status}": answer,
        "/large/{bytes}": large,
        "/think/{seconds}": think,
        "/die": die,
    }
)
