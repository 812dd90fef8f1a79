"""The reports that a worker sends, spans or errors: at most so many wait, and those that are lost are counted.

The sum of all numbers in the log is the number of lost reports. Those of a killed worker are not counted.
"""

import atexit
import logging
import os
from collections.abc import Callable
from threading import Event, Lock
from time import monotonic

LOG_SECONDS = 60.0  # from one line of the log to the next
END_SECONDS = 1.0  # in which a worker that ends sends the reports of all kinds that wait

logger = logging.getLogger(__name__)


class Reports:
    """The reports of one kind: `what` they are, and how many at `most` wait, those that are being sent included."""

    worker_ends = Event()
    deadline = 0.0  # of a worker that ends

    def __init__(self, what: str, most: int) -> None:
        self.what, self.most = what, most
        self.lock = Lock()
        self.waiting = 0
        self.lost = 0  # since the last line of the log
        self.next_line = 0.0

    def accept(self) -> bool:
        """Return whether there is a place for one more report, and take it; otherwise the report is lost."""
        with self.lock:
            if self.waiting < self.most:
                self.waiting += 1
                return True
        self.lose(1, f"{self.most} wait already")
        return False

    def leave(self, number: int) -> None:
        """Free the places of reports that were sent or lost."""
        with self.lock:
            self.waiting -= number

    def lose(self, number: int, reason: str) -> None:
        """Count lost reports, and log their number if the last line is old enough."""
        with self.lock:
            self.lost += number
            if monotonic() < self.next_line:
                return
            self.next_line = monotonic() + LOG_SECONDS
        self.log(reason)

    def log(self, reason: str) -> None:
        """Log the number of lost reports."""
        with self.lock:
            number, self.lost = self.lost, 0
        if number:
            logger.warning("%d %s lost: %s", number, self.what, reason, extra={"lost": number})

    def at_worker_end(self, send: Callable[[float], object]) -> None:
        """Let `send` send the last reports, in so many seconds; those that still wait then are lost."""
        process = os.getpid()

        def end() -> None:
            if process != os.getpid():  # a process that a handler has forked
                return
            if not Reports.worker_ends.is_set():
                Reports.deadline = monotonic() + END_SECONDS
                Reports.worker_ends.set()
            send(max(0.0, Reports.deadline - monotonic()))
            with self.lock:
                self.lost += self.waiting
            self.log("the worker ends")

        atexit.register(end)
