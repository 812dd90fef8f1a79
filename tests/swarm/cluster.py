"""A Docker Swarm of three nodes in containers, with a registry, to which tests run `make swarm-deploy`."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from deploy.docker import Release
from tests.engines import BASE_IMAGES, Engine, environ
from tests.stack.compose import docker
from tests.stack.site import make
from tests.stack.waiting import until
from tests.tree import copy_reference

REGISTRY_IMAGE = "registry:3"
REGISTRY = "registry:5000"
PORT = 8080
# A failed request in nginx's access log: the node, the time, the status, and the status of each replica.
FAILED = r'@(\S+) +\| .*"time":"([^"]+)".*"status":(5\d\d),.*"upstream_status":"([^"]+)"'


class Cluster:
    """Three engines, all managers, so that the swarm survives the loss of one."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.name = f"wsgi-test-{os.getpid()}-swarm"
        self.folder = folder
        self.backend = backend
        self.engines: list[Engine] = []
        self.exits = ExitStack()  # removes everything started so far
        copy_reference(folder)

    def up(self) -> None:
        """Start the nodes and the registry, and deploy the release `first`."""
        docker("network", "create", self.name)
        self.exits.callback(docker, "network", "rm", self.name)
        self.exits.callback(docker, "rm", "--force", "--volumes", f"{self.name}-registry")
        docker(
            *("run", "--detach", "--name", f"{self.name}-registry"),
            *("--network", self.name, "--network-alias", "registry", REGISTRY_IMAGE),
        )
        for number in (1, 2, 3):
            self.engines.append(self.start(number))
        for engine in self.engines:
            until(engine.is_up, f"{engine.name} is up", 60)
        first, *others = self.engines
        first.docker("swarm", "init", "--advertise-addr", first.address)
        for engine in others:
            self.join(engine, "manager")
        first.load(*BASE_IMAGES)
        self.make(BACKEND=self.backend, RELEASE="first")
        until(lambda: all(map(self.is_up, self.engines)), "the site is up on every node")

    def start(self, number: int) -> Engine:
        """Start the engine of a node, which down() removes."""
        engine = Engine(f"{self.name}-n{number}", self.name, f"--insecure-registry={REGISTRY}")
        self.exits.callback(engine.remove)
        return engine

    def join(self, engine: Engine, role: str) -> None:
        """Add the node to the swarm."""
        token = self.manager("swarm", "join-token", "--quiet", role).strip()
        engine.docker("swarm", "join", "--token", token, f"{self.engines[0].address}:2377")

    def down(self) -> None:
        """Remove everything, even if a removal fails."""
        self.exits.close()

    @property
    def urls(self) -> list[str]:
        """Return the URL of the site on each node."""
        return [self.url(engine) for engine in self.engines]

    def url(self, engine: Engine) -> str:
        """Return the URL of the site on this node."""
        return f"http://{engine.address}:{PORT}"

    def make(self, command: str = "swarm-deploy", *, node: int = 0, fails: bool = False, **settings: str) -> str:
        """Run `make swarm-deploy`, by default with the first node's engine, and return its output."""
        return make(command, self.folder, self.environ(node) | settings, fails=fails)

    def environ(self, node: int = 0) -> dict[str, str]:
        """Return the environment for commands of deploy/swarm with the engine of a node."""
        own = {"REGISTRY": REGISTRY, "COMPOSE_PROJECT_NAME": "site", "HTTP_PORT": str(PORT), "PYTHON": sys.executable}
        return environ(self.engines[node]) | own

    def deploy(self, phase: str, act: Callable[[subprocess.Popen[str]], None], **settings: str) -> tuple[int, str]:
        """Deploy, call `act` when the output has a line with `phase`, and return the exit code and the output."""
        # A shell's background job ignores SIGINT.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "deploy.swarm"]
        output = ""
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environ() | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            for line in process.stdout or ():
                if phase in line and phase not in output:
                    act(process)
                output += line
        assert phase in output, output
        return process.returncode, output

    @contextmanager
    def without_registry(self) -> Iterator[None]:
        """Stop the registry during the block."""
        docker("stop", "--time=1", f"{self.name}-registry")
        try:
            yield
        finally:
            docker("start", f"{self.name}-registry")

    @contextmanager
    def changed(self, path: str, more: str) -> Iterator[None]:
        """Append `more` to a file of the copy, or create the file, and undo that after the block."""
        file = self.folder / path
        text = file.read_text() if file.exists() else None
        file.touch(0o600)  # for .secrets
        file.write_text(f"{text or ''}\n{more}")
        try:
            yield
        finally:
            if text is None:
                file.unlink()
            else:
                file.write_text(text)

    def manager(self, *arguments: str) -> str:
        """Run `docker` on the first node."""
        return self.engines[0].docker(*arguments)

    def service(self, name: str) -> dict[str, Any]:
        """Return the description of a service of the stack."""
        found: list[dict[str, Any]] = json.loads(self.manager("service", "inspect", f"site_{name}"))
        return found[0]

    def releases(self) -> set[str]:
        """Return the tags of the live releases: of each replica's image, and of six responses from each node."""
        options = ["--filter", "desired-state=running", "--format", "{{.Image}}"]
        images = self.manager("service", "ps", *options, "site_app").split()
        found = {image.partition("@")[0].rpartition(":")[2] for image in images}
        for engine in filter(self.is_up, self.engines):
            for _ in range(6):
                version = httpx.get(f"{self.url(engine)}/version").json()
                found.add(f"{version['release']}-{version['backend']}")
        return found

    def live(self) -> str:
        """Return the name of the live release, or several names."""
        return " ".join(sorted({Release.from_tag(tag).name for tag in self.releases()}))

    def tasks(self, name: str) -> set[str]:
        """Return the ids of the tasks of a service that should run."""
        return set(
            self.manager("service", "ps", "--quiet", "--filter", "desired-state=running", f"site_{name}").split()
        )

    def updating(self) -> str:
        """Return the state of the app's update."""
        state: str = self.service("app").get("UpdateStatus", {}).get("State", "")
        return state

    def leader(self) -> str:
        """Return the name of the node that leads the managers."""
        lines = self.manager("node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}").splitlines()
        return next(name for name, status in (line.split(" ") for line in lines) if status == "Leader")

    def static_files(self) -> set[str]:
        """Return the static files that the home page names, on any node that is up."""
        pages = [httpx.get(self.url(engine)).text for engine in self.engines if self.is_up(engine)]
        return {name for page in pages for name in re.findall(r'(?:href|src)="(/static/[^"]+)"', page)}

    def missing(self, names: set[str]) -> list[str]:
        """Return the URLs of these static files that a node that is up does not serve."""
        urls = [self.url(engine) + name for engine in self.engines if self.is_up(engine) for name in sorted(names)]
        return [url for url in urls if httpx.get(url).status_code != 200]

    def get(self, path: str) -> set[str]:
        """Return the different responses of the nodes to this path: the body of a success, else the status."""
        responses = [httpx.get(url + path) for url in self.urls]
        return {each.text if each.is_success else str(each.status_code) for each in responses}

    def engine(self, name: str) -> Engine:
        """Return the engine of the node with this name."""
        return next(engine for engine in self.engines if engine.name.endswith(f"-{name}"))

    def replicas(self) -> list[str]:
        """Return the node of each replica that runs and should."""
        options = ["--filter", "desired-state=running", "--format", "{{.Node}} {{.CurrentState}}"]
        lines = self.manager("service", "ps", *options, "site_app").splitlines()
        return [node for node, state, *_ in map(str.split, lines) if state == "Running"]

    def history(self) -> str:
        """Return the history of the replicas, and counts of the requests that failed in the last three minutes."""
        states = "{{.Name}} {{.Node}} {{.Image}} {{.DesiredState}} {{.CurrentState}} {{.Error}}"
        tasks = self.manager("service", "ps", "--format", states, "site_app")
        # With a timeout, because `docker service logs` waits for a node that is down.
        logs = ["timeout", "30", "docker", "-H", self.engines[0].host, "service", "logs", "--since", "3m", "site_nginx"]
        output = subprocess.run(logs, stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT, check=False).stdout
        failures = Counter(re.findall(FAILED, output))
        return "\n".join([tasks, *(f"{' '.join(each)}: {count}" for each, count in sorted(failures.items()))])

    def errors(self) -> str:
        """Return the last ten errors in the log of each engine."""
        found = []
        for engine in self.engines:
            command = ["docker", "logs", "--tail", "200", engine.name]
            output = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT, check=False
            ).stdout
            found += [engine.name, *[line for line in output.splitlines() if "level=error" in line][-10:]]
        return "\n".join(found)

    def is_up(self, engine: Engine) -> bool:
        """Tell whether the node is ready."""
        return self.readiness(engine) == 200

    def readiness(self, engine: Engine) -> int:
        """Return the status of the node's readiness check, which a load balancer makes, or 0 if it does not answer."""
        try:
            return httpx.get(f"{self.url(engine)}/readyz").status_code
        except httpx.TransportError:
            return 0
