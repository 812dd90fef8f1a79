"""The Docker commands that the operator's tools share, run through the `docker` command line."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

# begin monitoring
from deploy.monitoring.lines import readable

# end monitoring
PLAIN = re.compile(r"[\w.,:/@+*-]*")  # a value that needs no quotes in .env
SECONDS = 60  # for a command to end, after which it counts as hung
LONG = 1800  # for a command that builds or transfers an image


def log(*text: str, sep: str = " ") -> None:
    """Print one message. A terminal that was closed or has no such letter, or a full disk, does not end a deploy."""
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"  # None: the output was closed before the start
    message = sep.join(["deploy:", *text]).encode(encoding, "backslashreplace").decode(encoding)
    with suppress(OSError):
        print(message, flush=True)


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
    found: dict[str, Any] = field(default_factory=dict[str, Any])  # the whole description

    @property
    def release(self) -> Release:
        """Return the release that the container runs, from its image's tag."""
        return Release.from_tag(self.image.rpartition(":")[2])

    @property
    def environ(self) -> dict[str, str]:
        """Return the container's environment variables."""
        return dict(line.partition("=")[::2] for line in self.found["Config"]["Env"])


@dataclass(frozen=True)
class Project:
    """The Compose project, resolved by Compose from its files, the environment and .env."""

    name: str
    release: Release  # that `docker compose up` starts
    app: dict[str, Any]  # the service, without what differs between two releases
    nginx: dict[str, Any]
    repository: str  # the app's image without its tag

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
            encoding="utf-8",
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
    return Project(config["name"], Release.from_tag(tag), app, config["services"]["nginx"], repository)


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
            found,
        )
        for found in json.loads(docker("container", "inspect", *ids))
    ]


def running_settings(project: Project, app: Container) -> dict[str, str]:
    """Return the settings with which this container and nginx run, as they are written in .env."""
    nginx = next(iter(containers(project, "nginx")), app)
    variables = project.nginx.get("environment", {}) | project.app.get("environment", {})
    names = {name for name, value in variables.items() if not value}
    found = {name: value for name, value in (nginx.environ | app.environ).items() if name in names}
    limits: dict[str, Any] = app.found["HostConfig"]
    ports: dict[str, Any] = nginx.found["HostConfig"]["PortBindings"] or {}
    for port, name in {"8080/tcp": "HTTP_PORT", "8443/tcp": "HTTPS_PORT"}.items():
        for published in ports.get(port, []):
            found |= {"HTTP_BIND": published["HostIp"], name: published["HostPort"]}
    found |= {"APP_CPUS": f"{limits['NanoCpus'] / 1e9:g}", "APP_MEMORY": str(limits["Memory"])}
    found["STARTUP_SECONDS"] = str(app.found["Config"]["Healthcheck"]["StartPeriod"] // 10**9)
    labels: dict[str, str] = nginx.found["Config"]["Labels"]
    folder, listed = (labels[f"com.docker.compose.project.{name}"] for name in ("working_dir", "config_files"))
    files = [os.path.relpath(file, folder) for file in listed.split(",")]
    if files[1:] and all(map(os.path.exists, files)):
        found["COMPOSE_FILE"] = ":".join(files)
    quoted = {
        name: "'" + value.replace("'", "\\'") + "'" for name, value in found.items() if not PLAIN.fullmatch(value)
    }
    return {name: value for name, value in (found | quoted).items() if value}


def last_logs(*command: str, lines: int = 20) -> str:
    """Return the last lines of `docker COMMAND`, one of Docker's logs commands."""
    text = docker(*command, f"--tail={lines}", stderr=subprocess.STDOUT)
    text = "".join(f"{readable(line)}\n" for line in text.splitlines())  # only with monitoring
    return text  # noqa: RET504 (the line above is optional)


def image_id(name: str) -> str:
    """Return the id of the image with this name, or "" if it does not exist."""
    return docker("image", "ls", "--quiet", "--no-trunc", name).strip()
