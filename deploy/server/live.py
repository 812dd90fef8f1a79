"""live.sock: a symlink to the live container's socket, and nginx's only upstream. Each container has its own socket.

    python -m deploy.server.live check               health check: fail unless ready; claim live.sock if unclaimed
    python -m deploy.server.live wait ID             keep container ID from claiming live.sock before `promote`
    python -m deploy.server.live promote ID PATH...  point live.sock at container ID if ready and all paths work
    python -m deploy.server.live show                print the id of the live container
    python -m deploy.server.live clean ID...         remove the sockets of all other containers

The container's health check runs `check`. A deploy passes this file to Python in a container of its own for the others,
so that nothing has to run in the live container.

Three things move live.sock. A deploy promotes the candidate. A live container that is stopped hands over to another
ready one (drain.py). And the health check claims live.sock if no server listens there, unless a deploy watches this
container. A health check that claimed more would let a release that crashes a moment later take the site with it.

An application can refuse unknown hosts and plain HTTP. So each check requests as nginx does for a client that uses TLS
and the first of ALLOWED_HOSTS.

The health check also ends what hangs, because neither Compose nor the server does (health.py). It runs every two
seconds. It imports the standard library only, and little of that.
"""

import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

ANSWER_SECONDS = 30.0  # the same as nginx's proxy_read_timeout
CONNECT_SECONDS = 0.2  # one attempt; on TCP a full listen queue is silent, and the kernel repeats after 1, 3, 7, 15 s
RETRY_SECONDS = 0.5  # between two attempts to reach a server that has served before
HAND_OVER_SECONDS = 5.0  # for another server to say that it is ready
FOLDER = "/run/app"
ID_LENGTH = 64  # of a container
MOST_BYTES = 65536  # of a response
UNIX = "unix:"
REMEDY = "until the application answers 200 there, the site does not start (docs/your-app.md)"
WAITS = ".waits"  # suffix of the mark beside a socket whose container must not claim live.sock


def own_address(environ: Mapping[str, str]) -> str:
    """Return the server's address: LISTEN, "unix:PATH" or "HOST:PORT", by default a socket named for the container."""
    return environ.get("LISTEN") or f"{UNIX}{socket_path(container_id())}"


def socket_path(container: str) -> str:
    """Return the path of a container's socket."""
    return f"{FOLDER}/{container[:12]}.sock"


def container_id() -> str:
    """Return the id of this container, or outside of Docker the hostname.

    Two containers can have the same hostname. Docker mounts /etc/hostname from a folder named for the container.
    """
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            root, mount_point = line.split()[3:5]
            if mount_point == "/etc/hostname":
                for name in reversed(root.split("/")):  # an engine in a container has another id before it
                    if len(name) == ID_LENGTH:
                        return name
    return socket.gethostname()


def answer(address: str, path: str = "/readyz", *, seconds: float | None = None, has_served: bool = False) -> bytes:
    """Return the status of the server's `path`; raise TimeoutError after `seconds` (ANSWER_SECONDS), or OSError.

    A server that has served before must listen. So a refused connection or a missing socket is retried until then: it
    has failed, or it is stopping and will have exited.
    """
    deadline = time.monotonic() + (ANSWER_SECONDS if seconds is None else seconds)
    while True:
        try:
            with connect(address, deadline) as server:
                server.settimeout(max(0.1, deadline - time.monotonic()))
                server.sendall(request(path, os.environ))
                return server.recv(64)[9:12]
        except (ConnectionRefusedError, FileNotFoundError):
            if not has_served or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)


