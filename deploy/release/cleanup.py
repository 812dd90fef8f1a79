"""Removes what previous releases and interrupted deploys leave behind: containers, sockets, images."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from deploy.docker import SECONDS, Container, DeployError, Project, containers, docker, inspect, log
from deploy.release import state

KEPT = 5  # releases to roll back to, the live one included; the images of older releases are removed
CANDIDATE = "candidate"  # a deploy builds under this name, which the image keeps until the deploy ends
HARDENED = ["--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
LIVE = Path(__file__).parents[1] / "server" / "live.py"


def sockets(project: Project, image: Container, *command: str) -> str:
    """Run a command of deploy/server/live.py on the sockets, in a new container of this container's image."""
    options = [*HARDENED, f"--user={project.app['user']}", f"--volume={project.volume}:/run/app", "--entrypoint=python"]
    return docker("run", "--rm", "--interactive", *options, image.image_id, "-", *command, stdin=LIVE.read_text())


def find_live(project: Project) -> Container | None:
    """Return the container that live.sock points to; if there is none, one that is running, or else one that is not."""
    if not (found := containers(project, "app")):
        return None
    target = sockets(project, found[-1], "show").strip()
    pointed = [each for each in found if target and each.id.startswith(target)]
    running = [each for each in found if each.state == "running"]
    recorded = [each for each in found if each.release == project.release]
    return (pointed or running or recorded or found)[0]


def recover(project: Project) -> Container | None:
    """Finish what an interrupted deploy left, and return the live container.

    Record the live release, and remove every other container, and the images that no deploy made a release.
    """
    live = find_live(project)
    for other in containers(project, "app"):
        if live and other.id != live.id:
            log(f"an earlier deploy was interrupted: removing its {other.release}")
            stop(other)
    if live:
        state.follow(project, live)
    for one_off in containers(project, "assets", one_off=True):
        stop(one_off)
    return live


def stop(container: Container) -> None:
    """Stop and remove a container. It may be gone, hung, paused or out of threads; it is drained if it can be."""
    with reported(f"{container.release} was not stopped"):
        if inspect(container.id)[0].state == "paused":
            docker("unpause", container.id)
        docker("stop", container.id, seconds=2 * SECONDS)  # longer than stop_grace_period
    with reported(f"{container.release} was not removed"):
        docker("rm", "--force", container.id)


@contextmanager
def reported(problem: str) -> Generator[None]:
    """Log a DeployError and go on, because the live release does not depend on it. A container may be gone."""
    try:
        yield
    except DeployError as error:
        if "No such container" not in str(error):
            log(f"{problem}: {error}")


def prune(project: Project) -> None:
    """Remove the images of the oldest releases, and keep KEPT. Images that no deploy recorded are not touched."""
    for image, old in state.history(project)[:-KEPT]:
        with reported(f"{old} is kept"):  # another container uses the image
            docker("image", "rm", project.image(old), image)


def remove_candidates(project: Project) -> None:
    """Remove the images that deploys built without making them a release."""
    lines = docker("image", "ls", project.repository, "--no-trunc", "--format", "{{.ID}} {{.Tag}}").splitlines()
    built = {identity for identity, tag in map(str.split, lines) if tag.startswith(f"{CANDIDATE}-")}
    kept = {release.tag for _, release in state.history(project)}
    for identity, tag in map(str.split, lines):
        if identity in built and tag not in kept:
            with reported("not removed, the next deploy tries again"):
                docker("image", "rm", f"{project.repository}:{tag}")
