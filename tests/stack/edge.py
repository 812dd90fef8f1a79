"""A further nginx before the app of a running stack, with settings and, where need be, a configuration of its own."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.stack.compose import ComposeStack, docker
from tests.stack.local import LocalStack
from tests.stack.waiting import ROOT, free_port, until


@dataclass(frozen=True)
class Edge:
    """An nginx that answers, where, and what it has printed."""

    url: str
    direct: str  # without what Docker puts between
    logs: Callable[[], str]


@contextmanager
def edge(stack: LocalStack | ComposeStack, conf: Path | None = None, **settings: str) -> Iterator[Edge]:
    """Start an nginx as the stack starts its own, in front of the same app, and stop it in the end."""
    if isinstance(stack, ComposeStack):
        yield from in_container(stack, conf, settings)
    else:
        yield from as_process(stack, conf, settings)


def as_process(stack: LocalStack, conf: Path | None, settings: dict[str, str]) -> Iterator[Edge]:
    """Start nginx as deploy/local/supervisord.conf does."""
    port = free_port()
    environ = {"PATH": f"{os.environ['PATH']}:/usr/sbin", "NGINX_LISTEN": f"127.0.0.1:{port}"} | settings
    folder = Path(tempfile.mkdtemp())
    for name in ("run", "static"):
        (folder / name).symlink_to(stack.run_dir / name)
    user = "user root;" if os.geteuid() == 0 else ""
    command = ["nginx", "-p", f"{folder}/", "-c", "conf/nginx.conf", "-e", "stderr", "-g", f"daemon off; {user}"]
    try:
        subprocess.run([(conf or ROOT / "nginx") / "control.sh", "configure", folder], env=environ, check=True)
        with (folder / "log").open("w") as log:
            nginx = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
        try:
            until(lambda: listens(port) or nginx.poll() is not None, "nginx listens")
            assert nginx.poll() is None, (folder / "log").read_text()
            url = f"http://127.0.0.1:{port}"
            yield Edge(url, url, (folder / "log").read_text)
        finally:
            nginx.terminate()
            nginx.wait(10)
    finally:
        shutil.rmtree(folder)


def in_container(stack: ComposeStack, conf: Path | None, settings: dict[str, str]) -> Iterator[Edge]:
    """Start a container of the service nginx."""
    port = free_port()
    options = ["--publish", f"127.0.0.1:{port}:8080", *(["--volume", f"{conf}:/srv/edited:ro"] if conf else [])]
    container = stack.compose("run", "--detach", "--no-deps", *options, "nginx", check=True, **settings).stdout.strip()
    try:
        until(
            lambda: docker("inspect", "--format", "{{.State.Health.Status}}", container) == "healthy\n",
            "nginx is healthy",
        )
        network = next(iter(json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"].values()))
        direct = f"http://{network['IPAddress']}:8080"
        yield Edge(f"http://127.0.0.1:{port}", direct, lambda: docker("logs", container))
    finally:
        docker("rm", "--force", container)


def listens(port: int) -> bool:
    """Tell whether something listens at the port."""
    try:
        httpx.get(f"http://127.0.0.1:{port}/nginx-health")
    except httpx.ConnectError:
        return False
    except httpx.TransportError:
        return True  # it wants the PROXY protocol
    return True
