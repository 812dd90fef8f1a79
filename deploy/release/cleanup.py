"""What a release leaves behind when it is no longer live, and a deploy when it is interrupted, and who removes it."""

from deploy.docker import Container, Failure, Project, Release, containers, docker, find_live, image, inspect, say
from deploy.release import state

KEPT = 5  # releases that can be returned to, the live one among them; images of older ones are removed


def clean_up(here: Project) -> None:
    """Write down what is live, where an interrupted deploy has not, and remove what it has left beside that."""
    everyone = containers(here, "app")
    live = find_live(everyone)
    for other in everyone:
        if other is not live:
            say(f"an earlier deploy was interrupted: removing its {other.release}")
            retire(other)
    if live and live.release in state.unfinished():
        state.write_live(live.release)
    for left in containers(here, "assets", one_off=True):
        docker("rm", "--force", left.identity)
    remove_unfinished(here)


def retire(container: Container) -> None:
    """Stop and remove a container that is not live; what was sent to it while it was, is answered."""
    if inspect(container.identity).state == "running":
        try:
            docker("exec", container.identity, "python", "-m", "deploy.server.live", "drain")
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
    everyone = state.releases()
    kept = everyone[-KEPT:]
    for old in reversed(everyone[:-KEPT]):
        try:
            remove_image(here, old)
        except Failure as failure:  # a container has it, of somebody else's
            say(f"{old} is kept: {failure}")
            kept.insert(0, old)
    state.write_releases(kept)


def remove_unfinished(here: Project) -> None:
    """Remove the images that a deploy has made and that have not become a release."""
    try:
        for release in state.unfinished():
            if release not in state.releases():
                remove_image(here, release)
    except Failure as failure:
        say(f"left for the next deploy to remove: {failure}")
    else:
        state.write_unfinished()


def remove_image(here: Project, release: Release) -> None:
    """Remove the release's name from its image, and so the image, unless it is gone."""
    if image(here.image(release)):
        docker("image", "rm", here.image(release))
