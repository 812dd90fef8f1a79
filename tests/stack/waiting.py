"""What the stacks of both kinds share: where the project is, a free port, waiting for something to come true."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def until(holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait until `holds()`; fail the test where it does not within the time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
