"""The settings that can contradict each other, wherever they stand: nginx, a server, docker-compose.yml, the kernel.

And those that cannot be at all: whoever reads a setting is asked whether it would refuse it.
"""

import operator
import os
import re
import runpy
import subprocess
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.variables import SettingError, integer
from deploy.docker import Failure
from deploy.server import launch, live
from deploy.server.sizing import MEMORY_PER_WORKER, worker_count

NGINX = [Path("nginx/nginx.conf"), Path("nginx/site.conf")]
UNITS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "k": 1024, "M": 1024**2, "g": 1024**3}
ADDED = 4096  # bytes, of what nginx and the server add to the header of a request
UNBOUND = {"timeout", "limit_request_line", "limit_request_field_size"}  # in gunicorn, where they are 0
PORTS = {8080: "HTTP_PORT", 8443: "HTTPS_PORT"}  # nginx's own, and the settings of those outside

# Of each pair what must be, and above it what happens where it is not.
PAIRS = {
    "a request is cut that may take longer": [
        ("nginx proxy_read_timeout", "<=", "gunicorn graceful_timeout"),
        ("nginx proxy_read_timeout", "<=", "uwsgi worker-reload-mercy"),
        ("nginx proxy_read_timeout", "<", "nginx worker_shutdown_timeout"),
        ("nginx proxy_send_timeout", "<=", "nginx proxy_read_timeout"),
        ("nginx client_header_timeout", "<", "nginx worker_shutdown_timeout"),
        ("nginx client_body_timeout", "<", "nginx worker_shutdown_timeout"),
        ("nginx send_timeout", "<", "nginx worker_shutdown_timeout"),
    ],
    "Docker kills what is still about to end by itself": [
        ("gunicorn graceful_timeout", "<", "app stop_grace_period"),
        ("uwsgi worker-reload-mercy", "<", "app stop_grace_period"),
        ("nginx worker_shutdown_timeout", "<", "nginx stop_grace_period"),
    ],
    "a server that is only busy is taken for one that hangs": [
        ("nginx proxy_read_timeout", "<=", "gunicorn timeout"),
        ("nginx proxy_read_timeout", "<=", "health check's patience"),
        ("health check's patience", "<", "app healthcheck timeout"),
    ],
    "nobody else is asked where the app does not take a request": [
        ("nginx proxy_connect_timeout", "<", "nginx proxy_read_timeout"),
        ("nginx proxy_connect_timeout", "<", "nginx proxy_next_upstream_timeout"),
    ],
    "the app refuses what nginx has let through": [
        ("nginx client_max_body_size", "<=", "app MAX_BODY_BYTES"),
        ("nginx large_client_header_buffers", "<=", "gunicorn limit_request_line"),
        ("nginx large_client_header_buffers", "<=", "gunicorn limit_request_field_size"),
        ("a whole header, and what is added", "<=", "uwsgi buffer-size"),
        ("gunicorn limit_request_fields", "<", "uwsgi max-vars"),
    ],
    "nginx refuses what the app would take": [("app MAX_BODY_BYTES", "<=", "nginx client_max_body_size")],
    "the largest body that is allowed does not fit, and is a 500": [
        ("nginx client_max_body_size", "<", "tmpfs of nginx"),
    ],
    "bodies on their way take the memory that nginx needs, and it is killed": [
        ("twice the tmpfs of nginx", "<=", "nginx mem_limit"),
    ],
    "nginx has no file left for a connection that it has taken": [
        ("twice nginx worker_connections", "<=", "nginx worker_rlimit_nofile"),
    ],
    "the kernel makes the queue of requests shorter": [
        ("gunicorn backlog", "<=", "kernel somaxconn"),
        ("uwsgi listen", "<=", "kernel somaxconn"),
    ],
    "the kernel kills workers for memory": [("app workers' memory", "<=", "app mem_limit")],
    "a thread cannot be started, and its request is lost": [("app processes and threads", "<=", "app pids_limit")],
    "Docker does not start the app": [("app cpus", "<=", "CPUs of the machine")],
}
SIGNS = {"<": operator.lt, "<=": operator.le}
# Where a value is changed that is not called what it is called where it stands.
PLACES = {
    "CPUs of the machine": "the number of CPUs",
    "a whole header, and what is added": "nginx large_client_header_buffers",
    "app MAX_BODY_BYTES": "MAX_BODY_BYTES of the app",
    "app cpus": "APP_CPUS",
    "app mem_limit": "APP_MEMORY",
    "app processes and threads": "WEB_CONCURRENCY or WEB_THREADS",
    "app workers' memory": "WEB_CONCURRENCY",
    "health check's patience": "ANSWER_SECONDS in deploy/server/live.py",
    "kernel somaxconn": "net.core.somaxconn",
    "nginx client_max_body_size": "MAX_BODY_BYTES",
    "tmpfs of nginx": "the size of /run/nginx in docker-compose.yml",
    "twice nginx worker_connections": "nginx worker_connections",
    "twice the tmpfs of nginx": "the size of /run/nginx in docker-compose.yml",
}


