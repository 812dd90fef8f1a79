"""Stores .secrets with the engine, in a volume that only the app can read.

Compose has secrets too. In a container with a read-only file system, each is a bind mount. It keeps the owner and the
mode of .secrets, so that the app's user cannot read it. It fails if the file does not exist, and if the engine is on
another machine.

Each content has a file of its own, which SECRETS_FILE names. So a deploy changes nothing that the live release reads.
"""

import os
from hashlib import sha256

from app.variables import SECRETS, SettingError, secrets
from deploy.docker import Container, DeployError, Project, containers, docker, log
from deploy.release.cleanup import HARDENED

VOLUME, FILE = "secrets", "SECRETS_FILE"
# Writes standard input to the file $1, and removes the files that are not named.
WRITE = """
cd /run/secrets; umask 077
cat >"$1.new" && sync "$1.new" && mv "$1.new" "$1" || exit
for file in *; do case " $* " in *" $file "*) ;; *) rm -f "$file" ;; esac; done
"""


def check() -> dict[str, str]:
    """Return the variables in .secrets; raise DeployError if the app could not read the file."""
    try:
        return secrets(SECRETS)
    except SettingError as error:
        raise DeployError(str(error)) from error


def store(project: Project, image: str, live: Container | None, *, may_be_missing: bool) -> None:
    """Store .secrets for the next release, and set SECRETS_FILE for Compose; raise DeployError if it is missing."""
    held = live.environ.get(FILE, "") if live else project.app["environment"].get(FILE) or ""
    if not SECRETS.exists() and held and may_be_missing:
        os.environ[FILE] = held
        return
    if not SECRETS.exists() and held:
        raise DeployError(
            f"{SECRETS} does not exist here, but the live release has secrets: copy it to this machine, "
            "or create an empty one to deploy without secrets"
        )
    name = ""
    if check():
        text = SECRETS.read_text()
        name = f"{sha256(text.encode()).hexdigest()[:12]}.env"
        log("storing .secrets with the engine")
        kept = {each.environ.get(FILE, "") for each in containers(project, "app")} - {"", name}
        volume = f"{project.name}_{VOLUME}"
        labels = [
            f"--label=com.docker.compose.{key}={value}"
            for key, value in (("project", project.name), ("volume", VOLUME))
        ]
        docker("volume", "create", *labels, volume)
        options = [*HARDENED, f"--user={project.app['user']}", f"--volume={volume}:/run/secrets", "--entrypoint=sh"]
        docker("run", "--rm", "--interactive", *options, image, "-c", WRITE, "sh", name, *kept, stdin=text)
    if name or held:
        os.environ[FILE] = name


def recorded() -> dict[str, str]:
    """Return the setting to write into .env."""
    return {FILE: os.environ[FILE]} if FILE in os.environ else {}
