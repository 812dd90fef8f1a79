"""Static files, for servers without nginx. In production nginx serves them."""

from collections.abc import Iterable
from functools import cache
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.shared_data import SharedDataMiddleware

from app.response import not_found
from app.settings import settings


def files(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the file at PATH_INFO below settings().static_dir."""
    return shared_data()(environ, start_response)


@cache
def shared_data() -> WSGIApplication:
    """Return Werkzeug's application for static_dir."""
    return SharedDataMiddleware(not_found, {"/": str(settings().static_dir)}, cache=False)
