"""A Docker Swarm of three machines, each a container, with a registry beside them, and `make swarm-deploy` onto it."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.engines import BASE_IMAGES, Engine, environ
from tests.stack.compose import docker
from tests.stack.site import copy_tree, make
from tests.stack.waiting import until

REGISTRY_IMAGE = "registry:3"
REGISTRY = "registry:5000"
PORT = 8080
# Of a line of nginx's access log by way of the engine: the machine, when, the answer, and that of each replica asked.
FAILED = r'@(\S+) +\| .*"time":"([^"]+)".*"status":(5\d\d),.*"upstream_status":"([^"]+)"'


class Cluster:
    """Three engines, all of them managers, so that the swarm decides on as long as two are there."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.name = f"wsgi-test-{os.getpid()}-swarm"
        self.folder = folder
        self.backend = backend
        self.engines: list[Engine] = []
        self.exits = ExitStack()  # what removes that which is there so far
        copy_tree(folder)

    def up(self) -> None:
        """Start the machines and the registry, and make the first deploy."""
        docker("network", "create", self.name)
        self.exits.callback(docker, "network", "rm", self.name)
        self.exits.callback(docker, "rm", "--force", "--volumes", f"{self.name}-registry")
        docker(
            *("run", "--detach", "--name", f"{self.name}-registry"),
            *("--network", self.name, "--network-alias", "registry", REGISTRY_IMAGE),
        )
        for number in (1, 2, 3):
            engine = Engine(f"{self.name}-n{number}", self.name, f"--insecure-registry={REGISTRY}")
            self.exits.callback(engine.remove)
            self.engines.append(engine)
        for engine in self.engines:
            until(engine.answers, f"{engine.name} answers", 60)
        first, *others = self.engines
        first.docker("swarm", "init", "--advertise-addr", first.address)
        token = first.docker("swarm", "join-token", "--quiet", "manager").strip()
        for engine in others:
            engine.docker("swarm", "join", "--token", token, f"{first.address}:2377")
        first.load(*BASE_IMAGES)
        self.make(BACKEND=self.backend, RELEASE="first")
        until(lambda: all(map(self.answers, self.engines)), "nginx has found the app on each machine")

    def down(self) -> None:
        """Remove everything, also where something cannot be removed."""
        self.exits.close()

    @property
    def urls(self) -> list[str]:
        """Return where each machine answers."""
        return [self.url(engine) for engine in self.engines]

    def url(self, engine: Engine) -> str:
        """Return where this machine answers."""
        return f"http://{engine.address}:{PORT}"

    def make(self, word: str = "swarm-deploy", *, fails: bool = False, **settings: str) -> str:
        """Run `make swarm-deploy` on the first machine's engine, and return what it says."""
        own = {"REGISTRY": REGISTRY, "COMPOSE_PROJECT_NAME": "site", "HTTP_PORT": str(PORT), "PYTHON": sys.executable}
        return make(word, self.folder, environ(self.engines[0]) | own | settings, fails=fails)

    @contextmanager
    def changed(self, path: str, more: str) -> Iterator[None]:
        """Write `more` at the end of a file of the tree, during the block; where there is none, into a new one."""
        file = self.folder / path
        text = file.read_text() if file.exists() else None
        file.write_text(f"{text or ''}\n{more}")
        try:
            yield
        finally:
            if text is None:
                file.unlink()
            else:
                file.write_text(text)

    def manager(self, *arguments: str) -> str:
        """Run `docker` on the first machine."""
        return self.engines[0].docker(*arguments)

    def service(self, name: str) -> dict[str, Any]:
        """Return what the engines know of a service of the stack."""
        found: list[dict[str, Any]] = json.loads(self.manager("service", "inspect", f"site_{name}"))
        return found[0]

    def releases(self) -> set[str]:
        """Return what is live, by the image of each replica, and by a few answers through each machine."""
        options = ["--filter", "desired-state=running", "--format", "{{.Image}}"]
        images = self.manager("service", "ps", *options, "site_app").split()
        found = {image.partition("@")[0].rpartition(":")[2] for image in images}
        for url in self.urls * 6:
            version = httpx.get(f"{url}/version").json()
            found.add(f"{version['release']}-{version['backend']}")
        return found

    def static_files(self) -> set[str]:
        """Return the static files that the home page names, through any of the machines."""
        pages = [httpx.get(url).text for url in self.urls]
        return {name for page in pages for name in re.findall(r'(?:href|src)="(/static/[^"]+)"', page)}

    def get(self, path: str) -> set[str]:
        """Return what this path is answered on the machines: the status, and for a success the body."""
        answers = [httpx.get(url + path) for url in self.urls]
        return {each.text if each.is_success else str(each.status_code) for each in answers}

    def engine(self, name: str) -> Engine:
        """Return the machine that the swarm knows by this name."""
        return next(engine for engine in self.engines if engine.name.endswith(f"-{name}"))

    def replicas(self) -> list[str]:
        """Return the machine of each replica that runs and is meant to."""
        options = ["--filter", "desired-state=running", "--format", "{{.Node}} {{.CurrentState}}"]
        lines = self.manager("service", "ps", *options, "site_app").splitlines()
        return [node for node, state, *_ in map(str.split, lines) if state == "Running"]

    def account(self) -> str:
        """Return what has happened lately: where the replicas were, and what nginx has had from them that failed."""
        states = "{{.Name}} {{.Node}} {{.Image}} {{.DesiredState}} {{.CurrentState}} {{.Error}}"
        tasks = self.manager("service", "ps", "--format", states, "site_app")
        # With a limit: the logs of a machine that is lost would be waited for.
        logs = ["timeout", "30", "docker", "-H", self.engines[0].host, "service", "logs", "--since", "3m", "site_nginx"]
        said = subprocess.run(logs, stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT, check=False).stdout
        complaints = Counter(re.findall(FAILED, said))
        return "\n".join([tasks, *(f"{' '.join(each)}: {count}" for each, count in sorted(complaints.items()))])

    def errors(self) -> str:
        """Return what has gone wrong in the daemons themselves, the last of it."""
        found = []
        for engine in self.engines:
            command = ["docker", "logs", "--tail", "200", engine.name]
            said = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT, check=False
            ).stdout
            found += [engine.name, *[line for line in said.splitlines() if "level=error" in line][-10:]]
        return "\n".join(found)

    def answers(self, engine: Engine) -> bool:
        """Tell whether the site is there, by way of this machine."""
        try:
            return httpx.get(f"{self.url(engine)}/readyz").status_code == 200
        except httpx.TransportError:
            return False
