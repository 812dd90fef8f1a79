"""Whether the generator itself kept up: its CPU, and how late its own loop was, in each of its processes.

Whatever holds a generator up, its own work, a container's CPU limit or the server on the same machine, makes its loop
late, and each response time that it measured is wrong by as much.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gevent

from loadtest.objectives import Route

INTERVAL = 0.05  # seconds
WINDOW = 5  # seconds: the mean of a whole run would hide that it was busy for a part of it
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # a container's: "50000 100000", or "max 100000"


@dataclass
class Effort:
    """What one process has had to do since it began."""

    seconds: float = 0
    cpu: float = 0  # seconds of what it may use: with half a core, twice those that it used
    late: dict[float, int] = field(default_factory=dict)  # milliseconds, and how often
    busy: dict[float, int] = field(default_factory=dict)  # percent of its CPU, in each window, and how often

    def since(self, earlier: "Effort") -> "Effort":
        """Return what it had to do after `earlier`."""
        late = {time: count - earlier.late.get(time, 0) for time, count in self.late.items()}
        busy = {percent: count - earlier.busy.get(percent, 0) for percent, count in self.busy.items()}
        return Effort(self.seconds - earlier.seconds, self.cpu - earlier.cpu, late, busy)

    @property
    def busiest(self) -> float:
        """Return the percentage of its CPU that it used in its busiest window, or ever if that was none."""
        mean = self.cpu / self.seconds * 100 if self.seconds else 0
        return max((percent for percent, count in self.busy.items() if count), default=round(mean, 1))


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
        """Wake at fixed moments, and count by how many milliseconds each was missed, those of one long sleep too."""
        began, cpu, share = time.perf_counter(), time.process_time(), allowed()
        due, window = began, Effort()
        while True:
            due += INTERVAL
            gevent.sleep(max(0, due - time.perf_counter()))
            now = time.perf_counter()
            count(self.effort.late, max(0, round((now - due) * 1000)))
            self.effort.seconds, self.effort.cpu = now - began, (time.process_time() - cpu) / share
            part = self.effort.since(window)
            if part.seconds >= WINDOW:
                count(self.effort.busy, round(part.cpu / part.seconds * 100, 1))
                window = Effort(self.effort.seconds, self.effort.cpu)


def count(counts: dict[float, int], value: float) -> None:
    """Count the value once more."""
    counts[value] = counts.get(value, 0) + 1


def allowed(file: Path = QUOTA) -> float:
    """Return how much of one core this process may use, which is all that it can: 1, or less in a small container."""
    quota, _, period = file.read_text().partition(" ") if file.exists() else ("max", "", "")
    return 1 if quota == "max" else min(1, int(quota) / int(period))


def figures(efforts: Mapping[str, Effort]) -> dict[str, float]:
    """Return the highest percentage of its CPU that a process used, and the highest 95th percentile of lateness."""
    return {
        "cpu_percent": max(each.busiest for each in efforts.values()),
        "late_p95_ms": max(Route(times=each.late).percentile(0.95) or 0 for each in efforts.values()),
    }
