"""A further nginx before the app of a running stack, with settings and, where need be, a configuration of its own."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from deploy.tls import certs
from tests.stack import http2
from tests.stack.compose import ComposeStack, docker
from tests.stack.local import LocalStack
from tests.stack.test_conformance import exchange
from tests.stack.waiting import ROOT, free_port, until


@dataclass(frozen=True)
class Edge:
    """An nginx that answers, where, and what it has printed."""

    url: str
    direct: str  # without what Docker puts between
    logs: Callable[[], str]
    tls_port: int = 0  # with NGINX_TLS=on
    folder: Path = Path()  # the certificate's; acme/ is beside it
    prefix: Path = Path()  # of a plain process

    def ask(self, sent: bytes, transport: str) -> bytes:
        """Send bytes over TLS, as HTTP/1.1 or, written in HTTP/1.1, as HTTP/2; return the response in HTTP/1.1."""
        context = ssl.create_default_context(cafile=str(self.folder / "authority.pem"))
        if transport == "HTTP/2":
            return http2.ask(self.tls_port, context, sent)
        with (
            socket.create_connection(("127.0.0.1", self.tls_port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            return exchange(connection, sent)


@contextmanager
def edge(stack: LocalStack | ComposeStack, conf: Path | None = None, **settings: str) -> Iterator[Edge]:
    """Start an nginx as the stack starts its own, in front of the same app, and stop it in the end.

    With NGINX_TLS=on it has the certificate of `make certs`, and an ACME challenge named `token`.
    """
    if settings.get("NGINX_TLS") == "on":
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)
            certs.make(folder / "certs", ["localhost", "127.0.0.1"])
            challenges = folder / "acme" / ".well-known" / "acme-challenge"
            (challenges / "folder").mkdir(parents=True)
            (challenges / "token").write_text("a challenge")
            settings["HTTPS_PORT"] = str(free_port())
            starting = (
                in_container(stack, conf, settings, folder)
                if isinstance(stack, ComposeStack)
                else as_process(stack, conf, settings, folder)
            )
            for started in starting:
                yield replace(started, tls_port=int(settings["HTTPS_PORT"]), folder=folder / "certs")
    elif isinstance(stack, ComposeStack):
        yield from in_container(stack, conf, settings)
    else:
        yield from as_process(stack, conf, settings)


def as_process(
    stack: LocalStack, conf: Path | None, settings: dict[str, str], tls: Path | None = None
) -> Iterator[Edge]:
    """Start nginx as deploy/local/supervisord.conf does."""
    port = free_port()
    environ = {"PATH": f"{os.environ['PATH']}:/usr/sbin", "NGINX_LISTEN": f"127.0.0.1:{port}"} | settings
    folder = Path(tempfile.mkdtemp())
    for name in ("run", "static"):
        (folder / name).symlink_to(stack.run_dir / name)
    user = "user root;" if os.geteuid() == 0 else ""
    command = ["nginx", "-p", f"{folder}/", "-c", "conf/nginx.conf", "-e", "stderr", "-g", f"daemon off; {user}"]
    try:
        if tls:
            for name in ("certs", "acme"):
                (folder / name).symlink_to(tls / name)
        subprocess.run([(conf or ROOT / "nginx") / "control.sh", "configure", folder], env=environ, check=True)
        if tls:
            adapt(folder / "conf", port, environ["HTTPS_PORT"])
        with (folder / "log").open("w") as log:
            nginx = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
        try:
            until(lambda: listens(port) or nginx.poll() is not None, "nginx listens")
            assert nginx.poll() is None, (folder / "log").read_text()
            url = f"http://127.0.0.1:{port}"
            yield Edge(url, url, (folder / "log").read_text, prefix=folder)
        finally:
            nginx.terminate()
            nginx.wait(10)
    finally:
        shutil.rmtree(folder)


def adapt(conf: Path, port: int, tls_port: str) -> None:
    """Change the addresses of the configuration with TLS, and its directives that Debian's nginx does not have."""
    changes = {
        "tls.conf": (r"\?X25519MLKEM768:|(?m:^http2 on;$)", ""),
        "listen.conf": (r"listen 8443 ssl", f"listen 127.0.0.1:{tls_port} ssl http2"),
        "redirect-listen.conf": (r"listen 8080", f"listen 127.0.0.1:{port}"),
    }
    for name, (pattern, replacement) in changes.items():
        text, count = re.subn(pattern, replacement, (conf / name).read_text())
        assert count, f"{name} has no {pattern}"
        (conf / name).write_text(text)


def in_container(
    stack: ComposeStack, conf: Path | None, settings: dict[str, str], tls: Path | None = None
) -> Iterator[Edge]:
    """Start a container of the service nginx."""
    port = free_port()
    options = ["--publish", f"127.0.0.1:{port}:8080", *(["--volume", f"{conf}:/srv/edited:ro"] if conf else [])]
    if tls:
        options += [f"--volume={tls / name}:/run/nginx/{name}:ro" for name in ("certs", "acme")]
        options += ["--env=NGINX_TLS=on", f"--env=HTTPS_PORT={settings['HTTPS_PORT']}"]
        options += [f"--publish=127.0.0.1:{settings['HTTPS_PORT']}:8443"]
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
