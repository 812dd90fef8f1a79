"""The reference application: the routes that the template's tests request, in place of the fork's app/wsgi.py."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app.handlers import health, static
from app.middleware.conditional_get import conditional_get
from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.page import render
from app.request import json_body, media_type
from app.response import error, html, json, status_line
from app.router import Target, router
from app.settings import settings


def home(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return a page that is large enough for nginx to compress it."""
    return html(start_response, render("page.html", title="It serves.", text="A page of the tests. " * 50))


def about(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return a page with the request id."""
    text = f"Where to begin: {environ['HTTP_X_REQUEST_ID']}"
    return html(start_response, render("page.html", title="About", text=text))


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return a page with the {name} in the path."""
    _, arguments = environ["wsgiorg.routing_args"]
    return html(start_response, render("page.html", title="Hello", text=f"Hello, {arguments['name']}!"))


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the request's JSON; refuse another media type without reading the body."""
    if media_type(environ) != "application/json":
        return error(environ, start_response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    try:
        return json(start_response, json_body(environ))
    except RequestEntityTooLarge:
        detail = f"The limit is {settings().max_body_bytes} bytes."
        return error(environ, start_response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    except (ValueError, ClientDisconnected):
        return error(environ, start_response, HTTPStatus.BAD_REQUEST, "The body is not JSON.")


def stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Stream seven chunks, one every half second, past the buffers of nginx."""
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("X-Accel-Buffering", "no")]
    start_response(status_line(HTTPStatus.OK), headers)
    for number in range(1, 8):
        yield f"chunk {number} of 7\n".encode()
        if number < 7:
            time.sleep(0.5)


ROUTES: dict[str, Target] = {
    "/": {"GET": home},
    "/about": {"GET": about},
    "/hello/{name}": {"GET": conditional_get(hello)},
    "/echo": {"POST": echo},
    "/stream": {"GET": stream},
    "/version": {"GET": health.version},
    "/healthz": {"GET": health.alive},
    "/readyz": {"GET": health.ready},
    "/static/*": static.files,
}
MIDDLEWARES = [head, request_id, errors]


def chain(
    middlewares: Sequence[Callable[[WSGIApplication], WSGIApplication]], handler: WSGIApplication
) -> WSGIApplication:
    """Return an application that passes each request through the middlewares to the handler."""
    return reduce(lambda inner, middleware: middleware(inner), reversed(middlewares), handler)


application = chain(MIDDLEWARES, router(ROUTES))
