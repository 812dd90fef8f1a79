"""`make swarm-deploy`, `rollback`, `releases` and `status`: the live release on the nodes of a Docker Swarm.

The engine places, replaces and watches the replicas, and rolls back a failed update. It also knows the live release and
the previous one (stack.yml). This command pushes the images, publishes the static files on every node, starts the
update, waits for it and reports the result. DOCKER_HOST or a Docker context can select another engine, which must be a
manager.
"""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from app.variables import SettingError
from deploy.docker import LONG, DeployError, Release, docker
from deploy.release import __main__ as one_machine
from deploy.release import names
from deploy.release.lock import waited
from deploy.server import release_command
from deploy.server.launch import BACKENDS
from deploy.swarm import images, secret
from deploy.swarm.engine import ask, held, image, is_manager, log, nodes, previous, release, service, tag
from deploy.swarm.rollout import MOVING, REPLICA_SECONDS, Rollout

NO_MANAGER = "this engine is no swarm manager: run `docker swarm init` on it, or set DOCKER_HOST to a manager"


class Interrupted(Exception):  # noqa: N818 (no error)
    """The user pressed Ctrl-C. The message says what the engine does now."""


def main() -> None:
    """Run the command given on the command line; exit with one sentence if it fails."""
    os.chdir(Path(__file__).parents[2])
    command = " ".join(sys.argv[1:]) or "deploy"
    commands = {"deploy": deploy, "rollback": rollback, "releases": list_releases, "status": status}
    if command not in commands:
        sys.exit(f"usage: python3 -m deploy.swarm {'|'.join(commands)}")
    for each in one_machine.SIGNALS:
        if signal.getsignal(each) != signal.SIG_IGN:  # nohup
            signal.signal(each, signal.default_int_handler)
    try:
        if command in ("rollback", "releases") and not is_live():
            one_machine.main()
            return
        if not is_manager():
            sys.exit(f"swarm: {NO_MANAGER}")
        commands[command](settings())
    except (DeployError, SettingError, OSError) as error:
        sys.exit(f"swarm: {error}")
    except (Interrupted, KeyboardInterrupt) as interruption:
        print(f"swarm: interrupted: {str(interruption) or 'nothing was updated'}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def is_live() -> bool:
    """Return whether the site runs on the swarm that this engine manages."""
    with suppress(DeployError):  # the command for one machine reports it
        if not is_manager():
            return False
        return bool(service(f"{settings()['COMPOSE_PROJECT_NAME']}_app"))
    return False


def deploy(given: dict[str, str]) -> None:
    """Build and push the missing images, publish the static files, update the services and wait for them."""
    begun = time.monotonic()
    stack, registry = given["COMPOSE_PROJECT_NAME"], given.get("REGISTRY", "")
    if not registry:
        raise DeployError(
            "REGISTRY is not set: set it to a registry that every node can reach: registry.example.org/team"
        )
    with waited(partial(held, stack)):
        live = service(f"{stack}_app")
        text = secret.check(stack, live)
        target = Release(names.requested() or names.defaults()[0], backend(given, image(live)))
        given |= {"RELEASE": target.name, "BACKEND": target.backend, "SECRETS_FILE": "app.env"}
        given["IMAGE"], nginx, is_old = images.provide(registry, target, given)
        given["NGINX"] = nginx.removeprefix(f"{registry}/")
        if live and (replicas := live["Spec"]["Mode"]["Replicated"].get("Replicas")):
            # Otherwise `docker stack deploy` would undo `docker service scale`.
            given.setdefault("REPLICAS", str(replicas))
        given |= {"SECRETS": secret.create(stack, text), "STARTED": f"{time.time():.0f}"}
        given["PREVIOUS"] = before = image(live) if image(live) != given["IMAGE"] else previous(live)
        command = given.get("RELEASE_COMMAND", "")
        if command and is_old and names.requested():
            log("RELEASE names a release in the registry: RELEASE_COMMAND is not run")
            command = ""

        def update() -> None:
            run_release_job(stack, given | {"RELEASE_COMMAND": command})
            log(f"updating to {target}")
            stack_deploy("stack.yml", stack, given)

        go_live(stack, {"app": given["IMAGE"], "nginx": nginx}, image(live), before, update)
        secret.prune(stack)
    log(f"{target} is live, after {time.monotonic() - begun:.0f} seconds")


def rollback(given: dict[str, str]) -> None:
    """Make the previous release live again. Its image and its static files are on every node."""
    stack = given["COMPOSE_PROJECT_NAME"]
    with waited(partial(held, stack)):
        live = service(f"{stack}_app")
        target, wanted = previous(live), (names.requested(), os.environ.get("BACKEND", ""))
        found = release(target)
        if not target or any(
            each not in ("", own) for each, own in zip(wanted, (found.name, found.backend), strict=True)
        ):
            kept = f"the engine keeps only {found}" if target else "the engine keeps no earlier release"
            raise DeployError(f"{kept}: deploy another one from the registry with `RELEASE=name make swarm-deploy`")
        if given.get("RELEASE_COMMAND"):
            log("a rollback does not run RELEASE_COMMAND: the data stays as it is")
        options = [f"--image={target}", f"--label-add=previous={image(live)}", "--no-resolve-image", "--detach"]

        def update() -> None:
            log(f"updating from {release(image(live))} to {found}")
            ask("service", "update", "--quiet", *options, f"{stack}_app", seconds=LONG)

        go_live(stack, {"app": target}, image(live), image(live), update)
    log(f"{found} is live")


def go_live(stack: str, wanted: dict[str, str], live: str, before: str, update: Callable[[], None]) -> None:
    """Publish the static files of the wanted app, run the update, and wait; raise DeployError if it fails.

    Then publish also its files at /, and those of the image `before`. `wanted` has the image of each service to update.
    `live` is the app's live image, or "".
    """
    target = wanted["app"]
    publish(stack, live or target, before if live == target else target)
    rollouts = {name: Rollout(f"{stack}_{name}") for name in wanted}
    follow = "the engine continues. `make status` shows the progress, and `make rollback` goes back"
    with interruptible(f"the update to {release(target)} may have begun, and {follow}"):
        update()
        for rollout in rollouts.values():
            rollout.begin()
        errors = {name: error_of(rollout, wanted[name]) for name, rollout in rollouts.items()}
    if errors["app"]:
        raise DeployError("\n".join(filter(None, errors.values())))
    with interruptible(f"{release(target)} is live. The next deploy publishes its files at /"):
        publish(stack, target, before)
    if errors.get("nginx"):
        raise DeployError(f"{release(target)} is live, but the update of nginx failed: {errors['nginx']}")


def publish(stack: str, live: str, beside: str) -> None:
    """Publish the static files of both images on every node, also at / those of the live one."""
    services = {"assets": live, "assets-beside": beside or live}
    rollouts = {name: Rollout(f"{stack}_{name}") for name in services}
    log(f"publishing the static files of {' and '.join(dict.fromkeys(map(str, map(release, services.values()))))}")
    stack_deploy("stack-assets.yml", stack, {"LIVE": live, "BESIDE": services["assets-beside"]})
    for name, rollout in rollouts.items():
        rollout.begin()
        rollout.wait(services[name])
    found = nodes()
    out = [f"{node.name} ({node.status}, {node.availability})" for node in found if not node.is_usable]
    has = " ".join(node.name for node in found if node.is_usable)
    log(f"these nodes have them: {has}" + f". When they return, these get them: {', '.join(out)}" * bool(out))


def run_release_job(stack: str, given: dict[str, str]) -> None:
    """Check that the release can start, and run RELEASE_COMMAND once, on one node; raise DeployError if it fails."""
    job = Rollout(f"{stack}_release")
    log(
        "checking its settings, importing its application"
        + ", running RELEASE_COMMAND" * bool(given["RELEASE_COMMAND"])
    )
    with interruptible(
        f"the engine continues RELEASE_COMMAND: `docker service logs {job.name}`. No replica was updated"
    ):
        stack_deploy("stack-release.yml", stack, given)
        output = job.wait_for_job(REPLICA_SECONDS + release_command.limit(given))
    print(output, end="", flush=True)


@contextmanager
def interruptible(sentence: str) -> Generator[None]:
    """Raise Interrupted with this sentence if the user presses Ctrl-C during the block."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(sentence) from None


def error_of(rollout: Rollout, wanted: str) -> str:
    """Wait for the update of a service, and return why it failed, or ""."""
    try:
        rollout.wait(wanted)
    except DeployError as error:
        return str(error)
    return ""


def stack_deploy(file: str, stack: str, given: dict[str, str]) -> None:
    """Deploy a stack file, and do not wait: Docker 25 has no `--detach` here, and never waits.

    The images have digests, so the registry is not needed (images.py).
    """
    options = ["--with-registry-auth", "--resolve-image=never", "-c", f"deploy/swarm/{file}"]
    ask("stack", "deploy", *options, stack, settings=given, seconds=LONG)


def settings() -> dict[str, str]:
    """Return the settings from the environment and .env, read by Compose, because Swarm does not read .env."""
    lines = docker("compose", "config", "--environment").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def backend(given: dict[str, str], live: str) -> str:
    """Return the backend to deploy: BACKEND from the environment, or the live one, or BACKEND from .env."""
    return os.environ.get("BACKEND") or (live and release(live).backend) or given.get("BACKEND") or BACKENDS[0]


def list_releases(given: dict[str, str]) -> None:
    """Print the previous release and the live one, which every node has."""
    live = service(f"{given['COMPOSE_PROJECT_NAME']}_app")
    for each, mark in ((previous(live), " "), (image(live), "*")):
        if each:
            print(mark, release(each))
    update: dict[str, str] = live.get("UpdateStatus") or {}
    state = "being deployed: see `make status`" if update.get("State") in MOVING else "live"
    log(f"{release(image(live))} is {state}; `RELEASE=name make swarm-deploy` deploys any other one of the registry")


def status(given: dict[str, str]) -> None:
    """Print each node, and the tasks that it should run."""
    form = "{{.Node}} {{.Name}} {{.Image}} {{.CurrentState}}. {{.Error}}"
    options = ["--no-trunc", "--filter", "desired-state=running", "--format", form]
    rows = [line.split(" ", 3) for line in ask("stack", "ps", *options, given["COMPOSE_PROJECT_NAME"]).splitlines()]
    for name, about in [*((node.name, " ".join(node[2:])) for node in nodes()), ("", "no node has room")]:
        ours = [row for row in rows if row[0] == name]
        if name or ours:
            print(name, about)
        for _, task, its_image, state in ours:
            print(f"  {re.sub(r'[.][^.]{25}$', '', task):25} {tag(its_image):35} {state}")


if __name__ == "__main__":
    main()
