"""make doctor: what it reports for given machines and settings. tests/stack runs it on this machine."""

import errno
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from app.variables import SettingError  # only with monitoring
from deploy.docker import Container, DeployError
from deploy.doctor import configuration, consistency, machine
from deploy.doctor.__main__ import check_settings
from deploy.doctor.application import check_one_shot
from deploy.doctor.settings import check_packages  # only with monitoring
from deploy.server.launch import BACKENDS, PACKAGES  # only with monitoring
from tests.unit.configuration import ROOT, compose_text, example, services

GIB = 1024**3
GUNICORN, UWSGI = "deploy/server/gunicorn.conf.py", "deploy/server/uwsgi.ini"
NGINX, PROXY = "nginx/nginx.conf", "nginx/proxy.conf"
FILES = [path for path in (GUNICORN, UWSGI, NGINX, PROXY) if Path(path).exists()]
TLS = {"host_ip": "127.0.0.1", "target": 8443, "published": "8443"}


@pytest.fixture(autouse=True)
def _folder(monkeypatch):
    monkeypatch.chdir(ROOT)


def composed(**given):
    """Return the services as `docker compose config` prints them for these settings."""
    text = re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda found: given.get(found[1]) or found[2] or "", compose_text)
    services = yaml.safe_load(text)["services"]
    for service in (services["app"], services["nginx"]):
        service["environment"] = {name: given.get(name) for name in service["environment"]}
        service["mem_limit"] = str(int(configuration.size(service["mem_limit"])))
    address, port, target = services["nginx"]["ports"][0].split(":")
    services["nginx"]["ports"] = [{"host_ip": address, "target": int(target), "published": port}]
    return services


def limits(cpus=2, memory=4 * GIB, **given):
    return configuration.limits(composed(**given), cpus, memory)


def contradictions(*arguments, **given):
    return dict(consistency.contradictions(limits(*arguments, **given)))


# --- Units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"), [("30", 30), ("35s", 35), ("30 s", 30), ("1m30s", 90), ("100ms", 0.1), ("1h", 3600)]
)
def test_seconds_are_read_with_their_unit(text, value):
    assert configuration.seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("8k", 8192), ("8K", 8192), ("8 kB", 8192), ("128m", 2**27), ("1 MiB", 2**20), ("4g", 4 * GIB)],
)
def test_size_is_read_with_its_unit(text, value):
    assert configuration.size(text) == value


@pytest.mark.parametrize("text", ["", "many", "8 s", "1m30s"])
def test_text_that_is_not_a_size_is_refused(text):
    with pytest.raises(ValueError, match=f"^{text!r} is not a size"):
        configuration.size(text)


# --- The machine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "least", "is_ok"),
    [
        ("28.5.2+dfsg4", machine.ENGINE, True),
        ("25.0.0", machine.ENGINE, True),
        ("24.0.9", machine.ENGINE, False),
        ("v2.40.3-3\n", machine.COMPOSE, True),
        ("2.24.4", machine.COMPOSE, True),
        ("2.24.3", machine.COMPOSE, False),
        ("v2.9.0", machine.COMPOSE, False),
        ("1.29.2", machine.COMPOSE, False),
    ],
)
def test_old_version_is_reported(text, least, is_ok):
    finding = machine.check_version("Docker", text, least)
    assert finding.is_ok == is_ok
    assert re.fullmatch(rf"Docker {re.escape(text.strip())}; 2[\d.]+ or newer is needed", finding.text)
    assert is_ok or finding.remedy.startswith("upgrade it to 2")


@pytest.mark.parametrize(
    ("key", "resource"), [("MemoryLimit", "memory"), ("CpuCfsQuota", "CPUs"), ("PidsLimit", "processes")]
)
@pytest.mark.parametrize("value", [None, False])
def test_limit_that_the_kernel_does_not_enforce_is_reported(key, resource, value):
    info = {"CgroupVersion": "2", "MemoryLimit": True, "CpuCfsQuota": True, "PidsLimit": True}
    assert all(finding.is_ok for finding in machine.check_cgroups(info))
    [finding] = [each for each in machine.check_cgroups(info | {key: value}) if not each.is_ok]
    assert finding.text == f"cgroups v2 limit a container's {resource}"


