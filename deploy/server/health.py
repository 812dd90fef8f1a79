"""The health check: which server is ready, and which worker or server hangs.

`python -m deploy.server.live check` and deploy/local/watch.py run it. A request for /readyz waits in the same listen
queue as all requests, as long as nginx lets a request wait. The check also reads where each thread is (progress.py):

- A thread is stuck if it has been inside the application for STUCK_SECONDS without yielding a part of the response.
  nginx has answered 504 to its client. The check ends a worker whose threads are all stuck. If nobody answers, it ends
  the worker with the most stuck threads. The server then starts another worker.
- Without an answer, the server is busy if a thread is inside the application or sends a response. It is healthy.
- Otherwise the server hangs, and the check ends it. It also ends a server that no longer listens.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from threading import Event, Thread

from deploy.server import live
from deploy.server.progress import IDLE, NAME, SENDING, SIZE, TRACEBACKS

STUCK_SECONDS = live.ANSWER_SECONDS
LOOK_SECONDS = 10.0  # between two looks at the threads, while no thread answers
BUSY = b"busy"
REPORTED = "/tmp/reported"  # noqa: S108 (as SERVED: the last sentence about the status)
SERVED = "/tmp/has-served"  # noqa: S108 (the container's own tmpfs, empty at each start)
SPARE = "/tmp/is-spare"  # noqa: S108 (as above)


def check(address: str) -> None:
    """Exit with 1 unless the server is ready or busy; claim live.sock if no server listens there."""
    has_served = os.path.exists(SERVED)
    try:
        status = examine(address, 1, has_served=has_served)
    except OSError:
        status = b""
    if status not in (b"200", BUSY):
        if status and not has_served:
            report(f"{live.complaint(address, '/readyz', status)}: {live.REMEDY}")
        live.refuse(address, "/readyz", status)
    with open(SERVED, "w"):
        pass
    if live.claim(address) and not os.path.exists(SPARE):
        log(1, "another container of the app is live: it gets all requests, and this one is a spare")
        with open(SPARE, "w"):
            pass


def examine(address: str, server: int, *, has_served: bool) -> bytes:
    """Return the status of /readyz, BUSY, or b"" after ending what hangs; `server` is the server's first process.

    Raise OSError if the server does not listen and has not served yet: it may take its time to start.
    """
    for stuck, threads, worker in stuck_workers(server):
        if stuck == threads:
            end_worker(server, worker, stuck, threads)
    answered = Event()
    Thread(target=end_stuck_workers, args=(server, answered), daemon=True).start()
    try:
        return live.answer(address, has_served=has_served)
    except (ConnectionRefusedError, FileNotFoundError):
        if not has_served:
            raise
    except TimeoutError:
        if any(note != IDLE for worker in workers(server) for note in notes(worker)):
            return BUSY
    finally:
        answered.set()
    if has_served:
        end_server(server)
    return b""


def end_stuck_workers(server: int, answered: Event) -> None:
    """Until the server has answered, end the worker with the most stuck threads every LOOK_SECONDS."""
    while not answered.wait(LOOK_SECONDS):
        if found := stuck_workers(server):
            stuck, threads, worker = max(found)
            end_worker(server, worker, stuck, threads)


def stuck_workers(server: int) -> list[tuple[int, int, int]]:
    """Return the number of stuck threads, of all threads, and the process id, of each worker that has stuck threads."""
    found: list[tuple[int, int, int]] = []
    for worker in workers(server):
        noted, latest = notes(worker), time.monotonic_ns() - STUCK_SECONDS * 10**9
        if stuck := sum(SENDING < note < latest for note in noted):
            found.append((stuck, len(noted), worker))
    return found


def notes(worker: int) -> list[int]:
    """Return the notes of the worker's threads (progress.py), none if the process has ended or is no worker."""
    folder = f"/proc/{worker}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):
                if os.readlink(f"{folder}/{name}").startswith(f"/memfd:{NAME} "):
                    with open(f"{folder}/{name}", "rb") as file:
                        data = file.read()
                    return [int.from_bytes(data[at : at + SIZE], sys.byteorder) for at in range(0, len(data), SIZE)]
    return []


def workers(process: int) -> Iterator[int]:
    """Yield the workers among the descendants of a process."""
    for child in children(process):
        if notes(child):
            yield child
        else:
            yield from workers(child)


def children(process: int) -> list[int]:
    """Return the child processes."""
    with suppress(OSError), open(f"/proc/{process}/task/{process}/children") as found:
        return [int(child) for child in found.read().split()]
    return []


def end_worker(server: int, worker: int, stuck: int, threads: int) -> None:
    """Print where the threads of the worker are, and end it. The server starts another one."""
    log(
        server, f"{stuck} of {threads} threads of worker {worker} hang for {STUCK_SECONDS:g} seconds: ending the worker"
    )
    with suppress(ProcessLookupError):
        os.kill(worker, TRACEBACKS)
        time.sleep(0.2)  # for the tracebacks
        os.kill(worker, signal.SIGKILL)


def end_server(process: int) -> None:
    """End the server, whose first process is `process`, with its workers; return when it has exited.

    The kernel does not let a container kill its own process 1. So it gets SIGTERM, and because it would wait for
    requests that hang, its workers are killed until it exits.
    """
    log(process, f"no answer in {live.ANSWER_SECONDS:g} seconds: ending the server, which is then started again")
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        while os.path.exists(f"/proc/{process}/exe"):  # a zombie has none
            for worker in children(process):
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            time.sleep(0.1)


def report(sentence: str) -> None:
    """Write the sentence to the log, because Docker does not show what a health check prints; do not repeat it."""
    with suppress(FileNotFoundError), open(REPORTED) as file:
        if file.read() == sentence:
            return
    with open(REPORTED, "w") as file:
        file.write(sentence)
    log(1, sentence)


def log(server: int, text: str) -> None:
    """Write a line to the log of the server."""
    with suppress(OSError), open(f"/proc/{server}/fd/2", "a") as file:
        file.write(f"live: {text}\n")
