"""A server answers the requests in its listen queue before it stops, and hands live.sock over to another."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from deploy.server import launch, live
from deploy.server.launch import BACKENDS
from tests.stack.conftest import require
from tests.stack.waiting import free_port, until
from tests.tree import reference_tree


@pytest.fixture(params=BACKENDS)
def server(request):
    """Run a server with one thread on TCP; return its process and URL."""
    require("processes", request.param)
    port = free_port()
    settings = {"BACKEND": request.param, "LISTEN": f"127.0.0.1:{port}", "WEB_CONCURRENCY": "1", "WEB_THREADS": "1"}
    environ = {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"} | settings
    server = subprocess.Popen(
        [sys.executable, "-m", "deploy.server.launch"], cwd=reference_tree(), env=environ, stderr=subprocess.DEVNULL
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
        waiting = [clients.submit(httpx.get, f"{url}/stream", timeout=60) for _ in range(3)]
        process.terminate()
        late = clients.submit(httpx.get, f"{url}/version", timeout=60)
        answered = [each.result() for each in (*waiting, late)]
    assert [each.status_code for each in answered] == [200] * 4
    assert all(each.text.endswith("chunk 7 of 7\n") for each in answered[:3])
    assert process.wait(60) == 0


def test_launcher_exits_when_server_is_killed(server):
    process, url = server
    until(lambda: answers(url), "it answers")
    [own] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(own), 9)
    assert process.wait(30) != 0


@pytest.fixture(params=BACKENDS)
def pair(request, tmp_path):
    """Return two servers with a thread each, `a` and `b`, by name; live.sock points to `a`."""
    require("processes", request.param)
    environ = {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", "BACKEND": request.param}
    (tmp_path / "live.sock").symlink_to("a.sock")
    servers = {}
    try:
        for name in ("a", "b"):
            listen = f"unix:{tmp_path}/{name}.sock"
            settings = {"BACKEND": request.param, "LISTEN": listen, "WEB_CONCURRENCY": "1", "WEB_THREADS": "1"}
            command = [sys.executable, "-S", "-m", "deploy.server.drain", listen, *launch.command(settings)]
            servers[name] = subprocess.Popen(command, cwd=reference_tree(), env=environ, stderr=subprocess.DEVNULL)
            until(lambda at=listen: is_ready(at), "it is ready")
        yield servers, tmp_path
    finally:
        for server in servers.values():
            server.terminate()  # a server does not notice when the drain is killed: only a container ends with it
        for server in servers.values():
            server.wait(60)


def is_ready(address):
    try:
        return live.answer(address, seconds=1) == b"200"
    except OSError:
        return False


def test_live_server_that_is_stopped_hands_over_and_answers_its_queue(pair):
    servers, folder = pair
    transport = httpx.HTTPTransport(uds=str(folder / "live.sock"))
    with ThreadPoolExecutor(5) as clients, httpx.Client(transport=transport, timeout=60) as client:
        waiting = [clients.submit(client.get, "http://site/stream") for _ in range(3)]
        until(lambda: servers["a"].poll() is None and any(each.running() for each in waiting), "they are sent")
        servers["a"].terminate()
        until(lambda: str((folder / "live.sock").readlink()) == "b.sock", "b took over")
        assert client.get("http://site/version").status_code == 200
        assert all(each.result().text.endswith("chunk 7 of 7\n") for each in waiting)
    assert servers["a"].wait(60) == 0


def test_last_server_that_is_stopped_stops_at_once(pair):
    servers, folder = pair
    servers["b"].terminate()
    assert servers["b"].wait(60) == 0
    servers["a"].terminate()
    assert servers["a"].wait(60) == 0
    assert str((folder / "live.sock").readlink()) == "a.sock"


@pytest.mark.parametrize("backend", BACKENDS)
def test_server_that_is_stopped_at_its_start_exits(backend, tmp_path):
    require("processes", backend)
    listen = f"unix:{tmp_path}/own.sock"
    line = launch.command({"BACKEND": backend, "LISTEN": listen, "WEB_CONCURRENCY": "2"})
    command = [sys.executable, "-S", "-m", "deploy.server.drain", listen, *line]
    environ = {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", "BACKEND": backend}
    for hundredths in range(4):
        server = subprocess.Popen(command, cwd=reference_tree(), env=environ, stderr=subprocess.PIPE)
        try:
            server.stderr.readline()  # the server has started
            time.sleep(hundredths / 100)
            server.terminate()
            server.communicate(timeout=20)
        finally:
            if server.poll() is None:
                for child in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
                server.communicate()


def test_signal_to_reload_reaches_the_server(pair):
    servers, folder = pair

    def workers():
        [server] = Path(f"/proc/{servers['a'].pid}/task/{servers['a'].pid}/children").read_text().split()
        return set(Path(f"/proc/{server}/task/{server}/children").read_text().split())

    before = workers()
    servers["a"].send_signal(signal.SIGHUP)
    until(lambda: workers() and not before & workers(), "there are other workers")
    until(lambda: is_ready(f"unix:{folder}/a.sock"), "it is ready")
