"""Containers and images: hardening, invalid settings, and an app that fails to start."""

import errno
import json
import os
import socket
import subprocess

import httpx
import pytest

from tests.stack.compose import ComposeStack, docker
from tests.stack.waiting import until

pytestmark = pytest.mark.kind("docker")

SERVICES = ["app", "nginx", "locust-web"]
REPORT = "/srv/loadtest/report"


@pytest.fixture(scope="module")
def running(stack):
    """Return the running stack, with locust's web page."""
    stack.compose("--profile", "loadtest", "up", "--detach", "--wait", "--build", LOCUST_PORT="0")
    return stack


@pytest.fixture(params=SERVICES)
def container(request, running):
    return running.inspect(request.param)


HARDENING = {
    "read-only root": lambda it: it["HostConfig"]["ReadonlyRootfs"] is True,
    "no capabilities": lambda it: it["HostConfig"]["CapDrop"] == ["ALL"] and not it["HostConfig"]["CapAdd"],
    "no new privileges": lambda it: it["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"],
    "not privileged": lambda it: it["HostConfig"]["Privileged"] is False,
    "numeric user, not root": lambda it: all(
        part.isdecimal() and int(part) > 0 for part in it["Config"]["User"].split(":")
    ),
    "memory limit": lambda it: 0 < it["HostConfig"]["Memory"] <= 2**30,
    "process limit": lambda it: 0 < it["HostConfig"]["PidsLimit"] <= 256,
    "a health check": lambda it: it["State"]["Health"]["Status"] == "healthy",
    "restarts": lambda it: it["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped",
    "rotated logs": lambda it: it["HostConfig"]["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"},
}


@pytest.mark.parametrize("name", HARDENING)
def test_container_is_hardened(name, container):
    assert HARDENING[name](container)


def test_container_can_write_only_to_tmp(running):
    for service in SERVICES:
        for path in ("/srv/x", "/etc/x", "/usr/local/x"):
            assert running.execute(service, "touch", path).returncode != 0
        assert running.execute(service, "touch", "/tmp/x").returncode == 0


def test_only_nginx_and_locust_publish_ports_on_loopback(running):
    published = {service: running.inspect(service)["NetworkSettings"]["Ports"] or {} for service in SERVICES}
    assert not any(published["app"].values())
    assert {port for ports in published.values() for port, bindings in ports.items() if bindings} == {
        "8080/tcp",
        "8089/tcp",
    }
    for ports in published.values():
        assert all(binding["HostIp"] == "127.0.0.1" for bindings in ports.values() for binding in bindings or [])


def test_network_of_app_is_internal(running):
    [name] = running.inspect("app")["NetworkSettings"]["Networks"]
    assert json.loads(docker("network", "inspect", name))[0]["Internal"] is True


def test_app_reaches_no_address_of_this_machine(running):
    found = subprocess.run(
        ["hostname", "--all-ip-addresses"], capture_output=True, text=True, check=True
    ).stdout.split()
    connect = "import socket, sys; sys.exit(socket.socket().connect_ex((sys.argv[1], int(sys.argv[2]))))"
    with socket.create_server(("", 0)) as server:
        for address in (each for each in found if "." in each):
            refusal = running.execute("app", "python", "-c", connect, address, str(server.getsockname()[1]))
            assert refusal.returncode == errno.ENETUNREACH, address


def test_image_has_own_server_and_no_build_tools(running):
    own = {"nginx": "nginx", "locust-web": "locust"}
    tools = ["gcc", "cc", "make", "pip", "uv", "gunicorn", "uwsgi", "nginx", "locust"]
    for service in SERVICES:
        script = f"for tool in {' '.join(tools)}; do command -v $tool >/dev/null && echo $tool; done; true"
        found = running.execute(service, "sh", "-c", script).stdout.split()
        assert found == [running.backend if service == "app" else own[service]]
    assert running.execute("app", "python", "-c", "import pip").returncode != 0


@pytest.mark.backend("gunicorn")
def test_locust_serves_web_page(running):
    page = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8089/').read().decode())"
    assert "Locust" in running.execute("locust-web", "python", "-c", page).stdout


def one_run(running, folder, late, users):
    """Run locust for 5 seconds with the objective `late` in milliseconds; return its exit code and output."""
    (folder / "objectives.toml").write_text(f"[generator]\nlate_p95_ms = {late}\n[total]\nerror_percent = 0\n")
    # Mount another report folder, so that the developer's last report is kept.
    volumes = ["--volume", f"{folder}:{REPORT}", "--env", f"LOCUST_OBJECTIVES={REPORT}/objectives.toml"]
    ended = running.compose(
        "run", "--rm", "--no-TTY", *volumes, "locust", check=False, LOCUST_RUN_TIME="5s", LOCUST_USERS=users
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.backend("gunicorn")
def test_locust_run_passes_and_writes_report(running, tmp_path):
    mounts = json.loads(running.compose("--profile", "loadtest", "config", "--format", "json").stdout)["services"][
        "locust"
    ]["volumes"]
    report = (str(running.root / "loadtest" / "report"), REPORT)
    assert report in [(mount["source"], mount["target"]) for mount in mounts]
    # Other tests on this machine can delay the generator.
    code, output = one_run(running, tmp_path, late=10000, users="20")
    assert code == 0, output
    assert "Locust" in (tmp_path / "locust.html").read_text()
    for name in ("GET /about", "POST /echo", "GET /hello/{name}", "GET /static/*", "total"):
        assert f"\n{name} " in output
    assert "load: passed: 1 of 1 objectives met" in output


@pytest.mark.backend("gunicorn")
def test_run_with_slow_generator_is_invalid(running, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "overlay", json.dumps({"services": {"locust": {"cpus": 0.1}}}))
    code, output = one_run(running, tmp_path, late=100, users="100")
    assert code == 2, output
    assert "load: the generator's late_p95_ms is " in output


def test_worker_count_follows_limits_and_web_concurrency(stack):
    def workers(*options):
        image = stack.inspect("app")["Config"]["Image"]
        script = "import deploy.server.launch as serve, os; print(*serve.command(os.environ))"
        line = docker("run", "--rm", *options, image, "python", "-c", script).split()
        return int(line[line.index("--workers" if stack.backend == "gunicorn" else "--processes") + 1])

    assert workers("--cpus=1", "--memory=512m") == 2
    assert workers("--memory=192m") == max(2, min(len(os.sched_getaffinity(0)), 3))
    assert workers("--cpus=1", "--env=WEB_CONCURRENCY=7") == 7


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("setting", ["WEB_CONCURRENCY=abc", "WEB_THREADS=0", "LOG_LEVEL=loud", "MAX_BODY_BYTES=1m"])
def test_invalid_setting_stops_start_with_one_sentence(setting, stack):
    name, _, value = setting.partition("=")
    other = ComposeStack(stack.backend, name="-bad")
    try:
        assert other.compose("up", "--detach", "--wait", check=False, **{name: value}).returncode != 0
        [line] = other.compose("logs", "--no-log-prefix").stdout.splitlines()
        assert line.startswith(f"launch: {name} is {value!r}: it must be ")
    finally:
        other.down()


@pytest.mark.backend("gunicorn")
def test_unknown_backend_fails_without_containers(stack):
    other = ComposeStack("gunicorn", name="-unknown")
    try:
        ended = other.compose("up", "--detach", check=False, BACKEND="guincorn")
        assert ended.returncode != 0
        assert 'target stage "guincorn" could not be found' in ended.stderr
        assert other.compose("ps", "--all", "--quiet").stdout == ""
    finally:
        other.down()


def with_wsgi_module(folder, text):
    """Return a Compose overlay that replaces app/wsgi.py in the app's containers."""
    (folder / "wsgi.py").write_text(text)
    (folder / "wsgi.py").chmod(0o644)
    volumes = {"volumes": [f"{folder}/wsgi.py:/srv/app/wsgi.py:ro"]}
    return json.dumps({"services": {"app": volumes, "assets": volumes}})


def test_address_is_printed_once_when_the_site_is_ready(stack):
    address = stack.url.replace("127.0.0.1", "localhost")
    nginx = stack.inspect("nginx")

    def printed():
        """Return how many times the address was printed since nginx started: another test may have restarted it."""
        log = stack.docker("logs", "--since", nginx["State"]["StartedAt"], nginx["Id"]).stdout
        return log.count(f"nginx: the site is ready at {address}\n")

    until(lambda: printed() > 0, "the address is printed", 60)
    assert printed() == 1


def test_health_checks_ignore_a_proxy(stack):
    """Docker passes the proxies in the client's configuration to every container."""
    checks = {"nginx": ["/srv/nginx/control.sh", "health"], "app": ["python", "-m", "deploy.server.live", "check"]}
    for service, command in checks.items():
        proxies = [
            f"--env={name}=http://127.0.0.1:9" for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
        ]
        ended = stack.compose("exec", "--no-TTY", *proxies, service, *command, check=False)
        assert ended.returncode == 0, ended.stderr


def test_images_do_not_depend_on_the_modes_of_the_clone(stack):
    for service, folder in {"app": "/srv/app", "nginx": "/srv/nginx"}.items():
        others = stack.execute(service, "find", folder, "-not", "-perm", "-o=r")
        assert (others.returncode, others.stdout) == (0, "")


def test_image_has_no_code_of_other_folders(stack):
    assert stack.execute("app", "ls", "deploy").stdout.split() == ["server"]


def test_app_that_cannot_be_imported_does_not_start(stack, tmp_path_factory):
    other = ComposeStack(
        stack.backend, name="-broken", overlay=with_wsgi_module(tmp_path_factory.mktemp("it"), "import nowhere\n")
    )
    try:
        assert other.compose("up", "--detach", "--wait", check=False).returncode != 0
        logs = other.compose("logs", "--no-log-prefix").stdout
        assert logs.count("ModuleNotFoundError: No module named 'nowhere'") == 1
        assert "launch: app.wsgi:application cannot be imported" in logs
        assert other.inspect("app")["State"]["Status"] == "created"
    finally:
        other.down()


def test_exception_gets_500_without_details(stack, tmp_path_factory):
    table = (stack.root / "app" / "wsgi.py").read_text()
    failing = table.replace("] = {", '] = {\n    "/fail": {"GET": lambda environ, start_response: 1 / 0},')
    assert failing != table
    other = ComposeStack(
        stack.backend, name="-failing", overlay=with_wsgi_module(tmp_path_factory.mktemp("it"), failing)
    )
    try:
        other.up()
        for accept, content_type in [("text/html", "text/html; charset=utf-8"), ("*/*", "application/problem+json")]:
            response = httpx.get(f"{other.url}/fail", headers={"Accept": accept})
            assert (response.status_code, response.headers["Content-Type"]) == (500, content_type)
            assert response.headers["X-Request-ID"] in response.text
            assert "ZeroDivisionError" not in response.text
            # Once, with the request id in the response.
            failed = f"GET /fail failed, request {response.headers['X-Request-ID']}"
            until(lambda failed=failed: other.logs("app").count(failed) == 1, "the failed request is logged")
        until(lambda: other.logs("app").count("ZeroDivisionError") == 2, "both tracebacks are logged once")
    finally:
        other.down()