def test_memory_for_only_one_release_is_reported():
    services = composed(APP_MEMORY="512m")  # twice, and nginx's 256m
    assert machine.check_memory({"MemTotal": 1280 * 1024**2}, services).is_ok
    finding = machine.check_memory({"MemTotal": 1280 * 1024**2 - 1}, services)
    assert not finding.is_ok
    assert "two releases of the app at 512 MiB" in finding.text


def test_full_disk_is_reported():
    assert machine.check_disk(Path("/var"), machine.DISK).is_ok
    finding = machine.check_disk(Path("/var"), machine.DISK - 1)
    assert not finding.is_ok
    assert finding.remedy.startswith("free 2048 MiB")


def test_disk_of_the_working_folder_is_checked_if_the_engine_has_another_machine(tmp_path):
    folder, free = machine.free_disk(tmp_path / "nowhere")
    assert folder == Path()
    assert free == pytest.approx(shutil.disk_usage(Path()).free, rel=0.1)


@pytest.mark.parametrize(
    ("difference", "is_set", "is_ok"),
    [(0.4, "yes", True), (-5, "unknown", True), (6, "yes", False), (-6, "yes", False), (0, "no", False)],
)
def test_wrong_or_unsynchronised_clock_is_reported(difference, is_set, is_ok):
    assert machine.check_clock(difference, is_set).is_ok == is_ok


# --- The ports --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "port", "ours", "line"),
    [
        ("127.0.0.1", 80, set(), "FAIL  port 80 on 127.0.0.1 is not available: in use"),
        ("127.0.0.1", 80, {("127.0.0.1", 80)}, "  ok  port 80 on 127.0.0.1 belongs to the running site"),
        ("0.0.0.0", 80, {("127.0.0.1", 80)}, "  ok  port 80 on 0.0.0.0 belongs to the running site"),
        ("127.0.0.1", 80, {("0.0.0.0", 80), ("::", 80)}, "  ok  port 80 on 127.0.0.1 belongs to the running site"),
        ("127.0.0.1", 80, {("127.0.0.1", 8080)}, "FAIL  port 80 on 127.0.0.1 is not available: in use"),
        ("10.0.0.1", 80, {("127.0.0.1", 80)}, "FAIL  port 80 on 10.0.0.1 is not available: in use"),
    ],
)
def test_port_in_use_is_reported_unless_the_running_site_has_it(address, port, ours, line):
    assert str(machine.check_port("HTTP_PORT", address, port, ours, "in use")).startswith(line)


@pytest.fixture
def taken():
    """Return a port on which a process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def free():
    """Return a port that is reserved for the test, and on which no process listens."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def privileged(monkeypatch):
    """Let only root listen on any port."""

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket, "create_server", refuse)


def test_port_in_use_is_reported_with_its_setting(taken, free):
    error = machine.port_error("127.0.0.1", taken, is_rootless=False)
    assert error == os.strerror(errno.EADDRINUSE)
    finding = machine.check_port("HTTPS_PORT", "127.0.0.1", taken, set(), error)
    assert finding.remedy == "set HTTP_BIND or HTTPS_PORT to another value"
    assert not machine.port_error("127.0.0.1", free, is_rootless=False)


def test_privileged_port_is_available_unless_the_engine_is_rootless(privileged, free):
    assert not machine.port_error("127.0.0.1", free, is_rootless=False)
    assert machine.port_error("127.0.0.1", free, is_rootless=True) == os.strerror(errno.EACCES)


def test_privileged_port_in_use_is_reported(privileged, taken):
    assert machine.port_error("0.0.0.0", taken, is_rootless=False) == os.strerror(errno.EADDRINUSE)


# --- One setting ------------------------------------------------------------------------------------------------------

