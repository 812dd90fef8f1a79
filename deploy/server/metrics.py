"""Counts the requests of a worker in a file that the exporter reads (exporter.py). Only METRICS_PORT loads this module.

A file belongs to a slot, not to a process: a worker takes over the file of one that has ended, and continues its
counts. So no count is lost, and there are never more files than workers at one time. prometheus_client has a file for
each process id, and needs 3 µs or more for an observation.

A series is a route, a method and a status. Its record has a name, the total time, and a count for each range of time.
"""

import atexit
import fcntl
import json
import logging
import mmap
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock
from time import monotonic_ns
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app import router
from app.body import Wrapped
from app.headers import Headers
from app.middleware import errors

FOLDER = "METRICS_DIR"  # the environment variable: set by the launcher
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # upper limits of the ranges, one more follows
LIMITS = tuple(int(seconds * 1e9) for seconds in SECONDS)
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))  # nginx refuses others
CELL = 8  # bytes of a number
NAME = 256  # bytes of a series' name
CELLS = 2 + len(SECONDS) + 1  # of a record: the length of its name, the total time in ns, and the counts
RECORD = NAME + CELLS * CELL
SERIES = 1000  # in a file; requests of further series are counted together
SIZE = RECORD * (1 + SERIES)  # the first record is the head
STATE, PROCESS, STREAMS, EXCEPTIONS, ENDED, KILLED = range(6)  # cells of the head
FREE, RUNNING = 0, 1  # states
OTHER = ("", "other", "other")  # the series of requests beyond SERIES

Series = tuple[str, str, str]


class Slot:
    """The file of one worker."""

    def __init__(self, folder: Path) -> None:
        self.lock = Lock()
        self.file = take(folder)
        os.posix_fallocate(self.file, 0, SIZE)  # otherwise a full disk would kill the worker at a later write
        self.bytes = mmap.mmap(self.file, SIZE)
        self.cells = memoryview(self.bytes).cast("Q")
        self.places = {series: at for series, at, _ in records(self.bytes)}  # the first cell of each series
        self.cells[PROCESS] = os.getpid()
        self.cells[STREAMS] = 0
        if self.cells[STATE] == RUNNING:
            self.cells[KILLED] += 1
        self.cells[STATE] = RUNNING
        self.known: dict[Series, int] = {}  # places of requests, so that a request needs one look-up
        if OTHER not in self.places:
            self.add(OTHER)

    def add(self, series: Series) -> int:
        """Return the first cell of a new series. Its length comes last: a killed worker leaves no half of a name."""
        name = json.dumps(series).encode()
        number = len(self.places) + 1
        if number > SERIES or len(name) > NAME:
            return self.places[OTHER]
        at = number * RECORD
        self.bytes[at : at + RECORD] = name.ljust(RECORD, b"\0")
        place = self.places[series] = (at + NAME) // CELL
        self.cells[place] = len(name)
        return place

    def place(self, route: str, method: str, status: str) -> int:
        """Return the first cell of a request's series; keep the place also for a status with a reason."""
        series = (route, method if method in METHODS else "other", status[:3])
        with self.lock:
            at = self.places.get(series) or self.add(series)
            if len(self.known) < SERIES:
                self.known[route, method, status] = at
        return at

    def record(self, route: str, method: str, status: str, nanoseconds: int) -> None:
        """Count a request."""
        at = self.known.get((route, method, status)) or self.place(route, method, status)
        with self.lock:
            self.cells[at + 1] += nanoseconds
            self.cells[at + 2 + bisect_left(LIMITS, nanoseconds)] += 1

    def count(self, cell: int, number: int = 1) -> None:
        """Add to a cell of the head."""
        with self.lock:
            self.cells[cell] += number

    def leave(self) -> None:
        """Note that the worker ends by itself."""
        if self.cells[PROCESS] == os.getpid():  # not a process that a handler has forked
            self.count(ENDED)
            self.cells[STATE] = FREE


