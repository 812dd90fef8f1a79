"""nginx in front of replicas that start and stop (deploy/server/drain.py): no request fails."""

import json
import time

import httpx
import pytest

from tests.drills.load import load
from tests.stack.compose import ComposeStack
from tests.stack.conftest import require, running
from tests.stack.waiting import until
from tests.tree import reference_tree

# Added to the app: a handler that counts its executions and ends its worker.
DIE = """
normal = application

def application(environ, start_response):
    if environ["PATH_INFO"] == "/die":
        environ["wsgi.errors"].write(f"dying of {environ['HTTP_X_REQUEST_ID']}\\n")
        environ["wsgi.errors"].flush()
        os._exit(1)
    return normal(environ, start_response)
"""
# A lost machine, as seen from another one: it neither accepts nor refuses connections. The queue is full before the
# network reaches it, because nginx does not repeat a request that it has sent.
SILENT = """
import socket, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
listener.bind(("", 8000))
listener.listen(0)
others = [socket.create_connection(("127.0.0.1", 8000))]
listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"")
time.sleep(3600)
"""


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    """Return a stack of one replica that answers. `scale` adds replicas that do not."""
    require("docker", "gunicorn")
    module = tmp_path_factory.mktemp("replicas") / "wsgi.py"
    module.write_text(f"import os\n{(reference_tree() / 'app' / 'wsgi.py').read_text()}{DIE}")
    silent = {
        "image": "${COMPOSE_PROJECT_NAME}-app:dev-gunicorn",
        "pull_policy": "never",
        "command": ["python", "-c", SILENT],
        "networks": {"private": {"aliases": ["app"]}},
        "scale": 0,
        "init": True,
        "user": "0:0",  # SO_BINDTODEVICE
        "stop_signal": "SIGKILL",
    }
    services = {
        "app": {"environment": {"LISTEN": "0.0.0.0:8000"}, "volumes": [f"{module}:/srv/app/wsgi.py:ro"]},
        "nginx": {"environment": {"NGINX_UPSTREAM": "replicas"}, "networks": ["edge", "private"]},
        "silent": silent,
    }
    yield from running(ComposeStack("gunicorn", "-replicas", json.dumps({"services": services})))


def scale(stack, count):
    stack.compose("up", "--detach", "--no-recreate", "--scale", f"silent={count}", "silent")


def test_silent_replicas_cost_no_request(replicas):
    with load(replicas.url, counts=False) as clients:
        for count in (1, 2, 1, 2, 0):
            scale(replicas, count)
            time.sleep(3)
    assert clients.outcomes() == {}


def test_stopping_replica_answers_until_nginx_forgets_it(replicas):
    before = replicas.inspect("app")["RestartCount"]
    with load(replicas.url, counts=False) as clients:
        # Its name stays, as for an nginx that does not know of the stop.
        replicas.compose("exec", "app", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")
        time.sleep(8)
    assert clients.outcomes() == {}
    until(lambda: replicas.inspect("app")["RestartCount"] > before, "the engine restarts the replica")


# The kernel resets the connection of a worker that exits with an unread body.
REQUESTS = [
    (method, body) for method in ("GET", "HEAD", "PUT", "DELETE", "POST", "PATCH") for body in (b"", b"x" * 500_000)
]


@pytest.fixture(scope="module")
def died(replicas):
    """Send each request of REQUESTS to two replicas; return the responses and the log of the app a second later."""
    replicas.compose("up", "--detach", "--no-recreate", "--wait", "--scale", "app=2", "app")
    url = f"{replicas.url}/die"
    responses = [httpx.request(method, url, content=body, timeout=30) for method, body in REQUESTS]
    until(lambda: replicas.logs("app").count("dying of") >= len(REQUESTS), "the app has logged each request")
    time.sleep(1)
    return responses, replicas.logs("app")


@pytest.mark.parametrize("number", range(len(REQUESTS)), ids=lambda number: f"{REQUESTS[number][0]} {number % 2}")
def test_request_is_not_repeated_on_another_replica(number, died):
    responses, log = died
    response = responses[number]
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert log.count(f"dying of {response.headers['X-Request-ID']}") == 1
