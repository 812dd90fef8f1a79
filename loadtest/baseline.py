"""`make load-baseline`: run the load test several times; later runs are held to the recorded figures.

A figure misses the baseline if it is worse than the worst recorded one by more than four times the spread of the
recorded ones, and by more than 1 %, which rounding alone can cause (recorder.py). A figure of an unchanged site misses
a baseline of five runs by chance in 0.03 to 0.2 % of all cases, in 0.7 % if the noise is lognormal, and a baseline of
three runs in 0.9 to 3 % (simulated). A smoke run has about twelve figures, and misses one by chance in 0.4 to 2 %.

A percentile of a few responses is chance: a route has figures if it has 50 responses in each run.
"""

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtest.objectives import AT_LEAST, TOTAL, Objective, Recorded, Row
from loadtest.site import Version

FILE = "baseline.json"
RUNS, FEWEST = 5, 3
TIMES_THE_SPREAD = 4
LEAST = 0.01  # of the figure
ENOUGH = 50  # responses
METRICS = ["p50_ms", "p95_ms"]

Settings = dict[str, Any]


def settings(options: Namespace, version: Version) -> Settings:
    """Return the settings that must be equal for two runs to be compared."""
    return {
        "shape": options.shape,
        "users": options.num_users,
        "seconds": options.run_time,
        "workers": options.processes or 0,
        "classes": sorted(options.user_classes),
        "host": options.host,
        "cpus": os.cpu_count(),
        "backend": version.backend,
        "server workers": version.workers,
        "server threads": version.threads,
    }


def figures(recorded: Recorded) -> dict[tuple[str, str], float | None]:
    """Return the figures of a baseline; None for too few responses."""
    routes = {TOTAL: recorded.total, **recorded.routes}
    return {
        (name, metric): route.measure(metric, recorded.seconds) if route.requests >= ENOUGH else None
        for name, route in routes.items()
        for metric in (["requests_per_second", *METRICS] if name == TOTAL else METRICS)
    }


def limit(metric: str, values: list[float]) -> float:
    """Return the worst figure that meets the baseline."""
    low, high = min(values), max(values)
    worst, sign = (low, -1) if metric in AT_LEAST else (high, 1)
    return worst + sign * max(TIMES_THE_SPREAD * (high - low), LEAST * worst)


def rows(path: Path, now: Settings, recorded: Recorded) -> tuple[list[Row], str]:
    """Hold the run to the baseline; return no rows without one, and a note.

    A breakpoint is not held to it: each ends at another load.
    """
    if not path.exists() or now["shape"] == "breakpoint":
        return [], ""
    baseline = json.loads(path.read_text())
    if other := [name for name, value in baseline["settings"].items() if now.get(name) != value]:
        return [], f"Not held to the baseline, which has other settings: {', '.join(other)}."
    measured = figures(recorded)
    objectives = [
        Objective(each["subject"], each["metric"], limit(each["metric"], each["values"]), "baseline")
        for each in baseline["figures"]
    ]
    found = [Row(each, measured.get((each.subject, each.metric))) for each in objectives]
    return found, f"Held to the baseline of {len(baseline['figures'][0]['values'])} runs, too."


def main() -> None:
    """Run the load test several times and record its figures; stop at a run that does not pass."""
    folder = Path(os.environ.get("LOCUST_REPORT") or Path(__file__).parent / "report")
    text = os.environ.get("RUNS") or str(RUNS)
    count = int(text) if text.isdecimal() else 0
    if count < FEWEST:
        sys.exit(f"load-baseline: RUNS is {text!r}: it must be {FEWEST} or more, to show how much the figures vary")
    if os.environ.get("LOCUST_SHAPE") == "breakpoint":
        sys.exit("load-baseline: SHAPE is breakpoint: choose another, because each breakpoint ends at another load")
    runs = [measure(number, count) for number in range(1, count + 1)]
    figures = [{(each["subject"], each["metric"]): each["value"] for each in run["figures"]} for run in runs]
    common = [key for key in figures[0] if all(run.get(key) is not None for run in figures)]
    found = [{"subject": key[0], "metric": key[1], "values": [run[key] for run in figures]} for key in common]
    if not found:
        sys.exit(f"load-baseline: no route had {ENOUGH} responses in each run: set more USERS or a longer RUN_TIME")
    folder.mkdir(parents=True, exist_ok=True)
    Path(folder, FILE).write_text(json.dumps({"settings": runs[0]["settings"], "figures": found}, indent=1))
    print(f"load-baseline: {folder / FILE}")
    for each in found:
        low, high, worst = min(each["values"]), max(each["values"]), limit(each["metric"], each["values"])
        print(f"  {each['subject']:<28} {each['metric']:<20} {low:8.1f} to {high:8.1f}   limit {worst:8.1f}")


def measure(number: int, count: int) -> dict[str, Any]:
    """Run the load test once and return its report; exit if the run does not pass."""
    print(f"load-baseline: run {number} of {count}", flush=True)
    with TemporaryDirectory() as folder:
        environ = os.environ | {"LOCUST_REPORT": folder}
        ended = subprocess.run([sys.executable, "-m", "loadtest", *sys.argv[1:]], env=environ, check=False)
        if ended.returncode:
            sys.exit(f"load-baseline: run {number} exited with {ended.returncode}: a baseline needs runs that pass")
        report: dict[str, Any] = json.loads(Path(folder, "report.json").read_text())
    return report


if __name__ == "__main__":
    main()
