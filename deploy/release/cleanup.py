"""Removes what previous releases and interrupted deploys leave behind: containers, sockets, images."""

from deploy.docker import (
    Container,
    DeployError,
    Project,
    Release,
    containers,
    docker,
    find_live,
    image_id,
    inspect,
    log,
)
from deploy.release import state

KEPT = 5  # releases to roll back to, the live one included; the images of older releases are removed


def recover(project: Project) -> None:
    """Finish what an interrupted deploy left: record the live release, and remove every other container."""
    found = containers(project, "app")
    live = find_live(found)
    for other in found:
        if other is not live:
            log(f"an earlier deploy was interrupted: removing its {other.release}")
            retire(other)
    if live and live.release in state.unfinished():
        state.write_live(live.release)
    for one_off in containers(project, "assets", one_off=True):
        docker("rm", "--force", one_off.id)
    remove_unfinished(project)


def retire(container: Container) -> None:
    """Drain, stop and remove a container that is not live."""
    if inspect(container.id).state == "running":
        try:
            docker("exec", container.id, "python", "-m", "deploy.server.live", "drain")
        except DeployError as error:
            log(f"it cannot be drained, because it does not respond: {error}")
    docker("stop", container.id)
    docker("rm", "--force", container.id)


def remove_sockets(project: Project, running: Container) -> None:
    """Remove the sockets of containers that no longer exist: a server that is killed does not remove its own."""
    known = {"live.sock", *(f"{each.hostname}.sock" for each in containers(project, "app"))}
    names = docker("exec", running.id, "ls", "-A", "/run/app").split()
    if unused := [f"/run/app/{name}" for name in names if name not in known]:
        docker("exec", running.id, "rm", "--force", "--", *unused)


def prune(project: Project) -> None:
    """Remove the images of the oldest releases, and keep KEPT. Images that no deploy recorded are not touched."""
    everything = state.releases()
    kept = everything[-KEPT:]
    for old in reversed(everything[:-KEPT]):
        try:
            remove_image(project, old)
        except DeployError as error:  # another container uses the image
            log(f"{old} is kept: {error}")
            kept.insert(0, old)
    state.write_releases(kept)


def remove_unfinished(project: Project) -> None:
    """Remove the images that a deploy built without making them a release."""
    try:
        for release in state.unfinished():
            if release not in state.releases():
                remove_image(project, release)
    except DeployError as error:
        log(f"not removed, the next deploy tries again: {error}")
    else:
        state.write_unfinished()


def remove_image(project: Project, release: Release) -> None:
    """Remove the image of a release, if it exists."""
    if image_id(project.image(release)):
        docker("image", "rm", project.image(release))