def request(path: str, environ: Mapping[str, str]) -> bytes:
    """Return the request for `path` as nginx would send it (nginx/site.conf)."""
    hosts = environ.get("ALLOWED_HOSTS", "").replace(",", " ").split()
    host = hosts[0].replace("*", "www") if hosts else "localhost"
    headers = {"Host": host, "Connection": "close", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
    headers |= {"X-Forwarded-Host": host, "X-Forwarded-Port": "443"}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def failed_checks(address: str) -> str:
    """Return the names of the readiness checks that fail, as the end of a sentence, or ""."""
    text = b""
    with suppress(OSError), connect(address, time.monotonic()) as server:
        server.settimeout(ANSWER_SECONDS)
        server.sendall(request("/readyz", os.environ))
        while len(text) < MOST_BYTES and (more := server.recv(4096)):
            text += more
    import re  # as health  # noqa: PLC0415

    names = re.findall(r'"([^"]+)": ?false', text.decode(errors="replace"))
    return f": these readiness checks fail: {', '.join(names)}" * bool(names)


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
    live, temporary = os.path.join(folder, "live.sock"), os.path.join(folder, f".{name}.{os.getpid()}")
    os.symlink(name, temporary)
    try:
        os.replace(temporary, live)
    except IsADirectoryError:  # another release made it: they all run as one user
        os.rename(live, f"{temporary}.directory")
        os.replace(temporary, live)
    with suppress(FileNotFoundError):
        os.remove(path + WAITS)


def hand_over(path: str) -> bool:
    """Point live.sock at another ready server if it points at `path`; tell whether `path` is not live afterwards.

    A candidate that a deploy still watches comes last.
    """
    folder, name = os.path.split(path)
    try:
        if os.readlink(os.path.join(folder, "live.sock")) != name:
            return True
        others = [other for other in os.listdir(folder) if other.endswith(".sock") and other not in (name, "live.sock")]
    except OSError:
        return False
    others.sort(key=lambda other: os.path.exists(os.path.join(folder, other + WAITS)))
    for other in others:
        with suppress(OSError):
            if answer(UNIX + os.path.join(folder, other), seconds=HAND_OVER_SECONDS) == b"200":
                promote(os.path.join(folder, other))
                return True
    return False


def clean(containers: list[str]) -> None:
    """Remove what other containers left in the folder: a server that is killed does not remove its socket."""
    kept = {"live.sock", *(os.path.basename(socket_path(each)) + end for each in containers for end in ("", WAITS))}
    for name in set(os.listdir(FOLDER)) - kept:
        with suppress(OSError):  # not ours, or a folder that is not empty
            (os.rmdir if os.path.isdir(os.path.join(FOLDER, name)) else os.remove)(os.path.join(FOLDER, name))


def claim(address: str) -> bool:
    """Point live.sock at this ready server if no server listens there; tell whether another container is live.

    A candidate that a deploy watches claims nothing, and says nothing of the live container.
    """
    path = address.removeprefix(UNIX)
    if path == address or os.path.exists(path + WAITS):  # on TCP, nginx finds the replicas by name
        return False
    live = os.path.join(os.path.dirname(path), "live.sock")
    if is_unclaimed(live):
        promote(path)
    try:
        return os.readlink(live) != os.path.basename(path)
    except OSError:  # it was replaced or removed just now
        return False


def check_paths(address: str, paths: list[str]) -> None:
    """Exit with 1 unless /readyz answers 200, and each path a status below 500."""
    for path in ("/readyz", *paths):
        try:
            status = answer(address, path)
        except OSError:
            status = b""
        if not (status == b"200" or (path != "/readyz" and b"100" < status < b"500")):
            refuse(address, path, status)


def refuse(address: str, path: str, status: bytes) -> "NoReturn":
    """Exit with 1 and one sentence."""
    sys.exit(f"live: {complaint(address, path, status)}")


def complaint(address: str, path: str, status: bytes) -> str:
    """Return one sentence about a wrong status, or about no status."""
    reason = failed_checks(address) if (path, status) == ("/readyz", b"503") else ""
    return f"{address} answers {path} with {status.decode(errors='replace') or 'nothing'}{reason}"


def main() -> None:
    """Run the command given on the command line."""
    match sys.argv[1:]:
        case ["check"]:
            from deploy.server import health  # not above: a deploy runs this file alone  # noqa: PLC0415

            health.check(own_address(os.environ))
        case ["wait", container]:
            with open(socket_path(container) + WAITS, "w"):
                pass
        case ["promote", container, *paths]:
            check_paths(UNIX + socket_path(container), paths)
            promote(socket_path(container))
        case ["show"]:
            with suppress(OSError):
                print(os.readlink(f"{FOLDER}/live.sock").removesuffix(".sock"))
        case ["clean", *containers]:
            clean(containers)
        case _:
            sys.exit("usage: python -m deploy.server.live check | wait ID | promote ID [PATH...] | show | clean ID...")


if __name__ == "__main__":
    main()
