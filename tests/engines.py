"""Docker Engines in containers: machines, as far as Docker is concerned, which a test may break as it likes."""

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
# On cgroup v2 only a group without processes of its own may limit those below it: the machine's first ones go aside.
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
    """One engine, reached by a socket in a folder of its own, and at an address in its network."""

    def __init__(self, name: str, network: str, *options: str, shared: Path | None = None) -> None:
        """Start it; a bind mount of a project needs a `shared` folder, which has the same name within."""
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix="engine-"))
        self.host = f"unix://{self.folder}/docker.sock"
        # Not dockerd itself: a container ends with its first process, and a machine goes on when its daemon has ended.
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
        """Return its address in its network."""
        return docker(
            "inspect", self.name, "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        ).strip()

    def answers(self) -> bool:
        """Tell whether the daemon is there."""
        return subprocess.run(["docker", "-H", self.host, "info"], capture_output=True, check=False).returncode == 0

    def docker(self, *arguments: str) -> str:
        """Run `docker` on this engine, and return what it prints; fail the test where it fails."""
        return docker("-H", self.host, *arguments)

    def load(self, *images: str) -> None:
        """Give it these images from the engine that it runs on, where a build may have used them and kept none."""
        for image in images:
            if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode:
                docker("pull", "--quiet", image)
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "-H", self.host, "load", "--quiet"], stdin=saved.stdout, check=True, timeout=300)
        assert saved.returncode == 0

    def restart_daemon(self) -> None:
        """End the daemon as a system does that restarts it, and wait until there is another."""
        process = f"cat {PID_FILE}"
        before = docker("exec", self.name, "sh", "-c", process)
        docker("exec", self.name, "sh", "-c", f"kill {before.strip()}")
        until(lambda: self.answers() and docker("exec", self.name, "sh", "-c", process) != before, "it is back", 60)

    def configure(self, text: str) -> None:
        """Give the daemon this configuration while it runs; of the little that it takes so, live-restore is one."""
        script = f"mkdir -p /etc/docker && echo '{text}' >/etc/docker/daemon.json && kill -HUP $(cat {PID_FILE})"
        docker("exec", self.name, "sh", "-c", script)

    def cut(self, network: str) -> None:
        """End it as a power cut would: to be killed alone closes its connections, and everybody is told."""
        docker("network", "disconnect", "--force", network, self.name)
        docker("kill", self.name)

    def remove(self) -> None:
        """Remove it with everything in it."""
        docker("rm", "--force", "--volumes", self.name)
        shutil.rmtree(self.folder)


def nameservers() -> list[str]:
    """Return options that name this machine's name servers; in a container an engine finds Docker's, no use within."""
    found = re.findall(r"^nameserver (\S+)", Path("/etc/resolv.conf").read_text(), re.MULTILINE)
    return [f"--dns={each}" for each in found if not each.startswith("127.")]


def environ(engine: Engine) -> dict[str, str]:
    """Return the environment in which `docker` means this engine."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"DOCKER_HOST": engine.host}
