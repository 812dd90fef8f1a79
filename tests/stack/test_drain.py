"""A server on TCP answers the requests in its listen queue before it stops."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.stack.conftest import require
from tests.stack.waiting import ROOT, free_port, until


@pytest.fixture(params=BACKENDS)
def server(request):
    """Run a server with one thread on TCP; return its process and URL."""
    require("processes", request.param)
    port = free_port()
    settings = {"BACKEND": request.param, "LISTEN": f"127.0.0.1:{port}", "WEB_CONCURRENCY": "1", "WEB_THREADS": "1"}
    environ = {"PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"} | settings
    server = subprocess.Popen(
        [sys.executable, "-m", "deploy.server.launch"], cwd=ROOT, env=environ, stderr=subprocess.DEVNULL
    )
    try:
        yield server, f"http://127.0.0.1:{port}"
    finally:
        if server.poll() is None:
            server.kill()
        server.wait()


def answers(url):
    try:
        return httpx.get(f"{url}/readyz", timeout=1).is_success
    except httpx.TransportError:
        return False


def test_queued_requests_are_answered_before_server_stops(server):
    process, url = server
    until(lambda: answers(url), "it answers")
    with ThreadPoolExecutor(6) as clients:
        waiting = [clients.submit(httpx.get, f"{url}/stream", timeout=60) for _ in range(4)]
        process.terminate()
        late = clients.submit(httpx.get, f"{url}/version", timeout=60)
        answered = [each.result() for each in (*waiting, late)]
    assert [each.status_code for each in answered] == [200] * 5
    assert all(each.text.endswith("chunk 7 of 7\n") for each in answered[:4])
    assert process.wait(60) == 0


def test_launcher_exits_when_server_is_killed(server):
    process, url = server
    until(lambda: answers(url), "it answers")
    [own] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(own), 9)
    assert process.wait(30) != 0
