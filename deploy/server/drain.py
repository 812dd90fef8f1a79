"""Runs the server as a child of this process, which gets its signals, and drains it before it stops.

    python -m deploy.server.drain ADDRESS COMMAND...

A server that stops resets the connections in its listen queue. So SIGTERM reaches the server only when another one has
the site's requests, and when this one has accepted all that were sent to it.

On one machine, nginx connects to live.sock. If it points at this container, and another container is ready, that one
takes over (live.py). So it does not matter which of two app containers is stopped, or by whom. In a swarm the engine
removes the replica's name from DNS, and sends SIGTERM two seconds later. An nginx on another machine may still have the
old address then.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from types import FrameType

from deploy.server import (
    live,
    log_writer,  # only with monitoring
)

BOOT_SECONDS = 1  # a server and its workers can lose a SIGTERM in the first tenth of a second after their start
DNS_DELAY = 3  # seconds until every nginx has the new addresses; nginx asks every two (upstream-replicas.conf)
QUIET_SECONDS = 30  # longest further wait for an nginx that missed a DNS answer, or an engine that is late
HEALTH_CHECKS = 1  # per second at most
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(address: str, arguments: list[str]) -> int:
    """Run the server, which listens at `address`, until it exits, and return its exit code.

    This is the container's process 1. So it also reaps the processes whose parent exits.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    log_writer.start()  # only with monitoring
    server = os.posix_spawnp(arguments[0], arguments, os.environ, setsigmask=[])
    started = time.monotonic()
    exporter = start_exporter()  # only with monitoring

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, pass_on)  # the second one is urgent
        drain(address)
        time.sleep(max(0.0, started + BOOT_SECONDS - time.monotonic()))
        os.kill(server, signal.SIGTERM)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        os.kill(server, number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    while True:
        process, status = os.wait()
        # begin monitoring
        if process == exporter:
            time.sleep(1)  # if it cannot start, it has printed the reason
            exporter = start_exporter()
        if process == server and exporter and not status:  # after a crash, the engine starts the next one at once
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            os.kill(exporter, signal.SIGTERM)  # it exits after the last scrape
            os.waitpid(exporter, 0)
        # end monitoring
        if process == server:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


# begin monitoring
def start_exporter() -> int:
    """Start the process that serves the metrics, if they are on, and return its id or 0."""
    if "METRICS_DIR" not in os.environ:
        return 0
    line = [sys.executable, "-m", "deploy.server.exporter", f"{os.getpid()}"]
    return os.posix_spawn(line[0], line, os.environ, setsigmask=[], setsigdef=SIGNALS)


# end monitoring
def drain(address: str) -> None:
    """Return when nginx connects to other servers only, and this one has accepted every earlier connection."""
    if address.startswith(live.UNIX):
        if not live.hand_over(address.removeprefix(live.UNIX)):
            return  # no other server would take the requests
    else:
        time.sleep(DNS_DELAY)
        wait_until_quiet()
    with suppress(OSError):
        live.answer(address)  # the last in the listen queue: when it is answered, all others are accepted


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
    with open("/proc/net/snmp") as counters:  # noqa: PTH123 (pathlib would double this process's memory)
        table = [line.split() for line in counters if line.startswith("Tcp:")]
    return int(dict(zip(*table, strict=True))["PassiveOpens"])


if __name__ == "__main__":
    code = run(sys.argv[1], sys.argv[2:])
    log_writer.finish()  # only with monitoring
    sys.exit(code)
