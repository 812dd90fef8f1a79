"""`make deploy`, `make rollback`, `make releases`: another release becomes live, and no request is lost.

The new release is started beside the one that is live, and watched; then live.sock is moved to it (deploy/live.py), and
the old one ends what it has in flight and goes. Nothing that serves is touched before that move, so a release that
fails, or a deploy that is interrupted, costs nothing. Docker and Python's standard library are all it needs.
"""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from deploy import record
from deploy.compose import (
    Container,
    Failure,
    Project,
    compose,
    containers,
    docker,
    image,
    inspect,
    logs,
    project,
    workers,
)
from deploy.record import Release

BAKE = 10  # seconds for which a new release must be healthy, and lose no worker, before it becomes live
KEPT = 5  # releases that can be returned to, the live one among them; images of older ones are removed
SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def main() -> None:
    """Do what the command line says; exit with one sentence where it cannot be done."""
    os.chdir(Path(__file__).parent.parent)
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
        kept = [each for each in record.releases()[:-1] if wanted in (None, "", each.name) and image(here.image(each))]
        if not kept:
            raise Failure(f"no earlier release{f' {wanted}' if wanted else ''} is kept: see `make releases`")
        go_live(here, kept[-1])


def list_releases(here: Project) -> None:
    """Print the releases that `make rollback` can return to, the latest last, and mark the one that is live."""
    live = find_live(containers(here, "app"))
    live = live if live and live.state == "running" else None
    for release in record.releases():
        gone = "" if image(here.image(release)) else "  (its image has been removed)"
        print(f"{'*' if live and live.release == release else ' '} {release}{gone}")
    say(f"{live.release} is live" if live else "nothing is live")


@contextmanager
def alone() -> Generator[None]:
    """Hold the lock, or raise Failure where another deploy has it: one that was killed, until its last command ends."""
    with record.UNFINISHED.open("a") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 (has no name)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failure("another deploy is at work here: try again when it has ended") from error
        yield


def clean_up(here: Project) -> None:
    """Write down what is live, where an interrupted deploy has not, and remove what it has left beside that."""
    everyone = containers(here, "app")
    live = find_live(everyone)
    for other in everyone:
        if other is not live:
            say(f"an earlier deploy was interrupted: removing its {other.release}")
            retire(other)
    if live and live.release in record.unfinished():
        record.write_live(live.release)
    for left in containers(here, "assets", one_off=True):
        docker("rm", "--force", left.identity)
    remove_unfinished(here)


def find_live(everyone: list[Container]) -> Container | None:
    """Return the one of these containers that live.sock leads to; where it leads nowhere, the oldest."""
    for running in everyone:
        if running.state == "running":
            name = docker("exec", running.identity, "sh", "-c", "readlink /run/app/live.sock || true").strip()
            found = [each for each in everyone if name == f"{each.hostname}.sock"]
            return (found or everyone)[0]
    return everyone[0] if everyone else None


def build(here: Project) -> Release:
    """Build today's tree, and return the release that it is; an image that has that name already is left as it is."""
    wanted = asked_for()
    candidate = Release("candidate", here.backend)
    for name in [wanted] if wanted else names():
        release = Release(name, here.backend)
        record.write_unfinished(candidate)
        say(f"building {release}")
        compose("build", "--build-arg", f"RELEASE={name}", "app", release=candidate, is_shown=True)
        built = image(here.image(candidate))
        if (taken := image(here.image(release))) in ("", built):
            if not taken:
                record.write_unfinished(candidate, release)
                docker("tag", built, here.image(release))
            return release
    raise Failure(f"RELEASE is {wanted!r}: an image has that name already, built from something else; choose another")


def asked_for() -> str:
    """Return the name that RELEASE gives to the release, or nothing; raise Failure for one that cannot be."""
    wanted = os.environ.get("RELEASE", "")
    if wanted and (wanted in ("dev", "candidate") or not re.fullmatch(r"\w[\w.-]{0,99}", wanted, re.ASCII)):
        raise Failure(f"RELEASE is {wanted!r}: it must be letters, digits, '_', '.' and '-', and not dev or candidate")
    return wanted


