"""`make deploy`, `make rollback`, `make releases`: another release becomes live, and no request is lost.

The new release is started beside the one that is live, and watched; then live.sock is moved to it (deploy/server/live.py), and
the old one ends what it has in flight and goes. Nothing that serves is touched before that move, so a release that
fails, or a deploy that is interrupted, costs nothing. Docker and Python's standard library are all it needs.
"""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from deploy.docker import Failure, Project, Release, compose, containers, docker, find_live, image, project, say
from deploy.release import state
from deploy.release.candidate import BAKE, bake, promote, removed_if_it_fails, start, wait_until_healthy
from deploy.release.cleanup import clean_up, prune, remove_sockets, remove_unfinished, retire
from deploy.release.names import asked_for, names

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def main() -> None:
    """Do what the command line says; exit with one sentence where it cannot be done."""
    os.chdir(Path(__file__).parents[2])
    commands = {"deploy": deploy, "rollback": rollback, "releases": list_releases}
    word = " ".join(sys.argv[1:])
    if word not in commands:
        sys.exit(f"usage: python3 -m deploy.release {'|'.join(commands)}")
    for each in SIGNALS:
        signal.signal(each, signal.default_int_handler)
    try:
        commands[word](project())
    except (Failure, OSError) as failure:
        sys.exit(f"deploy: {failure}")
    except KeyboardInterrupt:
        print("deploy: interrupted; what is live stays live, and the next deploy cleans up", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def deploy(here: Project) -> None:
    """Build a release, and make it live."""
    with alone():
        clean_up(here)
        try:
            go_live(here, build(here))
        finally:
            remove_unfinished(here)


def rollback(here: Project) -> None:
    """Make live, from its image, the release that was live before this one, or that RELEASE names."""
    with alone():
        clean_up(here)
        wanted = os.environ.get("RELEASE")
        kept = [each for each in state.releases()[:-1] if wanted in (None, "", each.name) and image(here.image(each))]
        if not kept:
            raise Failure(f"no earlier release{f' {wanted}' if wanted else ''} is kept: see `make releases`")
        go_live(here, kept[-1])


def list_releases(here: Project) -> None:
    """Print the releases that `make rollback` can return to, the latest last, and mark the one that is live."""
    live = find_live(containers(here, "app"))
    live = live if live and live.state == "running" else None
    for release in state.releases():
        gone = "" if image(here.image(release)) else "  (its image has been removed)"
        print(f"{'*' if live and live.release == release else ' '} {release}{gone}")
    say(f"{live.release} is live" if live else "nothing is live")


@contextmanager
def alone() -> Generator[None]:
    """Hold the lock, or raise Failure where another deploy has it: one that was killed, until its last command ends."""
    with state.UNFINISHED.open("a") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 (has no name)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failure("another deploy is at work here: try again when it has ended") from error
        yield


def build(here: Project) -> Release:
    """Build today's tree, and return the release that it is; an image that has that name already is left as it is."""
    wanted = asked_for()
    candidate = Release("candidate", here.backend)
    for name in [wanted] if wanted else names():
        release = Release(name, here.backend)
        state.write_unfinished(candidate)
        say(f"building {release}")
        compose("build", "--build-arg", f"RELEASE={name}", "app", release=candidate, is_shown=True)
        built = image(here.image(candidate))
        if (taken := image(here.image(release))) in ("", built):
            if not taken:
                state.write_unfinished(candidate, release)
                docker("tag", built, here.image(release))
            return release
    raise Failure(f"RELEASE is {wanted!r}: an image has that name already, built from something else; choose another")


def go_live(here: Project, release: Release) -> None:
    """Start the release beside the old one, watch it, and let it take over; raise Failure where it does not last."""
    begun = time.monotonic()
    old = find_live(before := containers(here, "app"))
    if old and old.state in ("created", "exited", "dead"):  # to scale the service would start it, too
        say(f"{old.release} does not run: removing its container")
        docker("rm", "--force", old.identity)
        old, before = None, []
    say("checking its settings, importing its application, publishing its static files")
    ahead = ["python", "-m", "deploy.server.publish_static", "--ahead"]
    compose("run", "--rm", "--no-deps", "--no-TTY", "assets", *ahead, release=release)
    with removed_if_it_fails(here, before):
        new = start(here, release, before)
        wait_until_healthy(new)
        say(f"healthy; watching it for {BAKE} seconds")
        bake(new)
    with uninterrupted():
        with removed_if_it_fails(here, before):
            promote(new)
        state.write_live(release)
        docker("update", "--restart", "unless-stopped", new.identity)
        if old:
            docker("update", "--restart", "no", old.identity)
    # Now also the files that are served at /, and by the container that `docker compose up` or `start` expects.
    compose("up", "--detach", "--no-build", "--no-deps", "assets", release=release)
    start_nginx(here, release)
    if old:
        say(f"letting {old.release} end what it has in flight")
        retire(old)
    remove_sockets(here, new)
    prune(here)
    say(f"{release} is live, after {time.monotonic() - begun:.0f} seconds")


@contextmanager
def uninterrupted() -> Generator[None]:
    """Put off Ctrl-C and its like, for us and for the commands that we run, to the end of this."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def start_nginx(here: Project, release: Release) -> None:
    """Start nginx where it does not run; build it only where there is none, so that a deploy never replaces it."""
    if not containers(here, "nginx"):
        compose("build", "nginx", release=release, is_shown=True)
    compose("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--wait", "nginx", release=release)


if __name__ == "__main__":
    main()
