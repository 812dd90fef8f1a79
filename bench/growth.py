"""`make bench-growth`: measure how the cost of a request grows with the number of clients, and with the body.

The clients keep their connections to nginx open. The handler reads the body. All requests pass this project's nginx.
"""

import sys
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.names import SERVED, WORK
from bench.reference.bare import PATH
from bench.report import ratio, spread, verdict
from bench.servers import app_server, need_programs, nginx, wait_for, wrk
from deploy.server.launch import BACKENDS

CLIENTS = (10, 100)
BODIES = (0, 100_000, 1_000_000)  # bytes; MAX_BODY_BYTES allows the last
ROUNDS, REQUESTS = 15, 20
LEAST_RATE, MOST_TIME = 0.9, 12  # of ten clients' rate; a body of 1 MB / a body of 100 kB
ADDRESS = "127.0.0.1:8705"


def clients(backend: str, folder: Path) -> None:
    """Measure the rate by number of clients."""
    with app_server(folder, backend, SERVED[backend]), nginx(folder, ADDRESS, is_minimal=False):
        url = f"http://{ADDRESS}{PATH}"
        wait_for(url)
        rates: dict[int, list[float]] = {count: [] for count in CLIENTS}
        for _ in range(ROUNDS):
            for count, found in rates.items():
                found.append(wrk(url, count, 1).rate)
    for count, found in rates.items():
        print(f"{backend}: {count:>4} clients, requests/s {spread(found)}")
    verdict(f"{backend}: rate of 100 clients / of 10", ratio(rates[100], rates[10]), least=LEAST_RATE)


def bodies(backend: str, folder: Path) -> None:
    """Measure the time of a request by the length of its body."""
    with app_server(folder, backend, WORK[backend]), nginx(folder, ADDRESS, is_minimal=False):
        wait_for(f"http://{ADDRESS}/read")
        client = HTTPConnection(ADDRESS)
        times: dict[int, list[float]] = {length: [] for length in BODIES}
        for _ in range(ROUNDS):
            for length, found in times.items():
                began = perf_counter()
                for _ in range(REQUESTS):
                    client.request("POST", "/read", b"x" * length)
                    if client.getresponse().read() != str(length).encode():
                        raise SystemExit(f"bench: a body of {length} bytes did not arrive")
                found.append((perf_counter() - began) / REQUESTS * 1000)
    for length, found in times.items():
        print(f"{backend}: a body of {length:>9,} bytes, ms {spread(found)}")
    none, small, large = (median(found) for found in times.values())
    verdict(f"{backend}: time of a body of 1 MB / of 100 kB", (large - none) / (small - none), most=MOST_TIME)


def main() -> None:
    """Measure both backends, or those in the arguments, and print the figures and the verdicts."""
    need_programs()
    for backend in sys.argv[1:] or BACKENDS:
        for measure in (clients, bodies):
            with tempfile.TemporaryDirectory() as folder:
                measure(backend, Path(folder))


if __name__ == "__main__":
    main()
