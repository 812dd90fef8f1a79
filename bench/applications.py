"""The applications that the bench compares: this project's, and those of four frameworks. All return the same JSON.

A server loads one of them as bench.applications:application, by its name in BENCH_APPLICATION. The frameworks are
imported where they are used: each import costs callgrind seconds.
"""

import os
import tempfile  # only with monitoring
from collections.abc import Callable, Iterable
from time import sleep, thread_time
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import setup_testing_defaults

from app.response import json as json_response
from app.router import router
from app.settings import settings  # only with monitoring
from app.wsgi import MIDDLEWARES, chain
from bench.names import WORK
from bench.reference.bare import PATH, VALUE, bare
from deploy.server.wsgi import serve

COMPUTE, WAIT = 0.002, 0.05  # seconds


def nothing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return no body: a call costs what the measurement itself costs."""
    return []


def ours() -> WSGIApplication:
    """Return this project's router and default middleware with one JSON route."""
    return chain(MIDDLEWARES, router({PATH: {"GET": lambda _, start_response: json_response(start_response, VALUE)}}))


def compute(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Use the CPU for COMPUTE seconds."""
    end = thread_time() + COMPUTE
    while thread_time() < end:
        pass
    return json_response(start_response, VALUE)


def wait(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Wait for WAIT seconds, as for a database."""
    sleep(WAIT)
    return json_response(start_response, VALUE)


def read(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the length of the body."""
    return json_response(start_response, len(environ["wsgi.input"].read()))


def work() -> WSGIApplication:
    """Return this project's router and default middleware with the three handlers above."""
    return chain(MIDDLEWARES, router({"/compute": compute, "/wait": wait, "/read": read}))


def with_falcon() -> WSGIApplication:
    import falcon

    class Resource:
        def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
            response.media = VALUE

    api = falcon.App()
    api.add_route(PATH, Resource())
    application: WSGIApplication = api
    return application


def with_bottle() -> WSGIApplication:
    import bottle

    site = bottle.Bottle()
    site.route(PATH, callback=lambda: VALUE)
    application: WSGIApplication = site
    return application


def with_flask() -> WSGIApplication:
    import flask

    application = flask.Flask(__name__)
    application.add_url_rule(PATH, view_func=lambda: flask.jsonify(VALUE), endpoint="json")
    return application


def with_django() -> WSGIApplication:
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    def view(request: HttpRequest) -> JsonResponse:
        return JsonResponse(VALUE)

    settings.configure(ROOT_URLCONF=(path(PATH[1:], view),), MIDDLEWARE=[], ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None)
    application: WSGIApplication = get_wsgi_application()
    return application


# begin monitoring
def with_metrics(*, is_uwsgi: bool) -> WSGIApplication:
    from deploy.server.metrics import measured

    os.environ["METRICS_DIR"] = tempfile.mkdtemp()
    return measured(serve(ours(), is_uwsgi=is_uwsgi))


def with_traces(rate: float) -> WSGIApplication:
    os.environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost", "OTEL_TRACES_SAMPLER_ARG": str(rate)}
    settings.cache_clear()
    from deploy.server import spans
    from deploy.server.tracing import traced

    # Collect the spans, and send none: the thread that sends them would be measured with the other applications.
    setattr(spans.Exporter, "export", lambda exporter, ended: exporter.spans.leave(len(ended)))  # noqa: B010
    return traced(serve(ours()))


def with_error_reports() -> WSGIApplication:
    os.environ["SENTRY_DSN"] = "http://key@127.0.0.1:1/1"
    settings.cache_clear()
    from deploy.server.error_reports import reported

    return reported(serve(ours()))


# end monitoring
APPLICATIONS: dict[str, Callable[[], WSGIApplication]] = {
    "nothing": lambda: nothing,
    "bare callable": lambda: bare,
    "app, default chain": ours,
    "app, served by gunicorn": lambda: serve(ours()),
    "app, served by uWSGI": lambda: serve(ours(), is_uwsgi=True),
    # begin monitoring
    "app, gunicorn, metrics": lambda: with_metrics(is_uwsgi=False),
    "app, uWSGI, metrics": lambda: with_metrics(is_uwsgi=True),
    "app, gunicorn, traces": lambda: with_traces(1),
    "app, gunicorn, traces 0": lambda: with_traces(0),
    "app, gunicorn, errors": with_error_reports,
    # end monitoring
    "Falcon": with_falcon,
    "Bottle": with_bottle,
    "Flask": with_flask,
    "Django": with_django,
}


def environ() -> WSGIEnvironment:
    """Return the environ of a request from nginx."""
    found: WSGIEnvironment = {
        "PATH_INFO": PATH,
        "QUERY_STRING": "",
        "HTTP_X_REQUEST_ID": "0123456789abcdef" * 2,
        "HTTP_ACCEPT": "application/json",
        "HTTP_USER_AGENT": "bench",
        "HTTP_HOST": "localhost:8080",
        "HTTP_CONNECTION": "close",
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    setup_testing_defaults(found)
    return found


def request(application: WSGIApplication, environ: WSGIEnvironment) -> tuple[str, bytes]:
    """Call the application as a server does, and return the status and the body."""
    started: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:  # noqa: ANN401 (write() is not called)
        started.append(status)

    body = application(environ, start_response)
    content = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return "".join(started), content


if "BENCH_APPLICATION" in os.environ:
    name = os.environ["BENCH_APPLICATION"]
    application = serve(work(), is_uwsgi=name == WORK["uwsgi"]) if name in WORK.values() else APPLICATIONS[name]()
