"""Cross-origin resource sharing (Fetch, CORS protocol): let pages of other origins read this site's responses.

Use it if a page at another origin calls this API. Do not use it if page and API have the same origin. It is no access
control: only browsers enforce it, and browsers send plain forms to any origin.

Run: `python -m recipes.cors`, and `curl -i -H "Origin: http://localhost:3000" localhost:8000`.
Needs: no additional packages.
"""

from collections.abc import Callable, Collection, Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.headers import change_headers
from app.response import empty
from recipes import HEALTH, serve, site

# Scheme, host and port in the form that browsers send: lower case, no default port, no trailing slash.
# Never add "null": each sandboxed page has that origin.
ORIGINS = frozenset({"http://localhost:3000"})


def cors(  # noqa: PLR0913 (one parameter per header)
    origins: Collection[str],
    *,
    methods: Iterable[str] = ("GET", "HEAD", "POST"),
    request_headers: Iterable[str] = ("Content-Type",),
    response_headers: Iterable[str] = ("X-Request-ID",),
    credentials: bool = False,  # allow cookies and Authorization: then `origins` can act as the user
    max_age: int = 600,  # seconds that a browser caches a preflight response
) -> Callable[[WSGIApplication], WSGIApplication]:
    """Return middleware that lets pages of `origins`, and no others, read responses."""
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
            # Always set, so that caches keep the responses apart by origin (Fetch, CORS protocol and HTTP caches).
            vary = ("Vary", "Origin")
            if is_preflight(environ):
                return empty(start_response, headers=[*granted, *to_preflight * is_known, vary])
            added = [*granted, *to_request * is_known, vary]
            return handler(environ, change_headers(start_response, lambda headers: [*headers, *added]))

        return shared

    return middleware


def is_preflight(environ: WSGIEnvironment) -> bool:
    """Return whether the request is a CORS preflight (Fetch, CORS-preflight fetch) and no ordinary OPTIONS."""
    has_preflight_headers = "HTTP_ORIGIN" in environ and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    return environ["REQUEST_METHOD"] == "OPTIONS" and has_preflight_headers


# --- The recipe as a site of its own. A copy ends here. ---

# Outside the other middleware, so that pages can read error responses too. In MIDDLEWARES, put it before `errors`.
application = cors(ORIGINS, credentials=True)(site({"/": HEALTH["/version"]}))

if __name__ == "__main__":
    serve(application)