def names() -> list[str]:
    """Return the names to try for today's tree: its commit if that says it all, and then one with the time behind."""
    now = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        commit = git("rev-parse", "--short", "HEAD")
        changes = git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return [now]
    return [f"{commit}-{now}"] if changes else [commit, f"{commit}-{now}"]


def git(*arguments: str) -> str:
    """Run git and return what it prints."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def go_live(here: Project, release: Release) -> None:
    """Start the release beside the old one, watch it, and let it take over; raise Failure where it does not last."""
    begun = time.monotonic()
    old = find_live(before := containers(here, "app"))
    if old and old.state in ("created", "exited", "dead"):  # to scale the service would start it, too
        say(f"{old.release} does not run: removing its container")
        docker("rm", "--force", old.identity)
        old, before = None, []
    say("checking its settings, importing its application, publishing its static files")
    ahead = ["python", "-m", "deploy.assets", "--ahead"]
    compose("run", "--rm", "--no-deps", "--no-TTY", "assets", *ahead, release=release)
    with removed_if_it_fails(here, before):
        new = start(here, release, before)
        wait_until_healthy(new)
        say(f"healthy; watching it for {BAKE} seconds")
        bake(new)
    with uninterrupted():
        with removed_if_it_fails(here, before):
            promote(new)
        record.write_live(release)
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
            docker("exec", new.identity, "python", "-m", "deploy.live", "wait")
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
        docker("exec", new.identity, "python", "-m", "deploy.live", "promote")
    except Failure as failure:
        raise Failure(f"{new.release} did not last: {failure}") from failure


def describe(container: Container) -> str:
    """Return the container's state in words."""
    return f"it is {container.state} and {container.health}, and was restarted {container.restarts} times"


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


def retire(container: Container) -> None:
    """Stop and remove a container that is not live; what was sent to it while it was, is answered."""
    if inspect(container.identity).state == "running":
        try:
            docker("exec", container.identity, "python", "-m", "deploy.live", "drain")
        except Failure as failure:
            say(f"it answers nothing more: {failure}")
    docker("stop", container.identity)
    docker("rm", "--force", container.identity)


def remove_sockets(here: Project, running: Container) -> None:
    """Remove the sockets that containers have left that are gone: only one that ends by itself removes its own."""
    known = {"live.sock", *(f"{each.hostname}.sock" for each in containers(here, "app"))}
    names = docker("exec", running.identity, "ls", "-A", "/run/app").split()
    if left := [f"/run/app/{name}" for name in names if name not in known]:
        docker("exec", running.identity, "rm", "--force", "--", *left)


def prune(here: Project) -> None:
    """Remove the images of releases that are too old to be returned to; nobody else's."""
    everyone = record.releases()
    kept = everyone[-KEPT:]
    for old in reversed(everyone[:-KEPT]):
        try:
            remove_image(here, old)
        except Failure as failure:  # a container has it, of somebody else's
            say(f"{old} is kept: {failure}")
            kept.insert(0, old)
    record.write_releases(kept)


def remove_unfinished(here: Project) -> None:
    """Remove the images that a deploy has made and that have not become a release."""
    try:
        for release in record.unfinished():
            if release not in record.releases():
                remove_image(here, release)
    except Failure as failure:
        say(f"left for the next deploy to remove: {failure}")
    else:
        record.write_unfinished()


def remove_image(here: Project, release: Release) -> None:
    """Remove the release's name from its image, and so the image, unless it is gone."""
    if image(here.image(release)):
        docker("image", "rm", here.image(release))


def say(what: str) -> None:
    """Tell whoever deploys how far it is."""
    print(f"deploy: {what}", flush=True)


if __name__ == "__main__":
    main()
