"""Checks a Docker Swarm on which the site runs: managers, nodes, registry, replicas, static files and secrets."""

from collections.abc import Iterator

from app.variables import SettingError
from deploy.docker import DeployError, docker, find_project
from deploy.doctor.machine import Finding, check, check_version
from deploy.swarm import images, secret
from deploy.swarm.engine import Node, ask, image, is_manager, nodes, service

COMPOSE = (2, 28)  # has `docker compose config --environment`
REPLICAS = {  # the remedy for each service that lacks replicas
    "app": "read the reason in `make status`",
    "nginx": "read the reason in `make status`: nginx needs the port on each node",
    "assets": "read the reason in `make status`: such a node answers /readyz with 503, for it lacks static files",
    "assets-beside": "as above: such a node cannot roll back",
}


def check_swarm() -> Iterator[Finding]:
    """Yield the findings, none if this engine does not manage a swarm with the site; raise DeployError."""
    stack = find_project().name
    if not is_manager() or not (live := service(f"{stack}_app")):
        return
    yield check_version("Docker Compose", docker("compose", "version", "--short"), COMPOSE)
    yield from check_nodes(nodes())
    for line in ask("service", "ls", "--format", "{{.Name}} {{.Replicas}}").splitlines():
        name, _, count = line.partition(" ")
        if name.removeprefix(f"{stack}_") in REPLICAS and name.startswith(f"{stack}_"):
            running, _, wanted = count.split(" ")[0].partition("/")
            remedy = REPLICAS[name.removeprefix(f"{stack}_")]
            yield check(f"{name}: {running} of {wanted} replicas run", is_ok=int(running) >= int(wanted), remedy=remedy)
    yield check_registry(image(live).partition("@")[0])
    try:
        is_same = secret.names(live["Spec"]) == [secret.name(stack, secret.check(stack, live))]
        text = ".secrets is the live secret" if is_same else ".secrets differs from the live secret"
        yield check(text, is_ok=is_same, remedy="the next deploy changes it; or copy the right file to this machine")
    except (DeployError, SettingError) as error:
        yield Finding(str(error), "no deploy accepts it")


def check_nodes(found: list[Node]) -> Iterator[Finding]:
    """Yield the findings on the nodes and the quorum of the managers."""
    managers = [node for node in found if node.manager]
    reachable = sum(node.manager in ("Leader", "Reachable") for node in managers)
    spare = reachable - (len(managers) // 2 + 1)
    text = f"{reachable} of {len(managers)} managers are reachable; the swarm survives the loss of {spare}"
    yield check(text, is_ok=spare > 0, remedy="have three reachable managers: `docker node promote`, or repair one")
    for node in found:
        state = f"{node.name} is {node.status} and {node.availability}"
        remedy = "repair it, or `docker node rm` it; `docker node update --availability active` ends a drain"
        yield check(state, is_ok=node.is_usable, remedy=remedy)


def check_registry(name: str) -> Finding:
    """Check that the registry answers, accepts the login and has the live image."""
    try:
        has_it = images.is_in_registry(name)
    except DeployError as error:
        return Finding(str(error), "no deploy works without the registry: start it, or `docker login`")
    return check(f"the registry has {name}: {has_it}", is_ok=has_it, remedy=f"push it: `docker push {name}`")


def published_ports() -> Iterator[tuple[str, int]]:
    """Yield the port that nginx publishes on every node."""
    if is_manager() and (found := service(f"{find_project().name}_nginx")):
        yield from (("0.0.0.0", port["PublishedPort"]) for port in found["Spec"]["EndpointSpec"]["Ports"])  # noqa: S104