def refusals(services: dict[str, Any]) -> Iterator[str]:
    """Yield what each reader of settings says who would refuse its own, one sentence each."""
    app, nginx = services["app"], services["nginx"]
    given = environment(app)
    given["BACKEND"] = app["build"]["target"]
    given["RELEASE"] = app["build"].get("args", {}).get("RELEASE", "")
    given["APP_CPUS"] = str(app.get("cpus", ""))
    for read in (launch.command, largest_body, release, cpus):
        try:
            read(given)
        except SettingError as refusal:
            yield str(refusal)
    yield from refused_ports(nginx.get("ports", []))
    with TemporaryDirectory() as folder:
        yield from refused_by_nginx(environment(nginx), folder)


def largest_body(environ: Mapping[str, str]) -> int:
    """Return MAX_BODY_BYTES as the app reads it; raise SettingError where it cannot be, or another of the app's own."""
    from app import settings  # noqa: PLC0415 (it reads this process's own at once, and refuses a bad one)

    return settings.read(environ).max_body_bytes


def release(environ: Mapping[str, str]) -> None:
    """Raise SettingError where the release has a name that cannot be a part of a tag."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", name := environ["RELEASE"] or "dev", re.ASCII):
        raise SettingError(f"RELEASE is {name!r}: it must be letters, digits, '_', '.' and '-', at most 100")


def cpus(environ: Mapping[str, str]) -> None:
    """Raise SettingError for a number of CPUs that Compose lets through, and the engine does not."""
    if float(value := environ["APP_CPUS"] or "0") < 0:
        raise SettingError(f"APP_CPUS is {value!r}: it must be a number of CPUs, or 0 for all there are")


def refused_ports(ports: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what is wrong with the ports of the site: Compose takes a range for one, and one for two."""
    outside: dict[str, set[tuple[str, str]]] = {}
    for port in ports:
        name, number = PORTS.get(port["target"], "ports"), port.get("published", "")
        try:
            integer({name: number}, name, 1, 1, 65535)
        except SettingError as refusal:
            yield str(refusal)
        outside.setdefault(name, set()).add((port.get("host_ip", ""), number))
    if outside.get("HTTP_PORT", set()) & outside.get("HTTPS_PORT", set()):
        yield "HTTP_PORT and HTTPS_PORT are the same: each must be a port of its own"


