"""The candidate: the new release beside the live one, from its creation to its promotion."""

import os
import re
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from deploy.docker import Container, DeployError, Project, Release, compose, containers, docker, inspect, last_logs, log
from deploy.release.cleanup import reported, sockets, stop

# Asked before and after the promotion. Name your important pages here: each must answer with a status below 500.
PATHS = ["/", "/healthz", "/readyz"]
WATCH_SECONDS = 10  # for which a candidate must stay healthy and lose no worker before it is promoted
LOGS = Path(".local/deploys")  # of refused releases
LOGS_KEPT, LOG_LINES = 5, 2000
HARMLESS = {"Running", "Creating", "Created"}  # what Compose may do to containers, networks and volumes
WORKERS = "read -r server _ </proc/1/task/1/children; cat /proc/1/task/1/children /proc/$server/task/$server/children"


@contextmanager
def removed_on_failure(project: Project, previous: Container | None) -> Generator[list[Container]]:
    """Remove the candidate, and keep its log, if the block fails or is interrupted.

    If the candidate was promoted, the previous container is promoted again first. The containers that were there before
    are given to the block.
    """
    before = containers(project, "app")
    try:
        yield before
    except BaseException:
        for failed in added(project, before):
            keep_log(failed)
            if previous and previous.state == "running":
                with suppress(DeployError):  # if it is not ready either, neither is better
                    sockets(previous, "promote", previous.id)
            stop(failed)
        raise


def keep_log(failed: Container) -> None:
    """Print the last log lines of a container, and write more of them to a file."""
    path = LOGS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{failed.release.tag}.log"
    with reported("its log is lost"):
        text = last_logs("container", "logs", failed.id, lines=LOG_LINES)
        log(f"removing {failed.release}; its last log lines are:", *text.splitlines()[-20:], sep="\n")
        LOGS.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        log(f"more of its log is in {path}")
        for old in sorted(LOGS.glob("*.log"))[:-LOGS_KEPT]:
            old.unlink()


def added(project: Project, before: list[Container]) -> list[Container]:
    """Return the app's containers that are not in `before`."""
    known = {each.id for each in before}
    return [each for each in containers(project, "app") if each.id not in known]


def beside(before: list[Container]) -> list[str]:
    """Return the options of `docker compose up` that create one more container of the app."""
    return ["--no-start", "--no-deps", "--no-build", "--no-recreate", "--scale", f"app={len(before) + 1}", "app"]


def refuse_interruption(project: Project, release: Release, before: list[Container]) -> None:
    """Raise DeployError if Compose would do more than create the container of the release beside the others."""
    for service, how in project.app.get("depends_on", {}).items():
        if how["condition"] != "service_completed_successfully" and not containers(project, service):
            raise DeployError(f"the app depends on {service}: start it with `docker compose up --detach {service}`")
    plan = compose("--progress=plain", "--dry-run", "up", *beside(before), release=release, stderr=subprocess.STDOUT)
    # DRY-RUN MODE - Container NAME Creating
    steps = [line.split()[3:] for line in plan.splitlines() if line.lstrip().startswith("DRY-RUN")]
    if others := [" ".join(step) for step in steps or [["unknown"]] if step[-1] not in HARMLESS]:
        raise DeployError(
            f"a deploy would interrupt the site, because Compose would do more than create the candidate: "
            f"{'; '.join(others)}. If you changed a network, give it a new name instead: that interrupts nothing. "
            "Or apply the change with `docker compose down && docker compose up --detach`: the site is down meanwhile"
        )
    for volume in re.findall(r'Volume "(\S+)" exists but doesn\'t match', plan):
        log(f"volume {volume} was changed, and stays as it is: `docker compose down --volumes` removes all volumes")


def create(project: Project, release: Release, before: list[Container]) -> Container:
    """Create the container of the release beside the others, and return it.

    Until its promotion the candidate does not claim live.sock, and does not restart with the engine or the machine.
    """
    compose("up", *beside(before), release=release)
    found = added(project, before)
    if len(found) != 1 or found[0].release != release:
        raise DeployError(
            f"expected one new container of {release}, found {len(found)}: has Compose been run meanwhile?"
        )
    [candidate] = found
    docker("update", "--restart", "no", candidate.id)
    sockets(candidate, "wait", candidate.id)
    return candidate


def watch(project: Project, candidate: Container) -> None:
    """Return when the container is healthy and stays so; raise DeployError if it exits, restarts or loses a worker."""
    while (now := inspect(candidate.id)[0]).health != "healthy":
        if now.state != "running" or now.restarts or now.health != "starting":
            limit = project.app.get("healthcheck", {}).get("start_period")
            remedy = f": if it only needs longer, raise STARTUP_SECONDS ({limit})"
            raise DeployError(f"{now.release} did not start: {describe(now)}{remedy * (now.state == 'running')}")
        time.sleep(0.2)
    seconds = os.environ.get("WATCH_SECONDS", str(WATCH_SECONDS))
    if not seconds.isdecimal():
        raise DeployError(f"WATCH_SECONDS is {seconds!r}: it must be a whole number")
    log(f"healthy; watching it for {seconds} seconds")
    seen: set[str] = set()
    for _ in range(int(seconds)):
        # The workers are compared, because both servers replace a worker that crashes and stay healthy meanwhile.
        try:
            alive = set(docker("exec", candidate.id, "sh", "-c", WORKERS).split())
        except DeployError as error:
            now = inspect(candidate.id)[0]
            reason = f"its workers cannot be listed: {error}" if now.state == "running" else describe(now)
            raise DeployError(f"{now.release} failed while it was watched: {reason}") from error
        now = inspect(candidate.id)[0]
        if (now.state, now.health, now.restarts) != ("running", "healthy", 0):
            raise DeployError(f"{now.release} failed while it was watched: {describe(now)}")
        if exited := seen - alive:
            raise DeployError(f"{now.release} failed while it was watched: {len(exited)} of its workers exited")
        seen |= alive
        time.sleep(1)


def describe(container: Container) -> str:
    """Return the container's state as a clause of a sentence."""
    checks: list[dict[str, str]] = container.found["State"].get("Health", {}).get("Log") or []
    check = f"; {checks[-1]['Output'].strip()}" if checks and container.health == "unhealthy" else ""
    return f"it is {container.state} and {container.health}, and was restarted {container.restarts} times{check}"
