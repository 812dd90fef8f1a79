"""`make swarm-deploy`: release the working tree on all nodes of a Docker Swarm (deploy/swarm/stack.yml).

The engine places, replaces and watches the replicas, and rolls back. This command does the rest. It pushes the images
and publishes the static files on every node before the rollout. Then it waits for the rollout and reports the result.
DOCKER_HOST or a Docker context can select another engine, which must be a manager.
"""

import os
import re
import sys
import time
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.variables import SECRETS, SettingError, secrets
from deploy.docker import LONG, DeployError, Release, docker
from deploy.release import names
from deploy.server import release_command
from deploy.server.launch import BACKENDS
from deploy.swarm.rollout import REPLICA_SECONDS, job_logs, service, wait_for_job, wait_for_update

log = partial(print, "swarm:", flush=True)

# The registry answered that it does not have the image. Other errors mean that it did not answer. Some registries send
# the last message for an image that the user may not read. The push then fails and names the reason.
ABSENT = re.compile(r"manifest unknown|name unknown|: not found$|repository does not exist", re.MULTILINE)
NGINX_SETTINGS = (
    *("ALLOWED_HOSTS", "CLIENT_REQUESTS", "IDENTITY_HEADERS", "MAX_BODY_BYTES", "PROXY_PROTOCOL", "TRUSTED_PROXIES"),
)


def main() -> None:
    """Deploy; exit with one sentence if the release is not live."""
    os.chdir(Path(__file__).parents[2])
    try:
        deploy(settings())
    except (DeployError, SettingError, OSError) as error:
        sys.exit(f"swarm: {error}")


def deploy(given: dict[str, str]) -> None:
    """Build and push the missing images, publish the static files, update the services and wait for them."""
    begun = time.monotonic()
    stack, registry = given["COMPOSE_PROJECT_NAME"], given.get("REGISTRY", "")
    if not registry:
        raise DeployError(
            "REGISTRY is not set: set it to a registry that every node can reach: registry.example.org/team"
        )
    if docker("info", "--format", "{{.Swarm.ControlAvailable}}").strip() != "true":
        raise DeployError(
            "this engine is no swarm manager: run `docker swarm init` on it, or set DOCKER_HOST to a manager"
        )
    secrets(SECRETS)  # refuses a bad file before anything is built
    live = service(f"{stack}_app")
    release = Release(names.requested() or names.defaults()[0], backend(given, live))
    nginx, app = f"nginx:{fingerprint()}", f"{registry}/app:{release.tag}"
    given |= {
        "RELEASE": release.name,
        "BACKEND": release.backend,
        "NGINX": nginx,
        "AHEAD": "",
        "SECRETS_FILE": "app.env",
    }
    targets = {
        f"{registry}/{nginx}": ["nginx"],
        app: [release.backend, "--build-arg", f"RELEASE={release.name}"],
    }
    missing = [image for image in targets if not is_in_registry(image)]
    if app in missing and names.requested() and not os.environ.get("BACKEND"):
        refuse_other_backend(registry, release)
    for image in missing:
        log(f"building {image}")
        docker("build", "--tag", image, "--target", *targets[image], ".", is_shown=True, seconds=LONG)
    check_nginx(f"{registry}/{nginx}", given)
    for image in missing:
        log(f"pushing {image}")
        docker("push", "--quiet", image, seconds=LONG)
    if live and (replicas := live["Spec"]["Mode"]["Replicated"].get("Replicas")):
        # Otherwise `docker stack deploy` would undo `docker service scale`.
        given.setdefault("REPLICAS", str(replicas))
    given["SECRETS"] = create_secret(stack)
    given["STARTED"] = "" if app not in missing and names.requested() else f"{time.time():.0f}"
    go_live(stack, release, live, given)
    log(f"{release} is live, after {time.monotonic() - begun:.0f} seconds")


def go_live(stack: str, release: Release, live: dict[str, Any], given: dict[str, str]) -> None:
    """Publish the static files, update the services and wait for them; raise DeployError if the rollout fails."""
    try:
        log(f"publishing the static files of {release} on every node")
        publish(stack, given | {"AHEAD": "--ahead"})
        run_release_command(stack, given)
        log(f"updating to {release}")
        stack_deploy("deploy/swarm/stack.yml", stack, given)
        nginx_error = wait_for_both(stack)
    except DeployError:
        if live:  # a node that joins later runs the job of the live release
            stack_deploy("deploy/swarm/stack-assets.yml", stack, given | settings_of(live))
        raise
    publish(stack, given)  # now also the files served at /
    if nginx_error:
        raise DeployError(f"{release} is live, but the update of nginx failed: {nginx_error}")


