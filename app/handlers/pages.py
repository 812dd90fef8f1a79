"""HTML pages."""

import os
import socket
from collections.abc import Iterable
from time import perf_counter
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.wsgi import get_current_url

from app.page import render
from app.response import html

INSTANCE = socket.gethostname()


def home(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the home page."""
    return page(environ, start_response, "home.html", origin=get_current_url(environ, root_only=True))


def shows(template: str) -> WSGIApplication:
    """Return a handler that shows the template."""
    return lambda environ, start_response: page(environ, start_response, template)


# begin demo
def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return a page that greets the {name} in the path."""
    _, arguments = environ["wsgiorg.routing_args"]
    return html(start_response, render("hello.html", name=arguments["name"]))


# end demo
def page(environ: WSGIEnvironment, start_response: StartResponse, template: str, **values: str) -> list[bytes]:
    """Return a page whose footer shows the instance, the worker, the request id and the rendering time."""
    started = perf_counter()
    return html(
        start_response,
        render(
            template,
            **values,
            instance=INSTANCE,
            worker=os.getpid(),
            request_id=environ.get("HTTP_X_REQUEST_ID", ""),
            elapsed=lambda: f"{(perf_counter() - started) * 1000:.2f}",
        ),
    )
