"""Liveness check, readiness check and version."""

import logging
import os
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus
from threading import Thread
from wsgiref.types import StartResponse, WSGIEnvironment

from app.response import json
from app.settings import settings

logger = logging.getLogger(__name__)

# Readiness checks by name. Each returns whether it passed, for example {"database": database_answers}.
CHECKS: dict[str, Callable[[], bool]] = {}
CHECK_SECONDS = 5  # for a check, after which it counts as failed; below the limit of the health check

unfinished: dict[str, tuple[Thread, list[bool]]] = {}


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
    """Run one of CHECKS and return whether it passed in time; log an exception and count it as failed.

    A check that hangs must not take a thread of the server each time. So requests share it until it ends.
    """
    thread, results = unfinished.get(name) or start(name)
    thread.join(CHECK_SECONDS)
    return results == [True]


def start(name: str) -> tuple[Thread, list[bool]]:
    """Start one of CHECKS in a thread, and return the thread and its results."""
    results: list[bool] = []

    def run() -> None:
        try:
            results.append(bool(CHECKS[name]()))
        except BaseException:  # SystemExit too
            logger.exception("readiness check %r failed", name)
        finally:
            unfinished.pop(name, None)

    started = unfinished[name] = Thread(target=run, daemon=True), results
    started[0].start()
    return started


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