REFUSED = {
    "BACKEND": "waitress",
    "RELEASE": "a:b",
    "HTTP_PORT": "8000-8010",
    "APP_CPUS": "-1",
    "WEB_CONCURRENCY": "abc",
    "WEB_THREADS": "x",
    "RELEASE_SECONDS": "soon",
    "LOG_LEVEL": "loud",
    "MAX_BODY_BYTES": "1m",
    "ALLOWED_HOSTS": "https://example.org",
    "CLIENT_REQUESTS": "many",
    "TRUSTED_PROXIES": "me",
    "IDENTITY_HEADERS": "host",
    "PROXY_PROTOCOL": "yes",
}
# Compose checks these (tests/stack), or the load test or a swarm does.
ELSEWHERE = r"STARTUP_SECONDS|HTTP_BIND|HTTPS_PORT|APP_MEMORY|REGISTRY|REPLICAS|LOCUST_\w+"
ELSEWHERE += "|PROMETHEUS_PORT|ALERTMANAGER_PORT"  # only with monitoring


def failures(services):
    """Return what is reported about the settings, on a machine with 2 CPUs and 4 GiB."""
    findings = check_settings(services, {"NCPU": 2, "MemTotal": 4 * GIB})
    return [finding.text for finding in findings if not finding.is_ok]


@pytest.mark.parametrize("name", [*REFUSED, "HTTPS_PORT"])
def test_bad_setting_is_reported_with_its_value(name):
    services = composed(**{name: REFUSED.get(name, "")})
    if name == "HTTPS_PORT":
        services["nginx"]["ports"].append(TLS | {"published": "8443-8450"})
    sentences = failures(services)
    assert sentences
    assert all(re.match(rf"(nginx: )?{name} is '.+': it must be ", sentence) for sentence in sentences)


def test_every_setting_of_the_site_is_checked():
    names = set(re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE))
    site = {name for name in names if not re.fullmatch(ELSEWHERE, name)}
    # A fork's own settings of the application need no case here.
    assert site - services["app"]["environment"].keys() <= REFUSED.keys() <= site


def test_each_reader_reports_its_first_bad_setting():
    assert len(failures(composed(BACKEND="waitress", LOG_LEVEL="loud", RELEASE="-", CLIENT_REQUESTS="many"))) == 4


