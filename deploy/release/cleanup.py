"""Removes what previous releases and interrupted deploys leave behind: containers, sockets, images."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from deploy.docker import SECONDS, Container, DeployError, Project, containers, docker, log
from deploy.monitoring.kept import keep_log  # only with monitoring
from deploy.release import state

KEPT = 5  # releases to roll back to, the live one included; the images of older releases are removed
CANDIDATE = "candidate"  # a deploy builds under this name, which the image keeps until the deploy ends
HARDENED = ["--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
LIVE = Path(__file__).parents[1] / "server" / "live.py"


def sockets(container: Container, *command: str) -> str:
    """Run a command of deploy/server/live.py on the sockets beside the container's, in a new container of its image."""
    [volume] = [each["Name"] for each in container.found["Mounts"] if each["Destination"] == "/run/app"]
    options = [f"--user={container.found['Config']['User']}", f"--volume={volume}:/run/app", "--entrypoint=python"]
    options.append(f"--env=ALLOWED_HOSTS={container.environ.get('ALLOWED_HOSTS', '')}")
    start = ["run", "--rm", "--interactive", *HARDENED, *options, container.image_id]
    return docker(*start, "-", *command, stdin=LIVE.read_text())


def find_live(project: Project) -> Container | None:
    """Return the container that live.sock points to; if there is none, one that is running, or else one that is not."""
    if not (found := containers(project, "app")):
        return None
    target = sockets(found[-1], "show").strip()
    pointed = [each for each in found if target and each.id.startswith(target)]
    running = [each for each in found if each.state == "running"]
    recorded = [each for each in found if each.release == project.release]
    return (pointed or running or recorded or found)[0]


def recover(project: Project) -> Container | None:
    """Record the live release, remove what an interrupted deploy left, and return the live container."""
    for each in containers(project, "app"):
        if each.state == "paused":  # Compose creates no container beside it, and it cannot be drained
            docker("unpause", each.id)
    live = find_live(project)
    for other in containers(project, "app"):
        if live and other.id != live.id:
            log(f"an earlier deploy was interrupted: removing its {other.release}")
            stop(other)
    if live:
        state.follow(project, live)
    for service in ("assets", "release"):
        for one_off in containers(project, service, one_off=True):
            stop(one_off)
    return live


def stop(container: Container) -> None:
    """Stop and remove a container. It may be gone, hung or out of threads; it is drained if it can be."""
    with reported(f"{container.release} was not stopped"):
        docker("stop", container.id, seconds=SECONDS + container.found["Config"].get("StopTimeout", SECONDS))
    # begin monitoring
    if container.state != "created":
        with reported(f"the log of {container.release} is lost"):
            keep_log(container)
    # end monitoring
    with reported(f"{container.release} was not removed"):
        docker("rm", "--force", container.id)


@contextmanager
def reported(problem: str) -> Generator[None]:
    """Log an error and go on, because the live release does not depend on it. A container may be gone."""
    try:
        yield
    except (DeployError, OSError) as error:
        if "No such container" not in str(error):
            log(f"{problem}: {error}")


def tidy(project: Project) -> None:
    """Remove the sockets of containers that are gone, and the images of the oldest releases and of refused ones.

    Images that no deploy built or recorded are not touched.
    """
    if found := containers(project, "app"):
        with reported("old sockets were not removed"):
            sockets(found[-1], "clean", *(each.id for each in found))
    releases = state.history(project)
    removed = [[project.image(old), image] for image, old in releases[:-KEPT]]
    lines = docker("image", "ls", project.repository, "--no-trunc", "--format", "{{.ID}} {{.Tag}}").splitlines()
    images = [(identity, tag) for identity, _, tag in (line.partition(" ") for line in lines)]
    built = {identity for identity, tag in images if tag.startswith(f"{CANDIDATE}-")}
    kept = {release.tag for _, release in releases}
    removed += [[f"{project.repository}:{tag}"] for identity, tag in images if identity in built and tag not in kept]
    for names in removed:
        with reported(f"{names[0]} is kept"):  # another container uses the image
            docker("image", "rm", *names)
