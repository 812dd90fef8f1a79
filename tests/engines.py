"""Docker Engines in containers, which tests can stop, restart and disconnect like machines."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.stack.compose import docker
from tests.stack.waiting import ROOT, until

ENGINE_IMAGE = "docker:dind"
PID_FILE = "/var/run/docker.pid"
# On cgroup v2 only a group without processes can limit its children. So the processes of the root group are moved.
NESTING = """
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p /sys/fs/cgroup/init
    xargs -rn1 </sys/fs/cgroup/cgroup.procs >/sys/fs/cgroup/init/cgroup.procs || :
    sed 's/ / +/g; s/^/+/' </sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi
"""
DOCKERFILE = (ROOT / "Dockerfile").read_text()
BASE_IMAGES: list[str] = re.findall(r"^ARG \w+_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)


class Engine:
    """One engine, with a socket in its own folder and an address in its network."""

    def __init__(self, name: str, network: str, *options: str, shared: Path | None = None) -> None:
        """Start the engine. A project can bind-mount only the `shared` folder, which has the same path inside."""
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix="engine-"))
        self.host = f"unix://{self.folder}/docker.sock"
        # A loop, not dockerd, is the first process, because the container must survive the end of its daemon.
        options = ("--host=unix:///run/engine/docker.sock", f"--group={os.getgid()}", *nameservers(), *options)
        keep = f"while :; do rm -f {PID_FILE}; dockerd {' '.join(options)}; done"
        try:
            docker(
                *("run", "--detach", "--privileged", "--name", name, "--hostname", name.rpartition("-")[2]),
                *("--network", network, "--volume", f"{self.folder}:/run/engine", "--entrypoint", "sh"),
                *(["--volume", f"{shared}:{shared}"] if shared else []),
                *(ENGINE_IMAGE, "-c", NESTING + keep),
            )
        except BaseException:
            self.remove()
            raise

    @property
    def address(self) -> str:
        """Return the engine's address in its network."""
        return docker(
            "inspect", self.name, "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        ).strip()

    def is_up(self) -> bool:
        """Tell whether the daemon responds."""
        return subprocess.run(["docker", "-H", self.host, "info"], capture_output=True, check=False).returncode == 0

    def docker(self, *arguments: str) -> str:
        """Run `docker` on this engine and return its output; fail the test if the command fails."""
        return docker("-H", self.host, *arguments)

    def load(self, *images: str) -> None:
        """Copy these images from the outer engine, which pulls the missing ones."""
        for image in images:
            if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode:
                docker("pull", "--quiet", image)
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "-H", self.host, "load", "--quiet"], stdin=saved.stdout, check=True, timeout=300)
        assert saved.returncode == 0

    def restart_daemon(self) -> None:
        """Stop the daemon with SIGTERM, and wait until the next one responds."""
        process = f"cat {PID_FILE}"
        before = docker("exec", self.name, "sh", "-c", process)
        docker("exec", self.name, "sh", "-c", f"kill {before.strip()}")
        until(lambda: self.is_up() and docker("exec", self.name, "sh", "-c", process) != before, "the daemon is up", 60)

    def configure(self, text: str) -> None:
        """Reload the daemon with this configuration. It applies few settings without a restart; live-restore is one."""
        script = f"mkdir -p /etc/docker && echo '{text}' >/etc/docker/daemon.json && kill -HUP $(cat {PID_FILE})"
        docker("exec", self.name, "sh", "-c", script)

    def cut(self, network: str) -> None:
        """Cut the power: disconnect the engine first, because a kill alone would close its connections."""
        docker("network", "disconnect", "--force", network, self.name)
        docker("kill", self.name)

    def restore(self, network: str) -> None:
        """Switch the power on again after cut(), and wait until the daemon responds."""
        docker("network", "connect", network, self.name)
        docker("start", self.name)
        until(self.is_up, f"{self.name} is up", 60)

    def remove(self) -> None:
        """Remove the engine with its containers, images and volumes."""
        docker("rm", "--force", "--volumes", self.name)
        shutil.rmtree(self.folder)


def nameservers() -> list[str]:
    """Return options for this machine's name servers: Docker's own are not reachable from inner containers."""
    found = re.findall(r"^nameserver (\S+)", Path("/etc/resolv.conf").read_text(), re.MULTILINE)
    return [f"--dns={each}" for each in found if not each.startswith("127.")]


def environ(engine: Engine) -> dict[str, str]:
    """Return an environment in which `docker` uses this engine."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"DOCKER_HOST": engine.host}
