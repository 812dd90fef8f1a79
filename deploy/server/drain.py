"""Runs a server that nginx finds by DNS, on several machines, and stops it only when nginx sends it no more requests.

On one machine a deploy moves live.sock, drains the previous container and then stops it (deploy/release). In a swarm
the engine removes the replica's name from DNS, and sends SIGTERM two seconds later. An nginx on another machine may
still have the old address then, and a server that stops resets the connections in its listen queue.
"""

import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from deploy.server import live

DNS_DELAY = 3  # seconds until every nginx has the new addresses; nginx asks every two (upstream-replicas.conf)
QUIET_SECONDS = 30  # longest further wait for an nginx that missed a DNS answer, or an engine that is late
HEALTH_CHECKS = 1  # per second at most


def run(arguments: list[str], address: str) -> int:
    """Run the server, which listens at `address`, until it exits, and return its exit code."""
    server = subprocess.Popen(arguments)

    def stop(_number: int, _frame: FrameType | None) -> None:
        time.sleep(DNS_DELAY)
        wait_until_quiet()
        with suppress(OSError):
            live.answer(address)  # the last in the listen queue: when it is answered, all others are accepted
        server.terminate()

    def pass_on(number: int, _frame: FrameType | None) -> None:
        server.send_signal(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, pass_on)
    return server.wait()


def wait_until_quiet() -> None:
    """Wait for a second in which only the health check connects, or for QUIET_SECONDS."""
    for _ in range(QUIET_SECONDS):
        before = accepted()
        time.sleep(1)
        if accepted() - before <= HEALTH_CHECKS:
            return
    print(f"drain: requests still arrive after {DNS_DELAY + QUIET_SECONDS} seconds: stopping", flush=True)


def accepted() -> int:
    """Return the number of connections that this container has accepted: tcpPassiveOpens (RFC 4022)."""
    table = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:")]
    return int(dict(zip(*table, strict=True))["PassiveOpens"])
