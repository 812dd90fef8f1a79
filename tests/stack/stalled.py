"""Measure how long nginx keeps clients that stall: `python -m tests.stack.stalled [CLIENTS [KIND...]]`.

CLIENTS clients of each kind connect, then send a piece every ten seconds, or none. Each line is a kind: the clients
that nginx still keeps after 15, 30, 45 and 60 seconds, and the requests of another client meanwhile.
"""

import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx
from hpack import Encoder
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame, SettingsFrame, WindowUpdateFrame

from deploy.server.launch import BACKENDS
from tests.stack.edge import Edge, edge
from tests.stack.local import LocalStack

EVERY = 10  # seconds between two pieces
LOOKS = (15, 30, 45, 60)  # seconds after the last client has connected
KEPT = {"HTTP/2: accepts a byte every 10 s"}  # nginx limits the time between two writes only, whatever their size
LARGE = "/static/large.bin"  # the measurement creates it
GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n"
HEAD = [(":method", "GET"), (":path", LARGE), (":scheme", "https"), (":authority", "localhost")]
POST = [(":method", "POST"), (":path", "/echo"), *HEAD[2:], ("content-length", "9999")]


def preface(window: int = 65_535) -> bytes:
    """Return the first bytes of a connection in HTTP/2, whose client accepts `window` bytes of a response."""
    settings = SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: window})
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings.serialize()


def headers(fields: list[tuple[str, str]], *flags: str) -> bytes:
    """Return a frame that begins stream 1."""
    return HeadersFrame(1, Encoder().encode(fields), flags=list(flags)).serialize()


@dataclass(frozen=True)
class Kind:
    """A client: what it sends first, and what it does every EVERY seconds."""

    ports: tuple[str, ...]
    first: bytes = b""
    piece: bytes = b""
    reads: int = 0  # bytes


HTTP = ("http", "redirect", "tls")
KINDS = {
    "sends nothing": Kind(("http", "redirect", "raw tls")),
    "sends a part of the TLS handshake": Kind(("raw tls",), b"\x16\x03\x01\x02\x00\x01", b"\x00"),
    "sends a part of the header": Kind(HTTP, GET % b"/"),
    "sends a header field every 10 s": Kind(HTTP, GET % b"/", b"X-A: b\r\n"),
    "sends a part of the body": Kind(HTTP, b"POST" + GET[3:] % b"/echo" + b"Content-Length: 9999\r\n\r\n{"),
    "sends a byte of the body every 10 s": Kind(
        HTTP, b"POST" + GET[3:] % b"/echo" + b"Content-Length: 9999\r\n\r\n{", b"x"
    ),
    "reads nothing": Kind(("http", "tls"), GET % LARGE.encode() + b"\r\n"),
    "reads 32 bytes every 10 s": Kind(("http", "tls"), GET % LARGE.encode() + b"\r\n", reads=32),
    "is idle after a response": Kind(HTTP, GET % b"/nginx-health" + b"\r\n"),
    "HTTP/2: is idle": Kind(("h2",), preface()),
    "HTTP/2: sends a PING every 10 s": Kind(("h2",), preface(), PingFrame(0, b"12345678").serialize()),
    "HTTP/2: sends a part of the header": Kind(("h2",), preface() + headers(HEAD, "END_STREAM")),
    "HTTP/2: sends a header field every 10 s": Kind(
        ("h2",),
        preface() + headers(HEAD, "END_STREAM"),
        ContinuationFrame(1, Encoder().encode([("x-a", "b")])).serialize(),
    ),
    "HTTP/2: sends no body": Kind(("h2",), preface() + headers(POST, "END_HEADERS")),
    "HTTP/2: sends a byte of the body every 10 s": Kind(
        ("h2",), preface() + headers(POST, "END_HEADERS"), DataFrame(1, b"x").serialize()
    ),
    "HTTP/2: reads nothing": Kind(("h2",), preface(window=0) + headers(HEAD, "END_HEADERS", "END_STREAM")),
    "HTTP/2: accepts a byte every 10 s": Kind(
        ("h2",),
        preface(window=0) + headers(HEAD, "END_HEADERS", "END_STREAM"),
        WindowUpdateFrame(1, window_increment=1).serialize(),
    ),
}


