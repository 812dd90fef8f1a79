"""The health of the load generator: CPU and lateness of its event loop, in each of its processes.

A generator that lacks CPU runs its event loop late, and measures every response time too long by that lateness.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import gevent

from deploy.server.sizing import cpu_limit
from loadtest.objectives import Route

INTERVAL = 0.05  # seconds
WINDOW = 5  # seconds: the mean of a whole run would hide a busy part


@dataclass
class Effort:
    """What one process has used since it started."""

    seconds: float = 0
    cpu: float = 0  # seconds of the CPU that it may use: with half a core, twice the seconds used
    late: Counter[float] = field(default_factory=Counter)  # wake-ups by lateness in milliseconds
    busy: Counter[float] = field(default_factory=Counter)  # windows by percent of CPU

    def since(self, earlier: "Effort") -> "Effort":
        """Return what the process has used after `earlier`."""
        late, busy = self.late - earlier.late, self.busy - earlier.busy
        return Effort(self.seconds - earlier.seconds, self.cpu - earlier.cpu, late, busy)

    @property
    def busiest(self) -> float:
        """Return the percentage of CPU in the busiest window, or the mean if no window has ended."""
        mean = self.cpu / self.seconds * 100 if self.seconds else 0
        return max(self.busy, default=round(mean, 1))


class Monitor:
    """Watches this process from its creation to `stop`."""

    def __init__(self) -> None:
        self.effort = Effort()
        self.task = gevent.spawn(self.watch)

    def stop(self) -> None:
        """End watching; the figures stay."""
        self.task.kill()

    def watch(self) -> None:
        """Wake at fixed intervals; count each wake-up by its lateness, those missed in one freeze too."""
        began, cpu, share = time.perf_counter(), time.process_time(), min(1, cpu_limit())
        due, window = began, Effort()
        while True:
            due += INTERVAL
            gevent.sleep(max(0, due - time.perf_counter()))
            now = time.perf_counter()
            self.effort.late[max(0, round((now - due) * 1000))] += 1
            self.effort.seconds, self.effort.cpu = now - began, (time.process_time() - cpu) / share
            seconds, used = self.effort.seconds - window.seconds, self.effort.cpu - window.cpu
            if seconds >= WINDOW:
                self.effort.busy[round(used / seconds * 100, 1)] += 1
                window = Effort(self.effort.seconds, self.effort.cpu)


def figures(efforts: Mapping[str, Effort]) -> dict[str, float]:
    """Return the highest CPU percentage and the highest 95th percentile of lateness of all processes."""
    return {
        "cpu_percent": max(each.busiest for each in efforts.values()),
        "late_p95_ms": max(Route(times=each.late).percentile(0.95) or 0 for each in efforts.values()),
    }
