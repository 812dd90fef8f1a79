"""make doctor: what it makes of what the machine and the settings are; tests/stack has it look at them."""

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

from deploy.doctor import __main__ as doctor
from deploy.doctor import consistency
from tests.unit.configuration import ROOT, compose_text, example, services

GIB = 1024**3
FILES = ["deploy/server/gunicorn.conf.py", "deploy/server/uwsgi.ini", "nginx/nginx.conf", "nginx/site.conf"]
TLS = {"host_ip": "127.0.0.1", "target": 8443, "published": "8443"}


@pytest.fixture(autouse=True)
def _folder(monkeypatch):
    monkeypatch.chdir(ROOT)


def composed(**given):
    """Return the services as `docker compose config` says them, with these settings."""
    text = re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda found: given.get(found[1]) or found[2] or "", compose_text)
    services = yaml.safe_load(text)["services"]
    for service in (services["app"], services["nginx"]):
        service["environment"] = {name: given.get(name) for name in service["environment"]}
        service["mem_limit"] = str(int(consistency.size(service["mem_limit"])))
    address, port, target = services["nginx"]["ports"][0].split(":")
    services["nginx"]["ports"] = [{"host_ip": address, "target": int(target), "published": port}]
    return services


def values(cpus=2, memory=4 * GIB, **given):
    return consistency.values(composed(**given), cpus, memory)


def contradictions(*arguments, **given):
    return dict(consistency.contradictions(values(*arguments, **given)))


# --- The machine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "least", "is_well"),
    [
        ("28.5.2+dfsg4", doctor.ENGINE, True),
        ("25.0.0", doctor.ENGINE, True),
        ("24.0.9", doctor.ENGINE, False),
        ("v2.40.3-3\n", doctor.COMPOSE, True),
        ("2.24.4", doctor.COMPOSE, True),
        ("2.24.3", doctor.COMPOSE, False),
        ("v2.9.0", doctor.COMPOSE, False),
        ("1.29.2", doctor.COMPOSE, False),
    ],
)
def test_a_version_that_is_too_old_is_told(text, least, is_well):
    finding = doctor.version("Docker", text, least)
    assert finding.is_well == is_well
    assert finding.what.startswith(f"Docker {text.strip()}, of 2")
    assert finding.remedy.startswith("upgrade it to 2")


@pytest.mark.parametrize(
    ("key", "what"), [("MemoryLimit", "memory"), ("CpuCfsQuota", "CPUs"), ("PidsLimit", "processes")]
)
@pytest.mark.parametrize("said", [{}, False])
def test_a_limit_that_the_kernel_does_not_enforce_is_told(key, what, said):
    info = {"CgroupVersion": "2", "MemoryLimit": True, "CpuCfsQuota": True, "PidsLimit": True}
    assert all(finding.is_well for finding in doctor.limits(info))
    info.pop(key)
    [finding] = [each for each in doctor.limits(info | ({key: said} if said != {} else {})) if not each.is_well]
    assert finding.what == f"cgroups, version 2, bound a container's {what}"


def test_memory_for_one_release_alone_is_told():
    services = composed(APP_MEMORY="512m")  # twice, and nginx's 256m
    assert doctor.memory({"MemTotal": 1280 * 1024**2}, services).is_well
    finding = doctor.memory({"MemTotal": 1280 * 1024**2 - 1}, services)
    assert not finding.is_well
    assert "two releases of the app at 512 MiB" in finding.what


def test_a_disk_that_is_full_is_told():
    assert doctor.disk(Path("/var"), doctor.DISK).is_well
    finding = doctor.disk(Path("/var"), doctor.DISK - 1)
    assert not finding.is_well
    assert "make room for 2048 MiB" in finding.remedy


def test_where_the_engines_disk_cannot_be_seen_the_working_folders_is_looked_at(tmp_path):
    folder, free = doctor.free_disk(tmp_path / "nowhere")
    assert folder == Path()
    assert free == pytest.approx(shutil.disk_usage(Path()).free, rel=0.1)


