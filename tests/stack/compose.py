"""A stack of containers: a Compose project with its own name and port, built from the reference application."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.stack.waiting import free_port, until
from tests.tree import reference_tree

PYTHON_IMAGE = "python:3.14-slim-trixie"
SELDOM = str(Path(__file__).with_name("seldom.yml"))  # for stacks that run long, and whose health is not under test


def has_engine() -> bool:
    """Return whether a Docker Engine is running and Compose is installed."""
    try:
        return all(
            subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
            for command in (["docker", "info"], ["docker", "compose", "version"])
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


class ComposeStack:
    """One Compose project, with `settings` in the environment."""

    kind = "docker"
    env_file = "/dev/null"  # ignore the developer's .env

    def __init__(
        self,
        backend: str,
        name: str = "",
        overlay: str = "",
        files: tuple[str, ...] = ("docker-compose.yml",),
        root: Path | None = None,
        **settings: str,
    ) -> None:
        self.backend = backend
        self.files = files
        self.root = root or reference_tree()
        self.project = f"wsgi-test-{os.getpid()}-{backend}{name}"
        self.overlay = overlay
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        # Ignore settings in the developer's shell.
        kept = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME"} or key.startswith("DOCKER_")}
        self.environ = kept | {"BACKEND": backend, "HTTP_PORT": str(port)} | settings

    def compose(self, *arguments: str, check: bool = True, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `docker compose` on this project with further settings; fail the test with the output if it fails."""
        ended = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environ | settings,
            input=self.overlay,
            text=True,
            capture_output=True,
            check=False,
            timeout=600,
        )
        assert not check or ended.returncode == 0, f"{ended.args}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `docker compose` on this project; the overlay is its standard input."""
        files = [f"--file={file}" for file in (*self.files, *(["-"] if self.overlay else []))]
        return ["docker", "compose", "--env-file", self.env_file, "--project-name", self.project, *files, *arguments]

    def up(self, *services: str, **settings: str) -> None:
        """Start the stack, or only `services`, and wait until it is healthy."""
        self.compose("up", "--detach", "--wait", "--build", *services, check=True, **settings)

    def down(self) -> None:
        """Remove the project's containers, volumes, networks and images."""
        self.compose("--profile", "loadtest", "down", "--volumes", "--rmi", "all", "--timeout", "1", "--remove-orphans")

    # `docker` is several times as fast as `docker compose`, which reads its files each time.
    def docker(self, *arguments: str, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        """Run `docker` on the project's engine."""
        command = ["docker", *arguments]
        return subprocess.run(
            command, env=self.environ, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False, timeout=120
        )

    def ids(self, service: str, *options: str) -> list[str]:
        """Return the ids of the service's containers, oldest first, without those of `docker compose run`."""
        labels = {"project": self.project, "service": service, "oneoff": "False"}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return self.docker("ps", "--quiet", *options, *filters).stdout.split()[::-1]

    def inspect(self, service: str) -> dict[str, Any]:
        """Return the output of `docker inspect` for the service's container."""
        [container] = self.ids(service, "--all")
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", container).stdout)
        return found[0]

    def execute(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the service's oldest running container."""
        return self.docker("exec", next(iter(self.ids(service)), ""), *command)

    def logs(self, service: str) -> str:
        """Return the log of the service's containers."""
        logs = (self.docker("logs", container, stderr=subprocess.STDOUT) for container in self.ids(service, "--all"))
        return "".join(log.stdout for log in logs)

    def stop_app(self) -> None:
        self.compose("stop", "app")

    def start_app(self) -> None:
        self.compose("start", "app")

    def restart_app(self) -> None:
        self.compose("restart", "app")

    def reload_app(self) -> None:
        """Send SIGHUP to the first process of the app.

        Without `docker kill`, after which the engine would no longer restart the app after a crash.
        """
        self.execute("app", "sh", "-c", "kill -HUP 1")

    def workers(self) -> set[int]:
        """Return the processes of the app's workers."""
        server = "read -r server _ </proc/1/task/1/children; cat /proc/$server/task/$server/children"
        return {int(each) for each in self.execute("app", "sh", "-c", server).stdout.split()}

    def remove_socket(self) -> None:
        self.execute("app", "sh", "-c", "rm /run/app/$(readlink /run/app/live.sock)")

    def kill_app(self) -> None:
        """Kill the first process of the app, and wait until the engine restarts the container."""
        self.kill("app")

    def kill(self, service: str) -> None:
        """Kill the first process of the service, and wait until the engine restarts the container.

        Without `docker kill`, after which the engine would not restart it.
        """
        before = self.inspect(service)
        kill = f"import os; os.kill({before['State']['Pid']}, 9)"
        docker("run", "--rm", "--pid=host", "--network=none", "--cap-add=KILL", PYTHON_IMAGE, "python3", "-c", kill)
        until(lambda: self.inspect(service)["RestartCount"] > before["RestartCount"], f"the engine restarts {service}")

    def is_up(self) -> bool:
        """Return whether the app is ready, through nginx."""
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:  # uWSGI accepts the request, and answers when it has imported the app
            return False


def docker(*arguments: str) -> str:
    """Run `docker` and return its output; fail the test if it fails."""
    ended = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, f"docker {' '.join(arguments)}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout
