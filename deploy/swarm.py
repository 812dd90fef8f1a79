"""`make swarm-deploy`: today's tree becomes the release on all machines of a Docker Swarm (deploy/swarm.yml).

Where the replicas run, how one after the other is replaced and watched, and the way back are the engine's. What is
left: the images are in the registry before they are asked for, the static files on every machine before a page names
them, and whoever deploys hears how it ended. DOCKER_HOST or a context may name another engine; it must be a manager's.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from deploy.compose import Failure, docker
from deploy.record import Release
from deploy.release import asked_for, names

SECRETS = Path(".secrets")
PATIENCE = 300  # seconds for one step of all machines; a large image over a slow line takes its time


def main() -> None:
    """Deploy; exit with one sentence where it has not become the release."""
    os.chdir(Path(__file__).parent.parent)
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
    image = f"{registry}/app:{release.tag}"
    provide(image, release.backend, f"RELEASE={release.name}")
    edge = f"nginx:{fingerprint()}"
    provide(f"{registry}/{edge}", "nginx")
    if live and (replicas := live["Spec"]["Mode"]["Replicated"].get("Replicas")):
        # `docker stack deploy` would undo what `docker service scale` has done.
        given.setdefault("REPLICAS", str(replicas))
    given |= {"RELEASE": release.name, "BACKEND": release.backend, "NGINX": edge, "SECRETS": secret(stack)}
    say(f"publishing the static files of {release} on every machine")
    stack_deploy("deploy/swarm-assets.yml", stack, given)
    follow_job(f"{stack}_assets")
    say(f"updating to {release}")
    stack_deploy("deploy/swarm.yml", stack, given)
    for name in ("nginx", "app"):
        follow(f"{stack}_{name}")
    say(f"{release} is live, after {time.monotonic() - begun:.0f} seconds")


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


def provide(image: str, target: str, *arguments: str) -> None:
    """Build a target of the Dockerfile and push it, unless the registry has it: no name is given to a second image."""
    try:
        docker("pull", "--quiet", image)
    except Failure:
        say(f"building {image}")
        options = [word for argument in arguments for word in ("--build-arg", argument)]
        docker("build", "--target", target, "--tag", image, *options, ".", is_shown=True)
        say(f"pushing {image}")
        docker("push", "--quiet", image)


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
    """Tell the engine what is to be from now on."""
    docker("stack", "deploy", "--detach", "--with-registry-auth", "-c", file, stack, settings=given)


def service(name: str) -> dict[str, Any]:
    """Return what the engine knows of a service, or nothing where there is none."""
    if name not in docker("service", "ls", "--format", "{{.Name}}").split():
        return {}
    found: list[dict[str, Any]] = json.loads(docker("service", "inspect", name))
    return found[0]


def tasks(name: str) -> list[dict[str, Any]]:
    """Return the tasks of a service, with what the engine wants of each and what it does."""
    identities = docker("service", "ps", "--quiet", "--no-trunc", name).split()
    try:
        return json.loads(docker("inspect", "--type", "task", *identities)) if identities else []
    except Failure:
        return tasks(name)  # the engine has forgotten an old one since


def follow_job(name: str) -> None:
    """Return when the job, in its latest iteration, is done on every machine; raise Failure where it cannot be."""
    for _ in waiting(name):
        iteration = service(name)["JobStatus"]["JobIteration"]
        ours = [task for task in tasks(name) if task["JobIteration"] == iteration]
        states = [task["Status"]["State"] for task in ours if task["DesiredState"] in ("complete", "running")]
        if states and set(states) == {"complete"}:
            return
        if failed := [task for task in ours if task["Status"]["State"] in ("failed", "rejected")]:
            raise Failure(f"{name} has failed: {reasons(failed)}\n{logs(name)}")


def follow(name: str) -> None:
    """Return when the service runs as it should; raise Failure where the engine has gone back, or cannot start it."""
    for _ in waiting(name):
        it = service(name)
        status = it.get("UpdateStatus", {})
        state = status.get("State", "")
        if state in ("rollback_completed", "rollback_paused", "paused"):
            raise Failure(f"{name}: {status['Message']}; {reasons(tasks(name))}\n{logs(name)}")
        now = [task for task in tasks(name) if is_within(task["Spec"], it["Spec"]["TaskTemplate"])]
        wanted = [task for task in now if task["DesiredState"] == "running"]
        replicas = it["Spec"]["Mode"].get("Replicated", {}).get("Replicas", 1)
        if state in ("", "completed") and len(wanted) >= replicas:
            if all(task["Status"]["State"] == "running" for task in wanted):
                return
            ended = [task for task in now if task["DesiredState"] != "running"]
            if not state and len(ended) > replicas:  # the first one: there is nothing to go back to
                raise Failure(f"{name} does not start: {reasons(ended)}\n{logs(name)}")


def is_within(part: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Tell whether a task was made from this template; the engine writes more into it, of what nothing was said."""
    return all(
        is_within(cast("dict[str, Any]", value), whole.get(key, {}))
        if isinstance(value, dict)
        else whole.get(key) == value
        for key, value in part.items()
    )


def waiting(name: str) -> Iterator[None]:
    """Yield now and then; raise Failure when it has been for too long."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        yield
        time.sleep(0.5)
    raise Failure(f"{name} is not there after {PATIENCE} seconds; the engine goes on trying: {reasons(tasks(name))}")


def reasons(found: list[dict[str, Any]]) -> str:
    """Return why these tasks do not run, each reason once."""
    return "; ".join({task["Status"].get("Err", ""): None for task in found if task["Status"].get("Err")})


def logs(name: str) -> str:
    """Return the last lines that the service has logged."""
    command = ["docker", "service", "logs", "--raw", "--tail", "20", name]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def say(what: str) -> None:
    """Tell whoever deploys how far it is."""
    print(f"swarm: {what}", flush=True)


if __name__ == "__main__":
    main()
