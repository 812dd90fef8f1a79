"""gunicorn's worker in recipes/epoll_worker.py behind nginx: no request fails while workers are replaced or stopped."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.recipes.copies import RECIPES
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.stack.test_lifecycle import Stream
from tests.stack.waiting import until
from tests.tree import copy_reference

pytestmark = pytest.mark.nightly

REQUESTS = 40  # after which a worker is replaced
CHANGES = {
    r'worker_class = ".*"': 'worker_class = "deploy.server.epoll_worker.EpollWorker"',
    r"(max_requests(?:_jitter)? = )\d+": rf"\g<1>{REQUESTS}",
}

THREADS = """
def threads(environ, start_response):
    start_response("200 OK", [])
    return [str(environ["wsgi.multithread"]).encode()]

application = chain(MIDDLEWARES, router({**ROUTES, "/threads": threads}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return a stack with the recipe turned on, as its first lines say."""
    require("processes", "gunicorn")
    root = tmp_path_factory.mktemp("epoll")
    copy_reference(root)
    shutil.copy(RECIPES / "epoll_worker.py", root / "deploy/server")
    configuration = root / "deploy/server/gunicorn.conf.py"
    for old, new in CHANGES.items():
        configuration.write_text(re.sub(old, new, configuration.read_text()))
    with (root / "app" / "wsgi.py").open("a") as file:
        file.write(THREADS)
    site = LocalStack("gunicorn", root=root, WEB_CONCURRENCY="2", WEB_THREADS="3")
    site.up()
    yield site
    site.down()


def workers_that_answer(site, requests):
    """Send the requests from four clients, and return the process ids of the workers that answered."""

    def ask(_):
        response = client.get(f"{site.url}/version")
        assert response.status_code == 200, response.text
        return response.json()["worker"]

    with httpx.Client(timeout=30) as client, ThreadPoolExecutor(4) as clients:
        return set(clients.map(ask, range(requests)))


def test_application_knows_that_it_runs_in_several_threads(site):
    assert httpx.get(f"{site.url}/threads").text == "True"


def test_requests_succeed_while_workers_are_recycled(site):
    assert len(workers_that_answer(site, 10 * REQUESTS)) > 4


def test_requests_succeed_while_sighup_replaces_workers(site):
    before = site.workers()
    with ThreadPoolExecutor(1) as load:
        answered = load.submit(workers_that_answer, site, 6 * REQUESTS)
        site.reload_app()
        assert answered.result()
    until(lambda: not before & site.workers(), "the workers are replaced")


def test_stop_completes_the_request_in_flight(site):
    stream = Stream(site.url)
    stream.start()
    assert stream.begun.wait(10)
    site.restart_app()
    stream.join(10)
    assert stream.text.endswith("chunk 7 of 7\n")
    until(site.is_up, "the site is ready")
