"""A stack of plain processes for the tests: what `make local` starts, on a port of its own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from tests.stack.waiting import ROOT, free_port, until


def missing(backend: str) -> str:
    """Return a command that a stack of plain processes needs and this machine lacks, or nothing."""
    path = f"{sys.prefix}/bin:{os.environ['PATH']}:/usr/sbin"
    return next((command for command in ("nginx", "setpriv", backend) if not shutil.which(command, path=path)), "")


class LocalStack:
    """One supervisord and its children, with the settings that a user would have put into the environment or .env."""

    kind = "processes"

    def __init__(self, backend: str, module: str = "deploy.local", root: Path = ROOT, **settings: str) -> None:
        port = free_port()
        self.backend = backend
        self.command = [sys.executable, "-m", module]
        self.root = root
        self.run_dir = root / ".local" / str(port)
        self.url = f"http://127.0.0.1:{port}"
        self.environ = {"PATH": os.environ["PATH"], "BACKEND": backend, "HTTP_PORT": str(port), **settings}
        self.log = Path(tempfile.mkdtemp(), "log")

    def up(self) -> None:
        """Start the stack and wait until it answers."""
        with self.log.open("a") as log:
            self.manager = subprocess.Popen(self.command, cwd=self.root, env=self.environ, stdout=log, stderr=log)
        until(lambda: self.is_up() or self.manager.poll() is not None, f"{self.url} answers")
        assert self.manager.poll() is None, self.logs()

    def down(self) -> None:
        """Stop the stack as Ctrl-C does, and remove its folders."""
        self.manager.send_signal(signal.SIGINT)
        self.manager.wait(60)
        shutil.rmtree(self.run_dir, ignore_errors=True)
        shutil.rmtree(self.log.parent)

    def logs(self, service: str = "") -> str:
        """Return what the processes have printed."""
        return self.log.read_text(errors="replace")

    def process(self, service: str) -> int:
        """Return the number of the service's first process."""
        name = "nginx" if service == "nginx" else self.backend
        children = Path(f"/proc/{self.manager.pid}/task/{self.manager.pid}/children").read_text().split()
        [found] = [int(child) for child in children if name in Path(f"/proc/{child}/cmdline").read_text()]
        return found

    def stop_app(self) -> None:
        """End the app, gracefully, and keep supervisord from starting it again, by stopping that as well."""
        app = self.process("app")
        os.kill(self.manager.pid, signal.SIGSTOP)
        os.kill(app, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{app}/exe").exists(), "the app has ended", 40)

    def start_app(self) -> None:
        os.kill(self.manager.pid, signal.SIGCONT)

    def restart_app(self) -> None:
        self.stop_app()
        self.start_app()

    def reload_app(self) -> None:
        os.kill(self.process("app"), signal.SIGHUP)

    def workers(self) -> set[int]:
        """Return the processes of the app's workers."""
        first = self.process("app")
        return {int(each) for each in Path(f"/proc/{first}/task/{first}/children").read_text().split()}

    def remove_socket(self) -> None:
        (self.run_dir / "run" / "live.sock").unlink()

    def kill_app(self) -> None:
        """End the first process of the app at once, and wait until the workers of another answer.

        Its own workers go on for a moment, and so could be taken for those.
        """
        os.kill(self.process("app"), signal.SIGKILL)
        until(self.is_served_by_children, "supervisord has started the app again")

    def is_served_by_children(self) -> bool:
        """Tell whether the worker that answers is a child of the app's first process."""
        try:
            worker = httpx.get(f"{self.url}/version").json()["worker"]
            return f"PPid:\t{self.process('app')}\n" in Path(f"/proc/{worker}/status").read_text()
        except (ValueError, KeyError, OSError):
            return False

    def is_up(self) -> bool:
        """Tell whether the app answers through nginx."""
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False
