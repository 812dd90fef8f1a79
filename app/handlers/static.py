"""The static files, for a server without nginx in front. In production nginx serves them."""

from collections.abc import Iterable
from functools import cache
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.shared_data import SharedDataMiddleware

from app.response import not_found
from app.settings import settings


def files(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the file below settings().static_dir that PATH_INFO names."""
    return shared_data()(environ, start_response)


@cache
def shared_data() -> WSGIApplication:
    """Return werkzeug's application for the folder."""
    return SharedDataMiddleware(not_found, {"/": str(settings().static_dir)}, cache=False)
