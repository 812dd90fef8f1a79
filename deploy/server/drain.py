"""Runs a server that is found by its name, on several machines, and ends it only when nobody sends it anything more.

On one machine a deploy moves live.sock, waits until what was sent before has been accepted, and then stops the server
(deploy/release/__main__.py). The engine of a swarm takes the replica's name away, and sends SIGTERM two seconds later: an nginx
on another machine may not have heard of it yet, and a server that stops closes the door on those who wait in its queue.
"""

import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from deploy.server import live

HEARSAY = 3  # seconds until every nginx has heard: it asks for names every two (nginx/replicas.conf)
PATIENCE = 30  # seconds more for one that has not: an answer of the DNS was lost, or an engine is late to pass it on
HEALTH_CHECKS = 1  # a second, at the most


def run(arguments: list[str], address: str) -> int:
    """Run the server, which listens at `address`, until it ends, and return its exit code."""
    server = subprocess.Popen(arguments)

    def leave(_number: int, _frame: FrameType | None) -> None:
        time.sleep(HEARSAY)
        wait_until_quiet()
        with suppress(OSError):
            live.answer(address)  # it waits in the same queue, behind all others
        server.terminate()

    def hand_on(number: int, _frame: FrameType | None) -> None:
        server.send_signal(number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, hand_on)
    return server.wait()


def wait_until_quiet() -> None:
    """Wait for a second in which only the health check connects, and PATIENCE at the most."""
    for _ in range(PATIENCE):
        before = accepted()
        time.sleep(1)
        if accepted() - before <= HEALTH_CHECKS:
            return
    print(f"linger: requests still arrive after {HEARSAY + PATIENCE} seconds: ending all the same", flush=True)


def accepted() -> int:
    """Return how many connections this container has accepted since it is there: tcpPassiveOpens (RFC 4022)."""
    table = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:")]
    return int(dict(zip(*table, strict=True))["PassiveOpens"])
