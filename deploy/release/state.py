"""The deploy's record: .env names the live release for Compose, and the engine keeps the releases to roll back to.

The history is with the engine, because a project can have several working copies: the tag HISTORY:NUMBER-RELEASE for
each release, the live one last.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE

from deploy.docker import Container, DeployError, Project, Release, docker, find_project, log, running_settings

ENV = Path(".env")
# A quoted value can have several lines, which may look like assignments.
ASSIGNMENT = re.compile(
    rb"""^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*[=:][ \t]*(?:'[^']*'|"(?:\\.|[^"\\])*"|)[^\n]*(?:\n|\Z)""", re.MULTILINE
)
# Not settings of the app: they say which engine and which project.
INHERITED = ("PATH", "HOME", "DOCKER_", "COMPOSE_", "SSH_", "XDG_", "BACKEND", "RELEASE")


def with_settings(text: bytes, **settings: str) -> bytes:
    """Return the text of a .env file with each setting in it exactly once and every other byte unchanged."""
    left = dict(settings)

    def replace(found: re.Match[bytes]) -> bytes:
        if (name := found[1].decode()) not in settings:
            return found[0]
        return f"{name}={left.pop(name)}\n".encode() if name in left else b""

    text = ASSIGNMENT.sub(replace, text)
    if left and text and not text.endswith(b"\n"):
        text += b"\n"
    return text + "".join(f"{name}={value}\n" for name, value in left.items()).encode()


def prepare(release: Release, **settings: str) -> Callable[[], None]:
    """Write the .env that names this release to .env.new, and return a function that puts it in place.

    All that can fail is done here: reading, encoding, a full disk. Compose has to read the release in it.
    """
    path = ENV.resolve()  # keeps a symlink
    text = path.read_bytes() if path.exists() else b""
    temporary = path.with_name(".env.new")
    temporary.unlink(missing_ok=True)  # from a deploy that was killed
    # .env may hold secrets. So the file gets the permissions before it gets the text.
    temporary.touch(0o600 if path.exists() else 0o666)
    with temporary.open("wb") as file:
        if path.exists():
            source = path.stat()
            for owner in ((-1, source.st_gid), (source.st_uid, -1)):
                with suppress(PermissionError):  # only root can change the owner
                    os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), S_IMODE(source.st_mode))
        file.write(with_settings(text, **settings, BACKEND=release.backend, RELEASE=release.name))
        file.flush()
        os.fsync(file.fileno())
    found = find_project("--env-file", str(temporary), environ=without("BACKEND", "RELEASE")).release
    if found != release:
        raise DeployError(f"cannot write {release} to .env, Compose reads {found} in it: correct RELEASE and BACKEND")

    def commit() -> None:
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)  # or a power cut brings the previous one back
        os.close(folder)

    return commit


def follow(project: Project, live: Container) -> None:
    """Record the live release in .env and in the history, if a deploy was killed or this is another working copy."""
    held, stored = live.environ.get("SECRETS_FILE", ""), project.app["environment"].get("SECRETS_FILE") or ""
    if live.release != project.release or held != stored or not ENV.exists():
        log(f".env is not about the live release: writing {live.release} to it")
        settings = {} if ENV.exists() else running_settings(project, live)
        prepare(live.release, **settings | ({"SECRETS_FILE": held} if held != stored else {}))()
    if live.release.name != "dev":
        record(project, live)


def check_settings(project: Project) -> None:
    """Raise DeployError if the environment has settings of the app: the next `docker compose up` would lose them."""
    others = [name for name in os.environ if not name.startswith(INHERITED)]
    recorded = find_project(environ=without(*others))
    if (recorded.app, recorded.nginx) != (project.app, project.nginx):
        text = docker("compose", "config", "--no-interpolate")
        given = " ".join(f"{name}={os.environ[name]}" for name in others if re.search(rf"\b{re.escape(name)}\b", text))
        if recorded.app != project.app:
            raise DeployError(f"a deploy does not record {given}: put it into .env, then deploy")
        log(f"a deploy does not record {given}: put it into .env, or the next `docker compose up` changes nginx")


def without(*names: str) -> dict[str, str]:
    """Return the environment without these variables."""
    return {name: value for name, value in os.environ.items() if name not in names}


def history(project: Project) -> list[tuple[str, Release]]:
    """Return the releases that can be rolled back to, each with the name of its image, the live one last."""
    tags = docker("image", "ls", f"{project.name}-history", "--format", "{{.Tag}}").split()
    return [(f"{project.name}-history:{tag}", Release.from_tag(tag.partition("-")[2])) for tag in sorted(tags)]


def record(project: Project, live: Container) -> None:
    """Make the release of a container the last one of the history."""
    kept = history(project)
    if kept and kept[-1][1] == live.release:
        return
    number = int(kept[-1][0].rpartition(":")[2].partition("-")[0]) + 1 if kept else 1
    docker("tag", live.image_id, f"{project.name}-history:{number:06}-{live.release.tag}")
    for image, release in kept:
        if release == live.release:
            docker("image", "rm", image)
