"""Static files under their own names. nginx serves the fingerprinted files of a release, and requests others here."""

from collections.abc import Iterable
from functools import cache
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.shared_data import SharedDataMiddleware

from app.assets import sources
from app.headers import Headers, change_headers
from app.methods import by_method
from app.response import not_found

REPLACED = ("Cache-Control", "Date", "Expires")


def file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the file at PATH_INFO below app/static or the folder static/ of a package."""
    return shared_data()(environ, start_response)


files = by_method({"GET": file})


@cache
def shared_data() -> WSGIApplication:
    """Return Werkzeug's application for these folders, with headers that make clients revalidate."""
    found = SharedDataMiddleware(not_found, [("/", str(folder)) for folder in sources()])

    def revalidated(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return found(environ, change_headers(start_response, no_cache))

    return revalidated


def no_cache(headers: Headers) -> Headers:
    """Return the headers with `no-cache`, because the content under a plain name changes."""
    kept = [header for header in headers if header[0] not in REPLACED]
    return [*kept, ("Cache-Control", "no-cache")]
