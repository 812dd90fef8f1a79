"""A new release beside the old one, until it is live: it is started, and watched, and gone where it does not last."""

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

from deploy.docker import Container, Failure, Project, Release, compose, containers, docker, inspect, logs, say, workers
from deploy.release.cleanup import remove_sockets

BAKE = 10  # seconds for which a new release must be healthy, and lose no worker, before it becomes live


@contextmanager
def removed_if_it_fails(here: Project, before: list[Container]) -> Generator[None]:
    """Remove the new container, after its last lines, where the block fails or is interrupted; none of `before`."""
    try:
        yield
    except BaseException:
        for failed in added(here, before):
            say(f"the last lines of {failed.release}, which is removed:\n{logs(failed)}")
            docker("rm", "--force", failed.identity)
        for old in before:
            if inspect(old.identity).state == "running":
                remove_sockets(here, old)
        raise


def added(here: Project, before: list[Container]) -> list[Container]:
    """Return the app's containers that were not there before."""
    known = {each.identity for each in before}
    return [each for each in containers(here, "app") if each.identity not in known]


def start(here: Project, release: Release, before: list[Container]) -> Container:
    """Start the release, beside the old one where there is one, and return its container.

    Until it is promoted it does not take live.sock, whatever becomes of the old one, and does not come back where the
    engine or the machine is restarted.
    """
    say("starting it beside the old one" if before else "starting it")
    scale = ["--no-recreate", "--scale", f"app={len(before) + 1}"]
    compose("up", "--detach", "--no-build", "--no-deps", *scale, "app", release=release)
    match added(here, before):
        case [new]:
            pass
        case others:
            raise Failure(f"{len(others)} containers have come, and not one: somebody else is at work on this project")
    if before:
        docker("update", "--restart", "no", new.identity)
        with suppress(Failure):  # it has ended already, and whoever watches it will say so
            docker("exec", new.identity, "python", "-m", "deploy.server.live", "wait")
    return new


def wait_until_healthy(new: Container) -> None:
    """Return when the engine calls the container healthy; raise Failure when it calls it anything else but starting."""
    while (now := inspect(new.identity)).health != "healthy":
        if now.state != "running" or now.restarts or now.health != "starting":
            raise Failure(f"{new.release} has not started: {describe(now)}")
        time.sleep(0.2)


def bake(new: Container) -> None:
    """Return when the container has been healthy for a while; raise Failure where it, or one of its workers, ends.

    The workers are looked at because both servers replace one that dies in silence, and look healthy all the time.
    """
    seen: set[str] = set()
    for _ in range(BAKE):
        alive, now = workers(new), inspect(new.identity)  # in this order: where it ends in between, we are told so
        if (now.state, now.health, now.restarts) != ("running", "healthy", 0):
            raise Failure(f"{new.release} did not last: {describe(now)}")
        if seen - alive:
            raise Failure(f"{new.release} did not last: of its workers, {len(seen - alive)} have ended")
        seen |= alive
        time.sleep(1)


def promote(new: Container) -> None:
    """Make live.sock lead to the container; raise Failure where it is not ready, now of all times."""
    say("promoting it")
    try:
        docker("exec", new.identity, "python", "-m", "deploy.server.live", "promote")
    except Failure as failure:
        raise Failure(f"{new.release} did not last: {failure}") from failure


def describe(container: Container) -> str:
    """Return the container's state in words."""
    return f"it is {container.state} and {container.health}, and was restarted {container.restarts} times"
