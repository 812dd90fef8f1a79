"""`make swarm-deploy`: today's tree becomes the release on all machines of a Docker Swarm (deploy/swarm/stack.yml).

Where the replicas run, how one after the other is replaced and watched, and the way back are the engine's. What is
left: the images are in the registry before they are asked for, the static files on every machine before a page names
them, and whoever deploys hears how it ended. DOCKER_HOST or a context may name another engine; it must be a manager's.
"""

import os
import re
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from deploy.docker import Failure, Release, docker
from deploy.release.names import asked_for, names
from deploy.server.launch import BACKENDS
from deploy.swarm.rollout import follow, follow_job, service

SECRETS = Path(".secrets")
# What says that the registry has no such image, and not that it could not be asked. The last some say of what one may
# not see, too; who may not push there either, is told so then.
ABSENT = re.compile(r"manifest unknown|name unknown|: not found$|repository does not exist", re.MULTILINE)
NGINX_SETTINGS = ("ALLOWED_HOSTS", "CLIENT_REQUESTS", "MAX_BODY_BYTES", "PROXY_PROTOCOL", "TRUSTED_PROXIES")


def main() -> None:
    """Deploy; exit with one sentence where it has not become the release."""
    os.chdir(Path(__file__).parents[2])
    try:
        deploy(settings())
    except (Failure, OSError) as failure:
        sys.exit(f"swarm: {failure}")


def deploy(given: dict[str, str]) -> None:
    """Build and push what the registry has not, publish the static files, and follow the update to its end."""
    begun = time.monotonic()
    stack, registry = given["COMPOSE_PROJECT_NAME"], given.get("REGISTRY", "")
    if not registry:
        raise Failure("REGISTRY is not set: name the place where every machine finds images: registry.example.org/team")
    if docker("info", "--format", "{{.Swarm.ControlAvailable}}").strip() != "true":
        raise Failure("this engine manages no swarm: run `docker swarm init` on it, or let DOCKER_HOST name a manager")
    live = service(f"{stack}_app")
    release = Release(asked_for() or names()[0], backend(given, live))
    nginx, app = f"nginx:{fingerprint()}", f"{registry}/app:{release.tag}"
    given |= {"RELEASE": release.name, "BACKEND": release.backend, "NGINX": nginx, "AHEAD": ""}
    targets = {
        f"{registry}/{nginx}": ["nginx"],
        app: [release.backend, "--build-arg", f"RELEASE={release.name}"],
    }
    missing = [image for image in targets if not is_there(image)]
    if app in missing and asked_for() and not os.environ.get("BACKEND"):
        refuse_another(registry, release)
    for image in missing:
        say(f"building {image}")
        docker("build", "--tag", image, "--target", *targets[image], ".", is_shown=True)
    check_nginx(f"{registry}/{nginx}", given)
    for image in missing:
        say(f"pushing {image}")
        docker("push", "--quiet", image)
    if live and (replicas := live["Spec"]["Mode"]["Replicated"].get("Replicas")):
        # `docker stack deploy` would undo what `docker service scale` has done.
        given.setdefault("REPLICAS", str(replicas))
    given["SECRETS"] = secret(stack)
    go_live(stack, release, live, given)
    say(f"{release} is live, after {time.monotonic() - begun:.0f} seconds")


def go_live(stack: str, release: Release, live: dict[str, Any], given: dict[str, str]) -> None:
    """Publish the static files, and follow the update to its end; raise Failure where it was not the release."""
    try:
        say(f"publishing the static files of {release} on every machine")
        publish(stack, given | {"AHEAD": "--ahead"})
        say(f"updating to {release}")
        stack_deploy("deploy/swarm/stack.yml", stack, given)
        of_nginx = follow_both(stack)
    except Failure:
        if live:  # machines that join later run the job, too
            stack_deploy("deploy/swarm/stack-assets.yml", stack, given | settings_of(live))
        raise
    publish(stack, given)  # now also the files that are served at /
    if of_nginx:
        raise Failure(f"{release} is live, but nginx is not what it should be: {of_nginx}")


