"""What other people's checkers of WSGI say of the application: nothing."""

import io

import pytest
from paste.lint import middleware as paste_lint
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app.wsgi import application

# Two things that werkzeug's linter has wrong: HEAD states the length that GET has (RFC 9110, 8.6), a 204 states none.
head = pytest.mark.filterwarnings("ignore:Content-Length and the number of bytes sent to the client do not match")
no_content = pytest.mark.filterwarnings("ignore:204 responses must have an empty content length")

REQUESTS = [
    ("GET", "/", {}),
    pytest.param("HEAD", "/", {}, marks=head),
    ("GET", "/hello/Zoë", {}),
    ("GET", "/hello/Zoë", {"headers": {"If-None-Match": "*"}}),
    pytest.param("OPTIONS", "/echo", {}, marks=no_content),
    ("POST", "/echo", {"json": {"a": 1}}),
    ("POST", "/echo", {"data": b"{", "content_type": "application/json"}),
    ("PUT", "/", {}),
    ("GET", "/nope", {"headers": {"Accept": "text/html"}}),
    ("GET", "/static/style.css", {}),
]


@pytest.mark.parametrize("linter", [LintMiddleware, paste_lint], ids=["werkzeug", "paste"])
@pytest.mark.parametrize(("method", "path", "options"), REQUESTS)
def test_a_linter_finds_nothing(linter, method, path, options):
    environ = EnvironBuilder(path, method=method, **options).get_environ()
    environ["wsgi.errors"] = io.StringIO()
    body, status, _ = run_wsgi_app(linter(application), environ, buffered=True)
    list(body)
    assert int(status.split(" ")[0]) < 500
