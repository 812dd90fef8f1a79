"""Tests that measure, or load a whole stack, have the machine to themselves; pytest-xdist runs several at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the machine during the block, together with others or alone; `folder` is the same for all processes."""
    with (folder / "gate").open("a") as gate, (folder / "machine").open("a") as machine:
        # Who waits to be alone keeps the gate shut, or others would come in for as long as there are some.
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
