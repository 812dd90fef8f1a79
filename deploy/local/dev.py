"""`make dev`: `make local` for development. After an edit, another server takes over, and no request fails.

The servers' own reloaders serve old code, or a mix, for seconds after a second edit. So this process starts a server
with one worker on a socket of its own, and points live.sock at it once it answers and no file has changed since its
start. As in a deploy, the previous server first responds to all requests that nginx has sent it.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Thread
from types import FrameType

from deploy.local.__main__ import main as prepare
from deploy.local.watch import answers
from deploy.server import live
from deploy.server.launch import command, size

APPLICATION = "deploy.local.dev_app:application"
FOLDERS = ("app", "deploy/local", "deploy/server", "recipes")
CHECK_SECONDS = 0.1  # between two looks at the files
STOP_SECONDS = 3  # for requests in flight at Ctrl-C
DIES = ["setpriv", "--pdeathsig", "TERM"]  # the kernel sends the signal if this process is killed

Snapshot = Mapping[Path, tuple[int, int, int]]


def snapshot() -> Snapshot:
    """Return the time, size and number of each Python file."""
    found: dict[Path, tuple[int, int, int]] = {}
    for path in (path for folder in FOLDERS for path in Path(folder).rglob("*.py")):
        with suppress(FileNotFoundError):
            status = path.stat()
            found[path] = status.st_mtime_ns, status.st_size, status.st_ino
    return found


def settled() -> Snapshot:
    """Return the snapshot of files that no program is writing."""
    before = snapshot()
    while True:
        time.sleep(CHECK_SECONDS)
        if before == (before := snapshot()):
            return before


class Server:
    """One server with the code of one moment."""

    numbers = count()  # a worker of a killed server may still listen, so no socket has the name of an earlier one

    def __init__(self) -> None:
        self.files = settled()
        self.socket = Path(os.environ["RUN_DIR"], "run", f"{next(self.numbers)}.sock")
        environ = os.environ | {"LISTEN": f"unix:{self.socket}", "WEB_CONCURRENCY": "1"}
        workers, threads = size(environ)
        # The time in a .pyc file is in seconds: after two edits within one it can have the code of the first.
        environ |= {"SERVER_WORKERS": f"{workers}", "SERVER_THREADS": f"{threads}", "PYTHONDONTWRITEBYTECODE": "1"}
        for path in self.files:
            Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        line = command(environ, APPLICATION)
        # begin uwsgi
        if line[0] == "uwsgi":
            line.append("--honour-stdin")  # for breakpoint()
        # end uwsgi
        self.process = subprocess.Popen([*DIES, *line], env=environ)

    def is_current(self) -> bool:
        """Return whether no file has changed since the start, so that the code is not a mix."""
        return self.files == snapshot()

    def is_ready(self) -> bool:
        """Return whether it answers, with any status; raise ChildProcessError if it has exited."""
        if self.process.poll() is not None:
            raise ChildProcessError
        try:
            return bool(live.answer(f"unix:{self.socket}"))
        except OSError:
            return False

    def retire(self) -> None:
        """Stop it when it has accepted every connection that was made before; return at once."""

        def stop() -> None:
            with suppress(OSError):
                live.answer(f"unix:{self.socket}")
            self.process.terminate()

        Thread(target=stop, daemon=True).start()


def next_server() -> Server:
    """Return a ready server whose code is that of the files now."""
    while True:
        server = Server()
        try:
            while not server.is_ready():
                if not server.is_current():
                    break
                time.sleep(CHECK_SECONDS / 2)
        except ChildProcessError:
            print("dev: the server exited; it is started again after an edit", file=sys.stderr, flush=True)
            while server.is_current():
                time.sleep(CHECK_SECONDS)
        if server.is_current():
            return server
        server.process.kill()
        server.process.wait()


def run() -> None:
    """Start nginx, and a server after each edit, until this process is stopped."""
    directory = os.environ["RUN_DIR"]
    line = [
        "nginx",
        "-p",
        "./",
        "-c",
        "conf/nginx.conf",
        "-e",
        "stderr",
        "-g",
        f"daemon off; {os.environ['NGINX_USER']}",
    ]
    current = next_server()
    live.promote(f"{current.socket}")
    nginx = subprocess.Popen([*DIES, *line], cwd=directory)
    retired: list[Server] = []
    try:
        while not answers(os.environ["WATCHED"]):
            time.sleep(CHECK_SECONDS)
        print(f"local: {os.environ['BACKEND']} behind nginx, {os.environ['WATCHED']} (Ctrl-C stops it)", flush=True)
        while True:
            time.sleep(CHECK_SECONDS)
            if current.is_current() and current.process.poll() is None:
                continue
            previous, current = current, next_server()
            live.promote(f"{current.socket}")
            previous.retire()
            retired = [each for each in (*retired, previous) if each.process.poll() is None]
    finally:
        nginx.send_signal(signal.SIGQUIT)
        for server in (*retired, current):
            server.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in (nginx, *(server.process for server in (*retired, current))):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


def stop(_number: int, _frame: FrameType | None) -> None:
    """Stop as after Ctrl-C."""
    raise KeyboardInterrupt


def main() -> None:
    """Run the site until Ctrl-C."""
    signal.signal(signal.SIGTERM, stop)
    prepare("deploy.local.dev")
    with suppress(KeyboardInterrupt):
        run()


if __name__ == "__main__":
    main()