def connect(port: int, context: ssl.SSLContext | None, first: bytes) -> socket.socket | None:
    """Return a connection on which the first bytes are sent, or None if nginx refuses it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        connection.settimeout(30)
        connection.connect(("127.0.0.1", port))
        if context:
            connection = context.wrap_socket(connection, server_hostname="localhost")
        connection.sendall(first)
    except OSError:
        connection.close()
        return None
    connection.settimeout(0)
    return connection


def is_open(connection: socket.socket) -> bool:
    """Return whether nginx keeps the connection."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return not poll.poll(0)


def hold(port: int, context: ssl.SSLContext | None, kind: Kind, count: int) -> list[int]:
    """Connect the clients, let them stall, and return how many of them nginx keeps at each of LOOKS."""
    with ThreadPoolExecutor(16) as pool:
        opened = pool.map(lambda _: connect(port, context, kind.first), range(count))
        connections = [each for each in opened if each]
    begun, found, next_piece = time.monotonic(), [], EVERY
    try:
        for look in LOOKS:
            while (passed := time.monotonic() - begun) < look:
                if passed >= next_piece:
                    next_piece += EVERY
                    for connection in connections:
                        with suppress(OSError):
                            if kind.piece:
                                connection.send(kind.piece)
                            if kind.reads:
                                connection.recv(kind.reads)
                time.sleep(0.1)
            found.append(sum(is_open(each) for each in connections))
            if not found[-1]:
                break
    finally:
        for connection in connections:
            connection.close()
    return found


@contextmanager
def another_client(address: str) -> Iterator[list[float]]:
    """Send two requests a second during the block; yield the seconds of each response, infinite for a failure."""
    seconds: list[float] = []
    stop = threading.Event()

    def visit() -> None:
        while not stop.wait(0.5):
            begun = time.monotonic()
            try:
                is_served = httpx.get(f"{address}/version", timeout=20, verify=False).status_code == 200  # noqa: S501
            except httpx.TransportError:
                is_served = False
            seconds.append(time.monotonic() - begun if is_served else float("inf"))

    with ThreadPoolExecutor(1) as pool:
        visiting = pool.submit(visit)
        try:
            yield seconds
        finally:
            stop.set()
            visiting.result()


def contexts(tls: Edge) -> dict[str, ssl.SSLContext | None]:
    """Return the TLS context of each port's clients."""
    found: dict[str, ssl.SSLContext | None] = dict.fromkeys(("http", "redirect", "raw tls"))
    for name in ("tls", "h2"):
        context = ssl.create_default_context(cafile=str(tls.folder / "authority.pem"))
        context.set_alpn_protocols(["h2" if name == "h2" else "http/1.1"])
        found[name] = context
    return found


def measure(
    stack: LocalStack, count: int, chosen: Callable[[str], bool]
) -> Iterator[tuple[str, str, list[int], list[float]]]:
    """Yield each kind, the port, the clients kept at each of LOOKS, and the seconds of the other client's responses."""
    with (stack.run_dir / LARGE[1:]).open("wb") as file:
        file.truncate(8 * 2**20)
    with edge(stack) as plain, edge(stack, NGINX_TLS="on") as tls:
        ports = {"http": int(plain.url.rpartition(":")[2]), "redirect": int(tls.url.rpartition(":")[2])}
        ports |= dict.fromkeys(("tls", "raw tls", "h2"), tls.tls_port)
        for name, kind in KINDS.items():
            for port in kind.ports if chosen(name) else ():
                address = plain.url if port == "http" else f"https://localhost:{tls.tls_port}"
                with another_client(address) as seconds:
                    kept = hold(ports[port], contexts(tls)[port], kind, count)
                yield name, port, kept, seconds


def main() -> None:
    """Print the table."""
    count, *words = sys.argv[1:] or ["2500"]
    stack = LocalStack(BACKENDS[0])
    stack.up()
    try:
        print("| client | port | kept after 15, 30, 45, 60 s | others: failed, requests, slowest |")
        print("| --- | --- | --- | --- |")
        for name, port, kept, seconds in measure(
            stack, int(count), lambda name: not words or any(word in name for word in words)
        ):
            failed = seconds.count(float("inf"))
            slowest = max((each for each in seconds if each != float("inf")), default=0)
            print(f"| {name} | {port} | {kept} | {failed}, {len(seconds)}, {slowest:.2f} s |", flush=True)
    finally:
        stack.down()


if __name__ == "__main__":
    main()
