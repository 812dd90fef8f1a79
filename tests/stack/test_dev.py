"""`make dev`: edits are served at once, and exceptions show a traceback in the browser, on both backends."""

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
    """Run the stack of `make dev` on a copy of the project, which the test can edit."""
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
    # The servers check the files once a second, and do not notice edits before their first check.
    time.sleep(2)
    file = stack.root / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_edit_is_served_and_exception_shows_traceback(dev):
    def get(path):
        return httpx.get(dev.url + path, headers=HTML).text

    assert "Where to begin" in get("/about")
    edit(dev, "app/templates/about.html", "Where to begin", "Where it ends")
    assert "Where it ends" in get("/about")

    assert "/* edited */" not in get("/static/style.css")
    edit(dev, "app/static/style.css", ":root {", "/* edited */ :root {")
    until(lambda: "/* edited */" in get("/static/style.css"), "the edited style is served", 3)

    edit(dev, "app/handlers/health.py", '{"status": "ok"}', '{"status": "edited"}')
    until(lambda: "edited" in get("/healthz"), "the edited handler is served")

    edit(
        dev,
        "app/handlers/health.py",
        'return json(start_response, {"status": "edited"})',
        'raise LookupError("edited")',
    )
    until(lambda: "LookupError: edited" in get("/healthz"), "the traceback is shown")
    assert "EVALEX = false," in get("/healthz")  # without Werkzeug's interactive console

    edit(dev, "app/handlers/health.py", "def alive(", "def alive((")
    until(lambda: httpx.get(f"{dev.url}/healthz").status_code >= 500, "the syntax error gets an error response")
    edit(dev, "app/handlers/health.py", "def alive((", "def alive(")
    until(lambda: "LookupError: edited" in get("/healthz"), "the app recovers")


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_setting_is_default(backend):
    require("processes", backend)
    stack = LocalStack(backend, module="deploy.local.dev", WEB_CONCURRENCY="")
    try:
        stack.up()
    finally:
        stack.down()
