"""The Docker commands that the operator's tools share, run through the `docker` command line."""

import json
import os
import subprocess
from dataclasses import dataclass
from functools import partial

log = partial(print, "deploy:", flush=True)


class DeployError(Exception):
    """A step of a deploy failed. The message is one sentence for the operator: the step, the reason, the remedy."""


@dataclass(frozen=True)
class Release:
    """A release on one backend. Each has one image, tagged as in docker-compose.yml."""

    name: str
    backend: str

    def __str__(self) -> str:
        return f"{self.name} on {self.backend}"

    @property
    def tag(self) -> str:
        """Return the tag of the release's image."""
        return f"{self.name}-{self.backend}"

    @classmethod
    def from_tag(cls, tag: str) -> "Release":
        """Return the release whose image has this tag. A name may contain dashes, a backend does not."""
        name, _, backend = tag.rpartition("-")
        return cls(name, backend)


@dataclass(frozen=True)
class Container:
    """A container of the app, as the engine described it when it was inspected."""

    id: str
    image: str
    hostname: str
    pid: int  # of its first process, on this machine
    state: str  # running, restarting, exited, ...
    health: str  # starting, healthy, unhealthy, or none without a health check
    restarts: int

    @property
    def release(self) -> Release:
        """Return the release that the container runs, from its image's tag."""
        return Release.from_tag(self.image.rpartition(":")[2])


@dataclass(frozen=True)
class Project:
    """The Compose project, resolved by Compose from its files, the environment and .env."""

    name: str
    repository: str  # the app's image without its tag
    backend: str

    def image(self, release: Release) -> str:
        """Return the full name of a release's image."""
        return f"{self.repository}:{release.tag}"


def docker(*arguments: str, is_shown: bool = False, stdin: str = "", settings: dict[str, str] | None = None) -> str:
    """Run `docker` and return its output, or show it as it appears; raise DeployError if the command fails.

    `settings` are added to the environment of the command.
    """
    try:
        ended = subprocess.run(
            ["docker", *arguments],
            env=os.environ | (settings or {}),
            input=stdin,
            stdout=None if is_shown else subprocess.PIPE,
            stderr=None if is_shown else subprocess.PIPE,
            text=True,
            check=False,
            close_fds=False,  # the command keeps the lock of deploy/release, even if the deploy is killed
        )
    except FileNotFoundError as error:
        raise DeployError("docker is not installed: see https://docs.docker.com/engine/install/") from error
    if ended.returncode:
        output = (ended.stderr or ended.stdout or "see above").strip()
        raise DeployError(f"docker {' '.join(arguments[:3])} ... failed: {output}")
    return ended.stdout or ""


def compose(*arguments: str, release: Release, is_shown: bool = False) -> str:
    """Run `docker compose` with this release as the app; raise DeployError if the command fails."""
    settings = {"RELEASE": release.name, "BACKEND": release.backend}
    return docker("compose", *arguments, is_shown=is_shown, settings=settings)


def find_project() -> Project:
    """Return the project in the working folder."""
    config = json.loads(docker("compose", "config", "--format", "json"))
    app = config["services"]["app"]
    return Project(config["name"], app["image"].rpartition(":")[0], app["build"]["target"])


def containers(project: Project, service: str, *, one_off: bool = False) -> list[Container]:
    """Return the containers of a service, oldest first; with `one_off`, those of `docker compose run` instead."""
    labels = {"project": project.name, "service": service, "oneoff": str(one_off)}
    filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
    found = docker("container", "ls", "--all", "--quiet", "--no-trunc", *filters).split()
    return [inspect(container) for container in reversed(found)]


def inspect(container: str) -> Container:
    """Return the current description of the container with this id."""
    [found] = json.loads(docker("container", "inspect", container))
    state = found["State"]
    return Container(
        found["Id"],
        found["Config"]["Image"],
        found["Config"]["Hostname"],
        state["Pid"],
        state["Status"],
        state.get("Health", {}).get("Status", "none"),
        found["RestartCount"],
    )


def last_logs(*command: str) -> str:
    """Return the last 20 lines of `docker COMMAND`, one of Docker's logs commands."""
    command = ("docker", *command, "--tail=20")
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def workers(container: Container) -> set[str]:
    """Return the process ids of the server's workers: the children of the container's first process."""
    try:
        lines = docker("top", container.id, "-o", "pid,ppid").splitlines()[1:]
    except DeployError:  # the container has exited
        return set()
    return {pid for pid, parent in map(str.split, lines) if parent == str(container.pid)}


def image_id(name: str) -> str:
    """Return the id of the image with this name, or "" if it does not exist."""
    return docker("image", "ls", "--quiet", "--no-trunc", name).strip()


def find_live(candidates: list[Container]) -> Container | None:
    """Return the container that live.sock points to, or the first one if live.sock points to none of them."""
    for container in candidates:
        if container.state == "running":
            target = docker("exec", container.id, "sh", "-c", "readlink /run/app/live.sock || true").strip()
            found = [each for each in candidates if target == f"{each.hostname}.sock"]
            return (found or candidates)[0]
    return candidates[0] if candidates else None
