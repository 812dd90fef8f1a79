"""Counts the connections in a server's listen queue, for the exporter."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from deploy.server.live import UNIX

LISTENS = 10  # the kernel's number of this state
SOCK_DIAG = 4  # and the next: numbers of sock_diag(7)
BY_FAMILY, DUMP, DONE, ERROR = 20, 0x301, 3, 2
SHOW_NAME, SHOW_QUEUE = 0x01, 0x10
NAME, QUEUE = 0, 4  # attributes of a response
HEADER = 16


def waiting(address: str) -> int:
    """Return the number of connections to the address that no worker has accepted."""
    if address.startswith(UNIX):
        return sum(length for name, length in unix_queues() if name == address.removeprefix(UNIX))
    port = f":{int(address.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        int(row[4].partition(":")[2], 16) for row in rows if row[1].endswith(port) and int(row[3], 16) == LISTENS
    )


def unix_queues() -> Iterator[tuple[str, int]]:
    """Yield the path of each listening Unix socket, and the length of its queue.

    /proc/net/unix lists waiting connections too, but only those of this network namespace, and not nginx's.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG) as netlink:
        what = struct.pack("=BBHIIIQ", socket.AF_UNIX, 0, 0, 1 << LISTENS, 0, SHOW_NAME | SHOW_QUEUE, 0)
        netlink.send(struct.pack("=IHHII", HEADER + len(what), BY_FAMILY, DUMP, 0, 0) + what)
        while True:
            data = netlink.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (DONE, ERROR):
                    return
                found = dict(attributes(data[2 * HEADER : length]))
                yield (
                    found.get(NAME, b"").rstrip(b"\0").decode(errors="replace"),
                    *struct.unpack_from("=I", found[QUEUE]),
                )
                data = data[length:]


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the value of each attribute in a response."""
    while data:
        length, kind = struct.unpack_from("=HH", data)
        yield kind, data[4:length]
        data = data[(length + 3) & ~3 :]
