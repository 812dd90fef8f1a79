"""A deployed site: a copy of the reference tree with its own .env and releases, in which tests run `make deploy`."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx

from deploy.server.launch import BACKENDS
from tests.stack.compose import ComposeStack, docker
from tests.stack.waiting import until
from tests.tree import copy_reference

EXECUTED = Path(__file__).parents[1] / "drills" / "executed.py"


class Site(ComposeStack):
    """A Compose project whose app is started by `make deploy`."""

    env_file = ".env"

    def __init__(self, backend: str, name: str, folder: Path, **settings: str) -> None:
        super().__init__(backend, name, "", ("docker-compose.yml",), folder, **settings)
        self.urls = [self.url]
        self.before: dict[str, str] = {}  # the text of changed files
        copy_reference(folder)
        # Each execution of a POST, PUT or DELETE is recorded in a volume that all releases share.
        with (folder / "app" / "wsgi.py").open("a") as file:
            file.write(EXECUTED.read_text())
        compose = (folder / "docker-compose.yml").read_text()
        compose = compose.replace('"run:/run/app"', '"run:/run/app", "executed:/var/lib/assets"')
        self.write("docker-compose.yml", compose.replace("  buffers:\n", "  buffers:\n  executed:\n"))
        # For the first deploy; each deploy then writes the live backend.
        settings = {name: self.environ.pop(name) for name in ("BACKEND", "HTTP_PORT")}
        self.write(
            ".env", f"# mine\nBACKEND={settings['BACKEND']}\nLOG_LEVEL=info\nHTTP_PORT={settings['HTTP_PORT']}\n"
        )
        self.environ |= {"COMPOSE_PROJECT_NAME": self.project, "PYTHON": sys.executable}
        self.environ["WATCH_SECONDS"] = "5"  # longer than the three seconds of `later`

    def write(self, path: str, text: str) -> None:
        """Write a file of the copy."""
        (self.root / path).write_text(text)

    def change(self, path: str, more: str) -> None:
        """Append `more` to a file of the copy."""
        before = (self.root / path).read_text()
        self.before.setdefault(path, before)
        self.write(path, before + more)

    def restore(self, path: str) -> None:
        """Undo `change`."""
        self.write(path, self.before.pop(path))

    def down(self) -> None:
        """Remove the project, with the images of all its releases."""
        super().down()
        for repository in ("app", "history"):
            names = docker("image", "ls", f"{self.project}-{repository}", "--format", "{{.Repository}}:{{.Tag}}")
            if names:
                docker("image", "rm", *names.split())

    def begin(self, command: str = "deploy", module: str = "deploy.release", **settings: str) -> subprocess.Popen[str]:
        """Start a command of deploy/release without make, so that a signal reaches it, and return its process."""
        return subprocess.Popen(
            [sys.executable, "-m", module, command],
            cwd=self.root,
            env=self.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def make(self, command: str = "deploy", *, fails: bool = False, **settings: str) -> str:
        """Run a make command in the copy and return its output; fail the test unless it succeeds, or `fails`."""
        return make(command, self.root, self.environ | settings, fails=fails)

    def interrupt(self, phase: str, number: signal.Signals, **settings: str) -> None:
        """Start a deploy, send it the signal when it prints `phase`, and wait until its last command has ended."""
        with self.begin(**settings) as process:
            output = ""
            for line in process.stdout or ():
                output += line
                if phase in line:
                    process.send_signal(number)
                    break
            else:
                raise AssertionError(output)
            process.communicate(timeout=60)
        self.wait_for_lock()

    def pause(self, service: str) -> None:
        """Pause the service's container.

        With cgroup v1 the engine can fail ("unable to freeze") while a process starts in the container.
        """
        command = ["docker", "pause", self.inspect(service)["Id"]]
        until(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0, "it is paused")

    def wait_for_lock(self) -> None:
        """Wait until the last command of a deploy that was killed has ended."""
        name = f"--filter=name=^{self.project}-deploy$"
        until(lambda: not docker("container", "ls", "--quiet", "--all", name), "the last command has ended", 60)

    def releases(self) -> list[str]:
        """Return the tags of the releases that can be rolled back to, the live one last."""
        tags = docker("image", "ls", f"{self.project}-history", "--format", "{{.Tag}}").split()
        return [tag.partition("-")[2] for tag in sorted(tags)]

    def env(self) -> str:
        """Return the text of .env."""
        return (self.root / ".env").read_text()

    def resources(self) -> dict[str, set[str]]:
        """Return the app's containers, image tags and sockets, and the containers of `docker compose run`."""
        images = docker("image", "ls", f"{self.project}-app", "--format", "{{.Tag}}").split()
        return {
            "containers": self.containers("app", one_off=False),
            "one-off": self.containers("assets", one_off=True),
            "images": set(images),
            "sockets": set(self.execute("app", "ls", "-A", "/run/app").stdout.split()),
        }

    def containers(self, service: str, *, one_off: bool) -> set[str]:
        """Return the containers of the service; with `one_off`, those of `docker compose run` instead."""
        labels = {"project": self.project, "service": service, "oneoff": str(one_off)}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return set(docker("container", "ls", "--all", "--quiet", *filters).split())

    def version(self) -> dict[str, str]:
        """Return the response of /version."""
        version: dict[str, str] = httpx.get(f"{self.url}/version").json()
        return version


def clone(site: Site, folder: Path) -> Site:
    """Return another working copy of the same project, without .env."""
    copy = Site(site.backend, "", folder)
    (folder / ".env").unlink()
    copy.project, copy.url = site.project, site.url
    copy.environ = dict(site.environ)
    return copy


def make(command: str, folder: Path, environ: dict[str, str], *, fails: bool) -> str:
    """Run a make command in a folder and return its output; fail the test unless it succeeds, or `fails`."""
    ended = subprocess.run(
        ["make", "--no-print-directory", command],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert (ended.returncode != 0) == fails, ended.stdout
    return ended.stdout


def other(backend: str) -> str:
    """Return the other backend; the same one in a fork that has removed the other."""
    return next((each for each in BACKENDS if each != backend), backend)


def later(what: str) -> str:
    """Return code for app/wsgi.py that does this in each worker, three seconds after its start."""
    return f"\nimport os, threading\nif os.getppid() > 1:\n    threading.Timer(3, lambda: {what}).start()\n"
