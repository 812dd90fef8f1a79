"""nginx in front of replicas that start and stop (deploy/server/drain.py): no request is lost."""

import json
import time

import pytest

from tests.drills.load import load
from tests.stack.compose import ComposeStack
from tests.stack.conftest import require, running
from tests.stack.waiting import until

# What a machine that is lost looks like from another one: connections to it are neither taken nor refused.
SILENT = """
import socket, time
listener = socket.create_server(("", 8000), backlog=0)
others = [socket.create_connection(("127.0.0.1", 8000))]
time.sleep(3600)
"""


@pytest.fixture(scope="module")
def replicas():
    """Return a stack of one replica that answers, and as many as one likes that do not."""
    require("docker", "gunicorn")
    silent = {
        "image": "${COMPOSE_PROJECT_NAME}-app:dev-gunicorn",
        "pull_policy": "never",
        "command": ["python", "-c", SILENT],
        "networks": {"internal": {"aliases": ["app"]}},
        "scale": 0,
        "init": True,
        "stop_signal": "SIGKILL",
    }
    services = {
        "app": {"environment": {"LISTEN": "0.0.0.0:8000"}},
        "nginx": {"environment": {"NGINX_UPSTREAM": "replicas"}, "networks": ["edge", "internal"]},
        "silent": silent,
    }
    yield from running(ComposeStack("gunicorn", "-replicas", json.dumps({"services": services})))


def scale(stack, count):
    stack.compose("up", "--detach", "--no-recreate", "--scale", f"silent={count}", "silent")


def test_no_request_is_lost_while_replicas_that_do_not_answer_come_and_go(replicas):
    with load(replicas.url) as clients:
        for count in (1, 2, 1, 2, 0):
            scale(replicas, count)
            time.sleep(3)
    assert clients.outcomes() == {}


def test_a_replica_ends_only_when_nobody_sends_it_anything_more(replicas):
    before = replicas.inspect("app")["RestartCount"]
    with load(replicas.url) as clients:
        # Its name stays, as for an nginx that has not heard.
        replicas.compose("exec", "app", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")
        time.sleep(8)
    assert clients.outcomes() == {}
    until(lambda: replicas.inspect("app")["RestartCount"] > before, "it has ended, and was started again")
