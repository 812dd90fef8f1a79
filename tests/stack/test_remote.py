"""Deploys from this machine to the engine of another one, over ssh: docs/deploying.md, From another machine."""

import os
import shutil
import subprocess
from getpass import getuser
from pathlib import Path

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.drills.load import load
from tests.engines import BASE_IMAGES, Engine
from tests.stack.conftest import require
from tests.stack.site import Site, other
from tests.stack.waiting import free_port, until

pytestmark = pytest.mark.nightly

SERVER = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
MaxStartups 100
SetEnv DOCKER_HOST={engine}
"""
CLIENT = """#!/bin/sh
exec {ssh} -i {folder}/key -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR "$@"
"""
OVERLAYS = "COMPOSE_FILE=docker-compose.yml:deploy/remote/remote.yml"


@pytest.fixture(scope="module")
def engine():
    """Return an engine that has only the base images."""
    require("docker", BACKENDS[0])
    engine = Engine(f"wsgi-test-{os.getpid()}-remote", "bridge")
    try:
        until(engine.is_up, "the engine is up", 60)
        engine.load(*BASE_IMAGES)
        yield engine
    finally:
        engine.remove()


@pytest.fixture(scope="module")
def ssh(engine, tmp_path_factory):
    """Return the environment in which `docker` reaches the engine over ssh."""
    server = shutil.which("sshd", path="/usr/sbin:/sbin")
    if not server:
        pytest.skip("sshd is not installed: run deploy/install.sh sshd")
    folder, port = tmp_path_factory.mktemp("ssh"), free_port()
    for name in ("host", "key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
        subprocess.run(command, check=True)
    (folder / "server").write_text(SERVER.format(port=port, folder=folder, engine=engine.host))
    (folder / "ssh").write_text(CLIENT.format(ssh=shutil.which("ssh"), folder=folder))
    (folder / "ssh").chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd refuses to start without it
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen([server, "-D", "-e", "-f", folder / "server"], stderr=log)
    try:
        path = f"{folder}:{os.environ['PATH']}"
        yield {"DOCKER_HOST": f"ssh://{getuser()}@127.0.0.1:{port}", "PATH": path}
    finally:
        daemon.terminate()
        daemon.wait()


@pytest.fixture(scope="module", params=BACKENDS)
def site(request, engine, ssh, tmp_path_factory):
    """Return a site on that engine, after its first deploy."""
    site = Site(request.param, "-remote", tmp_path_factory.mktemp("site"))
    site.environ |= ssh
    site.files = ("docker-compose.yml", "deploy/remote/remote.yml")
    site.url = f"http://{engine.address}:{site.url.rpartition(':')[2]}"
    site.write(".env", f"{site.env()}HTTP_BIND=0.0.0.0\n{OVERLAYS}\nRELEASE_COMMAND='echo knows $KEY'\n")
    (site.root / ".secrets").touch(0o600)
    (site.root / ".secrets").write_text("KEY=hidden\n")
    try:
        assert "knows hidden" in site.make(RELEASE="one")
        yield site
    finally:
        site.compose("down", "--volumes")


def test_switch_and_rollback_over_ssh_lose_no_request(site):
    with load(site.url) as clients:
        assert "knows hidden" in site.make(RELEASE="two", BACKEND=other(site.backend))
        site.make("rollback")
    assert clients.outcomes() == {}
    assert site.version() == {**site.version(), "release": "one", "backend": site.backend}
    assert f"* one on {site.backend}" in site.make("releases")


def test_reload_copies_the_configuration(site):
    def policy():
        return httpx.get(site.url).headers["Referrer-Policy"]

    path = site.root / "nginx" / "headers.conf"
    text = path.read_text()
    path.write_text(text.replace('"same-origin";\n}\n# No browser', '"no-referrer";\n}\n# No browser'))
    site.make("reload")
    until(lambda: policy() == "no-referrer", "the change is served")
    path.write_text("nonsense;")
    assert "the reload was refused" in site.make("reload", fails=True)
    site.execute("nginx", "/srv/nginx/control.sh", "reload")  # after the renewal of a certificate
    assert policy() == "no-referrer"
    path.write_text(text)
    site.make("reload")
    until(lambda: policy() == "same-origin", "the reload is undone")
