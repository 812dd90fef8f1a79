"""`make dev`: an edit is served at once, a failure shows its traceback in the browser, on either server."""

import shutil
import time

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.stack.waiting import ROOT, until

HTML = {"Accept": "text/html"}


@pytest.fixture(params=BACKENDS)
def dev(request, tmp_path):
    """Return a running stack of `make dev`, on a copy of the project that the test may edit."""
    require("processes", request.param)
    for folder in ("app", "deploy", "nginx"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    stack = LocalStack(request.param, module="deploy.local.dev", root=tmp_path, WEB_CONCURRENCY="1")
    stack.up()
    try:
        yield stack
    finally:
        stack.down()


def edit(stack, path, old, new):
    # The servers look once a second, and take what they see first for what they have loaded: nobody types that fast.
    time.sleep(2)
    file = stack.root / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_an_edit_is_served_and_a_failure_shows_its_traceback(dev):
    def get(path):
        return httpx.get(dev.url + path, headers=HTML).text

    assert "Where to begin" in get("/about")
    edit(dev, "app/templates/about.html", "Where to begin", "Where it ends")
    assert "Where it ends" in get("/about")

    assert "/* edited */" not in get("/static/style.css")
    edit(dev, "app/static/style.css", ":root {", "/* edited */ :root {")
    until(lambda: "/* edited */" in get("/static/style.css"), "the edited style is served", 3)

    edit(dev, "app/handlers/health.py", '{"status": "ok"}', '{"status": "edited"}')
    until(lambda: "edited" in get("/healthz"), "the edited handler answers")

    edit(
        dev,
        "app/handlers/health.py",
        'return json(start_response, {"status": "edited"})',
        'raise LookupError("of ours")',
    )
    until(lambda: "LookupError: of ours" in get("/healthz"), "the traceback is shown")
    assert "EVALEX = false," in get("/healthz")  # and there is no console behind it

    edit(dev, "app/handlers/health.py", "def alive(", "def alive((")
    until(lambda: httpx.get(f"{dev.url}/healthz").status_code >= 500, "the syntax error is noticed")
    edit(dev, "app/handlers/health.py", "def alive((", "def alive(")
    until(lambda: "LookupError: of ours" in get("/healthz"), "it has recovered")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_setting_is_its_default(backend):
    require("processes", backend)
    stack = LocalStack(backend, module="deploy.local.dev", WEB_CONCURRENCY="")
    try:
        stack.up()
    finally:
        stack.down()
