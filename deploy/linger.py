"""Runs a server that is found by its name, on several machines, and ends it only when nobody has sent it anything more.

On one machine a deploy moves live.sock, waits until what was sent before has been accepted, and then stops the server
(deploy/release.py). The engine of a swarm takes the replica's name away, and sends SIGTERM two seconds later: nginx may
not have heard of it yet, and a server that stops closes the door on those who wait in its queue.
"""

import signal
import subprocess
import time
from contextlib import suppress
from types import FrameType

from deploy import live

HEARSAY = 3  # seconds until every nginx has heard: it asks for names every two (nginx/replicas.conf)


def run(arguments: list[str], address: str) -> int:
    """Run the server, which listens at `address`, until it ends, and return its exit code."""
    server = subprocess.Popen(arguments)

    def leave(_number: int, _frame: FrameType | None) -> None:
        time.sleep(HEARSAY)
        with suppress(OSError):
            live.answer(address)  # it waits in the same queue, behind all others
        server.terminate()

    def hand_on(number: int, _frame: FrameType | None) -> None:
        server.send_signal(number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, hand_on)
    return server.wait()
