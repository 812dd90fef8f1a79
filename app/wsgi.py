"""The routes, the middleware and the WSGI application. Start reading here."""

from collections.abc import Callable, Sequence
from functools import reduce
from wsgiref.types import WSGIApplication

from app.handlers import (
    api,  # only with demo
    health,
    pages,
    static,
)
from app.middleware.conditional_get import conditional_get  # only with demo
from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.router import Target, router

ROUTES: dict[str, Target] = {
    "/": {"GET": pages.home},
    # begin demo
    "/about": {"GET": pages.shows("about.html")},
    "/hello/{name}": {"GET": conditional_get(pages.hello)},
    "/echo": {"POST": api.echo},
    "/stream": {"GET": api.stream},
    # end demo
    "/version": {"GET": health.version},
    "/healthz": {"GET": health.alive},
    "/readyz": {"GET": health.ready},
    "/static/*": static.files,
}

# Outermost first: `head` receives the request first and the response last.
MIDDLEWARES = [
    head,
    request_id,
    errors,
]


def chain(
    middlewares: Sequence[Callable[[WSGIApplication], WSGIApplication]], handler: WSGIApplication
) -> WSGIApplication:
    """Return an application that passes each request through the middlewares to the handler."""
    return reduce(lambda inner, middleware: middleware(inner), reversed(middlewares), handler)


application = chain(MIDDLEWARES, router(ROUTES))
