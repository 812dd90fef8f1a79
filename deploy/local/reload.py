"""The app's server during development: after an edit, another server takes over, and no request fails.

    python -m deploy.local.reload FOLDER     in a container (dev.yml), with the sockets in FOLDER

`make dev` does the same (dev.py). The servers' own reloaders serve old code, or a mix, for seconds after a second edit.
So this process starts a server with one worker on a socket of its own. It points live.sock at the server once that
answers and no file has changed since its start. As in a deploy, the previous server first responds to all requests that
nginx has sent it.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Thread
from types import FrameType

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

    def __init__(self, folder: Path) -> None:
        self.files = settled()
        self.socket = folder / f"{next(self.numbers)}.sock"
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


def next_server(folder: Path) -> Server:
    """Return a ready server whose code is that of the files now."""
    while True:
        server = Server(folder)
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


def serve(folder: Path, started: Callable[[], object] = lambda: None) -> None:
    """Serve on live.sock in the folder until KeyboardInterrupt; call `started` when the first server is live."""
    current = next_server(folder)
    retired: list[Server] = []
    live.promote(f"{current.socket}")
    try:
        started()
        while True:
            time.sleep(CHECK_SECONDS)
            if current.is_current() and current.process.poll() is None:
                continue
            previous, current = current, next_server(folder)
            live.promote(f"{current.socket}")
            previous.retire()
            retired = [each for each in (*retired, previous) if each.process.poll() is None]
    finally:
        stop([server.process for server in (*retired, current)])


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Stop the processes gracefully, and kill them after STOP_SECONDS."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Stop as after Ctrl-C."""
    raise KeyboardInterrupt


def main() -> None:
    """Serve in a container until it is stopped."""
    signal.signal(signal.SIGTERM, interrupt)
    folder = Path(sys.argv[1])
    (folder / "live.sock").unlink(missing_ok=True)  # of a container that was killed
    with suppress(KeyboardInterrupt):
        serve(folder)


if __name__ == "__main__":
    main()
