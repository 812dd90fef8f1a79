"""The swarm's managers: commands to them, the state of the nodes, services and tasks, and the lock of a deploy."""

import json
import os
import re
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from deploy.docker import DeployError, Release, docker
from deploy.release.lock import LockedError

RETRY_SECONDS = 120  # in which the managers elect a leader, or the daemon restarts
TRANSIENT = re.compile(
    r"code = (?:DeadlineExceeded|Unavailable|Canceled|Aborted)|deadline exceeded|out of sequence"
    r"|a leader|no leader|Cannot connect to the Docker daemon",
    re.IGNORECASE,
)


class Node(NamedTuple):
    """A machine of the swarm, as a manager sees it."""

    id: str
    name: str
    status: str  # Ready, Down, ...
    availability: str  # Active, Drain or Pause
    manager: str  # Leader, Reachable, Unreachable, or "" for a worker

    @property
    def is_usable(self) -> bool:
        """Return whether the engine starts tasks on the node."""
        return (self.status, self.availability) == ("Ready", "Active")


def log(text: str) -> None:
    """Print one message. A terminal that was closed does not end a deploy in the middle."""
    with suppress(OSError):
        print("swarm:", text, flush=True)


def ask(*arguments: str, **options: Any) -> str:  # noqa: ANN401 (the options of docker())
    """Run `docker` and return its output; repeat it while the managers elect a leader; raise DeployError."""
    deadline = time.monotonic() + RETRY_SECONDS
    is_first = True
    while True:
        try:
            return docker(*arguments, **options)
        except DeployError as error:
            if not TRANSIENT.search(str(error)) or time.monotonic() > deadline:
                raise
            if is_first:
                log(f"trying again for {RETRY_SECONDS} seconds: {error}")
            is_first = False
            time.sleep(1)


def is_manager() -> bool:
    """Return whether the engine is a manager of a swarm."""
    return docker("info", "--format", "{{.Swarm.ControlAvailable}}").strip() == "true"


def nodes() -> list[Node]:
    """Return the nodes, sorted by name."""
    form = "{{.ID}} {{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}"
    found = [Node(*line.split(" ")) for line in ask("node", "ls", "--format", form).splitlines()]
    return sorted(found, key=lambda node: node.name)


def service(name: str) -> dict[str, Any]:
    """Return the engine's description of a service, or {} if it does not exist."""
    if name not in ask("service", "ls", "--format", "{{.Name}}").split():
        return {}
    found: list[dict[str, Any]] = json.loads(ask("service", "inspect", name))
    return found[0]


def tasks(name: str) -> list[dict[str, Any]]:
    """Return the tasks of a service, each with its desired and its actual state."""
    identities = ask("service", "ps", "--quiet", "--no-trunc", name).split() if service(name) else []
    try:
        return json.loads(ask("inspect", "--type", "task", *identities)) if identities else []
    except DeployError as error:
        if not re.search(r"No such|not found", str(error)):
            raise
        return tasks(name)  # the engine removed an old task between the two commands


def image(found: dict[str, Any]) -> str:
    """Return the image of a service, or "" if the service does not exist."""
    return found["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] if found else ""


def previous(found: dict[str, Any]) -> str:
    """Return the image of the release before the live one (stack.yml), or ""."""
    return found["Spec"].get("Labels", {}).get("previous", "") if found else ""


def tag(image: str) -> str:
    """Return the tag of an image."""
    return image.partition("@")[0].rpartition(":")[2]


def release(image: str) -> Release:
    """Return the release that an image contains."""
    return Release.from_tag(tag(image))


@contextmanager
def held(stack: str) -> Generator[None]:
    """Hold the lock during the block; raise LockedError if another deploy holds it.

    The lock is a config of the swarm: all managers know it, and its name is unique. A deploy that is killed leaves it.
    """
    name = f"{stack}_deploy"
    who = f"{os.environ.get('USER', os.getuid())}@{socket.gethostname()}"
    holder = f"{who} since {datetime.now(UTC):%H:%M:%S} UTC, process {os.getpid()}"
    try:
        ask("config", "create", f"--label=holder={holder}", name, "-", stdin=holder)
    except DeployError as error:
        if "already exists" not in str(error) and "conflicts" not in str(error):
            raise
        by = ask("config", "inspect", "--format", "{{.Spec.Labels.holder}}", name).strip()
        if by != holder:  # else the manager answered too late, and the command was repeated
            raise LockedError(
                f"another deploy is running ({by}): try again when it has ended, or with WAIT=60. "
                f"If it was killed, run `docker config rm {name}` first"
            ) from error
    try:
        yield
    finally:
        ask("config", "rm", name)