@pytest.mark.parametrize(
    ("apart", "is_set", "is_well"),
    [(0.4, "yes", True), (-5, "unknown", True), (6, "yes", False), (-6, "yes", False), (0, "no", False)],
)
def test_a_clock_that_goes_wrong_or_that_nobody_sets_is_told(apart, is_set, is_well):
    assert doctor.clock(apart, is_set).is_well == is_well


# --- The ports --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "port", "ours", "says"),
    [
        ("127.0.0.1", 80, set(), "FAIL  port 80 of 127.0.0.1: it is taken"),
        ("127.0.0.1", 80, {("127.0.0.1", 80)}, "  ok  port 80 of 127.0.0.1 is the running site's"),
        ("0.0.0.0", 80, {("127.0.0.1", 80)}, "  ok  port 80 of 0.0.0.0 is the running site's"),
        ("127.0.0.1", 80, {("0.0.0.0", 80), ("::", 80)}, "  ok  port 80 of 127.0.0.1 is the running site's"),
        ("127.0.0.1", 80, {("127.0.0.1", 8080)}, "FAIL  port 80 of 127.0.0.1: it is taken"),
        ("10.0.0.1", 80, {("127.0.0.1", 80)}, "FAIL  port 80 of 10.0.0.1: it is taken"),
    ],
)
def test_only_a_port_that_the_running_site_has_is_the_running_sites(address, port, ours, says):
    assert str(doctor.site_port("HTTP_PORT", address, port, ours, "it is taken")).startswith(says)


@pytest.fixture
def taken():
    """Return a port where somebody answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def free():
    """Return a port that nobody else is given, and where nobody answers."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def only_roots(monkeypatch):
    """Make every port one that we may not have."""

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket, "create_server", refuse)


def test_a_port_that_is_taken_is_told_with_the_setting_to_change(taken, free):
    obstacle = doctor.obstacle_to("127.0.0.1", taken, is_rootless=False)
    assert obstacle == os.strerror(errno.EADDRINUSE)
    finding = doctor.site_port("HTTPS_PORT", "127.0.0.1", taken, set(), obstacle)
    assert finding.remedy == "set HTTP_BIND or HTTPS_PORT to another"
    assert not doctor.obstacle_to("127.0.0.1", free, is_rootless=False)


def test_a_port_that_is_only_roots_can_be_had_by_the_engine_which_is_root(only_roots, free):
    assert not doctor.obstacle_to("127.0.0.1", free, is_rootless=False)
    assert doctor.obstacle_to("127.0.0.1", free, is_rootless=True) == os.strerror(errno.EACCES)


def test_a_port_that_is_only_roots_and_where_somebody_answers_is_taken(only_roots, taken):
    assert doctor.obstacle_to("0.0.0.0", taken, is_rootless=False) == os.strerror(errno.EADDRINUSE)


# --- One setting ------------------------------------------------------------------------------------------------------

REFUSED = {
    "BACKEND": "waitress",
    "RELEASE": "a:b",
    "HTTP_PORT": "8000-8010",
    "APP_CPUS": "-1",
    "WEB_CONCURRENCY": "abc",
    "WEB_THREADS": "x",
    "LOG_LEVEL": "loud",
    "MAX_BODY_BYTES": "1m",
    "ALLOWED_HOSTS": "https://example.org",
    "CLIENT_REQUESTS": "many",
    "TRUSTED_PROXIES": "me",
    "PROXY_PROTOCOL": "yes",
}
# Compose refuses them (tests/stack), or whoever reads them does: the load test, a swarm.
ELSEWHERE = r"HTTP_BIND|HTTPS_PORT|APP_MEMORY|REGISTRY|REPLICAS|LOCUST_\w+"


def told(services):
    """Return what is told as wrong about the settings, of a machine with 2 CPUs and 4 GiB."""
    found = doctor.settings(services, {"NCPU": 2, "MemTotal": 4 * GIB})
    return [finding.what for finding in found if not finding.is_well]


