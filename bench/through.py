"""`make bench-through`: measure applications through nginx and a server, with requests per second and CPU time.

The reference is frozen in bench/reference: a bare callable, an earlier configuration of the servers, and the shortest
nginx. Otherwise a faster server would raise both numbers of a ratio. The variants take turns. Ratios are of the same
round.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.names import SERVED
from bench.reference.bare import PATH
from bench.report import ratio, spread, verdict
from bench.servers import SECONDS, app_server, cpu_seconds, need_programs, nginx, wait_for, wrk
from deploy.server.launch import BACKENDS

ROUNDS = 5
CONNECTIONS = 32  # all threads are busy
FEW = {"gunicorn": 1, "uwsgi": 3}  # connections that reach half of the rate
REFERENCE, OURS, BARE = "bare, frozen servers, minimal nginx", "app as served, our nginx", "bare callable, our nginx"
FRAMEWORKS = {"Falcon": 1.0, "Bottle": 1.0, "Flask": 1.6, "Django": 1.6}  # the least ratio of ours to theirs
LEAST = {"gunicorn": 0.87, "uwsgi": 0.88}  # of the reference's rate
EPOLL = "app as served, recipes/epoll_worker.py, our nginx"  # only with gunicorn, recipes
LEAST_EPOLL = 1.05  # of the reference's rate # only with gunicorn, recipes


def main() -> None:
    """Measure both backends, or the one in the arguments."""
    need_programs()
    for backend in sys.argv[1:] or BACKENDS:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            measure(backend, Path(folder), stack)


def measure(backend: str, folder: Path, stack: ExitStack) -> None:
    """Measure all variants on the backend, and print the table and the verdicts."""
    variants = {REFERENCE: "bare callable", OURS: SERVED[backend], BARE: "bare callable"}
    variants |= {name: name for name in FRAMEWORKS}
    options: dict[str, list[str]] = {}
    # begin gunicorn
    # begin recipes
    if backend == "gunicorn":
        variants[EPOLL] = SERVED[backend]
        options[EPOLL] = ["--worker-class", "recipes.epoll_worker.EpollWorker"]
    # end recipes
    # end gunicorn
    urls: dict[str, str] = {}
    processes: dict[str, tuple[int, int]] = {}
    for number, (name, application) in enumerate(variants.items()):
        (home := folder / f"{number}").mkdir()
        address = f"127.0.0.1:{8710 + number}"
        frozen = name == REFERENCE
        app = stack.enter_context(app_server(home, backend, application, *options.get(name, ()), is_frozen=frozen))
        proxy = stack.enter_context(nginx(home, address, is_minimal=frozen))
        urls[name], processes[name] = f"http://{address}{PATH}", (app, proxy)
        wait_for(urls[name])
        wrk(urls[name], CONNECTIONS, 1)
    rates: dict[str, list[float]] = {name: [] for name in variants}
    costs: dict[str, list[tuple[float, ...]]] = {name: [] for name in variants}
    tails: dict[str, list[float]] = {REFERENCE: [], OURS: []}
    for _ in range(ROUNDS):
        for name, url in urls.items():
            before = [cpu_seconds(process) for process in processes[name]]
            load = wrk(url, CONNECTIONS)
            used = [cpu_seconds(process) - each for process, each in zip(processes[name], before, strict=True)]
            rates[name].append(load.rate)
            costs[name].append(tuple(each / load.rate / SECONDS * 1e6 for each in used))
        for name, figures in tails.items():
            figures.append(wrk(urls[name], FEW[backend]).p99)
    print(f"{backend}: requests per second, and CPU time in µs per request; medians of {ROUNDS} rounds")
    for name in variants:
        app, proxy = (median(each) for each in zip(*costs[name], strict=True))
        print(f"  {name:<50} {spread(rates[name])}   app {app:6.0f}   nginx {proxy:5.0f}")
    proxies = {name: [proxy for _, proxy in costs[name]] for name in variants}
    verdict(f"{backend}: ours / reference, requests/s", ratio(rates[OURS], rates[REFERENCE]), least=LEAST[backend])
    # begin gunicorn
    # begin recipes
    if EPOLL in rates:
        verdict(f"{EPOLL} / reference, requests/s", ratio(rates[EPOLL], rates[REFERENCE]), least=LEAST_EPOLL)
    # end recipes
    # end gunicorn
    for name, least in FRAMEWORKS.items():
        verdict(f"{backend}: ours / {name}, both our nginx, requests/s", ratio(rates[OURS], rates[name]), least=least)
    verdict(f"{backend}: nginx's CPU, ours / minimal", ratio(proxies[BARE], proxies[REFERENCE]), most=1.22)
    what = f"{backend}: p99 at half of the rate, ours / reference"
    verdict(what, ratio(tails[OURS], tails[REFERENCE]), most=1.15)


if __name__ == "__main__":
    main()
