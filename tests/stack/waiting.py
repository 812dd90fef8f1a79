"""What the stacks of both kinds share: where the project is, a free port, waiting for something to come true."""

import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on, and that no client is given before it is used."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_768)  # Linux gives clients those above, macOS from 49,152 on
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def until(holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait until `holds()`; fail the test where it does not within the time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
