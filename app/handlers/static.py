"""Static files under their own names. nginx serves the fingerprinted files of a release, and requests others here."""

from collections.abc import Iterable
from functools import cache
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.shared_data import SharedDataMiddleware

from app.assets import sources
from app.response import not_found


def files(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the file at PATH_INFO below app/static or the folder static/ of a package; clients must revalidate it."""
    return shared_data()(environ, start_response)


@cache
def shared_data() -> WSGIApplication:
    """Return Werkzeug's application for these folders."""
    return SharedDataMiddleware(not_found, [("/", str(folder)) for folder in sources()], cache_timeout=0)
