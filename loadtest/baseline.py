"""`make load-baseline`: what this machine does, measured several times, so that a later run can be held against it.

The tolerance is what the runs themselves differ by: a figure has become worse where it is worse than the worst of them
by more than four times the distance from their best to their worst, and by more than 1 %, which rounding alone can make
of it (recorder.py). After five runs of the same thing a sixth is beyond that limit by chance in 0.03 to 0.2 % of all
cases for each figure, as the noise has thin tails or thick ones, and in 0.7 % where it is as skewed as a lognormal one;
after three, in 0.9 to 3 % (simulated). A smoke has a dozen figures: it fails by chance in 0.4 to 2 % of all cases, and
in fewer as far as the figures of a run are good or bad together.

A percentile of a few answers is chance: a route has figures where it has given 50 answers, in each run.
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
ENOUGH = 50  # answers
METRICS = {"total": ["requests_per_second", "p50_ms", "p95_ms"], "route": ["p50_ms", "p95_ms"]}

Settings = dict[str, Any]


def settings(options: Namespace, version: Version) -> Settings:
    """Return what two runs must have in common to be compared."""
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
    """Return the figures that a baseline consists of; None where there were not enough answers."""
    routes = [(TOTAL, "total", recorded.total), *((name, "route", route) for name, route in recorded.routes.items())]
    return {
        (name, metric): route.measure(metric, recorded.seconds) if route.requests >= ENOUGH else None
        for name, kind, route in routes
        for metric in METRICS[kind]
    }


def limit(metric: str, values: list[float]) -> float:
    """Return the figure beyond which a run is worse than these were."""
    low, high = min(values), max(values)
    worst, sign = (low, -1) if metric in AT_LEAST else (high, 1)
    return worst + sign * max(TIMES_THE_SPREAD * (high - low), LEAST * worst)


def rows(path: Path, now: Settings, recorded: Recorded) -> tuple[list[Row], str]:
    """Return the run held against the baseline, and what there is to say of that; no rows where there is none.

    A breakpoint ends where it breaks, so that no two of them have the same load.
    """
    if not path.exists() or now["shape"] == "breakpoint":
        return [], ""
    baseline = json.loads(path.read_text())
    if other := [name for name, value in baseline["settings"].items() if now.get(name) != value]:
        return [], f"Not held against the baseline: it has another setting of {', '.join(other)}."
    measured = figures(recorded)
    objectives = [
        Objective(each["subject"], each["metric"], limit(each["metric"], each["values"]), "baseline")
        for each in baseline["figures"]
    ]
    found = [Row(each, measured.get((each.subject, each.metric))) for each in objectives]
    return found, f"Held against the baseline of {len(baseline['figures'][0]['values'])} runs, too."


def main() -> None:
    """Measure several times and leave the baseline; stop at a run that fails or is not valid."""
    folder = Path(os.environ.get("LOCUST_REPORT") or Path(__file__).parent / "report")
    runs = os.environ.get("RUNS") or str(RUNS)
    count = int(runs) if runs.isdecimal() else 0
    if count < FEWEST:
        sys.exit(f"load-baseline: RUNS is {runs}: it must be {FEWEST} or more, or there is no spread to learn from")
    if os.environ.get("LOCUST_SHAPE") == "breakpoint":
        sys.exit("load-baseline: SHAPE is breakpoint: no two of them have the same load, so that none can be compared")
    outcomes: list[dict[str, Any]] = []
    with TemporaryDirectory() as temporary:
        for number in range(1, count + 1):
            print(f"load-baseline: run {number} of {count}", flush=True)
            environ = os.environ | {"LOCUST_REPORT": temporary}
            ended = subprocess.run([sys.executable, "-m", "loadtest", *sys.argv[1:]], env=environ, check=False)
            if ended.returncode:
                sys.exit(
                    f"load-baseline: run {number} ended with {ended.returncode}: no baseline of what does not hold"
                )
            outcomes.append(json.loads(Path(temporary, "report.json").read_text()))
    of_each = [{(each["subject"], each["metric"]): each["value"] for each in run["figures"]} for run in outcomes]
    common = [key for key in of_each[0] if all(run.get(key) is not None for run in of_each)]
    found = [{"subject": key[0], "metric": key[1], "values": [run[key] for run in of_each]} for key in common]
    if not found:
        sys.exit(f"load-baseline: no run had {ENOUGH} answers: more USERS or a longer RUN_TIME")
    folder.mkdir(parents=True, exist_ok=True)
    Path(folder, FILE).write_text(json.dumps({"settings": outcomes[0]["settings"], "figures": found}, indent=1))
    print(f"load-baseline: {folder / FILE}")
    for each in found:
        low, high, worst = min(each["values"]), max(each["values"]), limit(each["metric"], each["values"])
        print(f"  {each['subject']:<28} {each['metric']:<20} {low:8.1f} to {high:8.1f}   limit {worst:8.1f}")


if __name__ == "__main__":
    main()
