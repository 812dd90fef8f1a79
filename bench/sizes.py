"""`make bench-sizes`: measure numbers of workers and threads, for one CPU and for two. `make bench` does not run it.

One handler computes for 2 ms, the other one waits for 50 ms. More threads serve more requests that wait. They slow down
requests that compute, because only one thread of a worker runs at a time. deploy/server/sizing.py and launch.py have
the winner.
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.names import WORK
from bench.servers import Load, app_server, need_programs, nginx, wait_for, wrk
from deploy.server.launch import BACKENDS

SIZES = ((1, 4), (1, 8), (2, 1), (2, 2), (2, 4), (2, 8), (4, 1), (4, 2), (4, 4), (4, 8), (8, 1), (8, 4))
CPUS = ({0}, {0, 1})
CONNECTIONS = 64
SECONDS = 3
ADDRESS = "127.0.0.1:8704"


def memory(process: int) -> float:
    """Return the proportional set size of the process and its descendants in MB (proc_pid_smaps_rollup(5))."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return own / 1000 + sum(memory(int(child)) for child in children)


def measure(backend: str, cpus: set[int], size: tuple[int, int]) -> tuple[Load, Load, float]:
    """Return what both handlers achieve with this size, and the memory of the server in MB."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        every = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpus)  # the server inherits it
        app = stack.enter_context(app_server(folder, backend, WORK[backend], size=size))
        os.sched_setaffinity(0, every)
        stack.enter_context(nginx(folder, ADDRESS, is_minimal=True))
        wait_for(f"http://{ADDRESS}/compute")
        loads = [wrk(f"http://{ADDRESS}/{path}", CONNECTIONS, SECONDS) for path in ("compute", "wait")]
        return loads[0], loads[1], memory(app)


def main() -> None:
    """Measure all sizes on both backends, or on those in the arguments, and print a table for each number of CPUs."""
    need_programs()
    for backend in sys.argv[1:] or BACKENDS:
        for cpus in CPUS:
            print(f"{backend}, {len(cpus)} CPU: requests/s, and the 99th percentile in ms; MB", flush=True)
            for workers, threads in SIZES:
                computing, waiting, size = measure(backend, cpus, (workers, threads))
                row = "  ".join(f"{load.rate:7.0f} ({load.p99:6.0f} ms)" for load in (computing, waiting))
                print(f"  {workers} × {threads}: compute, wait {row}  {size:5.0f} MB", flush=True)


if __name__ == "__main__":
    main()
