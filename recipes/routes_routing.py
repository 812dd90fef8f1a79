"""Use Routes instead of app/router.py: paths with patterns, URLs by name, in the style of Rails and Pylons.

Use it to keep the `map.connect(...)` table of an existing site. For a new site use recipes/werkzeug_routing.py: it has
the same features, and Routes has had no release since 2020.

`route` replaces RoutesMiddleware, which needs WebOb. WebOb needs the cgi module, which Python 3.13 removed.

Run: `python -m recipes.routes_routing`. Needs: routes, werkzeug (requirements/recipes.txt).
"""
# pyright: basic, reportAttributeAccessIssue=false
# Routes has no types.

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from routes import Mapper, URLGenerator
from werkzeug.wsgi import get_path_info

from app.methods import by_method
from app.response import json, not_found
from recipes import serve, site


def tags(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the URLs of some tags. Each begins with SCRIPT_NAME."""
    url = environ["routes.url"]
    return json(start_response, [url("tag", year=2000, tag=tag) for tag in ("wsgi", "crème brûlée")])


def tag(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the arguments in the path, as strings."""
    _, arguments = environ["wsgiorg.routing_args"]
    return json(start_response, arguments)


mapper = Mapper()
mapper.connect("tags", "/tags", controller="tags")
mapper.connect("tag", "/tags/{year}/{tag}", controller="tag", requirements={"year": r"\d{4}"})

# by_method adds HEAD, OPTIONS and 405.
CONTROLLERS = {
    "tags": by_method({"GET": tags}),
    "tag": by_method({"GET": tag}),
}


def route(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Call the controller of the matching route, with its arguments in environ["wsgiorg.routing_args"]."""
    match = mapper.match(get_path_info(environ), environ)
    if match is None:
        return not_found(environ, start_response)
    controller = CONTROLLERS[match.pop("controller")]
    environ["wsgiorg.routing_args"] = ((), match)
    environ["routes.url"] = URLGenerator(mapper, environ)
    return controller(environ, start_response)


# --- The recipe as a site of its own. A copy ends here. ---

application = site({"/*": route})

if __name__ == "__main__":
    serve(application)
