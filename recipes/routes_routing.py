"""Routes, of Rails' and Pylons' kind, in place of our router: paths with patterns, URLs by name.

When: a site that has a table of `map.connect(...)` moves here, and keeps it. Not when: you start afresh, for Routes has
had no release since 2020; recipes/werkzeug_routing.py does as much, and somebody looks after it.

Routes' own RoutesMiddleware is left out. It needs WebOb, which needs the cgi module that Python 3.13 removed, and what
it does is `route` below, less the decoding of PATH_INFO.

Run: `python -m recipes.routes_routing`. Needs: routes, werkzeug (requirements/recipes.txt).
"""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from routes import Mapper, URLGenerator
from werkzeug.wsgi import get_path_info

from app.methods import by_method
from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.response import json, not_found
from app.wsgi import chain
from recipes import serve


def tags(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the URLs of some tags, below the mount point if there is one."""
    url = environ["routes.url"]
    return json(start_response, [url("tag", year=2000, tag=tag) for tag in ("wsgi", "crème brûlée")])


def tag(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with what the path names, all of it text."""
    _, arguments = environ["wsgiorg.routing_args"]
    return json(start_response, arguments)


mapper = Mapper()
mapper.connect("tags", "/tags", controller="tags")
mapper.connect("tag", "/tags/{year}/{tag}", controller="tag", requirements={"year": r"\d{4}"})

# Routes knows names; the methods are ours, and with them HEAD, OPTIONS and 405.
CONTROLLERS = {
    "tags": by_method({"GET": tags}),
    "tag": by_method({"GET": tag}),
}


def route(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Hand the request to the controller of its route, the arguments where our router has them (wsgi.org's key)."""
    match = mapper.match(get_path_info(environ), environ)
    if match is None:
        return not_found(environ, start_response)
    controller = CONTROLLERS[match.pop("controller")]
    environ["wsgiorg.routing_args"] = ((), match)
    environ["routes.url"] = URLGenerator(mapper, environ)
    return controller(environ, start_response)


application = chain([head, request_id, errors], route)

if __name__ == "__main__":
    serve(application)
