"""Runs the fork's release command, typically database migrations, in the image of the next release."""

from deploy.docker import SECONDS, DeployError, Project, Release, compose, containers, log
from deploy.release.cleanup import stop

ONE_SHOTS = {"assets", "release"}
RUN = ["python", "-m", "deploy.server.release_command", "--now"]


def run_command(project: Project, release: Release) -> None:
    """Run RELEASE_COMMAND once and show its output; raise DeployError if it fails or does not end in time."""
    settings = project.app["environment"]
    if not settings.get("RELEASE_COMMAND"):
        return
    log("running RELEASE_COMMAND")
    limit = settings.get("RELEASE_SECONDS") or "600"
    try:
        compose(
            *("run", "--rm", "--no-deps", "--no-TTY", "release", *RUN),
            release=release,
            is_shown=True,
            seconds=SECONDS + (int(limit) if limit.isdecimal() else 0),
        )
    except DeployError as error:
        raise DeployError(f"RELEASE_COMMAND failed, so that {release} was not started: see its output above") from error
    finally:
        for left in containers(project, "release", one_off=True):
            stop(left)
