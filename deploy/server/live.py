"""The socket is the switch: every app container has a socket of its own, and nginx knows only live.sock, a link to one.

    python -m deploy.server.live check     the health check: do I serve? And where live.sock leads nowhere, make it mine
    python -m deploy.server.live wait      until I am promoted, leave live.sock alone, even where it leads nowhere
    python -m deploy.server.live promote   make live.sock mine, whoever has it: a deploy's decision, never a health check's
    python -m deploy.server.live drain     wait until everything is accepted that was sent to me before

A health check that took live.sock at its first success would let a release that dies a moment later take the site
with it, and an old container that restarts in mid-deploy steal it back. So it takes what is nobody's, and only that,
and not even that while a deploy is still watching it.

The check also ends a server that hangs, which neither Compose nor the server itself would do. Busy is not hung: the
check waits in the same queue as every request, and as long as nginx lets one wait. Where it gets no answer, nobody did.

The check runs every two seconds, so it imports little: of the standard library alone, and nothing of the app.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

PATIENCE = 30.0  # seconds; as nginx's proxy_read_timeout
ATTEMPT = 0.2  # seconds; a full queue on TCP says nothing, and the kernel asks again after 1 s, 3 s, 7 s, 15 s
UNIX = "unix:"
WAITS = ".waits"  # behind the name of a socket: a mark beside it
SERVED = "/tmp/has-served"  # noqa: S108 (this container's own, and empty at each start)


def own_address(environ: Mapping[str, str]) -> str:
    """Return where our server listens: LISTEN, "unix:PATH" or "HOST:PORT", or a socket named for this container."""
    return environ.get("LISTEN") or f"{UNIX}/run/app/{socket.gethostname()}.sock"


def answer(address: str) -> bytes:
    """Return the status that the server at `address` answers with when asked whether it is ready; raise OSError."""
    deadline = time.monotonic() + PATIENCE
    with connect(address, deadline) as server:
        server.settimeout(max(0.1, deadline - time.monotonic()))
        server.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        return server.recv(64)[9:12]


def connect(address: str, deadline: float) -> socket.socket:
    """Return a connection to the server at `address`, as soon as its queue has room for one; raise OSError."""
    if not address.startswith(UNIX):
        host, _, port = address.rpartition(":")
        while True:
            try:
                return socket.create_connection((host, int(port)), ATTEMPT)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
    while True:
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)  # noqa: FBT003 (has no name)
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


def is_nobodys(path: str) -> bool:
    """Tell whether no process listens at the socket; one whose queue is full does listen."""
    try:
        connect(UNIX + path, 0).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    except OSError:
        return False
    return False


def promote(path: str) -> None:
    """Make live.sock lead to the socket at `path`, beside it, atomically: every moment it leads to one or the other."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    os.symlink(name, temporary)
    os.replace(temporary, os.path.join(folder, "live.sock"))
    with suppress(FileNotFoundError):
        os.remove(path + WAITS)


def end_this_container() -> None:
    """End the server with all its workers, for the restart policy to start it again.

    The kernel keeps process 1 from being killed from within. So it is told to stop, and as it would wait for requests
    that hang, its workers are killed for as long as it is there, and this process with it.
    """
    with suppress(OSError), open("/proc/1/fd/2", "w") as log:  # the container's
        log.write(f"live: no answer in {PATIENCE:g} seconds: ending the server, for it to be started again\n")
    os.kill(1, signal.SIGTERM)
    while True:
        with open("/proc/1/task/1/children") as children:
            for worker in children.read().split():
                with suppress(ProcessLookupError):
                    os.kill(int(worker), signal.SIGKILL)
        time.sleep(0.1)


def main() -> None:
    """Carry out the command line's word; exit 1 where this container does not serve."""
    word = sys.argv[1:]
    if word not in (["check"], ["wait"], ["promote"], ["drain"]):
        sys.exit("usage: python -m deploy.server.live check|wait|promote|drain")
    mine = own_address(os.environ)
    if word == ["wait"]:
        with open(mine.removeprefix(UNIX) + WAITS, "w"):
            return
    try:
        status = answer(mine)
    except TimeoutError:
        if word == ["check"] and os.path.exists(SERVED):  # else it has yet to answer at all, and may take its time
            end_this_container()
        status = b""
    except OSError:
        status = b""
    if word == ["drain"] and status:
        return
    if status != b"200":
        sys.exit(f"live: no answer that it is ready from {mine}")
    with open(SERVED, "w"):
        pass
    if mine.startswith(UNIX):  # on TCP nginx finds the replicas by name, and nothing is switched
        path = mine.removeprefix(UNIX)
        live = os.path.join(os.path.dirname(path), "live.sock")
        if word == ["promote"] or (is_nobodys(live) and not os.path.exists(path + WAITS)):
            promote(path)


if __name__ == "__main__":
    main()
