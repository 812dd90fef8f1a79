"""The findings of `make doctor` on a Docker Swarm."""

import pytest

from deploy.docker import DeployError
from deploy.doctor import swarm
from deploy.swarm.engine import Node


def node(number, status="Ready", availability="Active", manager="Reachable"):
    return Node(str(number), f"n{number}", status, availability, manager)


@pytest.mark.parametrize(
    ("found", "failures"),
    [
        ([node(1, manager="Leader"), node(2), node(3)], []),
        (
            [node(1, manager="Leader"), node(2), node(3), node(4, availability="Drain", manager="")],
            ["n4 is Ready and Drain"],
        ),
        (
            [node(1, manager="Leader"), node(2), node(3, "Down", manager="Unreachable")],
            ["2 of 3 managers are reachable; the swarm survives the loss of 0", "n3 is Down and Active"],
        ),
        ([node(1, manager="Leader")], ["1 of 1 managers are reachable; the swarm survives the loss of 0"]),
        ([node(1, manager="Leader"), node(2)], ["2 of 2 managers are reachable; the swarm survives the loss of 0"]),
    ],
)
def test_nodes_and_quorum(found, failures):
    assert [finding.text for finding in swarm.check_nodes(found) if not finding.is_ok] == failures


def described(**more):
    container = {"Image": "r:5000/app:one-gunicorn@sha256:1", "Secrets": [{"SecretName": "site_app_0"}]}
    return {"Spec": {"TaskTemplate": {"ContainerSpec": container}, "Labels": {}} | more}


def test_replicas_registry_and_secrets_are_checked(monkeypatch):
    def is_in_registry(image):
        raise DeployError(f"docker pull {image} failed: no basic auth credentials")

    lines = "site_app 2/3\nsite_assets 3/3\nsite_assets-beside 3/3\nsite_nginx 3/3 (max 1)\nother_app 0/1\n"
    for name, stub in {
        "is_manager": lambda: True,
        "service": lambda name: described(),
        "nodes": list,
        "check_nodes": lambda found: iter(()),
        "ask": lambda *arguments: lines,
        "docker": lambda *arguments: "2.27.1",
        "find_project": lambda: type("Project", (), {"name": "site"}),
    }.items():
        monkeypatch.setattr(swarm, name, stub)
    monkeypatch.setattr(swarm.images, "is_in_registry", is_in_registry)
    monkeypatch.setattr(swarm.secret, "check", lambda stack, live: "another text")
    failures = [finding.text for finding in swarm.check_swarm() if not finding.is_ok]
    assert failures == [
        "Docker Compose 2.27.1; 2.28 or newer is needed",
        "site_app: 2 of 3 replicas run",
        "docker pull r:5000/app:one-gunicorn failed: no basic auth credentials",
        ".secrets differs from the live secret",
    ]
