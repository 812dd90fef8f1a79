"""Bolt-ons, each one file that runs (`python -m recipes.NAME`) and that you copy from; none is part of the site.

What they need beyond the site's own packages is locked in requirements/recipes.txt.
"""

from contextlib import suppress
from wsgiref.simple_server import make_server
from wsgiref.types import WSGIApplication


def serve(application: WSGIApplication, port: int = 8000) -> None:
    """Serve the application on the standard library's server, for this machine only, to look at it."""
    with make_server("127.0.0.1", port, application) as server, suppress(KeyboardInterrupt):
        print(f"http://localhost:{server.server_port}", flush=True)
        server.serve_forever()
