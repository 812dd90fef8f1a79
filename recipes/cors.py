"""Cross-origin resource sharing (the Fetch standard, CORS protocol): pages of other origins may read our answers.

When: a page at another origin calls this API. Not when: page and API have one origin; then this opens a door for
nothing. And not to keep anyone out: a browser asks, nothing else does, and a plain form is sent to you regardless.

Run: `python -m recipes.cors`, and `curl -i -H "Origin: http://localhost:3000" localhost:8000`.
Needs: nothing but the site's own packages.
"""

from collections.abc import Callable, Collection, Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.handlers import api, health
from app.headers import change_headers
from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.response import empty
from app.router import router
from app.wsgi import chain
from recipes import serve

# Scheme, host and port, as a browser writes them: in lower case, without a default port, without a slash at the end.
# Never "null", which is every sandboxed page's origin.
ORIGINS = frozenset({"http://localhost:3000"})


def cors(  # noqa: PLR0913 (what the standard lets a server choose)
    origins: Collection[str],
    *,
    methods: Iterable[str] = ("GET", "HEAD", "POST"),
    request_headers: Iterable[str] = ("Content-Type",),
    response_headers: Iterable[str] = ("X-Request-ID",),
    credentials: bool = False,  # whether cookies and Authorization come along: then `origins` may do what the user may
    max_age: int = 600,  # seconds for which a browser need not ask again
) -> Callable[[WSGIApplication], WSGIApplication]:
    """Return the middleware that grants `origins`, and no other, to read responses."""
    with_credentials = [("Access-Control-Allow-Credentials", "true")] * credentials
    to_preflight = [
        ("Access-Control-Allow-Methods", ", ".join(methods)),
        ("Access-Control-Allow-Headers", ", ".join(request_headers)),
        ("Access-Control-Max-Age", str(max_age)),
    ]
    to_request = [("Access-Control-Expose-Headers", ", ".join(response_headers))]

    def middleware(handler: WSGIApplication) -> WSGIApplication:
        def shared(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            origin = environ.get("HTTP_ORIGIN", "")
            is_known = origin in origins
            granted = [("Access-Control-Allow-Origin", origin), *with_credentials] if is_known else []
            # On every response, or a cache gives one origin's to another (Fetch, CORS protocol and HTTP caches).
            vary = ("Vary", "Origin")
            if is_preflight(environ):
                return empty(start_response, headers=[*granted, *to_preflight * is_known, vary])
            added = [*granted, *to_request * is_known, vary]
            return handler(environ, change_headers(start_response, lambda headers: [*headers, *added]))

        return shared

    return middleware


def is_preflight(environ: WSGIEnvironment) -> bool:
    """Tell whether a browser asks what it may send (Fetch, CORS-preflight fetch); another OPTIONS is the handler's."""
    is_asking = "HTTP_ORIGIN" in environ and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    return environ["REQUEST_METHOD"] == "OPTIONS" and is_asking


# Outside `errors`: so a page may read an error response, too.
application = chain(
    [head, request_id, cors(ORIGINS, credentials=True), errors],
    router({"/": {"GET": health.version}, "/echo": {"POST": api.echo}}),
)

if __name__ == "__main__":
    serve(application)
