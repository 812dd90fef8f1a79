"""nginx in front of replicas that start and stop (deploy/server/drain.py): no request is lost."""

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
# What a machine that is lost looks like from another one: connections to it are neither taken nor refused.
# The queue is full before the network reaches it: a request that nginx has sent is not repeated.
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
    """Return a stack of one replica that answers, and as many as one likes that do not."""
    require("docker", "gunicorn")
    module = tmp_path_factory.mktemp("replicas") / "wsgi.py"
    module.write_text(f"import os\n{(reference_tree() / 'app' / 'wsgi.py').read_text()}{DIE}")
    silent = {
        "image": "${COMPOSE_PROJECT_NAME}-app:dev-gunicorn",
        "pull_policy": "never",
        "command": ["python", "-c", SILENT],
        "networks": {"internal": {"aliases": ["app"]}},
        "scale": 0,
        "init": True,
        "user": "0:0",  # SO_BINDTODEVICE
        "stop_signal": "SIGKILL",
    }
    services = {
        "app": {"environment": {"LISTEN": "0.0.0.0:8000"}, "volumes": [f"{module}:/srv/app/wsgi.py:ro"]},
        "nginx": {"environment": {"NGINX_UPSTREAM": "replicas"}, "networks": ["edge", "internal"]},
        "silent": silent,
    }
    yield from running(ComposeStack("gunicorn", "-replicas", json.dumps({"services": services})))


def scale(stack, count):
    stack.compose("up", "--detach", "--no-recreate", "--scale", f"silent={count}", "silent")


def test_no_request_is_lost_while_replicas_that_do_not_answer_come_and_go(replicas):
    with load(replicas.url, counts=False) as clients:
        for count in (1, 2, 1, 2, 0):
            scale(replicas, count)
            time.sleep(3)
    assert clients.outcomes() == {}


def test_a_replica_ends_only_when_nobody_sends_it_anything_more(replicas):
    before = replicas.inspect("app")["RestartCount"]
    with load(replicas.url, counts=False) as clients:
        # Its name stays, as for an nginx that has not heard.
        replicas.compose("exec", "app", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")
        time.sleep(8)
    assert clients.outcomes() == {}
    until(lambda: replicas.inspect("app")["RestartCount"] > before, "it has ended, and was started again")


@pytest.mark.parametrize("body", [b"", b"x" * 500_000], ids=["closed", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"])
def test_a_request_that_a_replica_has_is_not_sent_to_another(method, body, replicas):
    replicas.compose("up", "--detach", "--no-recreate", "--wait", "--scale", "app=2", "app")
    answer = httpx.request(method, f"{replicas.url}/die", content=body, timeout=30)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    line = f"dying of {answer.headers['X-Request-ID']}"
    until(lambda: line in replicas.logs("app"), "the line has reached the log")
    time.sleep(1)
    assert replicas.logs("app").count(line) == 1
