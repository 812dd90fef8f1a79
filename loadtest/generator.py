"""Whether the generator itself kept up: its CPU, and how late its own loop was, in each of its processes.

Whatever holds a generator up, its own work, a container's CPU limit or the server on the same machine, makes its loop
late, and each response time that it measured is wrong by as much.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import gevent

from loadtest.objectives import Route

INTERVAL = 0.05  # seconds


@dataclass
class Effort:
    """What one process has had to do since it began."""

    seconds: float = 0
    cpu: float = 0  # seconds
    late: dict[float, int] = field(default_factory=dict)  # milliseconds, and how often

    def since(self, earlier: "Effort") -> "Effort":
        """Return what it had to do after `earlier`."""
        late = {time: count - earlier.late.get(time, 0) for time, count in self.late.items()}
        return Effort(self.seconds - earlier.seconds, self.cpu - earlier.cpu, late)


class Monitor:
    """Watches this process from `start` to `stop`."""

    def __init__(self) -> None:
        self.effort = Effort()
        self.task: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin, anew where it has begun before."""
        self.stop()
        self.effort = Effort()
        self.task = gevent.spawn(self.watch)

    def stop(self) -> None:
        """Let the figures stand as they are."""
        if self.task:
            self.task.kill()
            self.task = None

    def watch(self) -> None:
        """Sleep, and count by how many milliseconds each sleep was too long."""
        began, cpu = time.perf_counter(), time.process_time()
        while True:
            due = time.perf_counter() + INTERVAL
            gevent.sleep(INTERVAL)
            late = round((time.perf_counter() - due) * 1000)
            self.effort.late[late] = self.effort.late.get(late, 0) + 1
            self.effort.seconds, self.effort.cpu = time.perf_counter() - began, time.process_time() - cpu


def figures(efforts: Mapping[str, Effort]) -> dict[str, float]:
    """Return the highest percentage of one core that a process used, and the highest 95th percentile of lateness."""
    return {
        "cpu_percent": max(round(each.cpu / each.seconds * 100, 1) if each.seconds else 0 for each in efforts.values()),
        "late_p95_ms": max(Route(times=each.late).percentile(0.95) or 0 for each in efforts.values()),
    }
