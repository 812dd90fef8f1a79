"""The lock: one deploy at a time on each project, wherever it is started."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from threading import Timer
from typing import TypeVar

from deploy.docker import SECONDS, Container, DeployError, Project, docker, log
from deploy.release.cleanup import recover, tidy

RETRY_SECONDS = 2
Held = TypeVar("Held")


class LockedError(DeployError):
    """Another deploy holds the lock."""


def locked(project: Project) -> AbstractContextManager[Container | None]:
    """Hold the lock, and give the live container to the block; raise DeployError if another deploy holds the lock."""
    return waited(partial(held, project))


@contextmanager
def waited(hold: Callable[[], AbstractContextManager[Held]]) -> Generator[Held]:
    """Hold a lock, and give what it gives to the block. Wait for the lock for the seconds in WAIT."""
    wait = os.environ.get("WAIT") or "0"
    if not wait.isdecimal():
        raise DeployError(f"WAIT is {wait!r}: it must be a whole number of seconds")
    begun, is_waiting = time.monotonic(), False
    with ExitStack() as stack:
        while True:
            try:
                given = stack.enter_context(hold())
                break
            except LockedError:
                if time.monotonic() - begun > int(wait):
                    raise
                if not is_waiting:
                    log(f"another deploy is running: waiting for at most {wait} seconds")
                is_waiting = True
                time.sleep(RETRY_SECONDS)
        yield given


@contextmanager
def held(project: Project) -> Generator[Container | None]:
    """Hold the lock, and give the live container to the block; raise LockedError if another deploy holds it.

    An interrupted deploy is finished before the block, and unused images and sockets are removed after it. The lock is
    a container with a fixed name, which ends when this process and the commands that it runs have ended.
    """
    name = f"{project.name}-deploy"
    images = docker("image", "ls", "--quiet", project.repository).split()
    if not images:
        raise DeployError(f"there is no image of {project.repository}: run `make deploy` first")
    holder = f"{os.environ.get('USER', os.getuid())}@{socket.gethostname()} since {datetime.now(UTC):%H:%M:%S} UTC"
    options = ["--rm", "--interactive", "--network=none", "--label", f"holder={holder}", "--entrypoint=sh"]
    read, write = os.pipe()
    with os.fdopen(read) as stdin, os.fdopen(write, "w"):
        lock = subprocess.Popen(
            ["docker", "run", *options, "--name", name, images[0], "-c", "echo locked; exec cat"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C must not end it
        )
        os.set_inheritable(write, True)  # noqa: FBT003 (the parameter has no name)
        timer = Timer(SECONDS, lock.kill)
        timer.start()
        output = next(iter(lock.stdout or ()), "")
        timer.cancel()
        if output != "locked\n":
            lock.communicate()
            if "is already in use" in output:
                # The list is empty, and `inspect` would fail, if the other deploy has ended meanwhile.
                found = ("--all", "--filter", f"name=^{name}$", "--format", '{{.Label "holder"}}')
                by = docker("container", "ls", *found).strip()
                raise LockedError(
                    f"another deploy is running ({by or 'it is ending'}): "
                    f"try again when it has ended, or with WAIT=60, or `docker rm --force {name}`"
                )
            raise DeployError(output.strip() or f"docker run did not start the lock within {SECONDS} seconds")
        live = recover(project)
        try:
            yield live
        finally:
            tidy(project)
    lock.wait()
