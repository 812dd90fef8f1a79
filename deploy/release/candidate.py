"""The candidate: the new release beside the live one, from its start to its promotion."""

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

from deploy.docker import (
    Container,
    DeployError,
    Project,
    Release,
    compose,
    containers,
    docker,
    inspect,
    last_logs,
    log,
    workers,
)
from deploy.release.cleanup import remove_sockets

WATCH_SECONDS = 10  # for which a candidate must stay healthy and lose no worker before it is promoted


@contextmanager
def removed_on_failure(project: Project, before: list[Container]) -> Generator[None]:
    """Remove the candidate, and print its last log lines, if the block fails or is interrupted.

    `before` are the containers that existed before the candidate.
    """
    try:
        yield
    except BaseException:
        for failed in candidates(project, before):
            log(f"removing {failed.release}; its last log lines:\n{last_logs('container', 'logs', failed.id)}")
            docker("rm", "--force", failed.id)
        for old in before:
            if inspect(old.id).state == "running":
                remove_sockets(project, old)
        raise


def candidates(project: Project, before: list[Container]) -> list[Container]:
    """Return the app's containers that are not in `before`."""
    known = {each.id for each in before}
    return [each for each in containers(project, "app") if each.id not in known]


def start(project: Project, release: Release, before: list[Container]) -> Container:
    """Start the release beside the live one, if there is one, and return its container.

    Until its promotion the candidate does not claim live.sock, and does not restart with the engine or the machine.
    """
    log("starting it beside the live release" if before else "starting it")
    scale = ["--no-recreate", "--scale", f"app={len(before) + 1}"]
    compose("up", "--detach", "--no-build", "--no-deps", *scale, "app", release=release)
    found = candidates(project, before)
    if len(found) != 1:
        raise DeployError(f"expected one new container, found {len(found)}: is another deploy running?")
    [candidate] = found
    if before:
        docker("update", "--restart", "no", candidate.id)
        with suppress(DeployError):  # it has exited: wait_until_healthy reports that
            docker("exec", candidate.id, "python", "-m", "deploy.server.live", "wait")
    return candidate


def wait_until_healthy(candidate: Container) -> None:
    """Wait until the container is healthy; raise DeployError if it exits, restarts or becomes unhealthy."""
    while (now := inspect(candidate.id)).health != "healthy":
        if now.state != "running" or now.restarts or now.health != "starting":
            raise DeployError(f"{candidate.release} did not start: {describe(now)}")
        time.sleep(0.2)


def watch(candidate: Container) -> None:
    """Watch the container for WATCH_SECONDS; raise DeployError if it becomes unhealthy, restarts or loses a worker.

    The workers are compared, because both servers replace a worker that crashes and stay healthy meanwhile.
    """
    seen: set[str] = set()
    for _ in range(WATCH_SECONDS):
        # In this order: if the container exits between the two calls, its state says so.
        alive, now = workers(candidate), inspect(candidate.id)
        if (now.state, now.health, now.restarts) != ("running", "healthy", 0):
            raise DeployError(f"{candidate.release} failed while it was watched: {describe(now)}")
        if exited := seen - alive:
            raise DeployError(f"{candidate.release} failed while it was watched: {len(exited)} workers exited")
        seen |= alive
        time.sleep(1)


def promote(candidate: Container) -> None:
    """Point live.sock at the container; raise DeployError if it is not ready."""
    log("promoting it")
    try:
        docker("exec", candidate.id, "python", "-m", "deploy.server.live", "promote")
    except DeployError as error:
        raise DeployError(f"{candidate.release} was not ready to be promoted: {error}") from error


def describe(container: Container) -> str:
    """Return the container's state as a clause of a sentence."""
    return f"it is {container.state} and {container.health}, and was restarted {container.restarts} times"