@pytest.mark.parametrize("name", [*REFUSED, "HTTPS_PORT"])
def test_a_setting_that_cannot_be_is_a_sentence(name):
    services = composed(**{name: REFUSED.get(name, "")})
    if name == "HTTPS_PORT":
        services["nginx"]["ports"].append(TLS | {"published": "8443-8450"})
    sentences = told(services)
    assert sentences
    assert all(re.match(rf"(nginx: )?{name} is '.+': it must be ", sentence) for sentence in sentences)


def test_every_setting_of_the_site_is_looked_at():
    names = set(re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE))
    site = {name for name in names if not re.fullmatch(ELSEWHERE, name)}
    # A fork's own settings of the application need no case here.
    assert site - services["app"]["environment"].keys() <= REFUSED.keys() <= site


def test_all_that_cannot_be_are_told_at_once_but_the_second_of_one_program():
    assert len(told(composed(BACKEND="waitress", LOG_LEVEL="loud", RELEASE="-", CLIENT_REQUESTS="many"))) == 4


def test_one_port_for_both_is_told():
    services = composed()
    services["nginx"]["ports"].append(TLS)
    assert told(services) == []
    services["nginx"]["ports"][1] = TLS | {"published": "8080"}
    assert told(services) == ["HTTP_PORT and HTTPS_PORT are the same: each must be a port of its own"]