# begin monitoring
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PACKAGES)
def test_package_that_a_setting_needs_must_be_locked(name, backend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    locked = tmp_path / "requirements" / f"{backend}.txt"
    locked.parent.mkdir()
    locked.write_text("# locked\njinja2==3.1.6\n")
    check_packages({"BACKEND": backend})
    with pytest.raises(SettingError, match=f"^{name} is set, but {PACKAGES[name][0]} is not installed: uncomment"):
        check_packages({"BACKEND": backend, name: "https://key@localhost/1"})
    locked.write_text(f"# locked\n{PACKAGES[name][0]}==1.0\n")
    check_packages({"BACKEND": backend, name: "https://key@localhost/1"})


# end monitoring
def test_name_that_a_deploy_refuses_is_reported():
    assert [each.partition(":")[0] for each in failures(composed(RELEASE="candidate"))] == ["RELEASE is 'candidate'"]
    assert failures(composed(RELEASE="dev")) == []  # Compose's default


def test_same_port_for_http_and_https_is_reported():
    services = composed()
    services["nginx"]["ports"].append(TLS)
    assert failures(services) == []
    services["nginx"]["ports"][1] = TLS | {"published": "8080"}
    assert failures(services) == ["HTTP_PORT and HTTPS_PORT are the same: set them to different ports"]


@pytest.mark.parametrize("setting", ["LOG_LEVEL", "MAX_BODY_BYTES", "WEB_CONCURRENCY"])
def test_bad_setting_in_the_environment_causes_no_traceback(setting):
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.doctor"],
        env={"PATH": "/nowhere", setting: "1m"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr.startswith("FAIL  docker is not installed")


# --- Two settings -----------------------------------------------------------------------------------------------------

# Each line: the smaller limit, the relation, the larger limit, and part of the consequence.
CONSISTENT = """
nginx proxy_read_timeout               <= gunicorn graceful_timeout           aborted # only with gunicorn
nginx proxy_read_timeout               <= uwsgi worker-reload-mercy           aborted # only with uwsgi
nginx proxy_read_timeout               <  nginx worker_shutdown_timeout       aborted
nginx proxy_send_timeout               <= nginx proxy_read_timeout            aborted
nginx client_header_timeout            <  nginx worker_shutdown_timeout       aborted
nginx client_body_timeout              <  nginx worker_shutdown_timeout       aborted
nginx send_timeout                     <  nginx worker_shutdown_timeout       aborted
gunicorn graceful_timeout              <  app stop_grace_period               Docker kills # only with gunicorn
uwsgi worker-reload-mercy              <  app stop_grace_period               Docker kills # only with uwsgi
nginx worker_shutdown_timeout          <  nginx stop_grace_period             Docker kills
nginx proxy_read_timeout               <= gunicorn timeout                    busy server # only with gunicorn
nginx proxy_read_timeout               <= health check's limit                busy server
health check's limit                   <  app healthcheck timeout             busy server
nginx proxy_connect_timeout            <  nginx proxy_read_timeout            retry
nginx client_max_body_size             <= app MAX_BODY_BYTES                  app refuses
nginx large_client_header_buffers      <= gunicorn limit_request_line         app refuses # only with gunicorn
nginx large_client_header_buffers      <= gunicorn limit_request_field_size   app refuses # only with gunicorn
largest request header, with additions <= uwsgi buffer-size                   app refuses # only with uwsgi
gunicorn limit_request_fields          <  uwsgi max-vars                      app refuses # only with gunicorn, uwsgi
app MAX_BODY_BYTES                     <= nginx client_max_body_size          nginx refuses
largest request header, with additions <= nginx proxy_buffer_size             503
nginx send_timeout                     <  uwsgi socket-timeout                cuts a response # only with uwsgi
twice nginx worker_connections         <= nginx worker_rlimit_nofile          file descriptors
gunicorn backlog                       <= kernel somaxconn                    listen queue # only with gunicorn
uwsgi listen                           <= kernel somaxconn                    listen queue # only with uwsgi
app workers' memory                    <= app mem_limit                       kills workers
app processes and threads              <= app pids_limit                      thread cannot start
app cpus                               <= CPUs of the machine                 does not start
"""
CASES = re.findall(r"^(.+?) +(<=?) +(.+?) {2,}([^#\n]+?)(?: # .+)?$", CONSISTENT, re.MULTILINE)


def test_default_settings_are_consistent():
    assert failures(composed()) == []


@pytest.mark.parametrize(("less", "sign", "more", "consequence"), CASES)
def test_contradiction_is_reported_with_its_consequence(less, sign, more, consequence):
    found = limits()
    for value, is_ok in {found[more] + 1: False, found[more]: sign == "<="}.items():
        output = "\n".join(text for text, _ in consistency.contradictions(found | {less: value}))
        line = rf"^{less} is [\d,.]+, and {more} is [\d,.]+: .*{consequence}"
        assert bool(re.search(line, output, re.MULTILINE)) != is_ok


def test_every_pair_has_a_case():
    assert len(CASES) == sum(map(len, consistency.PAIRS.values()))


def test_missing_limit_is_reported():
    found = limits()
    del found["app stop_grace_period"]
    with pytest.raises(DeployError, match="app stop_grace_period is not set"):
        list(consistency.contradictions(found))


@pytest.fixture
def fork(tmp_path, monkeypatch):
    """Change to a folder with copies of the configuration files, and return it."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "old", "new", "text"),
    [
        # begin gunicorn
        (GUNICORN, "graceful_timeout = 30", "graceful_timeout = 65", "gunicorn graceful_timeout is 65, "),
        (GUNICORN, "field_size = 16384", "field_size = 4096", "gunicorn limit_request_field_size is 4,096"),
        # end gunicorn
        # begin uwsgi
        (UWSGI, "worker-reload-mercy = 30", "worker-reload-mercy = 65", "uwsgi worker-reload-mercy is 65, "),
        (UWSGI, "buffer-size = 65535", "buffer-size = 32768", "uwsgi buffer-size is 32,768"),
        # end uwsgi
        (NGINX, "shutdown_timeout 35s", "shutdown_timeout 40s", "nginx worker_shutdown_timeout is 40, "),
        (NGINX, "shutdown_timeout 35s", "shutdown_timeout 1m30s", "nginx worker_shutdown_timeout is 90, "),
        (NGINX, "connections 4096", "connections 8192", "twice nginx worker_connections is 16,384, "),
        (PROXY, "buffer_size 36k", "buffer_size 32k", "largest request header, with additions is 36,864, "),
        (PROXY, "connect_timeout 100ms", "connect_timeout 30s", "nginx proxy_connect_timeout is 30, "),
        (NGINX, " send_timeout 20s", " send_timeout 30s", "nginx send_timeout is 30, "),  # only with uwsgi
    ],
)
def test_change_of_a_configuration_file_is_checked(path, old, new, text, fork):
    before = (fork / path).read_text()
    assert before.count(old) == 1
    (fork / path).write_text(before.replace(old, new))
    [contradiction] = contradictions()
    assert text in contradiction


# begin gunicorn
@pytest.mark.parametrize("name", ["timeout", "limit_request_line", "limit_request_field_size"])
def test_unlimited_setting_of_gunicorn_is_consistent(name, fork):
    with (fork / GUNICORN).open("a") as file:
        file.write(f"\n{name} = 0\n")
    assert contradictions() == {}


# end gunicorn
# --- The workers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "machine", "tasks"),
    [
        ({}, (2, 4 * GIB), 2 * 9 + 4),
        ({}, (32, 64 * GIB), 8 * 9 + 4),  # limited by 512 MiB
        ({"APP_MEMORY": "4g"}, (32, 64 * GIB), 32 * 9 + 4),
        ({"APP_MEMORY": "4g"}, (32, GIB), 16 * 9 + 4),  # limited by the machine
        ({"APP_MEMORY": "4g", "APP_CPUS": "2.5"}, (32, 64 * GIB), 3 * 9 + 4),
        ({"WEB_CONCURRENCY": "3", "WEB_THREADS": "7"}, (32, 64 * GIB), 3 * 8 + 4),
        # begin monitoring
        ({"WEB_CONCURRENCY": "3", "METRICS_PORT": "9464", "SENTRY_DSN": "https://k@h/1"}, (2, GIB), 3 * 10 + 6),
        # end monitoring
    ],
)
def test_workers_are_counted_as_the_launcher_does(given, machine, tasks):
    assert limits(*machine, **given)["app processes and threads"] == tasks


def test_too_many_workers_for_the_process_limit_are_reported():
    [(text, remedy)] = contradictions(32, 64 * GIB, APP_MEMORY="4g").items()
    assert text.startswith("app processes and threads is 292, and app pids_limit is 256: ")
    assert remedy == "raise app pids_limit, or lower WEB_CONCURRENCY or WEB_THREADS"


def test_container_without_limits_is_consistent():
    services = composed()
    services["app"] |= {"mem_limit": "0", "pids_limit": -1, "healthcheck": {"disable": True}}
    assert list(consistency.contradictions(configuration.limits(services, 64, 64 * GIB))) == []


def test_more_cpus_than_the_machine_has_are_reported():
    [(text, remedy)] = contradictions(APP_CPUS="3").items()
    assert text == "app cpus is 3, and CPUs of the machine is 2: Docker does not start the app"
    assert remedy.endswith("lower APP_CPUS")


def test_failed_one_shot_is_reported():
    def ended(code):
        return Container("id", "image", "image id", "exited", "none", 0, {"State": {"ExitCode": code}})

    [finding] = check_one_shot("release", [ended(0), ended(7)])
    assert not finding.is_ok
    assert str(finding).startswith(
        "FAIL  the service release, which runs before the app starts, failed with exit code 7\n"
    )
    assert "`docker compose logs release`" in str(finding)