class Stream(Wrapped):
    """A response that the server iterates over. It is counted when it is closed, when its status is known."""

    def __init__(self, body: Iterable[bytes], slot: Slot, record: Callable[[], None]) -> None:
        super().__init__(body, body)
        self.slot, self.record = slot, record
        slot.count(STREAMS)

    def close(self) -> None:
        """Close the response."""
        try:
            super().close()
        finally:
            self.slot.count(STREAMS, -1)
            self.record()


class Exceptions(logging.Filter):
    """Counts the exceptions that the error middleware logs, also if LOG_LEVEL leaves them out of the log."""

    def __init__(self, slot: Slot) -> None:
        super().__init__()
        self.slot = slot

    def filter(self, record: logging.LogRecord) -> bool:
        """Count one, and return whether it belongs into the log."""
        self.slot.count(EXCEPTIONS)
        return logging.getLogger().isEnabledFor(record.levelno)


def measured(served: WSGIApplication) -> WSGIApplication:
    """Return the server's callable with counts in a slot of this process; without counts if the disk is full."""
    try:
        slot = Slot(Path(os.environ[FOLDER]))
    except OSError as error:
        logging.getLogger(__name__).warning("this worker counts no requests: %s", error)
        return served
    atexit.register(slot.leave)
    errors.logger.addFilter(Exceptions(slot))
    errors.logger.setLevel(logging.ERROR)

    paths, known, lock, cells = router.PATHS, slot.known, slot.lock, slot.cells

    def counted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = monotonic_ns()
        path = environ.get("PATH_INFO", "")
        routes: list[str] = []
        environ["app.routes"] = routes  # the router adds its key; the application has a copy of environ
        status = ""

        def start(line: str, headers: Headers) -> Callable[[bytes], object]:
            nonlocal status
            status = line
            return start_response(line, headers)

        try:
            body = served(environ, start)  # type: ignore[arg-type] # it passes no exc_info
        except ConnectionResetError:  # the response is cut (wsgi.py)
            record(environ, path, began, status)
            raise
        if isinstance(body, Wrapped):
            return Stream(body, slot, lambda: record(environ, path, began, status))
        route = routes[-1] if routes else path if path in paths else ""
        method, spent = environ["REQUEST_METHOD"], monotonic_ns() - began
        try:
            at = known[route, method, status]
        except KeyError:
            at = slot.place(route, method, status)
        range_ = at + 2 + bisect_left(LIMITS, spent)
        lock.acquire()  # "with lock" and a call of record() take a tenth of the time each
        try:
            cells[at + 1] += spent
            cells[range_] += 1
        finally:
            lock.release()
        return body

    def record(environ: WSGIEnvironment, path: str, began: int, status: str) -> None:
        routes = environ["app.routes"]
        route = routes[-1] if routes else path if path in paths else ""
        slot.record(route, environ["REQUEST_METHOD"], status, monotonic_ns() - began)

    return counted


def take(folder: Path) -> int:
    """Lock the file of a slot that no process has, one of a killed worker first; return its descriptor."""
    for is_killed in (True, False):
        for number in range(4096):
            path = folder / str(number)
            if is_killed and not path.exists():
                break
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a child does not inherit it
            except OSError:
                os.close(file)
                continue
            if not is_killed or os.pread(file, CELL, STATE * CELL) == RUNNING.to_bytes(CELL, "little"):
                return file
            os.close(file)
    raise OSError(f"{folder} has no free slot")


def records(data: mmap.mmap | bytes) -> Iterator[tuple[Series, int, list[int]]]:
    """Yield each series in a file, its first cell, and its numbers; nothing from a damaged record on."""
    cells = memoryview(data).cast("Q")
    for number in range(1, SERIES + 1):
        at = number * RECORD
        place = (at + NAME) // CELL
        if not (length := cells[place]):
            return
        try:
            route, method, status = map(str, json.loads(data[at : at + length]))
        except (TypeError, ValueError):
            return
        yield (route, method, status), place, cells[place + 1 : place + CELLS].tolist()
