"""The settings that can contradict each other, wherever they stand: nginx, a server, docker-compose.yml, the kernel."""

import re
import runpy
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from app.settings import Settings
from deploy import live
from deploy.compose import Failure
from deploy.sizing import LEAST_WORKERS, MEMORY_PER_WORKER

NGINX = [Path("nginx/nginx.conf"), Path("nginx/site.conf")]
UNITS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "k": 1024, "M": 1024**2}

# Of each pair the first must not be larger than the second.
NOT_LARGER = [
    # Whatever a request is allowed, whoever stops or watches it allows it, too.
    ("nginx proxy_read_timeout", "gunicorn graceful_timeout"),
    ("nginx proxy_read_timeout", "gunicorn timeout"),
    ("nginx proxy_read_timeout", "uwsgi worker-reload-mercy"),
    ("nginx proxy_read_timeout", "health check's patience"),
    ("nginx proxy_read_timeout", "nginx worker_shutdown_timeout"),
    ("nginx proxy_send_timeout", "nginx proxy_read_timeout"),
    ("nginx proxy_connect_timeout", "nginx proxy_read_timeout"),
    ("nginx client_header_timeout", "nginx worker_shutdown_timeout"),
    ("nginx client_body_timeout", "nginx worker_shutdown_timeout"),
    ("nginx send_timeout", "nginx worker_shutdown_timeout"),
    ("gunicorn graceful_timeout", "app stop_grace_period"),
    ("uwsgi worker-reload-mercy", "app stop_grace_period"),
    ("health check's patience", "app healthcheck timeout"),
    ("nginx worker_shutdown_timeout", "nginx stop_grace_period"),
    # What nginx lets through, whoever comes next takes.
    ("app MAX_BODY_BYTES", "nginx client_max_body_size"),
    ("nginx client_max_body_size", "app MAX_BODY_BYTES"),
    ("nginx large_client_header_buffers", "gunicorn limit_request_line"),
    ("nginx large_client_header_buffers", "uwsgi buffer-size"),
    ("gunicorn limit_request_fields", "uwsgi max-vars"),
    # What has to fit into what.
    ("gunicorn backlog", "kernel somaxconn"),
    ("uwsgi listen", "kernel somaxconn"),
    ("app workers' memory", "app mem_limit"),
    ("app workers' threads", "app pids_limit"),
]


def values(services: dict[str, Any]) -> dict[str, float]:
    """Return every setting that NOT_LARGER names, as seconds, bytes or a number; raise Failure where one is missing."""
    found = dict(nginx()) | dict(servers()) | dict(containers(services))
    found["health check's patience"] = live.PATIENCE
    found["kernel somaxconn"] = int(Path("/proc/sys/net/core/somaxconn").read_text())
    for name in {name for pair in NOT_LARGER for name in pair} - found.keys():
        raise Failure(f"{name} is not set: give it a value, for the others to agree with")
    return found


def nginx() -> Iterator[tuple[str, float]]:
    """Yield nginx's directives whose last argument is a duration, a size or a number."""
    text = "".join(path.read_text() for path in NGINX)
    for name, value in re.findall(r"^ *(\w+) (?:[^;\n]* )?(\d+(?:ms|[smkh])?);", text, re.MULTILINE):
        # m is a minute, or a megabyte.
        is_size = name.endswith(("size", "buffers"))
        yield f"nginx {name}", number(value.replace("m", "M") if is_size else value)


def servers() -> Iterator[tuple[str, float]]:
    """Yield the numbers in gunicorn's and uWSGI's configuration."""
    for name, value in runpy.run_path("deploy/gunicorn.conf.py").items():
        if type(value) is int:
            # It counts the line without its end, nginx with it.
            yield f"gunicorn {name}", value + 2 if name == "limit_request_line" else value
    uwsgi = ConfigParser(strict=False, interpolation=None)
    uwsgi.read("deploy/uwsgi.ini")
    for name, value in uwsgi["uwsgi"].items():
        if value.isdecimal():
            yield f"uwsgi {name}", int(value)


def containers(services: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield what Compose makes of the limits of the app and of nginx; what is not limited is without end."""
    for service in ("app", "nginx"):
        yield f"{service} stop_grace_period", number(services[service].get("stop_grace_period", "10s"))
    app = services["app"]
    environment = {name: value for name, value in app.get("environment", {}).items() if value}
    workers = int(environment.get("WEB_CONCURRENCY", LEAST_WORKERS))
    yield "app healthcheck timeout", number(app.get("healthcheck", {}).get("timeout", "30s"))
    for name, service in {"app MAX_BODY_BYTES": "app", "nginx client_max_body_size": "nginx"}.items():
        given: dict[str, str] = services[service].get("environment") or {}
        yield name, int(given.get("MAX_BODY_BYTES") or Settings().max_body_bytes)
    yield "app workers' memory", workers * MEMORY_PER_WORKER
    yield "app workers' threads", workers * int(environment.get("WEB_THREADS", 4))
    yield "app mem_limit", int(app.get("mem_limit", sys.maxsize))
    yield "app pids_limit", int(app.get("pids_limit", sys.maxsize))


def number(text: str) -> float:
    """Return a number with units, "8k" or "1m30s"."""
    return sum(float(amount) * UNITS[unit] for amount, unit in re.findall(r"([\d.]+)(ms|[smkMh]?)", text))
