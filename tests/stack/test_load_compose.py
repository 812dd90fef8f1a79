"""The load test beside a site of containers that was started with other settings: it leaves the site alone."""

import importlib.util
import json
import os
import subprocess
import sys
from threading import Event, Thread

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.stack.compose import ComposeStack, docker
from tests.stack.conftest import require
from tests.stack.test_load import OBJECTIVES
from tests.stack.waiting import free_port, until

BACKEND = BACKENDS[-1]  # not the default
REPORT = "/srv/loadtest/report"
# The settings of the terminal that starts the site. The load test's terminal has none of them.
SETTINGS = {"WEB_THREADS": "3", "MAX_BODY_BYTES": "2000000", "APP_MEMORY": "600m"}
# As an overlay for IPv6 or another MTU: Compose recreates a network whose definition it finds changed.
EDGE = json.dumps({"networks": {"edge": {"driver_opts": {"com.docker.network.driver.mtu": "1400"}}}})
TLS = ("docker-compose.yml", "deploy/tls/tls.yml")


class Terminal(ComposeStack):
    """Another terminal on the same project, without the settings that the site was started with."""

    def __init__(self, site: ComposeStack) -> None:
        super().__init__("gunicorn", name="-other")
        self.project, self.files = site.project, site.files
        for name in ("BACKEND", "HTTP_PORT", *SETTINGS):
            self.environ.pop(name, None)


@pytest.fixture(scope="module", params=["plain", pytest.param("tls", marks=pytest.mark.nightly)])
def site(request):
    """Return a running site on the second backend, with settings of its own."""
    require("docker", BACKEND)
    is_tls = request.param == "tls"
    settings = SETTINGS | ({"HTTPS_PORT": str(free_port())} if is_tls else {})
    stack = ComposeStack(BACKEND, f"-load-{request.param}", EDGE, TLS if is_tls else TLS[:1], **settings)
    if is_tls:
        subprocess.run([sys.executable, "-m", "deploy.tls.certs", "localhost"], cwd=stack.root, check=True)
    try:
        stack.up()
        Terminal(stack).compose("build", "--quiet", "locust")
        yield stack
    finally:
        stack.down()


def left_alone(site):
    """Return the ids of the site's containers, networks and volumes."""
    ids = site.compose("ps", "--all", "--quiet", "--no-trunc", "app", "nginx", "assets").stdout.split()
    started = docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}} {{json .NetworkSettings.Networks}}", *ids)
    label = f"label=com.docker.compose.project={site.project}"
    networks = docker("network", "ls", "--quiet", "--no-trunc", "--filter", label)
    return started, sorted(networks.split()), docker("volume", "ls", "--quiet", "--filter", label)


@pytest.fixture
def untouched(site):
    """Send requests during the test; afterwards none has failed, and no id has changed."""
    before, ended, failures = left_alone(site), Event(), []

    def send():
        while not ended.wait(0.02):
            try:
                with httpx.Client(verify=False) as client:  # noqa: S501 (a development certificate)
                    status = client.get(f"{site.url}/readyz", follow_redirects=True).status_code
            except httpx.HTTPError as error:
                failures.append(repr(error))
            else:
                if status != httpx.codes.OK:
                    failures.append(status)

    thread = Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert failures == []
    assert left_alone(site) == before


def run(terminal, folder, *options, **settings):
    """Run locust once; return its exit code and its output."""
    (folder / "objectives.toml").write_text(OBJECTIVES)
    options = ["--volume", f"{folder}:{REPORT}", "--env", f"LOCUST_OBJECTIVES={REPORT}/objectives.toml", *options]
    settings = {"LOCUST_RUN_TIME": "4s", "LOCUST_USER_CLASSES": "Visitor ApiClient"} | settings
    ended = terminal.compose("run", "--rm", "--no-TTY", *options, "locust", check=False, **settings)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("with_overlay", [True, False], ids=["the site's files", "docker-compose.yml alone"])
