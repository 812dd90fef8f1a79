"""`make bench`: measure one request in process, in the app and in five frameworks that return the same JSON.

Each application is called as a server calls it: with a new environ, and its body is read and closed. The applications
take turns in each round, so that changes of the machine's speed affect all of them. Each ratio is to the bare callable
in the same round. The table shows medians.
"""

import json
import sys
from collections.abc import Iterable
from importlib.metadata import version
from statistics import median
from time import perf_counter_ns
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import setup_testing_defaults

import bottle
import django
import falcon
import flask
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from app.response import json as json_response
from app.router import router
from app.wsgi import MIDDLEWARES, chain
from deploy.server.wsgi import serve

VALUE = {"message": "Hello", "numbers": [1, 2.5, 3], "nested": {"none": None, "true": True}}
ROUNDS, CALLS = 60, 500
PATH = "/json"


def bare(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the JSON with the least code that WSGI allows."""
    body = json.dumps(VALUE).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def ours() -> WSGIApplication:
    """Return this project's router and default middleware with one JSON route."""
    return chain(MIDDLEWARES, router({PATH: {"GET": lambda _, start_response: json_response(start_response, VALUE)}}))


def with_falcon() -> WSGIApplication:
    class Resource:
        def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
            response.media = VALUE

    api = falcon.App()
    api.add_route(PATH, Resource())
    application: WSGIApplication = api
    return application


def with_bottle() -> WSGIApplication:
    site = bottle.Bottle()
    site.route(PATH, callback=lambda: VALUE)
    application: WSGIApplication = site
    return application


def with_werkzeug() -> WSGIApplication:
    urls = Map([Rule(PATH, endpoint="json", methods=["GET"])])

    @Request.application
    def application(request: Request) -> Response:
        urls.bind_to_environ(request.environ).match()
        return Response(json.dumps(VALUE), mimetype="application/json")

    return application


def with_flask() -> WSGIApplication:
    application = flask.Flask(__name__)
    application.add_url_rule(PATH, view_func=lambda: flask.jsonify(VALUE), endpoint="json")
    return application


def with_django() -> WSGIApplication:
    def view(request: HttpRequest) -> JsonResponse:
        return JsonResponse(VALUE)

    settings.configure(ROOT_URLCONF=(path(PATH[1:], view),), MIDDLEWARE=[], ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None)
    application: WSGIApplication = get_wsgi_application()
    return application


def environ() -> WSGIEnvironment:
    """Return the environ of a request from nginx."""
    found: WSGIEnvironment = {
        "PATH_INFO": PATH,
        "QUERY_STRING": "",
        "HTTP_X_REQUEST_ID": "0123456789abcdef" * 2,
        "HTTP_ACCEPT": "application/json",
        "HTTP_USER_AGENT": "bench",
    }
    setup_testing_defaults(found)
    return found


def measure(application: WSGIApplication, environs: list[WSGIEnvironment]) -> float:
    """Return the mean time of a request in nanoseconds."""

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        pass

    began = perf_counter_ns()
    for each in environs:
        body = application(each, start_response)  # type: ignore[arg-type] # no application calls write()
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()
    return (perf_counter_ns() - began) / len(environs)


def check(application: WSGIApplication) -> None:
    """Raise AssertionError if an application does not return VALUE."""
    started: list[str] = []
    body = application(environ(), lambda status, headers, exc_info=None: started.append(status))  # type: ignore[arg-type]
    assert (started, json.loads(b"".join(body))) == (["200 OK"], VALUE)  # noqa: S101


def main() -> None:
    """Measure all applications and print the table."""
    applications = {
        "bare callable": bare,
        "app, default chain": ours(),
        "app, served": serve(ours()),
        f"Falcon {falcon.__version__}": with_falcon(),
        f"Bottle {bottle.__version__}": with_bottle(),
        f"Werkzeug {version('werkzeug')}": with_werkzeug(),
        f"Flask {version('flask')}": with_flask(),
        f"Django {django.get_version()}": with_django(),
    }
    for application in applications.values():
        check(application)
    template = environ()
    times: dict[str, list[float]] = {name: [] for name in applications}
    for _ in range(ROUNDS):
        for name, application in applications.items():
            times[name].append(measure(application, [template.copy() for _ in range(CALLS)]))
    print(f"Python {sys.version.split()[0]}, {ROUNDS} rounds of {CALLS} requests each, medians")
    for name, each in times.items():
        ratio = median(a / b for a, b in zip(each, times["bare callable"], strict=True))
        print(f"  {name:<24} {median(each) / 1000:7.2f} µs  {ratio:6.2f} ×")


if __name__ == "__main__":
    main()
