"""Third-party WSGI linters find no fault in the application."""

import io

import pytest
from paste.lint import middleware as paste_lint
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app.wsgi import application

# Two false alarms of Werkzeug's linter: a response to HEAD has the length of GET (RFC 9110, 8.6), a 204 has none.
head = pytest.mark.filterwarnings("ignore:Content-Length and the number of bytes sent to the client do not match")
no_content = pytest.mark.filterwarnings("ignore:204 responses must have an empty content length")

REQUESTS = [
    ("GET", "/", {}),
    pytest.param("HEAD", "/", {}, marks=head),
    # begin demo
    ("GET", "/hello/Zoë", {}),
    ("GET", "/hello/Zoë", {"headers": {"If-None-Match": "*"}}),
    pytest.param("OPTIONS", "/echo", {}, marks=no_content),
    ("POST", "/echo", {"json": {"a": 1}}),
    ("POST", "/echo", {"data": b"{", "content_type": "application/json"}),
    # end demo
    ("PUT", "/", {}),
    ("GET", "/nope", {"headers": {"Accept": "text/html"}}),
    ("GET", "/static/style.css", {}),
]


@pytest.mark.parametrize("linter", [LintMiddleware, paste_lint], ids=["werkzeug", "paste"])
@pytest.mark.parametrize(("method", "path", "options"), REQUESTS)
def test_linter_finds_no_fault(linter, method, path, options):
    environ = EnvironBuilder(path, method=method, **options).get_environ()
    environ["wsgi.errors"] = io.StringIO()
    body, status, _ = run_wsgi_app(linter(application), environ, buffered=True)
    list(body)
    assert int(status.split(" ")[0]) < 500
