"""Checks what the fork adds: secrets, the release command, the database, and the pages of the running site."""

from collections.abc import Iterator
from typing import Any

from app.variables import SECRETS, SettingError, secrets
from deploy.docker import Container, DeployError, containers, find_project
from deploy.doctor.machine import Finding
from deploy.release.candidate import PATHS
from deploy.release.command import ONE_SHOTS
from deploy.release.site import ask


def check_application(services: dict[str, Any]) -> Iterator[Finding]:
    """Yield the findings. Pages are requested only if the site is running."""
    yield check_secrets()
    if command := services["app"]["environment"].get("RELEASE_COMMAND"):
        yield Finding(f"a deploy runs RELEASE_COMMAND: {command}")
    project = find_project()
    for name in sorted(ONE_SHOTS):
        yield from check_one_shot(name, containers(project, name))
    for name in sorted(services["app"].get("depends_on", {}).keys() - ONE_SHOTS):
        yield from check_dependency(name, {each.health for each in containers(project, name)})
    app, nginx = ([each for each in containers(project, name) if each.state == "running"] for name in ("app", "nginx"))
    if app and nginx:
        yield from check_pages(nginx[0])


def check_secrets() -> Finding:
    """Check .secrets, of which only the number is shown."""
    try:
        return Finding(f"{len(secrets(SECRETS))} secrets in {SECRETS}")
    except SettingError as error:
        return Finding(str(error), f"correct {SECRETS}: no deploy accepts it")


def check_one_shot(name: str, found: list[Container]) -> Iterator[Finding]:
    """Yield a failure if the last `docker compose up` could not start the app, because this service failed."""
    for each in found:
        if each.state == "exited" and (code := each.found["State"]["ExitCode"]):
            text = f"the service {name}, which runs before the app starts, failed with exit code {code}"
            yield Finding(text, f"read the reason in `docker compose logs {name}`")


def check_dependency(name: str, health: set[str]) -> Iterator[Finding]:
    """Check a service that the app depends on. The first deploy starts it."""
    if health:
        text, is_ok = f"{name} is {', '.join(health)}", health == {"healthy"}
        yield Finding(text, "" if is_ok else f"read the reason in `docker compose logs {name}`")


def check_pages(nginx: Container) -> Iterator[Finding]:
    """Check the paths that a deploy will request."""
    wrong = False
    for path in PATHS:
        try:
            ask(nginx, path)
        except DeployError as error:
            wrong = True
            yield Finding(str(error), "read the reason in `docker compose logs app`: the next deploy would fail")
    if not wrong:
        yield Finding(f"the running site answers {', '.join(PATHS)}")
