"""Reads the limits in the stack's configuration: nginx, gunicorn, uWSGI, Compose, the kernel. The tests use it too."""

import re
import runpy  # only with gunicorn
from collections.abc import Iterator
from configparser import (
    ConfigParser,
    SectionProxy,  # only with uwsgi
)
from math import inf
from pathlib import Path
from typing import Any

from app import settings
from app.variables import integer
from deploy.server import live
from deploy.server.sizing import MEMORY_PER_WORKER, THREADS_PER_WORKER, worker_count

SECONDS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600}
BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
ADDED = 4096  # bytes that nginx and the server add to the header of a request
UNLIMITED_AT_0 = {"timeout", "limit_request_line", "limit_request_field_size"}  # only with gunicorn


def limits(services: dict[str, Any], machine_cpus: int, machine_memory: int) -> dict[str, float]:
    """Return every limit by name, in seconds, bytes or a count. `services` are Compose's, resolved."""
    found = dict(nginx()) | dict(servers())
    found |= dict(app_container(services["app"], machine_cpus, machine_memory))
    found |= dict(nginx_container(services["nginx"]))
    found["health check's limit"] = live.ANSWER_SECONDS
    found["kernel somaxconn"] = int(Path("/proc/sys/net/core/somaxconn").read_text())
    found["CPUs of the machine"] = machine_cpus
    return found


def nginx(root: Path = Path()) -> Iterator[tuple[str, float]]:
    """Yield nginx's directives whose last argument is a time, a size or a number, and the limits they imply."""
    text = "".join((root / "nginx" / name).read_text() for name in ("nginx.conf", "proxy.conf"))
    for name, value in re.findall(r"^ *(\w+) (?:[^;\n]* )?((?:\d+(?:ms|[smhkgKMG])?)+);", text, re.MULTILINE):
        yield f"nginx {name}", size(value) if name.endswith(("size", "buffers")) else seconds(value)
        if name == "worker_connections":  # a connection may need a second file: one that nginx sends, or a request body
            yield "twice nginx worker_connections", 2 * int(value)
    for count, buffer in re.findall(r"^ *large_client_header_buffers (\d+) (\w+);", text, re.MULTILINE):
        yield "largest request header", int(count) * size(buffer)
        yield "largest request header, with additions", int(count) * size(buffer) + ADDED


# begin gunicorn
def gunicorn(root: Path = Path()) -> dict[str, Any]:
    """Return gunicorn's settings."""
    return runpy.run_path(str(root / "deploy" / "server" / "gunicorn.conf.py"))


# end gunicorn
# begin uwsgi
def uwsgi(root: Path = Path()) -> SectionProxy:
    """Return uWSGI's settings."""
    return ini(root / "deploy" / "server" / "uwsgi.ini")["uwsgi"]


# end uwsgi
def ini(path: Path) -> ConfigParser:
    """Return the sections of a file of uWSGI's or supervisord's. An option may be repeated."""
    parser = ConfigParser(strict=False, interpolation=None)
    parser.read(path)
    return parser


def servers() -> Iterator[tuple[str, float]]:
    """Yield the numbers in gunicorn's and uWSGI's configuration."""
    # begin gunicorn
    for name, value in gunicorn().items():
        if type(value) is int:
            # nginx counts the line's end, gunicorn does not.
            counted = value + 2 if name == "limit_request_line" else value
            yield f"gunicorn {name}", inf if name in UNLIMITED_AT_0 and not value else counted
    # end gunicorn
    # begin uwsgi
    for name, value in uwsgi().items():
        if value.isdecimal():
            yield f"uwsgi {name}", int(value)
    # end uwsgi


def app_container(app: dict[str, Any], machine_cpus: int, machine_memory: int) -> Iterator[tuple[str, float]]:
    """Yield the limits of the app's container, and what the launcher will start within them on such a machine."""
    given, memory = environment(app), limit(app, "mem_limit")
    cpus = float(app.get("cpus", 0)) or machine_cpus
    default = worker_count(min(cpus, machine_cpus), int(min(memory, machine_memory)))
    workers = integer(given, "WEB_CONCURRENCY", default, 1, 1024)
    threads = integer(given, "WEB_THREADS", THREADS_PER_WORKER, 1, 1024)
    check: dict[str, Any] = app.get("healthcheck", {})
    yield "app stop_grace_period", seconds(app.get("stop_grace_period", "10s"))
    yield "app healthcheck timeout", inf if check.get("disable") else seconds(check.get("timeout", "30s"))
    yield "app MAX_BODY_BYTES", settings.read(given).max_body_bytes
    yield "app workers' memory", workers * MEMORY_PER_WORKER
    # Each worker has one more thread, which accepts connections. The first process, the log's, the server's and a
    # health check add four. The threads that send spans and reports, and the process of the metrics, add more.
    threads += 1
    tasks = 4
    # begin monitoring
    threads += 2 * bool(given.get("OTEL_EXPORTER_OTLP_ENDPOINT")) + bool(given.get("SENTRY_DSN"))
    tasks += 2 * bool(integer(given, "METRICS_PORT", 0, 0, 65_535))
    # end monitoring
    yield "app processes and threads", workers * threads + tasks
    yield "app cpus", cpus
    yield "app mem_limit", memory
    yield "app pids_limit", limit(app, "pids_limit")


def nginx_container(nginx: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the limits of nginx's container."""
    yield "nginx stop_grace_period", seconds(nginx.get("stop_grace_period", "10s"))
    yield "nginx client_max_body_size", settings.read(environment(nginx)).max_body_bytes


def environment(service: dict[str, Any]) -> dict[str, str]:
    """Return the variables with a value in the environment of a service."""
    given: dict[str, str | None] = service.get("environment") or {}
    return {name: value for name, value in given.items() if value}


def limit(service: dict[str, Any], name: str) -> float:
    """Return a limit of a service, or infinity if it is unset, 0 or -1."""
    value = int(service.get(name, 0))
    return value if value > 0 else inf


def seconds(text: str) -> float:
    """Return a time such as "100ms", "1m30s" or "30 s" in seconds."""
    return sum(float(amount) * SECONDS[unit] for amount, unit in re.findall(r"([\d.]+) ?(ms|[smh]?)", text))


def size(text: str) -> float:
    """Return a size such as "8k", "128m" or "1 MiB" in bytes; raise ValueError for any other text."""
    found = re.fullmatch(r"([\d.]+) ?([kmg]?)(?:i?b)?", text.lower())
    if not found:
        raise ValueError(f"{text!r} is not a size: it must be a number with k, m or g")
    return float(found[1]) * BYTES[found[2]]
