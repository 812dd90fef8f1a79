"""A stack of plain processes, as `make local` starts them, on a free port."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from tests.stack.waiting import free_port, until
from tests.tree import reference_tree


def missing(backend: str) -> str:
    """Return a command that the stack needs and this machine lacks, or an empty string."""
    path = f"{sys.prefix}/bin:{os.environ['PATH']}:/usr/sbin"
    return next((command for command in ("nginx", "setpriv", backend) if not shutil.which(command, path=path)), "")


class LocalStack:
    """One supervisord and its children, with `settings` in the environment, on the reference application or `root`."""

    kind = "processes"

    def __init__(self, backend: str, module: str = "deploy.local", root: Path | None = None, **settings: str) -> None:
        port = free_port()
        self.backend = backend
        self.command = [sys.executable, "-m", module]
        self.root = root or reference_tree()
        self.run_dir = self.root / ".local" / str(port)
        self.url = f"http://127.0.0.1:{port}"
        self.environ = {"PATH": os.environ["PATH"], "BACKEND": backend, "HTTP_PORT": str(port), **settings}
        self.log = Path(tempfile.mkdtemp(), "log")

    def up(self) -> None:
        """Start the stack and wait until it is ready."""
        with self.log.open("a") as log:
            self.manager = subprocess.Popen(self.command, cwd=self.root, env=self.environ, stdout=log, stderr=log)
        until(lambda: self.is_up() or self.manager.poll() is not None, f"{self.url} is ready", 90)
        assert self.manager.poll() is None, self.logs()

    def down(self) -> None:
        """Stop the stack with SIGINT and remove its folders."""
        self.manager.send_signal(signal.SIGINT)
        self.manager.wait(60)
        shutil.rmtree(self.run_dir, ignore_errors=True)
        shutil.rmtree(self.log.parent)

    def logs(self, service: str = "") -> str:
        """Return the output of all processes."""
        return self.log.read_text(errors="replace")

    def process(self, service: str) -> int:
        """Return the process id of the service's first process."""
        name = "nginx" if service == "nginx" else self.backend
        children = Path(f"/proc/{self.manager.pid}/task/{self.manager.pid}/children").read_text().split()
        [found] = [int(child) for child in children if name in Path(f"/proc/{child}/cmdline").read_text()]
        return found

    def stop_app(self) -> None:
        """Stop the app gracefully, and pause supervisord so that it does not restart the app."""
        app = self.process("app")
        os.kill(self.manager.pid, signal.SIGSTOP)
        os.kill(app, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{app}/exe").exists(), "the app stops", 40)

    def start_app(self) -> None:
        os.kill(self.manager.pid, signal.SIGCONT)

    def restart_app(self) -> None:
        self.stop_app()
        self.start_app()

    def reload_app(self) -> None:
        os.kill(self.process("app"), signal.SIGHUP)

    def workers(self) -> set[int]:
        """Return the process ids of the app's workers."""
        first = self.process("app")
        return {int(each) for each in Path(f"/proc/{first}/task/{first}/children").read_text().split()}

    def remove_socket(self) -> None:
        (self.run_dir / "run" / "live.sock").unlink()

    def kill_app(self) -> None:
        """Kill the first process of the app, and wait until workers of the next one respond.

        The killed process's workers still serve for a moment.
        """
        os.kill(self.process("app"), signal.SIGKILL)
        until(self.is_served_by_children, "supervisord restarts the app")

    def is_served_by_children(self) -> bool:
        """Return whether the worker that responds is a child of the app's first process."""
        try:
            worker = httpx.get(f"{self.url}/version").json()["worker"]
            return f"PPid:\t{self.process('app')}\n" in Path(f"/proc/{worker}/status").read_text()
        except (ValueError, KeyError, OSError):
            return False

    def is_up(self) -> bool:
        """Return whether the app is ready, through nginx."""
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False
