"""`make deploy`, `make rollback`, `make releases`: replace the live release without losing a request.

A deploy creates the candidate beside the live container, starts and watches it. All that can fail happens before the
promotion, which points live.sock at the candidate (deploy/server/live.py). Then the deploy checks the site through
nginx, renames the new .env into place, and stops the previous container. A deploy can be killed at any step: the site
goes on, and the next `docker compose up` or deploy finds a consistent state. It needs only Docker and Python's standard
library.
"""

import os
import signal
import sys
import time
from pathlib import Path

from deploy.docker import (
    LONG,
    Container,
    DeployError,
    Project,
    Release,
    compose,
    containers,
    docker,
    find_project,
    image_id,
    log,
)
from deploy.monitoring.event import recorded  # only with monitoring
from deploy.release import names, secrets, state
from deploy.release.candidate import PATHS, create, refuse_interruption, removed_on_failure, watch
from deploy.release.cleanup import CANDIDATE, find_live, reported, sockets, stop
from deploy.release.command import run_command
from deploy.release.hooks import run_hook
from deploy.release.lock import locked
from deploy.release.site import check_site, start_nginx

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Run the command given on the command line; exit with one sentence if it fails."""
    os.chdir(Path(__file__).parents[2])
    commands = {"deploy": deploy, "rollback": rollback, "releases": list_releases}
    command = " ".join(sys.argv[1:])
    if command not in commands:
        sys.exit(f"usage: python3 -m deploy.release {'|'.join(commands)}")
    for each in SIGNALS:
        if signal.getsignal(each) != signal.SIG_IGN:  # nohup
            signal.signal(each, signal.default_int_handler)
    try:
        commands[command](find_project(environ=state.without("BACKEND", "RELEASE")))
    except (DeployError, OSError) as error:
        sys.exit(f"deploy: {error}")
    except KeyboardInterrupt:
        print("deploy: interrupted: `make releases` shows what is live; the next deploy cleans up", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def deploy(project: Project) -> None:
    """Build a release from the working tree and make it live."""
    state.check_settings(project)
    secrets.check()
    if is_first := not image_id(project.repository):  # the lock runs in a container
        run_hook("before-build", expected(project, None), None)
        build_candidate("first", backend(project, None))
    with locked(project) as live:
        if not is_first:
            run_hook("before-build", expected(project, live), live)
        release = build(project, backend(project, live))
        secrets.store(project, project.image(release), live, may_be_missing=False)
        go_live(project, release, live, is_new=True)


def rollback(project: Project) -> None:
    """Make the previous release live again, or the one that RELEASE and BACKEND name, from its image."""
    state.check_settings(project)
    with locked(project) as live:
        name, backend = os.environ.get("RELEASE", ""), os.environ.get("BACKEND", "")
        kept = [
            (image, release)
            for image, release in state.history(project)
            if name in ("", release.name) and backend in ("", release.backend)
            if not (live and live.state == "running" and live.release == release)
        ]
        if not kept:
            wanted = " ".join(["release", name, f"on {backend}" * bool(backend)])
            raise DeployError(f"no earlier {wanted.strip()} is kept: see `make releases`")
        image, release = kept[-1]
        docker("tag", image, project.image(release))
        secrets.store(project, image, live, may_be_missing=True)
        if project.app["environment"].get("RELEASE_COMMAND"):
            log("a rollback does not run RELEASE_COMMAND: the data stays as it is")
        go_live(project, release, live)


def list_releases(project: Project) -> None:
    """Print the releases to roll back to, the latest last, and mark the live one."""
    live = find_live(project)
    live = live if live and live.state == "running" else None
    for _, release in state.history(project):
        print(f"{'*' if live and live.release == release else ' '} {release}")
    log(f"{live.release} is live" if live else "no release is live")


def backend(project: Project, live: Container | None) -> str:
    """Return the backend to deploy: BACKEND in the environment, or else the live one, or else the one in .env."""
    return os.environ.get("BACKEND") or (live.release.backend if live else project.release.backend)


def expected(project: Project, live: Container | None) -> Release:
    """Return the release to build. Its name gets the time if another image has the name."""
    return Release(names.requested() or names.defaults()[0], backend(project, live))


def build(project: Project, backend: str) -> Release:
    """Build the working tree and return the release; raise DeployError if RELEASE names another image."""
    requested = names.requested()
    for name in [requested] if requested else names.defaults():
        release = Release(name, backend)
        log(f"building {release}")
        build_candidate(name, backend)
        built = image_id(project.image(Release(CANDIDATE, backend)))
        if (existing := image_id(project.image(release))) in ("", built):
            if not existing:
                docker("tag", built, project.image(release))
            return release
    raise DeployError(f"RELEASE is {requested!r}: another image has that name already: choose another name")


def build_candidate(name: str, backend: str) -> None:
    """Build the image of the candidate, which learns the name of its release."""
    options = ["--build-arg", f"RELEASE={name}", "--build-arg", "TAG=dev"]
    compose("build", *options, "app", release=Release(CANDIDATE, backend), is_shown=True, seconds=LONG)


@recorded  # only with monitoring
def go_live(
    project: Project,
    release: Release,
    previous: Container | None,
    *,
    is_new: bool = False,
) -> None:
    """Start, watch and promote the release, and retire the previous one; raise DeployError if the release fails.

    Only for a new release, run the fork's release command and the hook that can refuse it.
    """
    begun = time.monotonic()
    refuse_interruption(project, release, containers(project, "app"))
    log("checking its settings, importing its application, publishing its static files")
    ahead = ["python", "-m", "deploy.server.publish_static", "--ahead"]
    compose("run", "--rm", "--no-deps", "--no-TTY", "assets", *ahead, release=release)
    if is_new:
        run_command(project, release)
    with removed_on_failure(project, previous) as before:
        log("starting it beside the live release" if previous else "starting it")
        candidate = create(project, release, before)
        docker("start", candidate.id)
        watch(project, candidate)
        commit = state.prepare(release, **secrets.recorded())
        docker("update", "--restart", project.app.get("restart", "no"), candidate.id)
        if is_new:
            run_hook("before-promotion", release, previous)
        log("promoting it")
        sockets(candidate, "promote", candidate.id, *PATHS)
        start_nginx(project, release)
        check_site(project, candidate)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the candidate is removed, or it is recorded
        commit()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    with reported("the release is live, but a hook failed"):
        run_hook("after-promotion", release, previous)
    with reported("not recorded for a rollback"):
        state.record(project, candidate)
    # Publishes the files served at / too, and creates the container that `docker compose up` and `start` expect.
    with reported("the files at / were not published"):
        compose("up", "--detach", "--no-build", "--no-deps", "assets", "release", release=release)
    if previous:
        log(f"draining {previous.release}")
        stop(previous)
    try:
        check_site(project, candidate)
    except DeployError as error:
        raise DeployError(
            f"{release} is live, but fails without the previous release: {error}: `make rollback`"
        ) from error
    log(f"{release} is live, after {time.monotonic() - begun:.0f} seconds")


if __name__ == "__main__":
    main()
