"""`make deploy`, `make rollback`, `make releases`: replace the live release without losing a request.

A deploy starts the candidate beside the live container and watches it. Then it points live.sock at the candidate
(deploy/server/live.py), and drains and stops the previous container. Nothing that serves is touched before that
promotion. So a release that fails, or a deploy that is interrupted, loses no request. It needs only Docker and Python's
standard library.
"""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from deploy.docker import (
    DeployError,
    Project,
    Release,
    compose,
    containers,
    docker,
    find_live,
    find_project,
    image_id,
    log,
)
from deploy.release import names, state
from deploy.release.candidate import WATCH_SECONDS, promote, removed_on_failure, start, wait_until_healthy, watch
from deploy.release.cleanup import prune, recover, remove_sockets, remove_unfinished, retire

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def main() -> None:
    """Run the command given on the command line; exit with one sentence if it fails."""
    os.chdir(Path(__file__).parents[2])
    commands = {"deploy": deploy, "rollback": rollback, "releases": list_releases}
    command = " ".join(sys.argv[1:])
    if command not in commands:
        sys.exit(f"usage: python3 -m deploy.release {'|'.join(commands)}")
    for each in SIGNALS:
        signal.signal(each, signal.default_int_handler)
    try:
        commands[command](find_project())
    except (DeployError, OSError) as error:
        sys.exit(f"deploy: {error}")
    except KeyboardInterrupt:
        print("deploy: interrupted: the live release did not change; the next deploy cleans up", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def deploy(project: Project) -> None:
    """Build a release from the working tree and make it live."""
    with locked():
        recover(project)
        try:
            go_live(project, build(project))
        finally:
            remove_unfinished(project)


def rollback(project: Project) -> None:
    """Make the previous release live again, or the one that RELEASE names, from its image."""
    with locked():
        recover(project)
        name = os.environ.get("RELEASE")
        earlier = [each for each in state.releases()[:-1] if name in (None, "", each.name)]
        kept = [each for each in earlier if image_id(project.image(each))]
        if not kept:
            raise DeployError(f"no earlier release{f' {name}' if name else ''} is kept: see `make releases`")
        go_live(project, kept[-1])


def list_releases(project: Project) -> None:
    """Print the releases to roll back to, the latest last, and mark the live one."""
    live = find_live(containers(project, "app"))
    live = live if live and live.state == "running" else None
    for release in state.releases():
        note = "" if image_id(project.image(release)) else "  (its image has been removed)"
        print(f"{'*' if live and live.release == release else ' '} {release}{note}")
    log(f"{live.release} is live" if live else "no release is live")


@contextmanager
def locked() -> Generator[None]:
    """Hold the lock; raise DeployError if another deploy holds it.

    The commands of a deploy inherit the lock. So a deploy that is killed holds it until its last command ends.
    """
    with state.UNFINISHED.open("a") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 (the parameter has no name)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeployError("another deploy is running here: try again when it has ended") from error
        yield


def build(project: Project) -> Release:
    """Build the working tree and return the release; raise DeployError if RELEASE names another image."""
    requested = names.requested()
    candidate = Release("candidate", project.backend)
    for name in [requested] if requested else names.defaults():
        release = Release(name, project.backend)
        state.write_unfinished(candidate)
        log(f"building {release}")
        compose("build", "--build-arg", f"RELEASE={name}", "app", release=candidate, is_shown=True)
        built = image_id(project.image(candidate))
        if (existing := image_id(project.image(release))) in ("", built):
            if not existing:
                state.write_unfinished(candidate, release)
                docker("tag", built, project.image(release))
            return release
    raise DeployError(f"RELEASE is {requested!r}: another image has that name already: choose another name")


def go_live(project: Project, release: Release) -> None:
    """Start, watch and promote the release, and retire the previous one; raise DeployError if the release fails."""
    begun = time.monotonic()
    previous = find_live(before := containers(project, "app"))
    if previous and previous.state in ("created", "exited", "dead"):  # `up --scale` would start it too
        log(f"{previous.release} is not running: removing its container")
        docker("rm", "--force", previous.id)
        previous, before = None, []
    log("checking its settings, importing its application, publishing its static files")
    ahead = ["python", "-m", "deploy.server.publish_static", "--ahead"]
    compose("run", "--rm", "--no-deps", "--no-TTY", "assets", *ahead, release=release)
    with removed_on_failure(project, before):
        candidate = start(project, release, before)
        wait_until_healthy(candidate)
        log(f"healthy; watching it for {WATCH_SECONDS} seconds")
        watch(candidate)
    with signals_blocked():
        with removed_on_failure(project, before):
            promote(candidate)
        state.write_live(release)
        docker("update", "--restart", "unless-stopped", candidate.id)
        if previous:
            docker("update", "--restart", "no", previous.id)
    # Publishes the files served at / too, and creates the container that `docker compose up` and `start` expect.
    compose("up", "--detach", "--no-build", "--no-deps", "assets", release=release)
    start_nginx(project, release)
    if previous:
        log(f"draining {previous.release}")
        retire(previous)
    remove_sockets(project, candidate)
    prune(project)
    log(f"{release} is live, after {time.monotonic() - begun:.0f} seconds")


@contextmanager
def signals_blocked() -> Generator[None]:
    """Delay SIGINT, SIGTERM and SIGHUP to the end of the block, for this process and the commands it runs."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def start_nginx(project: Project, release: Release) -> None:
    """Start nginx if it is not running. Build it only if it has no container, so that a deploy never replaces it."""
    if not containers(project, "nginx"):
        compose("build", "nginx", release=release, is_shown=True)
    compose("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--wait", "nginx", release=release)


if __name__ == "__main__":
    main()
