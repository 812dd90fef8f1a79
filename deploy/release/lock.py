"""The lock: one deploy at a time on each project, wherever it is started."""

import os
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Timer

from deploy.docker import SECONDS, Container, DeployError, Project, docker
from deploy.release.cleanup import recover, tidy


@contextmanager
def locked(project: Project) -> Generator[Container | None]:
    """Hold the lock, and give the live container to the block; raise DeployError if another deploy holds it.

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
            if "is already in use" in output:
                by = docker("container", "inspect", "--format", "{{.Config.Labels.holder}}", name).strip()
                output = f"another deploy is running ({by}): try again when it has ended, or `docker rm --force {name}`"
            raise DeployError(output.strip() or f"docker run did not start the lock within {SECONDS} seconds")
        live = recover(project)
        try:
            yield live
        finally:
            tidy(project)
    lock.wait()
