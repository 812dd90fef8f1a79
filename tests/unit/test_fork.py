"""The template's tests pass in a fork that has replaced the demo with one route of its own."""

import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.tree import copy_project
from tests.unit.documentation import table

pytestmark = pytest.mark.slow

# The demo: handlers, templates, static files, tests. A fork keeps base.html and error.html, and the files they name.
DEMO = (
    "app/handlers/api.py",
    "app/handlers/pages.py",
    "app/static/app.js",
    "app/static/root",
    "app/templates/about.html",
    "app/templates/hello.html",
    "app/templates/home.html",
    "tests/app",
)
ROUTE = '''"""The fork's application."""

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.response import html
from app.router import Target, router


def shorten(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Fail the test that sends a request to a route which it does not know."""
    _, arguments = environ["wsgiorg.routing_args"]
    assert arguments["code"] == "known", "a test of the template requests a route of the fork"
    return html(start_response, "short")


ROUTES: dict[str, Target] = {"/s/{code}": {"GET": shorten}}
MIDDLEWARES: list[Callable[[WSGIApplication], WSGIApplication]] = []


def chain(
    middlewares: Sequence[Callable[[WSGIApplication], WSGIApplication]], handler: WSGIApplication
) -> WSGIApplication:
    """Return an application that passes each request through the middlewares to the handler."""
    return reduce(lambda inner, middleware: middleware(inner), reversed(middlewares), handler)


application = chain(MIDDLEWARES, router(ROUTES))
'''
TEST = """from app.wsgi import application
from tests.wsgi import call


def test_short():
    assert call(application, "/s/known").text == "short"
"""
# In a fork the load test, too, has other requests.
SCENARIOS = """from loadtest.calls import Page
from loadtest.checks import Expected

PAGES = [Page(1, "/s/known", "short")]
CALLS, SLOW, STRESS, VALUES = [], [], [], [""]
SHARES = dict.fromkeys(("Visitor", "ApiClient", "SlowClient", "Stress"), 1)
WAITS = dict.fromkeys(SHARES, (1, 1))
"""
# In a process of its own: locust patches the standard library.
USERS = """
from locust.util.load_locustfile import load_locustfile
print(*load_locustfile("loadtest/locustfile.py")[0])
"""


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    """Return the folder of the fork."""
    folder = tmp_path_factory.mktemp("fork")
    copy_project(folder)
    for name in DEMO:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    (folder / "app/wsgi.py").write_text(ROUTE)
    (folder / "loadtest/scenarios.py").write_text(SCENARIOS)
    (folder / "tests/app/unit").mkdir(parents=True)
    (folder / "tests/app/unit/test_short.py").write_text(TEST)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)  # tests list the files with git
    return folder


def run(folder, *arguments):
    """Run pytest in the folder; return its output, and fail the test if it fails."""
    command = [sys.executable, "-m", "pytest", "--quiet", "-n0", "--ignore=tests/unit/test_fork.py", *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("name", ["commands", "limits", "policies", "renamed"])
def test_table_is_documented_in_the_template(name):
    assert table(name)


def test_every_test_can_be_imported(fork):
    run(fork, "--collect-only", "tests")


def test_tests_of_the_app_pass_and_cover_it(fork):
    run(fork, "tests/unit/app", "tests/unit/deploy/test_wsgi.py", "tests/app/unit", "--cov")


def test_load_test_has_the_user_classes_with_requests(fork):
    if not find_spec("locust"):
        pytest.skip("the load test: locust is not installed, `make .venv/loadtest`")
    ended = subprocess.run([sys.executable, "-c", USERS], cwd=fork, capture_output=True, text=True, check=False)
    assert ended.stdout == "Visitor\n", ended.stderr


def test_tests_that_read_the_tree_pass(fork):
    apart = ("app", "deploy", "fork", "loadtest")  # tests/unit/fork deletes the demo from the template itself
    run(fork, "tests/unit", *(f"--ignore=tests/unit/{folder}" for folder in apart))
