"""A lock between the workers of pytest-xdist, so that some tests run while no other test does."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold a lock during the block, exclusive if `alone`, otherwise shared; all processes use the same `folder`."""
    with (folder / "gate").open("a") as gate, (folder / "machine").open("a") as machine:
        # A test that waits for the exclusive lock holds the gate, so that new tests cannot overtake it.
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