def refused_by_nginx(environ: Mapping[str, str], folder: str) -> Iterator[str]:
    """Yield what nginx's own script says, if it refuses; the configuration that it writes is of no use here."""
    ended = subprocess.run(
        ["sh", "nginx/control.sh", "configure", folder],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        yield ended.stderr.strip()


def contradictions(found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield what does not agree among these values, and what follows from it; and how it would agree."""
    for consequence, pairs in PAIRS.items():
        for less, sign, more in pairs:
            if not SIGNS[sign](found[less], found[more]):
                what = f"{less} is {words(found[less])}, and {more} is {words(found[more])}: {consequence}"
                yield what, f"raise {PLACES.get(more, more)}, or lower {PLACES.get(less, less)}"


def values(services: dict[str, Any], machine_cpus: int, machine_memory: int) -> dict[str, float]:
    """Return every value that PAIRS names, as seconds, bytes or a number; raise Failure where one is missing."""
    found = dict(nginx()) | dict(servers())
    found |= dict(app_container(services["app"], machine_cpus, machine_memory))
    found |= dict(nginx_container(services["nginx"]))
    found["health check's patience"] = live.ANSWER_SECONDS
    found["kernel somaxconn"] = int(Path("/proc/sys/net/core/somaxconn").read_text())
    found["CPUs of the machine"] = machine_cpus
    needed = {name for pairs in PAIRS.values() for less, _, more in pairs for name in (less, more)}
    for name in needed - found.keys():
        raise Failure(f"{name} is not set: give it a value, for the others to agree with")
    return found


def nginx() -> Iterator[tuple[str, float]]:
    """Yield nginx's directives whose last argument is a duration, a size or a number, and what follows from them."""
    text = "".join(path.read_text() for path in NGINX)
    for name, value in re.findall(r"^ *(\w+) (?:[^;\n]* )?((?:\d+(?:ms|[smhkgKMG])?)+);", text, re.MULTILINE):
        yield f"nginx {name}", size(value) if name.endswith(("size", "buffers")) else number(value)
        if name == "worker_connections":  # each has a file beside it: the one that is sent, or a body's
            yield "twice nginx worker_connections", 2 * int(value)
    for count, buffer in re.findall(r"^ *large_client_header_buffers (\d+) (\w+);", text, re.MULTILINE):
        yield "a whole header, and what is added", int(count) * size(buffer) + ADDED


def servers() -> Iterator[tuple[str, float]]:
    """Yield the numbers in gunicorn's and uWSGI's configuration."""
    for name, value in runpy.run_path("deploy/server/gunicorn.conf.py").items():
        if type(value) is int:
            # It counts the line without its end, nginx with it.
            counted = value + 2 if name == "limit_request_line" else value
            yield f"gunicorn {name}", inf if name in UNBOUND and not value else counted
    uwsgi = ConfigParser(strict=False, interpolation=None)
    uwsgi.read("deploy/server/uwsgi.ini")
    for name, value in uwsgi["uwsgi"].items():
        if value.isdecimal():
            yield f"uwsgi {name}", int(value)


def app_container(app: dict[str, Any], machine_cpus: int, machine_memory: int) -> Iterator[tuple[str, float]]:
    """Yield what Compose makes of the app's limits, and what the launcher will make of them on such a machine."""
    given, memory = environment(app), limit(app, "mem_limit")
    may_use = float(app.get("cpus", 0)) or machine_cpus
    suitable = worker_count(min(may_use, machine_cpus), int(min(memory, machine_memory)))
    workers = integer(given, "WEB_CONCURRENCY", suitable, 1, 1024)
    threads = integer(given, "WEB_THREADS", 4, 1, 1024)
    check: dict[str, Any] = app.get("healthcheck", {})
    yield "app stop_grace_period", number(app.get("stop_grace_period", "10s"))
    yield "app healthcheck timeout", inf if check.get("disable") else number(check.get("timeout", "30s"))
    yield "app MAX_BODY_BYTES", largest_body(given)
    yield "app workers' memory", workers * MEMORY_PER_WORKER
    # Each worker has a thread that takes requests beside those that answer them; and the first process, a health check.
    yield "app processes and threads", workers * (threads + 1) + 2
    yield "app cpus", may_use
    yield "app mem_limit", memory
    yield "app pids_limit", limit(app, "pids_limit")


def nginx_container(nginx: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield what Compose makes of nginx's limits."""
    sizes = dict(tmpfs(nginx))
    yield "nginx stop_grace_period", number(nginx.get("stop_grace_period", "10s"))
    yield "nginx client_max_body_size", largest_body(environment(nginx))
    yield "nginx mem_limit", limit(nginx, "mem_limit")
    # Where an overlay has put the bodies on a disk, they take as much as there is, and no memory.
    yield "tmpfs of nginx", sizes.get("/run/nginx", inf)
    yield "twice the tmpfs of nginx", 2 * sizes.get("/run/nginx", 0)


def environment(service: dict[str, Any]) -> dict[str, str]:
    """Return the variables that Compose gives to a service, those that have a value."""
    given: dict[str, str | None] = service.get("environment") or {}
    return {name: value for name, value in given.items() if value}


def limit(service: dict[str, Any], name: str) -> float:
    """Return a limit of a service; unset, 0 and -1 are none."""
    value = int(service.get(name, 0))
    return value if value > 0 else inf


def tmpfs(service: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield where a service has a file system in memory, and how large that may become."""
    for mount in service.get("tmpfs", []):
        found = re.search(r"[:,]size=(\d+[kmg]?)(?:,|$)", mount, re.IGNORECASE)
        yield mount.partition(":")[0], size(found[1]) if found else inf


def size(text: str) -> float:
    """Return a number of bytes, "8k" or "128m"."""
    return number(text.lower().replace("m", "M"))


def number(text: str) -> float:
    """Return a number with units, "8k" or "1m30s", of which M is the megabyte's and m the minute's."""
    return sum(float(amount) * UNITS[unit] for amount, unit in re.findall(r"([\d.]+)(ms|[smhkMg]?)", text))


def words(value: float) -> str:
    """Return a value in words."""
    return "without end" if value == inf else f"{value:,.15g}"
