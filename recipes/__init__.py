"""Optional features to copy. Each recipe is one runnable module: `python -m recipes.NAME`. The site uses none of them.

requirements/recipes.txt locks the packages that recipes need in addition to the site's own.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from wsgiref.types import WSGIApplication

from app.handlers import health
from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.router import Target, router
from app.wsgi import chain

HEALTH: dict[str, Target] = {
    "/healthz": {"GET": health.alive},
    "/readyz": {"GET": health.ready},
    "/version": {"GET": health.version},
}


class Server(ThreadingMixIn, WSGIServer):
    """The standard library's server, with a thread for each request."""

    daemon_threads = True


def site(routes: Mapping[str, Target], *middlewares: Callable[[WSGIApplication], WSGIApplication]) -> WSGIApplication:
    """Return the routes and the health checks as a site, with these middlewares inside the site's own."""
    return chain([head, request_id, errors, *middlewares], router({**HEALTH, **routes}))


def serve(application: WSGIApplication, *hints: str, port: int = 8000) -> None:
    """Print the hints, and serve the application on loopback, for development."""
    with make_server("127.0.0.1", port, application, Server) as server, suppress(KeyboardInterrupt):
        print(*hints, f"http://localhost:{server.server_port}", sep="\n", flush=True)
        server.serve_forever()
