"""Stop, crash, restart and switch: requests in flight complete, and the site recovers by itself."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from deploy.server.launch import BACKENDS  # only with gunicorn, uwsgi
from tests.stack.compose import docker
from tests.stack.waiting import until


class Stream(threading.Thread):
    """A request of three seconds. It is in flight when `begun` is set, after the first chunk."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url = url
        self.text = ""
        self.begun = threading.Event()

    def run(self):
        with httpx.stream("GET", f"{self.url}/stream", timeout=30) as response:
            for chunk in response.iter_text():
                self.text += chunk
                self.begun.set()


@pytest.fixture
def stream(stack):
    """Return a request in flight."""
    stream = Stream(stack.url)
    stream.start()
    assert stream.begun.wait(10)
    return stream


@pytest.fixture(autouse=True)
def recovers(stack):
    """Wait after each test until the site is ready again."""
    yield
    until(stack.is_up, "the site is ready")


def test_request_in_flight_completes_while_app_stops(stack, stream, http):
    stack.stop_app()
    stream.join(10)
    assert stream.text.endswith("chunk 7 of 7\n")
    response = http.get("/")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert len(response.headers.get_list("X-Request-ID")) == 1
    if stack.kind == "docker":
        assert stack.inspect("app")["State"]["ExitCode"] == 0
    stack.start_app()


@pytest.fixture
def workers(stack):
    """Return the workers when all of them serve. Those that still import the app obey a signal of uWSGI late."""

    def serving():
        with ThreadPoolExecutor(16) as clients:
            return set(clients.map(lambda _: httpx.get(f"{stack.url}/version", timeout=30).json()["worker"], range(32)))

    until(lambda: stack.workers() <= serving(), "all workers serve", 60)
    return stack.workers()


@pytest.mark.usefixtures("workers")
def test_new_request_gets_503_while_app_stops(stack, stream):
    stopping = threading.Thread(target=stack.stop_app)
    stopping.start()
    try:
        until(lambda: httpx.get(f"{stack.url}/").status_code == 503, "the app accepts no more requests")
        assert stream.is_alive()
    finally:
        stopping.join()
        stack.start_app()


def test_restart_loses_no_request_in_flight(stack, stream):
    stack.restart_app()
    until(stack.is_up, "the site is ready")
    stream.join(10)
    assert stream.text.endswith("chunk 7 of 7\n")


def test_sighup_replaces_workers_and_loses_no_request_in_flight(workers, stack, stream, http):
    stack.reload_app()
    until(lambda: not workers & stack.workers(), "the workers are replaced", 60)  # one after another
    stream.join(10)
    assert stream.text.endswith("chunk 7 of 7\n")
    assert http.get("/version").json()["worker"] not in workers


def test_site_recovers_after_first_process_is_killed(stack):
    stack.kill_app()
    until(stack.is_up, "the site is ready")


@pytest.mark.nightly
def test_site_recovers_after_socket_is_removed(stack):
    stack.remove_socket()
    until(lambda: not stack.is_up(), "the site is down")
    until(stack.is_up, "the site is ready", 150)  # the check waits 30 s, and 60 s more for a server it has not seen


@pytest.mark.kind("docker")
def test_site_recovers_after_reboot(stack):
    containers = [stack.inspect(service)["Id"] for service in ("nginx", "app")]
    docker("kill", *containers)
    docker("start", *containers)  # nginx first: after a reboot, containers start in any order
    until(lambda: stack.inspect("nginx")["State"]["Health"]["Status"] == "healthy", "nginx is healthy")


# begin gunicorn
# begin uwsgi
@pytest.mark.kind("docker")
@pytest.mark.backend("gunicorn")  # to uWSGI and back
def test_switching_backend_keeps_nginx_running(stack, http):
    nginx = stack.inspect("nginx")["Id"]
    [other] = set(BACKENDS) - {stack.backend}
    stack.up(BACKEND=other)
    assert http.get("/version").json()["backend"] == other
    stack.up()
    assert http.get("/version").json()["backend"] == stack.backend
    assert stack.inspect("nginx")["Id"] == nginx


# end uwsgi
# end gunicorn
@pytest.mark.kind("docker")
def test_second_up_recreates_no_container(stack):
    before = [stack.inspect(service)["Id"] for service in ("nginx", "app")]
    stack.compose("up", "--detach", "--wait")
    assert [stack.inspect(service)["Id"] for service in ("nginx", "app")] == before
