"""Werkzeug's Map and Rule in place of our router: converters, several rules a path, URLs built from a handler.

When: paths carry typed values (`<int:year>`, `<uuid:id>`, one of your own), or pages link to each other by what they
mean. Not when: a table of paths is all there is; app/router.py refuses two routes that compete, Werkzeug weighs them.

Run: `python -m recipes.werkzeug_routing`. Needs: werkzeug (requirements/recipes.txt).
"""

from calendar import isleap
from collections.abc import Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, RequestRedirect, Rule

from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.response import error, json, not_found
from app.wsgi import chain
from recipes import serve


def years(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the URLs of some years."""
    return json(start_response, [environ["app.urls"].build(archive, {"year": year}) for year in (1999, 2000)])


def archive(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with what the path's year is, which the converter has made an int."""
    _, arguments = environ["wsgiorg.routing_args"]
    return json(start_response, {**arguments, "leap": isleap(arguments["year"])})


# A rule's endpoint is the handler itself: what a match returns, and what a URL is built for.
urls = Map(
    [
        Rule("/years/", methods=["GET"], endpoint=years),
        Rule("/years/<int(fixed_digits=4):year>", methods=["GET"], endpoint=archive),
    ]
)


def route(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Hand the request to the handler of its rule, with the arguments where our router has them (wsgi.org's key)."""
    try:
        environ["app.urls"] = adapter = urls.bind_to_environ(environ)
        handler, arguments = adapter.match()
    except RequestRedirect as redirect:  # "/years" to "/years/"
        return redirect(environ, start_response)
    except MethodNotAllowed as refusal:
        allow = ", ".join(sorted(refusal.valid_methods or ()))
        return error(environ, start_response, HTTPStatus.METHOD_NOT_ALLOWED, headers=[("Allow", allow)])
    except HTTPException:  # NotFound, and rarer ones: a Host that is none, a WebSocket's handshake
        return not_found(environ, start_response)
    environ["wsgiorg.routing_args"] = ((), arguments)
    body: Iterable[bytes] = handler(environ, start_response)
    return body


# A rule for GET matches HEAD too, whose body `head` drops.
application = chain([head, request_id, errors], route)

if __name__ == "__main__":
    serve(application)
