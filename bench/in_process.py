"""`make bench-process`: measure one request in process, in the app and in frameworks that return the same JSON.

Each application is called as a server calls it: with the environ of a request from nginx, and its body is read and
closed. Instructions are counted by callgrind, and are the same in each run. Times are medians of rounds in which the
applications take turns. What the measurement itself costs is subtracted.

    python -m bench.in_process NAME...    make the requests that callgrind counts
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from wsgiref.types import WSGIApplication

from bench.applications import APPLICATIONS, environ, request
from bench.reference.bare import VALUE
from bench.report import verdict

ROUNDS, CALLS = 30, 300
COUNTED = 200  # requests
TIMED_ONLY = {"Flask", "Django"}  # callgrind needs minutes to import them
AIMS = {"app, served by gunicorn": 0.65, "app, served by uWSGI": 0.72}  # times Falcon's instructions


def measure(application: WSGIApplication) -> float:
    """Return the mean time of a request in microseconds."""
    environs = [environ() for _ in range(CALLS)]
    began = perf_counter_ns()
    for each in environs:
        request(application, each)
    return (perf_counter_ns() - began) / CALLS / 1000


def make_requests(names: list[str]) -> None:
    """Make COUNTED requests to each application; callgrind writes its counters at each call of getppid()."""
    for name in names:
        application = APPLICATIONS[name]()
        for count in (100, COUNTED):  # the first ones fill caches
            environs = [environ() for _ in range(count)]
            os.getppid()
            for each in environs:
                request(application, each)
        os.getppid()


def instructions(names: list[str]) -> dict[str, float]:
    """Return the instructions of a request by application."""
    with tempfile.TemporaryDirectory() as folder:
        valgrind = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={folder}/out"]
        command = [*valgrind, sys.executable, "-m", "bench.in_process", *names]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": "0"})
        # Three dumps for each application; the third one has the COUNTED requests.
        dumps = [Path(f"{folder}/out.{3 * number}").read_text() for number in range(1, len(names) + 1)]
    totals = [next(line.split()[1] for line in dump.splitlines() if line.startswith("totals:")) for dump in dumps]
    return {name: int(total) / COUNTED for name, total in zip(names, totals, strict=True)}


def main() -> None:
    """Measure all applications, and print the table and the verdicts."""
    applications = {name: make() for name, make in APPLICATIONS.items()}
    for name, application in applications.items():
        if name != "nothing":
            status, body = request(application, environ())
            assert (status, json.loads(body)) == ("200 OK", VALUE), name  # noqa: S101
    times: dict[str, list[float]] = {name: [] for name in applications}
    for _ in range(ROUNDS):
        for name, application in applications.items():
            times[name].append(measure(application))
    counts = instructions([name for name in applications if name not in TIMED_ONLY])
    harness = counts.pop("nothing"), times.pop("nothing")
    counts = {name: count - harness[0] for name, count in counts.items()}
    times = {name: [a - b for a, b in zip(each, harness[1], strict=True)] for name, each in times.items()}
    python = sys.version.split()[0]
    print(f"One request in process, Python {python}: instructions, and the median of {ROUNDS} rounds; × Falcon")
    for name, each in times.items():
        ratio = median(a / b for a, b in zip(each, times["Falcon"], strict=True))
        count = f"{counts[name]:9,.0f}  {counts[name] / counts['Falcon']:5.2f} ×" if name in counts else " " * 18
        print(f"  {name:<24} {count}  {median(each):9.2f} µs  {ratio:5.2f} ×")
    # begin monitoring
    for server in ("gunicorn", "uWSGI"):
        metered = zip(times[f"app, {server}, metrics"], times[f"app, served by {server}"], strict=True)
        verdict(f"metrics on {server}, µs a request", median(on - off for on, off in metered), most=2)
    # end monitoring
    for name, aim in AIMS.items():
        verdict(f"{name} / Falcon, instructions", counts[name] / counts["Falcon"], most=aim)


if __name__ == "__main__":
    if sys.argv[1:]:
        make_requests(sys.argv[1:])
    else:
        main()
