"""The pairs of limits that must be consistent, although different programs have them."""

import operator
from collections.abc import Iterator, Mapping
from math import inf

from deploy.docker import DeployError

# The consequence of a contradiction, and the pairs that cause it.
PAIRS = {
    "a request is aborted although it is within its limits": [
        ("nginx proxy_read_timeout", "<=", "gunicorn graceful_timeout"),  # only with gunicorn
        ("nginx proxy_read_timeout", "<=", "uwsgi worker-reload-mercy"),  # only with uwsgi
        ("nginx proxy_read_timeout", "<", "nginx worker_shutdown_timeout"),
        ("nginx proxy_send_timeout", "<=", "nginx proxy_read_timeout"),
        ("nginx client_header_timeout", "<", "nginx worker_shutdown_timeout"),
        ("nginx client_body_timeout", "<", "nginx worker_shutdown_timeout"),
        ("nginx send_timeout", "<", "nginx worker_shutdown_timeout"),
    ],
    "Docker kills a server that is still stopping": [
        ("gunicorn graceful_timeout", "<", "app stop_grace_period"),  # only with gunicorn
        ("uwsgi worker-reload-mercy", "<", "app stop_grace_period"),  # only with uwsgi
        ("nginx worker_shutdown_timeout", "<", "nginx stop_grace_period"),
    ],
    "a busy server is restarted as if it hung": [
        ("nginx proxy_read_timeout", "<=", "gunicorn timeout"),  # only with gunicorn
        ("nginx proxy_read_timeout", "<=", "health check's limit"),
        ("health check's limit", "<", "app healthcheck timeout"),
    ],
    "nginx has no time to retry a connection that the app does not accept": [
        ("nginx proxy_connect_timeout", "<", "nginx proxy_read_timeout"),
    ],
    "the app refuses a request that nginx accepts": [
        ("nginx client_max_body_size", "<=", "app MAX_BODY_BYTES"),
        ("nginx large_client_header_buffers", "<=", "gunicorn limit_request_line"),  # only with gunicorn
        ("nginx large_client_header_buffers", "<=", "gunicorn limit_request_field_size"),  # only with gunicorn
        ("largest request header, with additions", "<=", "uwsgi buffer-size"),  # only with uwsgi
        ("gunicorn limit_request_fields", "<", "uwsgi max-vars"),  # only with gunicorn, uwsgi
    ],
    "nginx refuses a request that the app accepts": [("app MAX_BODY_BYTES", "<=", "nginx client_max_body_size")],
    "nginx answers 503 to a response header that the app may send": [
        ("largest request header, with additions", "<=", "nginx proxy_buffer_size"),
    ],
    # begin uwsgi
    "uWSGI cuts a response while nginx waits for a slow client": [("nginx send_timeout", "<", "uwsgi socket-timeout")],
    # end uwsgi
    "nginx runs out of file descriptors": [
        ("twice nginx worker_connections", "<=", "nginx worker_rlimit_nofile"),
    ],
    "the kernel shortens the listen queue": [
        ("gunicorn backlog", "<=", "kernel somaxconn"),  # only with gunicorn
        ("uwsgi listen", "<=", "kernel somaxconn"),  # only with uwsgi
    ],
    "the kernel kills workers for lack of memory": [("app workers' memory", "<=", "app mem_limit")],
    "a thread cannot start, and its request fails": [("app processes and threads", "<=", "app pids_limit")],
    "Docker does not start the app": [("app cpus", "<=", "CPUs of the machine")],
}
SIGNS = {"<": operator.lt, "<=": operator.le}
# Where to change a limit whose name does not say it.
PLACES = {
    "CPUs of the machine": "the number of CPUs",
    "app MAX_BODY_BYTES": "MAX_BODY_BYTES of the app",
    "app cpus": "APP_CPUS",
    "app mem_limit": "APP_MEMORY",
    "app processes and threads": "WEB_CONCURRENCY or WEB_THREADS",
    "app workers' memory": "WEB_CONCURRENCY",
    "health check's limit": "ANSWER_SECONDS in deploy/server/live.py",
    "kernel somaxconn": "net.core.somaxconn",
    "largest request header, with additions": "nginx large_client_header_buffers",
    "nginx client_max_body_size": "MAX_BODY_BYTES",
    "twice nginx worker_connections": "nginx worker_connections",
}


def contradictions(limits: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield each contradiction with its consequence, and its remedy; raise DeployError if a limit is missing."""
    for consequence, pairs in PAIRS.items():
        for less, sign, more in pairs:
            for name in (less, more):
                if name not in limits:
                    raise DeployError(f"{name} is not set: set it, because other limits depend on it")
            if not SIGNS[sign](limits[less], limits[more]):
                text = f"{less} is {words(limits[less])}, and {more} is {words(limits[more])}: {consequence}"
                yield text, f"raise {PLACES.get(more, more)}, or lower {PLACES.get(less, less)}"


def words(value: float) -> str:
    """Return a limit with thousands separators."""
    return "unlimited" if value == inf else f"{value:,.15g}"
