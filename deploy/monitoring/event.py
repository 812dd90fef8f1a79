"""Writes an event for each deploy and rollback to nginx's log, which outlives the releases."""

import getpass
import os
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from app.log_line import encode, timestamp
from deploy.docker import Container, DeployError, Project, Release, containers, docker, log

GoLive = TypeVar("GoLive", bound=Callable[..., None])
WRITE = "cat >/proc/1/fd/1"


def recorded(go_live: GoLive) -> GoLive:
    """Return a function that also writes how the deploy ended: live, failed or interrupted."""

    @wraps(go_live)
    def run(project: Project, release: Release, previous: Container | None, **options: Any) -> None:  # noqa: ANN401
        begun, outcome = time.time(), f"{release} was interrupted"
        try:
            go_live(project, release, previous, **options)
            outcome = f"{release} is live"
        except (DeployError, OSError) as error:
            outcome = f"{release} failed: {error}"
            raise
        finally:
            write(project, release, previous, outcome, time.time() - begun)

    return cast("GoLive", run)


def write(project: Project, release: Release, previous: Container | None, outcome: str, seconds: float) -> None:
    """Write the event. The deploy has ended, whether this succeeds or not."""
    entry = {
        "time": timestamp(time.time()),
        "level": "info" if outcome.endswith(" is live") else "error",
        "logger": "deploy",
        "message": outcome,
        "release": release.name,
        "backend": release.backend,
        "previous": str(previous.release) if previous else "",
        "user": os.environ.get("SUDO_USER") or getpass.getuser(),
        "seconds": round(seconds, 1),
    }
    try:
        for nginx in containers(project, "nginx"):
            docker("exec", "--interactive", nginx.id, "sh", "-c", WRITE, stdin=encode(entry) + "\n")
    except (DeployError, OSError) as error:
        log(f"the event was not written to nginx's log: {error}")
