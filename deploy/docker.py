"""What a deploy asks of Docker, one function for each thing, through the command that every server with Docker has."""

import json
import os
import subprocess
from dataclasses import dataclass


class Failure(Exception):  # noqa: N818 (what went wrong, in words for whoever deploys; no error of the program's)
    """A step could not be done; its message says which, and why."""


@dataclass(frozen=True)
class Release:
    """A release on a backend, which is one image; `tag` is what docker-compose.yml makes of the two."""

    name: str
    backend: str

    def __str__(self) -> str:
        return f"{self.name} on {self.backend}"

    @property
    def tag(self) -> str:
        """Return the tag of its image."""
        return f"{self.name}-{self.backend}"

    @classmethod
    def of_tag(cls, tag: str) -> "Release":
        """Return the release whose image has this tag; a name may have a dash, a backend has none."""
        name, _, backend = tag.rpartition("-")
        return cls(name, backend)


@dataclass(frozen=True)
class Container:
    """What the engine knows of a container of the app."""

    identity: str
    image: str
    hostname: str
    process: int  # its first one, as the machine numbers it
    state: str  # running, restarting, exited, ...
    health: str  # starting, healthy, unhealthy; none where an overlay has taken the health check away
    restarts: int

    @property
    def release(self) -> Release:
        """Return the release that it runs, by its image's tag."""
        return Release.of_tag(self.image.rpartition(":")[2])


@dataclass(frozen=True)
class Project:
    """The Compose project, as Compose itself resolves its files, the environment and .env."""

    name: str
    repository: str  # of the app's image: what stands before the tag
    backend: str

    def image(self, release: Release) -> str:
        """Return the full name of a release's image."""
        return f"{self.repository}:{release.tag}"


def docker(*arguments: str, is_shown: bool = False, stdin: str = "", settings: dict[str, str] | None = None) -> str:
    """Run `docker`, with settings in its environment; return what it prints, unless that is shown; raise Failure."""
    try:
        ended = subprocess.run(
            ["docker", *arguments],
            env=os.environ | (settings or {}),
            input=stdin,
            stdout=None if is_shown else subprocess.PIPE,
            stderr=None if is_shown else subprocess.PIPE,
            text=True,
            check=False,
            close_fds=False,  # it holds the lock of release.py for as long as it runs, even where that is killed
        )
    except FileNotFoundError as error:
        raise Failure("docker is not installed: see https://docs.docker.com/engine/install/") from error
    if ended.returncode:
        said = (ended.stderr or ended.stdout or "see above").strip()
        raise Failure(f"docker {' '.join(arguments[:3])} ... has failed: {said}")
    return ended.stdout or ""


def compose(*arguments: str, release: Release, is_shown: bool = False) -> str:
    """Run `docker compose` on the project as it is with this release; raise Failure."""
    settings = {"RELEASE": release.name, "BACKEND": release.backend}
    return docker("compose", *arguments, is_shown=is_shown, settings=settings)


def project() -> Project:
    """Return the project that Compose finds here."""
    config = json.loads(docker("compose", "config", "--format", "json"))
    app = config["services"]["app"]
    return Project(config["name"], app["image"].rpartition(":")[0], app["build"]["target"])


def containers(project: Project, service: str, *, one_off: bool = False) -> list[Container]:
    """Return the service's containers, the oldest first; `one_off` are those of `docker compose run`, and no other."""
    labels = {"project": project.name, "service": service, "oneoff": str(one_off)}
    filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
    found = docker("container", "ls", "--all", "--quiet", "--no-trunc", *filters).split()
    return [inspect(identity) for identity in reversed(found)]


def inspect(identity: str) -> Container:
    """Return what the engine knows of the container now."""
    [it] = json.loads(docker("container", "inspect", identity))
    state = it["State"]
    return Container(
        it["Id"],
        it["Config"]["Image"],
        it["Config"]["Hostname"],
        state["Pid"],
        state["Status"],
        state.get("Health", {}).get("Status", "none"),
        it["RestartCount"],
    )


def logs(container: Container) -> str:
    """Return the last lines that the container has logged."""
    command = ["docker", "logs", "--tail", "20", container.identity]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def workers(container: Container) -> set[str]:
    """Return the processes whose parent is the container's first one: those of both servers; none once it has ended."""
    try:
        lines = docker("top", container.identity, "-o", "pid,ppid").splitlines()[1:]
    except Failure:
        return set()
    return {pid for pid, parent in map(str.split, lines) if parent == str(container.process)}


def image(name: str) -> str:
    """Return the identity of the image of this name, or nothing where there is none."""
    return docker("image", "ls", "--quiet", "--no-trunc", name).strip()


def find_live(everyone: list[Container]) -> Container | None:
    """Return the one of these containers that live.sock leads to; where it leads nowhere, the oldest."""
    for running in everyone:
        if running.state == "running":
            name = docker("exec", running.identity, "sh", "-c", "readlink /run/app/live.sock || true").strip()
            found = [each for each in everyone if name == f"{each.hostname}.sock"]
            return (found or everyone)[0]
    return everyone[0] if everyone else None


def say(what: str) -> None:
    """Tell whoever deploys how far it is."""
    print(f"deploy: {what}", flush=True)
