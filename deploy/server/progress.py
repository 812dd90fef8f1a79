"""The progress of a worker's threads: each notes when it enters and leaves the application.

The health check reads the notes through /proc (health.py), because a server whose threads are all busy cannot answer.
"""

import faulthandler
import mmap
import os
import signal
from collections import defaultdict
from itertools import cycle
from threading import get_ident
from time import monotonic_ns

NAME = "wsgi-progress"  # of the notes, in /proc/PID/fd
SIZE = 8  # bytes of a note
IDLE, SENDING = 0, 1  # notes of a thread outside the application; another note is the time at which it entered, in ns
TRACEBACKS = signal.SIGURG  # a process that does not handle this signal ignores it


class Progress:
    """The notes of a worker. Each thread writes its own note: threading.local would double the cost of doing so."""

    def __init__(self, notes: memoryview) -> None:
        numbers = cycle(range(len(notes)))

        def first_note() -> int:
            # uWSGI blocks all signals in its threads. A process that the application starts would inherit that.
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            return next(numbers)

        self.notes = notes
        self.numbers: dict[int, int] = defaultdict(first_note)  # by thread

    def enter(self) -> int:
        """Note that this thread enters the application now, and return the place of its note."""
        place = self.numbers[get_ident()]
        self.notes[place] = monotonic_ns()
        return place

    def leave(self, note: int = SENDING) -> None:
        """Note that this thread has left the application, to send a part of the response or, with IDLE, for good."""
        self.notes[self.numbers[get_ident()]] = note


def progress(threads: int) -> Progress:
    """Return the notes of a worker with so many threads. The signal TRACEBACKS prints where each thread is."""
    file = os.memfd_create(NAME)
    os.truncate(file, threads * SIZE)
    faulthandler.register(TRACEBACKS, file=2, all_threads=True)
    return Progress(memoryview(mmap.mmap(file, threads * SIZE)).cast("Q"))
