"""The application as the servers behind nginx run it: who asked, and for what, is what nginx says.

Only nginx reaches the socket, and it overwrites every X-Forwarded header, so they are true here; a server that is
reached directly (`python -m app`) must not believe them, and runs app.wsgi. Both backends get the same environ by this:
over a Unix socket they know neither the client's address nor the port.
"""

from __future__ import annotations  # Python 3.11 would evaluate those of `start` at every request

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.proxy_fix import ProxyFix

import app.wsgi
from app.settings import settings

if TYPE_CHECKING:
    from _typeshed import OptExcInfo


def released(handler: WSGIApplication) -> WSGIApplication:
    """Put the release into the response, for nginx's access log; no client sees it."""
    header = ("X-Release", f"{settings.release}-{settings.backend}")

    def labelled(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
        ) -> Callable[[bytes], object]:
            return start_response(status, [*headers, header], exc_info)

        return handler(environ, start)

    return labelled


def asked(handler: WSGIApplication) -> WSGIApplication:
    """Leave Host as the client sent it: ProxyFix adds the port even where it is the scheme's own.

    A browser's Origin has no port there, and a check against forged requests (Django's) compares the two.
    """

    def addressed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if host := environ.get("HTTP_X_FORWARDED_HOST"):
            environ["HTTP_HOST"] = host
        return handler(environ, start_response)

    return addressed


application = ProxyFix(asked(released(app.wsgi.application)), x_for=1, x_proto=1, x_host=1, x_port=1)
