"""The secret of the swarm with the text of .secrets. A secret cannot change, so each text has one of its own."""

from contextlib import suppress
from hashlib import sha256
from typing import Any

from app.variables import SECRETS, secrets
from deploy.docker import DeployError
from deploy.swarm.engine import ask, service

NONE = "# none\n"  # a secret cannot be empty


def name(stack: str, text: str) -> str:
    """Return the name of the secret with this text."""
    return f"{stack}_app_{sha256(text.encode()).hexdigest()[:12]}"


def names(specification: dict[str, Any]) -> list[str]:
    """Return the names of the secrets that a service's specification uses."""
    return [each["SecretName"] for each in specification["TaskTemplate"]["ContainerSpec"].get("Secrets", [])]


def check(stack: str, live: dict[str, Any]) -> str:
    """Return the text of .secrets; raise SettingError if it is bad, or DeployError if only the live release has one."""
    found = secrets(SECRETS)
    if not SECRETS.exists() and live and names(live["Spec"]) != [name(stack, NONE)]:
        raise DeployError(
            f"{SECRETS} does not exist here, but the live release has secrets: copy it to this machine, "
            "or create an empty one to deploy without secrets"
        )
    return SECRETS.read_text() if found else NONE


def create(stack: str, text: str) -> str:
    """Create the secret with this text unless it exists, and return its name."""
    wanted = name(stack, text)
    if wanted not in ask("secret", "ls", "--format", "{{.Name}}").split():
        ask("secret", "create", wanted, "-", stdin=text)
    return wanted


def prune(stack: str) -> None:
    """Remove the secrets that no service uses, but not those to which `docker service rollback` would return."""
    live = service(f"{stack}_app")
    kept = {*names(live["Spec"]), *names(live.get("PreviousSpec") or live["Spec"])}
    for each in ask("secret", "ls", "--format", "{{.Name}}").split():
        if each.startswith(name(stack, "")[:-12]) and each not in kept:
            with suppress(DeployError):  # another service uses it
                ask("secret", "rm", each)
