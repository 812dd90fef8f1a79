"""What an operator asks: does this process serve, is it ready for traffic, which release is it."""

import os
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIEnvironment

from app.response import json
from app.settings import settings

# What must be true before traffic is sent here, by name: a fork adds its own, say {"database": database_answers}.
CHECKS: dict[str, Callable[[], bool]] = {}


def alive(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer that this process serves, and nothing more: a database that is away is no reason to restart it."""
    return json(start_response, {"status": "ok"})


def ready(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer 200 where every one of CHECKS holds and 503 where one does not, naming each."""
    checks = {name: check() for name, check in CHECKS.items()}
    is_ready = all(checks.values())
    return json(
        start_response,
        {"status": "ok" if is_ready else "unavailable", "checks": checks},
        HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE,
    )


def version(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer which release, on which backend, in which instance and worker."""
    return json(
        start_response,
        {
            "release": settings().release,
            "backend": settings().backend,
            "instance": socket.gethostname(),
            "worker": os.getpid(),
        },
    )
