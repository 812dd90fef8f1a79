"""Liveness check, readiness check and version."""

import logging
import os
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIEnvironment

from app.response import json
from app.settings import settings

logger = logging.getLogger(__name__)

# Readiness checks by name. Each returns whether it passed, for example {"database": database_answers}.
CHECKS: dict[str, Callable[[], bool]] = {}


def alive(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer 200 while this process serves. CHECKS do not count: a restart does not repair a database."""
    return json(start_response, {"status": "ok"})


def ready(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer 200 if all CHECKS pass, otherwise 503; list the result of each check."""
    checks = {name: passes(name) for name in CHECKS}
    is_ready = all(checks.values())
    return json(
        start_response,
        {"status": "ok" if is_ready else "unavailable", "checks": checks},
        HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE,
    )


def passes(name: str) -> bool:
    """Run one of CHECKS and return whether it passed; log an exception and count it as failed."""
    try:
        return bool(CHECKS[name]())
    except BaseException:  # SystemExit too: sys.exit() in a check must not end the server
        logger.exception("readiness check %r failed", name)
        return False


def version(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the release, backend, workers, threads, instance (host name) and worker (process id) of this response."""
    return json(
        start_response,
        {
            "release": settings().release,
            "backend": settings().backend,
            "workers": settings().workers,
            "threads": settings().threads,
            "instance": socket.gethostname(),
            "worker": os.getpid(),
        },
    )
