"""The socket is the switch: every app container has a socket of its own, and nginx knows only live.sock, a link to one.

    python -m deploy.live check     the health check: do I serve? And where live.sock leads nowhere, make it mine
    python -m deploy.live promote   make live.sock mine, whoever has it: a deploy's decision, never a health check's

A health check that took live.sock at its first success would let a release that dies a moment later take the site
with it, and an old container that restarts in mid-deploy steal it back. So it takes what is nobody's, and only that.

The check runs every two seconds, so it imports little: two modules of the standard library, nothing of the app.
"""

import os
import socket
import sys
from collections.abc import Mapping

TIMEOUT = 2.0  # seconds
UNIX = "unix:"


def own_address(environ: Mapping[str, str]) -> str:
    """Return where our server listens: LISTEN, "unix:PATH" or "HOST:PORT", or a socket named for this container."""
    return environ.get("LISTEN") or f"{UNIX}/run/app/{socket.gethostname()}.sock"


def is_ready(address: str) -> bool:
    """Tell whether the server at `address` answers that it is ready for traffic."""
    try:
        with connect(address) as server:
            server.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            return server.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def is_nobodys(path: str) -> bool:
    """Tell whether no process listens at the socket; one too busy to answer in time does listen."""
    try:
        connect(UNIX + path).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    except OSError:
        return False
    return False


def connect(address: str) -> socket.socket:
    """Return a connection to the server at `address`; raise OSError."""
    if not address.startswith(UNIX):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host, int(port)), TIMEOUT)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(TIMEOUT)
    try:
        connection.connect(address.removeprefix(UNIX))
    except OSError:
        connection.close()
        raise
    return connection


def promote(path: str) -> None:
    """Make live.sock lead to the socket at `path`, beside it, atomically: every moment it leads to one or the other."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    os.symlink(name, temporary)
    os.replace(temporary, os.path.join(folder, "live.sock"))


def main() -> None:
    """Carry out the command line's word; exit 1 where this container does not serve."""
    word = sys.argv[1:]
    if word not in (["check"], ["promote"]):
        sys.exit("usage: python -m deploy.live check|promote")
    mine = own_address(os.environ)
    if not is_ready(mine):
        sys.exit(f"live: no answer that it is ready from {mine}")
    if mine.startswith(UNIX):  # on TCP nginx finds the replicas by name, and nothing is switched
        path = mine.removeprefix(UNIX)
        if word == ["promote"] or is_nobodys(os.path.join(os.path.dirname(path), "live.sock")):
            promote(path)


if __name__ == "__main__":
    main()