def settings() -> dict[str, str]:
    """Return the settings as Compose finds them: in the environment or else in .env, of which Swarm knows nothing."""
    lines = docker("compose", "config", "--environment").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def backend(given: dict[str, str], live: dict[str, Any]) -> str:
    """Return the backend to deploy: the one that BACKEND names here and now, or else the one that is live."""
    if not (name := os.environ.get("BACKEND")) and live:
        tag = live["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].partition("@")[0].rpartition(":")[2]
        name = Release.of_tag(tag).backend
    return name or given.get("BACKEND") or "gunicorn"


def settings_of(live: dict[str, Any]) -> dict[str, str]:
    """Return the settings with which the live release was deployed."""
    container = live["Spec"]["TaskTemplate"]["ContainerSpec"]
    registry, _, tag = container["Image"].partition("@")[0].rpartition("/app:")
    release = Release.of_tag(tag)
    own = {name: value for name, _, value in (each.partition("=") for each in container["Env"])}
    names = {"REGISTRY": registry, "RELEASE": release.name, "BACKEND": release.backend}
    return own | names | {"SECRETS": container["Secrets"][0]["SecretName"]}


def is_there(image: str) -> bool:
    """Tell whether the registry has the image, and pull it; raise Failure where it has said neither yes nor no."""
    try:
        docker("pull", "--quiet", image)
    except Failure as failure:
        if not ABSENT.search(str(failure)):
            raise
        return False
    return True


def refuse_another(registry: str, release: Release) -> None:
    """Raise Failure where RELEASE is an earlier one of the other backend: today's tree is not to have its name."""
    for each in BACKENDS:
        other = Release(release.name, each)
        if other != release and is_there(f"{registry}/app:{other.tag}"):
            raise Failure(
                f"there is no {release}, only {other}: BACKEND={other.backend} goes back to that, "
                f"BACKEND={release.backend} builds what is here now under the same name"
            )


def check_nginx(image: str, given: dict[str, str]) -> None:
    """Raise Failure, with nginx's own words, where it would not start with this configuration and these settings."""
    script = (
        "/srv/nginx/control.sh configure /run/nginx && exec nginx -t -q -p /run/nginx/ -c conf/nginx.conf -e stderr"
    )
    options = [f"--env={each}" for each in ("NGINX_UPSTREAM=replicas", *NGINX_SETTINGS)]
    docker("run", "--rm", "--network=none", *options, image, "sh", "-c", script, settings=given)


def fingerprint() -> str:
    """Return what names nginx's image: a new name makes the engine replace nginx on every machine."""
    text = Path("Dockerfile").read_text()
    found = re.findall(r"^ARG NGINX_IMAGE=.*$|^FROM \S+ AS nginx$(?:\n.+)*", text, re.MULTILINE)
    digest = sha256("\n".join(found).encode())
    for path in sorted(path for path in Path("nginx").rglob("*") if path.is_file()):
        digest.update(f"\0{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def secret(stack: str) -> str:
    """Return the name of the secret that holds .secrets, and make it where there is none: a secret never changes."""
    text = SECRETS.read_text() if SECRETS.exists() else "# none\n"
    name = f"{stack}_app_{sha256(text.encode()).hexdigest()[:12]}"
    if name not in docker("secret", "ls", "--format", "{{.Name}}").split():
        docker("secret", "create", name, "-", stdin=text)
    return name


def stack_deploy(file: str, stack: str, given: dict[str, str]) -> None:
    """Tell the engine what is to be from now on; it returns at once, which an option says from Docker 26 on only."""
    docker("stack", "deploy", "--with-registry-auth", "-c", file, stack, settings=given)


def publish(stack: str, given: dict[str, str]) -> None:
    """Publish the release's static files on every machine, and on those that join later."""
    stack_deploy("deploy/swarm/stack-assets.yml", stack, given)
    follow_job(f"{stack}_assets")


def follow_both(stack: str) -> str:
    """Follow the updates to their end; return why nginx's has failed, or nothing, and raise Failure for the app's."""
    of_nginx, of_app = (failure_of(f"{stack}_{name}") for name in ("nginx", "app"))
    if of_app:
        raise Failure("\n".join(filter(None, (of_app, of_nginx))))
    return of_nginx


def failure_of(name: str) -> str:
    """Follow the service to the end of its update, and return why it has failed, or nothing."""
    try:
        follow(name)
    except Failure as failure:
        return str(failure)
    return ""


def say(what: str) -> None:
    """Tell whoever deploys how far it is."""
    print(f"swarm: {what}", flush=True)


if __name__ == "__main__":
    main()
