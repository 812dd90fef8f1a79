"""Services and nodes as the engine describes them, and a command that fails."""

from deploy.docker import DeployError
from deploy.swarm.engine import Node

OLD, NEW, NGINX = "r:5000/app:one-two-uwsgi@sha256:0", "r:5000/app:two-uwsgi@sha256:1", "r:5000/nginx:0@sha256:2"
NODES = [Node("1", "n1", "Ready", "Active", "Leader"), Node("2", "n2", "Down", "Active", "")]


def described(image=OLD, previous="", secrets=("site_app_0",), **more):
    """Return a service of three replicas, as the engine describes it."""
    container = {"Image": image, "Secrets": [{"SecretName": name} for name in secrets]}
    spec = {"TaskTemplate": {"ContainerSpec": container}, "Mode": {"Replicated": {"Replicas": 3}}}
    return {"Spec": spec | {"Labels": {"previous": previous}}} | more


def refuses(output):
    def docker(*arguments, **options):
        raise DeployError(f"docker {' '.join(arguments)} ... failed: {output}")

    return docker
