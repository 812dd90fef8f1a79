"""One whole stack of a comparison: a Compose project of its own, on a port of its own, limited as the others are."""

import http.client
import json
import os
import re
import socket
import subprocess
import time
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from loadtest.compare.sides import Side

BARE = Path(__file__).parent / "bare.py"
PATIENCE = 60  # seconds that a start may take


class StackError(RuntimeError):
    """A stack that does not do as it is told; its message has what Docker says."""


class Stack:
    """The stack of one side, or of the bare callable on that side's server."""

    def __init__(self, label: str, side: Side, tree: Path, limits: dict[str, str], *, is_bare: bool = False) -> None:
        self.label, self.side, self.tree = label, side, tree
        self.project = f"wsgi-compare-{os.getpid()}-{label.lower().replace(' ', '-')}"
        self.release = 0
        self.requests = self.failures = 0  # of all measurements
        mount = {"volumes": [f"{BARE}:/srv/app/wsgi.py:ro"]}
        self.overlay = json.dumps({"services": {"app": mount, "assets": mount}}) if is_bare else ""
        # Nothing of the user's own settings: neither a shell's nor those of .env.
        kept = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME"} or key.startswith("DOCKER_")}
        self.environ = kept | limits | {"BACKEND": side.backend, "HTTP_PORT": str(free_port())} | side.settings

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` on this project and return what it prints; raise StackError where it fails."""
        files = ["--file", "docker-compose.yml", *(["--file", "-"] if self.overlay else [])]
        line = ["docker", "compose", "--env-file", os.devnull, "--project-name", self.project, *files, *arguments]
        return run(line, cwd=self.tree, env=self.environ, input=self.overlay)

    def up(self) -> None:
        """Build it, start it and wait until it is healthy."""
        self.compose("up", "--detach", "--wait", "--build")

    def down(self) -> None:
        """Remove its containers, volumes, networks and images."""
        for release in range(1, self.release + 1):
            run(["docker", "image", "rm", "--force", self.image(f"r{release}")])
        self.environ.pop("RELEASE", None)
        self.compose("--profile", "loadtest", "down", "--volumes", "--rmi", "all", "--timeout", "1", "--remove-orphans")

    def image(self, release: str = "dev") -> str:
        """Return the name of the app's image."""
        return f"{self.project}-app:{release}-{self.side.backend}"

    def container(self, service: str) -> str:
        """Return the id of the service's container."""
        return self.compose("ps", "--quiet", service).split()[0]

    @cached_property
    def url(self) -> str:
        """Return where nginx answers: its own address where it can be reached, which spares us Docker's proxy."""
        networks = json.loads(run(["docker", "inspect", self.container("nginx")]))[0]["NetworkSettings"]["Networks"]
        for network in networks.values():
            try:
                socket.create_connection((network["IPAddress"], 8080), 1).close()
            except OSError:
                continue
            return f"http://{network['IPAddress']}:8080"
        return f"http://127.0.0.1:{self.environ['HTTP_PORT']}"

    @property
    def cpus(self) -> float:
        """Return how many CPUs the app may use."""
        return float(self.environ["APP_CPUS"]) or os.cpu_count() or 1

    def threads(self) -> int:
        """Return how many requests the app executes at a time, by the command line that its launcher has logged."""
        log = self.compose("logs", "--no-log-prefix", "app")
        counts = [re.findall(rf"^serve: .* --(?:{name}) (\d+)", log, re.MULTILINE)
                  for name in ("workers|processes", "threads")]  # fmt: skip
        return prod(int(found[-1]) if found else 0 for found in counts)

    def answers(self, path: str) -> bool:
        """Tell whether 200 is what comes through nginx."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return response.status == http.HTTPStatus.OK

    def until_it_answers(self, began: float) -> float:
        """Return how many seconds after `began` it answers; raise StackError where it does not."""
        while not self.answers("/readyz"):
            if time.perf_counter() - began > PATIENCE:
                raise StackError(f"{self.label} does not answer within {PATIENCE} s")
            time.sleep(0.01)
        return time.perf_counter() - began

    def rest(self) -> None:
        """Stop the app: a stack whose turn it is not takes nothing from the one that is measured."""
        self.compose("stop", "app")

    def cold_start(self) -> float:
        """Return the seconds from the start of the app's container, which rests, to the first answer through nginx."""
        container = self.compose("ps", "--all", "--quiet", "app").split()[0]
        began = time.perf_counter()
        run(["docker", "start", container])
        return self.until_it_answers(began)

    def deploy(self) -> float:
        """Return the seconds that it takes to put another release in the place of this one.

        The same image under a new name, so that nothing is built. DEPLOY, a command of the shell, takes the place of
        `docker compose up`: it finds COMPOSE_PROJECT_NAME, BACKEND, RELEASE and HTTP_PORT in its environment.
        """
        before, self.release = self.image(self.environ.get("RELEASE", "dev")), self.release + 1
        self.environ["RELEASE"] = f"r{self.release}"
        run(["docker", "tag", before, self.image(self.environ["RELEASE"])])
        began = time.perf_counter()
        if command := os.environ.get("DEPLOY"):
            environ = self.environ | {"COMPOSE_PROJECT_NAME": self.project}
            run(["bash", "-c", command], cwd=self.tree, env=environ)
        else:
            self.compose("up", "--detach", "--wait", "--no-build", "app")
        return self.until_it_answers(began)

    def image_sizes(self) -> tuple[float, float | None]:
        """Return the size of the app's image in MB, and how much of it our Dockerfile has put on the base image."""
        whole = int(run(["docker", "image", "inspect", "--format", "{{.Size}}", self.image()]))
        steps = run(
            ["docker", "history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", self.image()]
        )
        return whole / 1e6, own_megabytes(steps)

    def usage(self, service: str) -> tuple[float, float]:
        """Return the seconds of CPU that the service has used so far, and the MB of memory that are its own now."""
        stats = engine(f"/containers/{self.container(service)}/stats?stream=false&one-shot=true")
        memory = stats["memory_stats"]["stats"]
        own = memory.get("anon", memory.get("total_rss", 0))  # cgroup version 2, or 1
        return stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, own / 1e6


def own_megabytes(steps: str) -> float | None:
    """Return the MB of the steps, newest first, as far back as to the folder that no base image has."""
    own, is_there, _ = steps.partition(" WORKDIR /srv\n")
    return sum(int(line.split()[0]) for line in own.splitlines()) / 1e6 if is_there else None


def engine(path: str) -> Any:  # noqa: ANN401 (JSON)
    """Return what Docker's engine answers, asked without a process for each question."""
    host = os.environ.get("DOCKER_HOST") or run(
        ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    )
    if not host.startswith("unix://"):
        raise StackError(f"Docker's engine is at {host.strip()}: a comparison needs it on this machine, at unix://PATH")
    connection = http.client.HTTPConnection("docker")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(host.strip().removeprefix("unix://"))
    connection.request("GET", path)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def run(command: list[str], **options: Any) -> str:  # noqa: ANN401 (those of subprocess.run)
    """Run the command and return what it prints; raise StackError where it fails."""
    try:
        ended: subprocess.CompletedProcess[str] = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=600, **options
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(str(error)) from error
    if ended.returncode:
        raise StackError(f"{' '.join(command)}\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
