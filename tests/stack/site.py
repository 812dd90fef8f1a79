"""A site that is deployed: a copy of today's tree with an .env and a history of its own, and `make deploy` in it."""

import fcntl
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from deploy.server.launch import BACKENDS
from tests.stack.compose import ComposeStack, docker
from tests.stack.waiting import ROOT

TREE = ["app", "deploy", "loadtest", "nginx", "requirements", "Dockerfile", "Makefile", "docker-compose.yml"]


class Site(ComposeStack):
    """A Compose project whose app is what `make deploy` has made live."""

    env_file = ".env"

    def __init__(self, backend: str, name: str, folder: Path, **settings: str) -> None:
        super().__init__(backend, name, "", ("docker-compose.yml",), folder, **settings)
        self.urls = [self.url]
        copy_tree(folder)
        # Long enough for the releases that die after three seconds.
        story = folder / "deploy" / "release" / "candidate.py"
        story.write_text(story.read_text().replace("BAKE = 10 ", "BAKE = 5 "))
        # The first deploy's choice; afterwards .env says what is live.
        (folder / ".env").write_text(f"# mine\nBACKEND={self.environ.pop('BACKEND')}\nLOG_LEVEL=info\n")
        self.environ |= {"COMPOSE_PROJECT_NAME": self.project, "PYTHON": sys.executable}

    def change(self, path: str, more: str) -> None:
        """Write `more` at the end of a file of the tree."""
        with (self.root / path).open("a") as file:
            file.write(more)

    def restore(self, path: str) -> None:
        """Undo what `change` has done."""
        shutil.copy(ROOT / path, self.root / path)

    def down(self) -> None:
        """Remove everything of this project, the images of earlier releases too."""
        super().down()
        if images := docker("image", "ls", f"{self.project}-app", "--format", "{{.Repository}}:{{.Tag}}").split():
            docker("image", "rm", *images)

    def begin(self, word: str = "deploy", **settings: str) -> subprocess.Popen[str]:
        """Start `make deploy`, or another word, and return its process, which can be killed, as make's could not."""
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.release", word],
            cwd=self.root,
            env=self.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def make(self, word: str = "deploy", *, fails: bool = False, **settings: str) -> str:
        """Run `make deploy`, or another word, and return what it says; fail the test unless it ends as it should."""
        return make(word, self.root, self.environ | settings, fails=fails)

    def interrupt(self, phase: str, how: signal.Signals, **settings: str) -> None:
        """Start a deploy, end it when it says `phase`, and wait until the last command that it has begun has ended."""
        with self.begin(**settings) as process:
            said = ""
            for line in process.stdout or ():
                said += line
                if phase in line:
                    process.send_signal(how)
                    break
            else:
                raise AssertionError(said)
            process.communicate(timeout=60)
        with (self.root / ".deploy").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

    def env(self) -> str:
        """Return the text of .env."""
        return (self.root / ".env").read_text()

    def left(self) -> dict[str, set[str]]:
        """Return what there is of the app: its containers, its images' tags, the files in its sockets' folder."""
        images = docker("image", "ls", f"{self.project}-app", "--format", "{{.Tag}}").split()
        return {
            "containers": self.containers("app", one_off=False),
            "one-off": self.containers("assets", one_off=True),
            "images": set(images),
            "sockets": set(self.execute("app", "ls", "-A", "/run/app").stdout.split()),
        }

    def containers(self, service: str, *, one_off: bool) -> set[str]:
        """Return the containers of the service, those of `docker compose run` or the others."""
        labels = {"project": self.project, "service": service, "oneoff": str(one_off)}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return set(docker("container", "ls", "--all", "--quiet", *filters).split())

    def version(self) -> dict[str, str]:
        """Return what /version answers."""
        answer: dict[str, str] = httpx.get(f"{self.url}/version").json()
        return answer


def copy_tree(folder: Path) -> None:
    """Copy what a deploy needs of today's tree."""
    for each in [*TREE, ".dockerignore", ".gitignore"]:
        copy = shutil.copytree if (ROOT / each).is_dir() else shutil.copy
        copy(ROOT / each, folder / each)


def make(word: str, folder: Path, environ: dict[str, str], *, fails: bool) -> str:
    """Run make in a folder, and return what it says; fail the test unless it ends as it should."""
    ended = subprocess.run(
        ["make", "--no-print-directory", word],
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
    """Return the backend that it is not."""
    return next(each for each in BACKENDS if each != backend)


def later(what: str) -> str:
    """Return code that does this in each worker, three seconds after its start."""
    return f"\nimport os, threading\nif os.getppid() == 1:\n    threading.Timer(3, lambda: {what}).start()\n"