@pytest.mark.parametrize("setting", ["LOG_LEVEL", "MAX_BODY_BYTES", "WEB_CONCURRENCY"])
def test_a_bad_setting_in_its_own_environment_is_no_traceback(setting):
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.doctor"],
        env={"PATH": "/nowhere", setting: "1m"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr.startswith("FAIL  docker is not installed")


# --- Two settings -----------------------------------------------------------------------------------------------------

PAIRS = [(consequence, *pair) for consequence, pairs in consistency.PAIRS.items() for pair in pairs]


def test_the_settings_as_they_are_are_all_well():
    assert told(composed()) == []


@pytest.mark.parametrize(("consequence", "less", "sign", "more"), PAIRS)
def test_a_pair_that_does_not_agree_is_told_with_what_follows(consequence, less, sign, more):
    found = values()
    for value, is_well in {found[more] + 1: False, found[more]: sign == "<="}.items():
        said = "\n".join(what for what, _ in consistency.contradictions(found | {less: value}))
        line = re.search(rf"^{less} is [\d,.]+, and {more} is [\d,.]+: {consequence}$", said, re.MULTILINE)
        assert bool(line) != is_well


@pytest.fixture
def fork(tmp_path, monkeypatch):
    """Return a folder with the files that are compared, for a test to change them, and be in it."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


GUNICORN, UWSGI, NGINX, SITE = FILES


@pytest.mark.parametrize(
    ("path", "old", "new", "what"),
    [
        (GUNICORN, "graceful_timeout = 30", "graceful_timeout = 35", "gunicorn graceful_timeout is 35, "),
        (GUNICORN, "field_size = 16384", "field_size = 4096", "gunicorn limit_request_field_size is 4,096"),
        (UWSGI, "worker-reload-mercy = 30", "worker-reload-mercy = 35", "uwsgi worker-reload-mercy is 35, "),
        (UWSGI, "buffer-size = 65535", "buffer-size = 32768", "uwsgi buffer-size is 32,768"),
        (NGINX, "shutdown_timeout 35s", "shutdown_timeout 40s", "nginx worker_shutdown_timeout is 40, "),
        (NGINX, "shutdown_timeout 35s", "shutdown_timeout 1m30s", "nginx worker_shutdown_timeout is 90, "),
        (NGINX, "connections 4096", "connections 8192", "twice nginx worker_connections is 16,384, "),
        (NGINX, "buffers 4 8k", "buffers 8 8K", "a whole header, and what is added is 69,632, "),
        (SITE, "connect_timeout 100ms", "connect_timeout 5s", "nginx proxy_connect_timeout is 5, "),
    ],
)
def test_what_a_fork_writes_into_a_file_is_compared(path, old, new, what, fork):
    text = (fork / path).read_text()
    assert text.count(old) == 1
    (fork / path).write_text(text.replace(old, new))
    [said] = contradictions()
    assert what in said


@pytest.mark.parametrize("name", ["timeout", "limit_request_line", "limit_request_field_size"])
def test_what_gunicorn_does_not_bound_contradicts_nothing(name, fork):
    with (fork / GUNICORN).open("a") as file:
        file.write(f"\n{name} = 0\n")
    assert contradictions() == {}


def test_a_body_that_is_allowed_and_that_nginx_has_no_room_for_is_told():
    assert contradictions(MAX_BODY_BYTES=str(100 * 1024**2)) == {}
    [(what, remedy)] = contradictions(MAX_BODY_BYTES=str(200 * 1024**2)).items()
    assert what.endswith("tmpfs of nginx is 134,217,728: the largest body that is allowed does not fit, and is a 500")
    assert remedy == "raise the size of /run/nginx in docker-compose.yml, or lower MAX_BODY_BYTES"


@pytest.mark.parametrize(
    ("tmpfs", "mem_limit", "is_well"),
    [
        ("/run/nginx:mode=0755,size=256m", 512 * 1024**2, True),
        ("/run/nginx:mode=0755,size=256m", 256 * 1024**2, False),
        ("/run/nginx:size=1g", 0, True),
        ("/run/nginx:mode=0755", 512 * 1024**2, False),
        ("/run/nginx", 512 * 1024**2, False),
        ("/tmp:size=999m", 256 * 1024**2, True),  # the bodies are on a disk
    ],
)
def test_bodies_in_memory_leave_nginx_some(tmpfs, mem_limit, is_well):
    services = composed()
    services["nginx"] |= {"tmpfs": [tmpfs], "mem_limit": str(mem_limit)}
    said = [what for what, _ in consistency.contradictions(consistency.values(services, 2, 4 * GIB))]
    assert said == [] if is_well else [what.partition(" is ")[0] for what in said] == ["twice the tmpfs of nginx"]


# --- The workers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "machine", "tasks"),
    [
        ({}, (2, 4 * GIB), 4 * 5 + 2),
        ({}, (32, 64 * GIB), 8 * 5 + 2),  # as far as 512 MiB go
        ({"APP_MEMORY": "4g"}, (32, 64 * GIB), 64 * 5 + 2),
        ({"APP_MEMORY": "4g"}, (32, GIB), 16 * 5 + 2),  # the machine has less
        ({"APP_MEMORY": "4g", "APP_CPUS": "1.5"}, (32, 64 * GIB), 3 * 5 + 2),
        ({"WEB_CONCURRENCY": "3", "WEB_THREADS": "7"}, (32, 64 * GIB), 3 * 8 + 2),
    ],
)
def test_the_workers_are_as_many_as_the_launcher_will_start(given, machine, tasks):
    assert values(*machine, **given)["app processes and threads"] == tasks


def test_more_workers_than_the_container_may_have_processes_are_told():
    [(what, remedy)] = contradictions(32, 64 * GIB, APP_MEMORY="4g").items()
    assert what.startswith("app processes and threads is 322, and app pids_limit is 256: ")
    assert remedy == "raise app pids_limit, or lower WEB_CONCURRENCY or WEB_THREADS"


def test_a_container_without_limits_contradicts_nothing():
    services = composed()
    services["app"] |= {"mem_limit": "0", "pids_limit": -1, "healthcheck": {"disable": True}}
    assert list(consistency.contradictions(consistency.values(services, 64, 64 * GIB))) == []


def test_more_cpus_than_the_machine_has_are_told():
    [(what, remedy)] = contradictions(APP_CPUS="3").items()
    assert what == "app cpus is 3, and CPUs of the machine is 2: Docker does not start the app"
    assert remedy.endswith("lower APP_CPUS")
