"""The application on each server alone, from a clone, with nothing configured: a look at it, not a deployment."""

import os
import shutil
import subprocess
import sys
import time

import httpx
import pytest

from deploy.serve import BACKENDS
from tests.stack.conftest import require
from tests.stack.waiting import ROOT, free_port, until

BIN = f"{sys.prefix}/bin"
SERVERS = {
    "wsgiref": [sys.executable, "-m", "app", "{port}"],
    "gunicorn": [f"{BIN}/gunicorn", "app.wsgi", "--bind", "127.0.0.1:{port}"],
    "uwsgi": [f"{BIN}/uwsgi", "--http", "127.0.0.1:{port}", "--module", "app.wsgi", "--die-on-term"],
}


@pytest.fixture(params=SERVERS)
def url(request):
    """Return the address of the application on a server of its own."""
    if request.param != "wsgiref":
        require("processes", request.param)
    port = free_port()
    command = [part.format(port=port) for part in SERVERS[request.param]]
    server = subprocess.Popen(
        command, cwd=ROOT, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), f"{request.param} answers")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate(timeout=30)


def answers(url):
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_it_serves_pages_with_their_static_files(url):
    page = httpx.get(url, headers={"Accept": "text/html"})
    assert "It serves." in page.text
    assert page.headers["X-Request-ID"] in page.text
    style = httpx.get(f"{url}/static/style.css")
    assert (style.status_code, style.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert httpx.get(f"{url}/static/nope.css").status_code == 404
    assert httpx.get(f"{url}/static/..%2fwsgi.py").status_code == 404
    assert httpx.post(f"{url}/echo", json={"a": 1}).json() == {"a": 1}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_server_that_is_told_to_end_while_it_imports_the_app_ends(backend, tmp_path):
    require("processes", backend)
    for folder in ("app", "deploy"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    with (tmp_path / "app" / "wsgi.py").open("a") as module:
        module.write("import time\ntime.sleep(1)\n")
    environ = {"PATH": f"{BIN}:{os.environ['PATH']}", "BACKEND": backend, "LISTEN": f"127.0.0.1:{free_port()}"}
    command = [sys.executable, "-m", "deploy.serve"]
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        spawned = {"gunicorn": "Booting worker", "uwsgi": "(master-start)"}[backend]
        assert any(spawned in line for line in server.stdout)
        time.sleep(0.5)  # half-way through the workers' import
        server.terminate()
        server.communicate(timeout=20)
    finally:
        server.kill()
    assert server.returncode == 0
