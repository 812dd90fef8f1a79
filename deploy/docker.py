"""The Docker commands that the operator's tools share, run through the `docker` command line."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

SECONDS = 60  # for a command to end, after which it counts as hung
LONG = 1800  # for a command that builds or transfers an image

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
    """A container of the project, as the engine described it when it was inspected."""

    id: str
    image: str
    image_id: str
    state: str  # running, restarting, exited, ...
    health: str  # starting, healthy, unhealthy, or none without a health check
    restarts: int
    environ: dict[str, str] = field(default_factory=dict[str, str])
    config_hash: str = ""  # of the service in Compose's files, when Compose created the container

    @property
    def release(self) -> Release:
        """Return the release that the container runs, from its image's tag."""
        return Release.from_tag(self.image.rpartition(":")[2])


@dataclass(frozen=True)
class Project:
    """The Compose project, resolved by Compose from its files, the environment and .env."""

    name: str
    release: Release  # that `docker compose up` starts
    app: dict[str, Any]  # the service, without what differs between two releases
    repository: str  # the app's image without its tag
    volume: str  # of the sockets

    def image(self, release: Release) -> str:
        """Return the full name of a release's image."""
        return f"{self.repository}:{release.tag}"


def docker(  # noqa: PLR0913 (as subprocess.run)
    *arguments: str,
    is_shown: bool = False,
    stdin: str = "",
    stderr: int = subprocess.PIPE,
    settings: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    seconds: int = SECONDS,
) -> str:
    """Run `docker` and return its output, or show it as it appears; raise DeployError if it fails or hangs.

    `settings` are added to the environment of the command, which is `environ` or that of this process.
    """
    try:
        ended = subprocess.run(
            ["docker", *arguments],
            env={**(os.environ if environ is None else environ), **(settings or {})},
            input=stdin,
            stdout=None if is_shown else subprocess.PIPE,
            stderr=None if is_shown else stderr,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
            close_fds=False,  # the command keeps the lock of deploy/release, even if the deploy is killed
        )
    except FileNotFoundError as error:
        raise DeployError("docker is not installed: see https://docs.docker.com/engine/install/") from error
    except subprocess.TimeoutExpired as error:
        raise DeployError(
            f"docker {' '.join(arguments[:3])} ... did not end within {seconds} seconds, and was killed"
        ) from error
    if ended.returncode:
        output = (ended.stderr or ended.stdout or "see above").strip()
        raise DeployError(f"docker {' '.join(arguments[:3])} ... failed: {output}")
    return ended.stdout or ""


def compose(
    *arguments: str, release: Release, is_shown: bool = False, stderr: int = subprocess.PIPE, seconds: int = 5 * SECONDS
) -> str:
    """Run `docker compose` with this release as the app; raise DeployError if the command fails."""
    settings = {"RELEASE": release.name, "BACKEND": release.backend}
    return docker("compose", *arguments, is_shown=is_shown, stderr=stderr, settings=settings, seconds=seconds)


def find_project(*options: str, environ: Mapping[str, str] | None = None) -> Project:
    """Return the project in the working folder, as `docker compose OPTIONS` resolves it in this environment."""
    config = json.loads(docker("compose", *options, "config", "--format", "json", environ=environ))
    app = config["services"]["app"]
    repository, _, tag = app.pop("image").rpartition(":")
    del app["build"]
    return Project(config["name"], Release.from_tag(tag), app, repository, config["volumes"]["run"]["name"])


def containers(project: Project, service: str, *, one_off: bool = False) -> list[Container]:
    """Return the containers of a service, oldest first; with `one_off`, those of `docker compose run` instead."""
    labels = {"project": project.name, "service": service, "oneoff": str(one_off)}
    filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
    found = docker("container", "ls", "--all", "--quiet", "--no-trunc", *filters).split()
    return inspect(*reversed(found)) if found else []


def inspect(*ids: str) -> list[Container]:
    """Return the current descriptions of the containers with these ids."""
    return [
        Container(
            found["Id"],
            found["Config"]["Image"],
            found["Image"],
            found["State"]["Status"],
            found["State"].get("Health", {}).get("Status", "none"),
            found["RestartCount"],
            dict(line.partition("=")[::2] for line in found["Config"]["Env"]),
            found["Config"]["Labels"].get("com.docker.compose.config-hash", ""),
        )
        for found in json.loads(docker("container", "inspect", *ids))
    ]


def last_logs(*command: str, lines: int = 20) -> str:
    """Return the last lines of `docker COMMAND`, one of Docker's logs commands."""
    return docker(*command, f"--tail={lines}", stderr=subprocess.STDOUT)


def image_id(name: str) -> str:
    """Return the id of the image with this name, or "" if it does not exist."""
    return docker("image", "ls", "--quiet", "--no-trunc", name).strip()
