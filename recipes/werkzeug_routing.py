"""Use Werkzeug's Map and Rule instead of app/router.py: converters, several rules per path, URLs built from a handler.

Use it for typed path parameters (`<int:year>`, `<uuid:id>`, your own), or to build URLs from handlers. Otherwise use
app/router.py, which rejects conflicting routes; Werkzeug ranks them.

Run: `python -m recipes.werkzeug_routing`. Needs: werkzeug (requirements/recipes.txt).
"""

from calendar import isleap
from collections.abc import Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, RequestRedirect, Rule

from app.response import error, json, not_found
from recipes import serve, site


def years(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the URLs of some years."""
    return json(start_response, [environ["app.urls"].build(archive, {"year": year}) for year in (1999, 2000)])


def archive(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the year in the path, an int, and whether it is a leap year."""
    _, arguments = environ["wsgiorg.routing_args"]
    return json(start_response, {**arguments, "leap": isleap(arguments["year"])})


# The endpoint of a rule is its handler: match() returns it, and build() takes it.
urls = Map(
    [
        Rule("/years/", methods=["GET"], endpoint=years),
        Rule("/years/<int(fixed_digits=4):year>", methods=["GET"], endpoint=archive),
    ]
)


def route(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Call the handler of the matching rule, with its arguments in environ["wsgiorg.routing_args"]."""
    try:
        environ["app.urls"] = adapter = urls.bind_to_environ(environ)
        handler, arguments = adapter.match()
    except RequestRedirect as redirect:  # "/years" to "/years/"
        return redirect(environ, start_response)
    except MethodNotAllowed as refusal:
        allow = ", ".join(sorted(refusal.valid_methods or ()))
        return error(environ, start_response, HTTPStatus.METHOD_NOT_ALLOWED, headers=[("Allow", allow)])
    except HTTPException:  # NotFound; also an invalid Host, or a WebSocket handshake
        return not_found(environ, start_response)
    environ["wsgiorg.routing_args"] = ((), arguments)
    body: Iterable[bytes] = handler(environ, start_response)
    return body


# --- The recipe as a site of its own. A copy ends here. ---

# A rule for GET also matches HEAD; the middleware `head` drops the body.
application = site({"/*": route})

if __name__ == "__main__":
    serve(application)
