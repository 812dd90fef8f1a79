"""No count of a server that stops is lost, and none through crashes, recycling, reloads and deploys."""

import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from deploy.server import launch
from deploy.server.launch import BACKENDS
from tests.stack.compose import docker
from tests.stack.conftest import require
from tests.stack.scraping import FETCH, counters, kill, more, parse, requests
from tests.stack.site import Site
from tests.stack.test_drain import is_ready
from tests.stack.waiting import free_port, until
from tests.tree import reference_tree


@pytest.fixture(params=BACKENDS)
def drained(request, tmp_path):
    """Return a server with metrics as in a container, its socket and the metrics' address."""
    require("processes", request.param)
    listen, port = f"unix:{tmp_path}/server.sock", free_port()
    folder = tmp_path / "metrics"
    folder.mkdir()
    settings = {"BACKEND": request.param, "LISTEN": listen, "WEB_CONCURRENCY": "1", "METRICS_PORT": f"{port}"}
    environ = settings | {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", "METRICS_DIR": f"{folder}"}
    command = [sys.executable, "-S", "-m", "deploy.server.drain", listen, *launch.command(settings)]
    process = subprocess.Popen(
        command, cwd=reference_tree(), env=environ | {"METRICS_BIND": "127.0.0.1"}, stderr=subprocess.DEVNULL
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    own = []
    try:
        until(lambda: len(children.read_text().split()) == 2, "both are started")
        own = [int(each) for each in children.read_text().split()]
        until(lambda: is_ready(listen), "it is ready")
        until(lambda: is_scraped(port), "it is scraped")
        transport = httpx.HTTPTransport(uds=f"{tmp_path}/server.sock")
        with httpx.Client(transport=transport, base_url="http://site") as client:
            yield process, own[0], client, f"http://127.0.0.1:{port}/metrics"
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for each in own:  # in a container they end with the first process
            with suppress(ProcessLookupError):
                os.kill(each, 9)


def is_scraped(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics").is_success
    except httpx.TransportError:
        return False


def test_server_that_stops_is_scraped_once_more(drained):
    process, server, client, metrics = drained
    before = requests(parse(httpx.get(metrics).text))
    for _ in range(5):
        assert client.get("/about").status_code == 200
    process.terminate()
    until(lambda: not Path(f"/proc/{server}").exists(), "the server has exited")
    process.terminate()  # another one changes nothing
    assert process.poll() is None
    after = requests(parse(httpx.get(metrics).text))
    assert more(before, after) == {("/about", "GET", "200"): 5}
    assert process.wait(20) == 0


def test_server_that_crashes_ends_without_a_scrape(drained):
    process, server, _, _ = drained
    os.kill(server, 9)
    assert process.wait(10) == 128 + 9  # at most 15 seconds later it would end without one


# A worker is replaced after a thousand requests, so that the test need not wait for 50,000.
OFTEN = {
    "deploy/server/gunicorn.conf.py": r"(max_requests(?:_jitter)? = )\d+",  # only with gunicorn
    "deploy/server/uwsgi.ini": r"(max-requests(?:-delta)? = )\d+",  # only with uwsgi
}
PORT = "80"  # of the metrics; a container needs no privilege for it
KINDS = {  # of requests: the series of each, by its method and path
    ("GET", "/hello/a"): ("/hello/{name}", "GET", "200"),
    ("GET", "/nowhere"): ("", "GET", "404"),
    ("POST", "/about"): ("/about", "POST", "405"),
}


@pytest.mark.nightly
@pytest.mark.parametrize("backend", BACKENDS)
def test_counts_are_complete_through_crashes_recycling_a_reload_and_a_deploy(backend, tmp_path):
    require("docker", backend)
    site = Site(backend, "-metrics", tmp_path)
    site.change(".env", f"METRICS_PORT={PORT}\nWEB_CONCURRENCY=2\n")
    for path, limit in OFTEN.items():
        site.write(path, re.sub(limit, r"\g<1>1000", (tmp_path / path).read_text()))
    try:
        site.make()
        with scraped_containers(site) as found, sending(site.url) as sent:

            def exits(cause):
                return sum(each["wsgi_worker_exits_total", ("cause", cause)] for each in found.values())

            for number in (1, 2):
                until(lambda: kill(site, min(site.workers())), "a worker is killed before it is recycled")
                until(lambda number=number: exits("killed") == number, "the kill is counted")
                until(lambda: len(site.workers()) == 2, "the next worker")
            until(lambda: exits("ended") >= 2, "workers are recycled", 120)
            ended = exits("ended")
            site.reload_app()
            until(lambda: exits("ended") >= ended + 2, "both workers are reloaded", 60)
            site.change("app/wsgi.py", "\n# changed\n")
            site.make()
            assert len(found) == 2
        counted = Counter()
        for each in found.values():
            counted.update(requests(each))
    finally:
        site.down()
    assert exits("killed") == 2
    assert sum(sent.cut.values()) <= 2 * 4  # a request of each thread of the killed workers
    for kind in KINDS.values():
        # The client gets no response for a request that was cut. Its worker may have counted it before.
        assert sent.answered[kind] <= counted[kind] <= sent.answered[kind] + sent.cut[kind], kind
        assert sent.answered[kind] > 100


@contextmanager
def scraped_containers(site):
    """Scrape all containers of the app all the time; yield the latest scrape of each, when they have ended too.

    Fail if a counter decreases, or a scrape of a container that was scraped before fails while it runs.
    """
    found, failures, is_enough = {}, [], threading.Event()

    def run():
        is_last = False
        while not is_last:
            is_last = is_enough.wait(0.5)
            for container in site.containers("app", one_off=False):
                try:
                    latest = parse(docker("exec", container, "python", "-c", FETCH, PORT))
                except AssertionError as error:
                    if container in found and is_running(container):
                        failures.append(str(error))
                    continue
                before = found.get(container, {})
                failures.extend(each for each in counters(latest) if latest[each] < before.get(each, 0))
                found[container] = latest

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: found, "the first scrape")
        yield found
    finally:
        is_enough.set()
        thread.join()
    assert failures == []


def is_running(container):
    """Return whether the container runs for three more seconds."""
    time.sleep(3)  # after its exporter it writes the last lines of the log
    return bool(docker("container", "ls", "--quiet", f"--filter=id={container}"))


@contextmanager
def sending(url):
    """Send requests of all KINDS in three threads; yield the numbers of those that were answered, and of the others."""
    sent, is_enough = SimpleNamespace(answered=Counter(), cut=Counter()), threading.Event()

    def run():
        with httpx.Client(base_url=url, timeout=40) as client:
            while not is_enough.is_set():
                for (method, path), series in KINDS.items():
                    is_answered = client.request(method, path).status_code == int(series[2])
                    with lock:
                        (sent.answered if is_answered else sent.cut)[series] += 1

    lock = threading.Lock()
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield sent
    finally:
        is_enough.set()
        for thread in threads:
            thread.join()
