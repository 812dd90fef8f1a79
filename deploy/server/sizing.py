"""Choose the number of workers from the CPU and memory limits of the container (or of this machine)."""

import os
from math import ceil
from pathlib import Path

# docs/performance.md has the measurements: with as many threads, fewer workers compute faster and need less memory.
WORKERS_PER_CPU = 1
THREADS_PER_WORKER = 8
LEAST_WORKERS = 2  # one serves while the other restarts
MEMORY_PER_WORKER = 64 * 1024**2  # bytes; the demo uses half
CGROUP = Path("/sys/fs/cgroup")


def worker_count(cpus: float, memory: int) -> int:
    """Return the number of workers for `cpus` CPUs and `memory` bytes."""
    return max(LEAST_WORKERS, min(ceil(WORKERS_PER_CPU * cpus), memory // MEMORY_PER_WORKER))


def cpu_limit(cgroup: Path = CGROUP) -> float:
    """Return the CPUs that this process may use: the cgroup's quota, or its CPU affinity if that is less."""
    available = float(len(os.sched_getaffinity(0)))
    quota, period = (number(cgroup / "cpu" / name) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))  # version 1
    if (cgroup / "cpu.max").exists():  # version 2: "150000 100000", or "max 100000"
        text = (cgroup / "cpu.max").read_text().split()
        quota, period = None if text[0] == "max" else int(text[0]), int(text[1])
    return min(available, quota / period) if quota and period else available


def memory_limit(cgroup: Path = CGROUP) -> int:
    """Return the memory that this process may use, in bytes: the cgroup's limit, or the machine's memory if less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = number(cgroup / "memory.max") or number(cgroup / "memory" / "memory.limit_in_bytes")
    return min(machine, limit) if limit else machine


def number(path: Path) -> int | None:
    """Return the number in a cgroup file, or None if there is no such file or no limit ("max", -1)."""
    try:
        return max(0, int(path.read_text())) or None
    except (OSError, ValueError):
        return None