def run_release_command(stack: str, given: dict[str, str]) -> None:
    """Run RELEASE_COMMAND once and show its output; raise DeployError if it fails. A rollback does not run it."""
    if not given.get("RELEASE_COMMAND"):
        return
    if not given["STARTED"]:
        log("RELEASE names a release in the registry: RELEASE_COMMAND is not run")
        return
    log("running RELEASE_COMMAND")
    stack_deploy("deploy/swarm/stack-release.yml", stack, given)
    wait_for_job(f"{stack}_release", REPLICA_SECONDS + release_command.limit(given))
    print(job_logs(f"{stack}_release"), flush=True)


def settings() -> dict[str, str]:
    """Return the settings from the environment and .env, read by Compose, because Swarm does not read .env."""
    lines = docker("compose", "config", "--environment").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def backend(given: dict[str, str], live: dict[str, Any]) -> str:
    """Return the backend to deploy: BACKEND from the environment, or the live one, or BACKEND from .env."""
    if not (name := os.environ.get("BACKEND")) and live:
        tag = live["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].partition("@")[0].rpartition(":")[2]
        name = Release.from_tag(tag).backend
    return name or given.get("BACKEND") or BACKENDS[0]


def settings_of(live: dict[str, Any]) -> dict[str, str]:
    """Return the settings of the live release."""
    container = live["Spec"]["TaskTemplate"]["ContainerSpec"]
    registry, _, tag = container["Image"].partition("@")[0].rpartition("/app:")
    release = Release.from_tag(tag)
    own = {name: value for name, _, value in (each.partition("=") for each in container["Env"])}
    named = {"REGISTRY": registry, "RELEASE": release.name, "BACKEND": release.backend}
    return own | named | {"SECRETS": container["Secrets"][0]["SecretName"]}


def is_in_registry(image: str) -> bool:
    """Pull the image, and return whether the registry has it; raise DeployError if the registry does not answer."""
    try:
        docker("pull", "--quiet", image, seconds=LONG)
    except DeployError as error:
        if not ABSENT.search(str(error)):
            raise
        return False
    return True


def refuse_other_backend(registry: str, release: Release) -> None:
    """Raise DeployError if RELEASE names a release of the other backend: the working tree must not get its name."""
    for each in BACKENDS:
        other = Release(release.name, each)
        if other != release and is_in_registry(f"{registry}/app:{other.tag}"):
            raise DeployError(
                f"there is no {release}, only {other}: set BACKEND={other.backend} to deploy that one, "
                f"or BACKEND={release.backend} to build the working tree under the same name"
            )


def check_nginx(image: str, given: dict[str, str]) -> None:
    """Raise DeployError, with nginx's message, if nginx refuses its configuration with these settings."""
    script = (
        "/srv/nginx/control.sh configure /run/nginx && exec nginx -t -q -p /run/nginx/ -c conf/nginx.conf -e stderr"
    )
    options = [f"--env={each}" for each in ("NGINX_UPSTREAM=replicas", *NGINX_SETTINGS)]
    docker("run", "--rm", "--network=none", *options, image, "sh", "-c", script, settings=given, seconds=LONG)


def fingerprint() -> str:
    """Return the tag of nginx's image, a hash of its contents: the engine replaces nginx only if the tag is new."""
    text = Path("Dockerfile").read_text()
    found = re.findall(r"^ARG NGINX_IMAGE=.*$|^FROM \S+ AS nginx$(?:\n.+)*", text, re.MULTILINE)
    digest = sha256("\n".join(found).encode())
    for path in sorted(path for path in Path("nginx").rglob("*") if path.is_file()):
        digest.update(f"\0{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def create_secret(stack: str) -> str:
    """Return the name of the secret with the text of .secrets, and create it if needed: secrets cannot change."""
    text = SECRETS.read_text() if SECRETS.exists() else "# none\n"
    name = f"{stack}_app_{sha256(text.encode()).hexdigest()[:12]}"
    if name not in docker("secret", "ls", "--format", "{{.Name}}").split():
        docker("secret", "create", name, "-", stdin=text)
    return name


def stack_deploy(file: str, stack: str, given: dict[str, str]) -> None:
    """Deploy a stack file, and do not wait: Docker 25 has no `--detach` here, and never waits."""
    docker("stack", "deploy", "--with-registry-auth", "-c", file, stack, settings=given, seconds=LONG)


def publish(stack: str, given: dict[str, str]) -> None:
    """Publish the release's static files on every node, now and when a node joins."""
    stack_deploy("deploy/swarm/stack-assets.yml", stack, given)
    wait_for_job(f"{stack}_assets")


def wait_for_both(stack: str) -> str:
    """Wait for both updates; return the error of nginx's, or "", and raise DeployError if the app's fails."""
    nginx_error, app_error = (update_error(f"{stack}_{name}") for name in ("nginx", "app"))
    if app_error:
        raise DeployError("\n".join(filter(None, (app_error, nginx_error))))
    return nginx_error


def update_error(name: str) -> str:
    """Wait for the update of a service, and return why it failed, or ""."""
    try:
        wait_for_update(name)
    except DeployError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main()
