"""Optional features to copy. Each recipe is one runnable module: `python -m recipes.NAME`. The site uses none of them.

requirements/recipes.txt locks the packages that recipes need in addition to the site's own.
"""

from contextlib import suppress
from wsgiref.simple_server import make_server
from wsgiref.types import WSGIApplication


def serve(application: WSGIApplication, port: int = 8000) -> None:
    """Serve the application on loopback with the standard library's server, for development."""
    with make_server("127.0.0.1", port, application) as server, suppress(KeyboardInterrupt):
        print(f"http://localhost:{server.server_port}", flush=True)
        server.serve_forever()
