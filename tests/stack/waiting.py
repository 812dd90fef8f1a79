"""Helpers for both kinds of stack: the project's folder, free ports, waiting."""

import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a free loopback port outside the range from which the kernel assigns client ports."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_768)  # client ports begin at 32,768 on Linux
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def until(holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait until `holds()` returns true; fail the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"timed out after {seconds:g} s: {what}"
        time.sleep(0.05)
