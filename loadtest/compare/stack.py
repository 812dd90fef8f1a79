"""One complete stack of a comparison: a Compose project with its own port and the same limits as the others."""

import http.client
import json
import os
import socket
import subprocess
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from loadtest.compare.options import Options
from loadtest.compare.variants import Variant
from loadtest.site import read_version

BARE = Path(__file__).parent / "bare.py"
START_TIMEOUT = 60  # seconds


class StackError(RuntimeError):
    """A command failed, or a stack does not answer; the message has the command's output."""


class Stack:
    """The stack of a variant, or of the bare callable on the variant's server."""

    def __init__(self, label: str, variant: Variant, tree: Path, options: Options, *, is_bare: bool = False) -> None:
        self.label, self.variant, self.tree, self.options = label, variant, tree, options
        self.project = f"wsgi-compare-{os.getpid()}-{label.lower().replace(' ', '-')}"
        self.release = 0
        self.requests = self.failures = 0  # of all measurements
        mount = {"volumes": [f"{BARE}:/srv/app/wsgi.py:ro"]}
        self.overlay = json.dumps({"services": {"app": mount, "assets": mount}}) if is_bare else ""
        own = {"BACKEND": variant.backend, "HTTP_PORT": str(free_port())}
        self.environ = options.environ | options.limits | own | variant.settings

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` on this project and return its output; raise StackError if it fails."""
        files = ["--file", "docker-compose.yml", *(["--file", "-"] if self.overlay else [])]
        line = ["docker", "compose", "--env-file", os.devnull, "--project-name", self.project, *files, *arguments]
        return run(line, cwd=self.tree, env=self.environ, input=self.overlay)

    def up(self) -> None:
        """Build and start the stack, and wait until it is healthy."""
        self.compose("up", "--detach", "--wait", "--build")

    def down(self) -> None:
        """Remove the stack's containers, volumes, networks and images."""
        for release in range(1, self.release + 1):
            run(["docker", "image", "rm", "--force", self.image(f"r{release}")])
        self.environ.pop("RELEASE", None)
        self.compose("--profile", "loadtest", "down", "--volumes", "--rmi", "all", "--timeout", "1", "--remove-orphans")

    def image(self, release: str = "dev") -> str:
        """Return the name of the app's image."""
        return f"{self.project}-app:{release}-{self.variant.backend}"

    def container(self, service: str) -> str:
        """Return the id of the service's container."""
        return self.compose("ps", "--quiet", service).split()[0]

    @cached_property
    def url(self) -> str:
        """Return nginx's URL: its own address if it can be reached, which avoids Docker's proxy."""
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
        """Return the number of CPUs that the app may use."""
        return float(self.environ["APP_CPUS"]) or os.cpu_count() or 1

    def threads(self) -> int:
        """Return the number of requests that the app executes at a time, from /version; 0 if it is unknown."""
        found = read_version(self.url)
        counts = (found[0].workers, found[0].threads) if found else (0, 0)
        return counts[0] * counts[1] if isinstance(counts[0], int) and isinstance(counts[1], int) else 0

    def answers(self, path: str) -> bool:
        """Return whether the status through nginx is 200."""
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

    def wait(self, began: float) -> float:
        """Wait for the first response; return the seconds since `began`; raise StackError after START_TIMEOUT."""
        while not self.answers("/readyz"):
            if time.perf_counter() - began > START_TIMEOUT:
                raise StackError(f"{self.label} does not answer within {START_TIMEOUT} s")
            time.sleep(0.01)
        return time.perf_counter() - began

    def stop(self) -> None:
        """Stop the app, so that it uses no CPU while another stack is measured."""
        self.compose("stop", "app")

    def cold_start(self) -> float:
        """Start the app's stopped container; return the seconds to the first response through nginx."""
        container = self.compose("ps", "--all", "--quiet", "app").split()[0]
        began = time.perf_counter()
        run(["docker", "start", container])
        return self.wait(began)

    def deploy(self) -> float:
        """Deploy another release; return the seconds to its first response.

        The release is the same image under a new name, so nothing is built. DEPLOY, a shell command, replaces
        `docker compose up`. Its environment has COMPOSE_PROJECT_NAME, BACKEND, RELEASE and HTTP_PORT.
        """
        before, self.release = self.image(self.environ.get("RELEASE", "dev")), self.release + 1
        self.environ["RELEASE"] = f"r{self.release}"
        run(["docker", "tag", before, self.image(self.environ["RELEASE"])])
        began = time.perf_counter()
        if self.options.deploy:
            environ = self.environ | {"COMPOSE_PROJECT_NAME": self.project}
            run(["bash", "-c", self.options.deploy], cwd=self.tree, env=environ)
        else:
            self.compose("up", "--detach", "--wait", "--no-build", "app")
        return self.wait(began)

    def image_sizes(self) -> tuple[float, float | None]:
        """Return the size of the app's image in MB, and the part that our Dockerfile adds to the base image."""
        whole = int(run(["docker", "image", "inspect", "--format", "{{.Size}}", self.image()]))
        steps = run(
            ["docker", "history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", self.image()]
        )
        return whole / 1e6, own_megabytes(steps)

    def usage(self, service: str) -> tuple[float, float]:
        """Return the service's CPU time so far in seconds, and its anonymous memory in MB."""
        stats = engine(self.environ, f"/containers/{self.container(service)}/stats?stream=false&one-shot=true")
        memory = stats["memory_stats"]["stats"]
        own = memory.get("anon", memory.get("total_rss", 0))  # cgroup version 2, or 1
        return stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, own / 1e6


def own_megabytes(steps: str) -> float | None:
    """Return the MB of the steps, newest first, back to the first step of our Dockerfile."""
    own, is_there, _ = steps.partition(" WORKDIR /srv\n")
    return sum(int(line.split()[0]) for line in own.splitlines()) / 1e6 if is_there else None


def engine(environ: dict[str, str], path: str) -> Any:  # noqa: ANN401 (JSON)
    """Return the response of Docker's engine, without starting a process."""
    host = environ.get("DOCKER_HOST") or run(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
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
    """Run the command and return its output; raise StackError if it fails."""
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
    """Return a free port of the loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
