"""`make load-baseline`: what this machine does, measured several times, so that a later run can be held against it.

The tolerance is what the runs themselves differ by: a figure has become worse where it is worse than the worst of them
by more than twice the distance from their best to their worst. Of five runs of the same thing a sixth passes that limit
by chance in 0.2 to 0.9 % of all cases for each figure, as the noise has thin tails or thick ones (simulated).
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

FILE = "baseline.json"
RUNS = 5
TIMES_THE_SPREAD = 2
METRICS = {"total": ["requests_per_second", "p50_ms", "p95_ms"], "route": ["p50_ms", "p95_ms"]}

Settings = dict[str, Any]


def settings(options: Namespace) -> Settings:
    """Return what two runs must have in common to be compared."""
    return {
        "shape": options.shape,
        "users": options.num_users,
        "seconds": options.run_time,
        "workers": options.processes or 0,
        "classes": sorted(options.user_classes),
        "host": options.host,
        "cpus": os.cpu_count(),
    }


def figures(recorded: Recorded) -> dict[tuple[str, str], float | None]:
    """Return the figures that a baseline consists of."""
    found = {(TOTAL, metric): recorded.total.measure(metric, recorded.seconds) for metric in METRICS["total"]}
    for name, route in recorded.routes.items():
        found |= {(name, metric): route.measure(metric, recorded.seconds) for metric in METRICS["route"]}
    return found


def limit(metric: str, values: list[float]) -> float:
    """Return the figure beyond which a run is worse than these were."""
    tolerance = TIMES_THE_SPREAD * (max(values) - min(values))
    return min(values) - tolerance if metric in AT_LEAST else max(values) + tolerance


def rows(path: Path, now: Settings, recorded: Recorded) -> tuple[list[Row], str]:
    """Return the run held against the baseline, and what there is to say of that; no rows where there is none."""
    if not path.exists():
        return [], ""
    baseline = json.loads(path.read_text())
    if other := [name for name, value in baseline["settings"].items() if now[name] != value]:
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
    count = int(os.environ.get("RUNS") or RUNS)
    if count < 3:  # noqa: PLR2004
        sys.exit(
            f"load-baseline: RUNS is {count}: it must be 3 or more, or there is no spread to derive a tolerance from"
        )
    outcomes: list[dict[str, Any]] = []
    with TemporaryDirectory() as temporary:
        for number in range(1, count + 1):
            print(f"load-baseline: run {number} of {count}", flush=True)
            environ = os.environ | {"LOCUST_REPORT": temporary}
            ended = subprocess.run([sys.executable, "-m", "locust", *sys.argv[1:]], env=environ, check=False)
            if ended.returncode:
                sys.exit(
                    f"load-baseline: run {number} ended with {ended.returncode}: no baseline of what does not hold"
                )
            outcomes.append(json.loads(Path(temporary, "report.json").read_text()))
    of_each = [{(each["subject"], each["metric"]): each["value"] for each in run["figures"]} for run in outcomes]
    common = [key for key in of_each[0] if all(run.get(key) is not None for run in of_each)]
    found = [{"subject": key[0], "metric": key[1], "values": [run[key] for run in of_each]} for key in common]
    folder.mkdir(parents=True, exist_ok=True)
    Path(folder, FILE).write_text(json.dumps({"settings": outcomes[0]["settings"], "figures": found}, indent=1))
    print(f"load-baseline: {folder / FILE}")
    for each in found:
        low, high, worst = min(each["values"]), max(each["values"]), limit(each["metric"], each["values"])
        print(f"  {each['subject']:<28} {each['metric']:<20} {low:8.1f} to {high:8.1f}   limit {worst:8.1f}")


if __name__ == "__main__":
    main()