def test_run_locust_leaves_the_site_alone_and_names_it(with_overlay, site, untouched, tmp_path):
    terminal = Terminal(site)
    if not with_overlay:
        terminal.files = TLS[:1]
    code, output = run(terminal, tmp_path)
    assert code == 0, output
    address = "https://nginx:8443" if len(site.files) > 1 else "http://nginx:8080"
    assert f" workers of 3 threads, at {address}, from " in " ".join(output.split())
    assert f"Measured: backend {BACKEND}, release dev, " in output
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["measured"]["backend"], report["measured"]["threads"]) == (BACKEND, 3)
    assert report["measured"]["instances"] == [site.inspect("app")["Config"]["Hostname"]]


def test_locusts_web_page_starts_alone_on_loopback(site, untouched):
    terminal = Terminal(site)
    port = str(free_port())
    try:
        terminal.compose("up", "--detach", "--wait", "locust-web", LOCUST_PORT=port, HTTP_BIND="0.0.0.0")
        [binding] = terminal.inspect("locust-web")["NetworkSettings"]["Ports"]["8089/tcp"]
        assert binding == {"HostIp": "127.0.0.1", "HostPort": port}
        page = f"http://127.0.0.1:{port}"
        assert "Locust" in httpx.get(page).text
        started = httpx.post(f"{page}/swarm", data={"user_count": "2", "spawn_rate": "2", "run_time": "4s"}).json()
        assert started["success"], started
        until(lambda: httpx.get(f"{page}/stats/requests").json()["state"] == "stopped", "the run ends")
        stats = httpx.get(f"{page}/stats/requests").json()
        assert stats["stats"][-1]["num_requests"] > 0
        assert stats["fail_ratio"] == 0
    finally:
        terminal.compose("rm", "--stop", "--force", "locust-web")


def test_locusts_web_page_binds_to_its_own_setting(site):
    config = json.loads(
        Terminal(site).compose("config", "--format", "json", "locust-web", LOCUST_BIND="10.1.2.3").stdout
    )
    [port] = config["services"]["locust-web"]["ports"]
    assert port["host_ip"] == "10.1.2.3"


def test_make_load_finds_the_running_site_and_leaves_it_alone(site, untouched, tmp_path):
    if not importlib.util.find_spec("locust"):
        pytest.skip("the load test: locust is not installed, `make .venv/loadtest`")
    (tmp_path / "objectives.toml").write_text(OBJECTIVES)
    ended = subprocess.run(
        [
            "make",
            "load",
            "--old-file",
            ".venv/loadtest",
            f"REPORT={tmp_path}",
            f"OBJECTIVES={tmp_path}/objectives.toml",
        ],
        cwd=site.root,
        env={"PATH": os.environ["PATH"], "COMPOSE_PROJECT_NAME": site.project, "RUN_TIME": "3s", "USERS": "5"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    is_tls = len(site.files) > 1
    port = site.environ["HTTPS_PORT" if is_tls else "HTTP_PORT"]
    assert f" workers of 3 threads, at http{'s' if is_tls else ''}://127.0.0.1:{port}, from" in " ".join(
        ended.stdout.split()
    )


def test_exec_leaves_the_site_alone(site, untouched):
    """`make reload` is `docker compose exec`."""
    terminal = Terminal(site)
    terminal.compose("exec", "--no-TTY", "nginx", "/srv/nginx/control.sh", "reload")


def test_without_a_site_locust_says_how_to_start_it_and_starts_nothing(tmp_path):
    require("docker", "gunicorn")
    other = ComposeStack("gunicorn", name="-load-none")
    try:
        other.compose("build", "--quiet", "locust")
        code, output = run(other, tmp_path)
        assert code == 2, output
        [sentence] = [line for line in output.splitlines() if line.startswith("load: ")]
        assert sentence.startswith("load: nothing answers at http://nginx:8080 (")
        assert "start the site (`docker compose up`" in sentence
        assert other.compose("ps", "--all", "--quiet").stdout == ""
    finally:
        other.down()
