"""live.sock: a symlink to the live container's socket, and nginx's only upstream. Each container has its own socket.

    python -m deploy.server.live check     health check: fail unless the server is ready; claim live.sock if unclaimed
    python -m deploy.server.live wait      do not claim live.sock before `promote`
    python -m deploy.server.live promote   point live.sock at this container
    python -m deploy.server.live drain     return when the server has accepted every earlier connection

Only a deploy moves live.sock from one server to another. If the first successful health check did, a release that
crashes a moment later would take the site with it, and a previous container that restarts would claim the site back.
The health check claims live.sock only if no server listens there, and not while a deploy watches this container.

The health check also ends a server that does not answer, because neither Compose nor the server does. A busy server is
not one: the check waits in the same listen queue as the requests, and as long as nginx lets a request wait.

The health check runs every two seconds. It imports the standard library only, and little of that.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

ANSWER_SECONDS = 30.0  # the same as nginx's proxy_read_timeout
CONNECT_SECONDS = 0.2  # one attempt; on TCP a full listen queue is silent, and the kernel repeats after 1, 3, 7, 15 s
RETRY_SECONDS = 0.5  # between two attempts to reach a server that has served before
UNIX = "unix:"
WAITS = ".waits"  # suffix of the mark beside a socket whose container must not claim live.sock
SERVED = "/tmp/has-served"  # noqa: S108 (the container's own tmpfs, empty at each start)


def own_address(environ: Mapping[str, str]) -> str:
    """Return the server's address: LISTEN, "unix:PATH" or "HOST:PORT", by default a socket named for the container."""
    return environ.get("LISTEN") or f"{UNIX}/run/app/{socket.gethostname()}.sock"


def answer(address: str, *, has_served: bool = False) -> bytes:
    """Return the status of the server's /readyz; raise TimeoutError after ANSWER_SECONDS, or OSError.

    A server that has served before must listen. So a refused connection or a missing socket is retried until then: it
    is a failure like a hang, or the server is stopping and will have exited.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            with connect(address, deadline) as server:
                server.settimeout(max(0.1, deadline - time.monotonic()))
                server.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                return server.recv(64)[9:12]
        except (ConnectionRefusedError, FileNotFoundError) as error:
            if not has_served:
                raise
            if time.monotonic() > deadline:
                raise TimeoutError from error
            time.sleep(RETRY_SECONDS)


def connect(address: str, deadline: float) -> socket.socket:
    """Return a connection to the server at `address` once its listen queue has room; raise OSError."""
    if not address.startswith(UNIX):
        host, _, port = address.rpartition(":")
        while True:
            try:
                return socket.create_connection((host, int(port)), CONNECT_SECONDS)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
    while True:
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)  # noqa: FBT003 (the parameter has no name)
        try:
            connection.connect(address.removeprefix(UNIX))
        except BlockingIOError as error:
            connection.close()
            if time.monotonic() > deadline:
                raise TimeoutError from error
            time.sleep(0.01)
        except OSError:
            connection.close()
            raise
        else:
            return connection


def is_unclaimed(path: str) -> bool:
    """Tell whether no process listens at the socket; a process whose listen queue is full does listen."""
    try:
        connect(UNIX + path, 0).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    except OSError:
        return False
    return False


def promote(path: str) -> None:
    """Point live.sock at the socket `path` in the same folder, atomically, and remove the mark of `wait`."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    os.symlink(name, temporary)
    os.replace(temporary, os.path.join(folder, "live.sock"))
    with suppress(FileNotFoundError):
        os.remove(path + WAITS)


def end_server(process: int) -> None:
    """End the server, whose first process is `process`, with its workers; return when it has exited.

    The kernel does not let a container kill its own process 1. So it gets SIGTERM, and because it would wait for
    requests that hang, its workers are killed until it exits.
    """
    with suppress(OSError), open(f"/proc/{process}/fd/2", "w") as log:  # the log of the server
        log.write(f"live: no answer in {ANSWER_SECONDS:g} seconds: ending the server, which is then started again\n")
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        while True:
            with open(f"/proc/{process}/task/{process}/children") as children:
                for worker in children.read().split():
                    with suppress(ProcessLookupError):
                        os.kill(int(worker), signal.SIGKILL)
            time.sleep(0.1)


def main() -> None:
    """Run the command given on the command line; exit 1 if this container's server is not ready."""
    word = sys.argv[1:]
    if word not in (["check"], ["wait"], ["promote"], ["drain"]):
        sys.exit("usage: python -m deploy.server.live check|wait|promote|drain")
    mine = own_address(os.environ)
    if word == ["wait"]:
        with open(mine.removeprefix(UNIX) + WAITS, "w"):
            return
    has_served = word == ["check"] and os.path.exists(SERVED)
    try:
        status = answer(mine, has_served=has_served)
    except TimeoutError:
        if has_served:  # a server that is still starting may take its time
            end_server(1)
        status = b""
    except OSError:
        status = b""
    if word == ["drain"] and status:
        return
    if status != b"200":
        sys.exit(f"live: {mine} answers /readyz with {status.decode() or 'nothing'}, not with 200")
    with open(SERVED, "w"):
        pass
    if mine.startswith(UNIX):  # on TCP, nginx finds the replicas by name
        path = mine.removeprefix(UNIX)
        live = os.path.join(os.path.dirname(path), "live.sock")
        if word == ["promote"] or (is_unclaimed(live) and not os.path.exists(path + WAITS)):
            promote(path)


if __name__ == "__main__":
    main()
