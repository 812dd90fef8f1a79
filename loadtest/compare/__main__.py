"""`make compare`: start two variants, measure them in turns and write the table. options.py reads the variables."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from loadtest import machine
from loadtest.compare import measurements, options, report
from loadtest.compare.measurements import WARM, Plan
from loadtest.compare.options import ROOT, OptionError, Options
from loadtest.compare.results import Result
from loadtest.compare.stack import Stack, StackError, run
from loadtest.compare.variants import Variant, VariantError


def main() -> None:
    """Start the stacks, measure them in turns, write the report, and always remove the stacks."""
    began = time.monotonic()
    # Without this handler, SIGTERM would end the program before it removes the stacks.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if (load := os.getloadavg()[0]) > (cores := os.cpu_count() or 1):
        print(f"compare: the load average is {load:.0f} on {cores} cores: expect noise")
    with ExitStack() as cleanup:
        try:
            given = options.read(os.environ)
            stacks = start(given, cleanup)
            plan = warm(stacks, Plan(given.path, given.seconds, given.rounds))
            behaviour = {column: behave(stacks[column], given) for column in given.variants}
            results = measure(stacks, plan)
        except (OptionError, VariantError, StackError) as error:
            sys.exit(f"compare: {error}")
        names = columns(given.variants)
        facts = conditions(stacks, plan, given, time.monotonic() - began) + bottlenecks(results, names)
    counts = {label: (stack.failures, stack.requests) for label, stack in stacks.items()}
    comparison = report.Comparison(names, facts, results, counts, behaviour)
    report.write(comparison, given.report)
    if given.is_for_docs:
        report.paste(comparison, ROOT / "docs" / "load-testing.md")
    print(f"\n{report.text(comparison)}\n\n{' '.join(facts)}\ncompare: the table is in {given.report / 'compare.md'}")


def start(given: Options, cleanup: ExitStack) -> dict[str, Stack]:
    """Return the four stacks: each variant, and the bare callable on its server. Each is built, started and stopped."""
    stacks = {}
    for column, variant in given.variants.items():
        tree = checkout(column, variant.ref, cleanup) if variant.ref else ROOT
        for label, is_bare in ((column, False), (f"{column} bare", True)):
            print(f"compare: build and start {label}, {variant.name}", flush=True)
            stacks[label] = Stack(label, variant, tree, given, is_bare=is_bare)
            cleanup.callback(stacks[label].down)
            stacks[label].up()
            stacks[label].stop()
    return stacks


def checkout(column: str, ref: str, cleanup: ExitStack) -> Path:
    """Return a temporary worktree of the commit."""
    try:
        run(["git", "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"], cwd=ROOT)
    except StackError as error:
        raise VariantError(f"{column} is a release, {ref!r}: git knows no such commit") from error
    folder = Path(mkdtemp(), "tree")
    run(["git", "worktree", "add", "--detach", str(folder), ref], cwd=ROOT)
    cleanup.callback(run, ["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT)
    return folder


def warm(stacks: dict[str, Stack], plan: Plan) -> Plan:
    """Load each stack once; return the plan with its fixed rates, which follow from the slower variant."""
    most, slow = {}, {}
    for label, stack in stacks.items():
        stack.cold_start()
        runs = [measurements.saturated(stack, plan, plan.seconds) for _ in range(2)]
        most[label] = max(found.requests / found.seconds for found in runs)
        if label in {"A", "B"}:
            slow[label] = slow_requests(stack)
        stack.stop()
        print(f"compare: {label} is warm, {most[label]:.0f} requests/s", flush=True)
    # A variant has five measurements and six seconds of starts and stops; a bare callable has two and two.
    seconds = 2 * (5 * plan.seconds + WARM + 6) + 2 * (2 * plan.seconds + WARM + 2)
    print(f"compare: {plan.rounds} rounds, about {2 * seconds * plan.rounds / 60:.0f} minutes", flush=True)
    slower = min(most["A"], most["B"])
    rates = tuple(max(1, int(float(f"{slower * share:.2g}"))) for share in measurements.SHARES)
    return replace(plan, rates=rates, slow=min(slow.values()))


def slow_requests(stack: Stack) -> int:
    """Return the number of slow requests to send beside the others: fewer than half of the threads."""
    threads = stack.threads()
    why = f"{threads} threads are too few" if threads <= 2 else ""  # noqa: PLR2004 (one of two is half of them)
    if not stack.answers(measurements.SLOW):
        why = f"{measurements.SLOW} does not answer 200"
    if why:
        print(f"compare: {stack.label}: no latency beside slow requests, because {why}", flush=True)
    return 0 if why else (threads - 1) // 2


def measure(stacks: dict[str, Stack], plan: Plan) -> list[Result]:
    """Measure in turns, A B B A, with the bare callables between; return the results."""
    results = {metric: Result(metric, {label: [] for label in stacks}) for metric in measurements.metrics(plan)}
    turns = ["A", "A bare", "B bare", "B"]
    for number in range(1, plan.rounds + 1):
        began = time.monotonic()
        for label in turns + turns[::-1]:
            take = measurements.measure_bare if "bare" in label else measurements.measure
            for metric, value in take(stacks[label], plan).items():
                results[metric].values[label].append(value)
        print(f"compare: round {number} of {plan.rounds}, {time.monotonic() - began:.0f} s", flush=True)
    return list(results.values())


def behave(stack: Stack, given: Options) -> dict[str, Any]:
    """Run locust, which checks every response; return the verdict and the numbers of requests and failures."""
    seconds, folder = given.behaviour_seconds, given.report / stack.label
    # An empty value overrides .env and counts as unset.
    unset = dict.fromkeys(["LOCUST_USERS", "LOCUST_USER_CLASSES", "LOCUST_PROCESSES", "LOCUST_OBJECTIVES"], "")
    own = {"LOCUST_HOST": stack.url, "LOCUST_REPORT": str(folder), "LOCUST_RUN_TIME": f"{seconds}s"}
    environ = given.environ | unset | own | {"LOCUST_SHAPE": "smoke"}
    file = folder / "report.json"
    file.unlink(missing_ok=True)  # from an earlier run
    stack.cold_start()
    line = [sys.executable, "-m", "loadtest", "--config", "loadtest/headless.conf"]
    ended = subprocess.run(
        line, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=seconds + 120
    )
    stack.stop()
    try:
        found = json.loads(file.read_text())
    except OSError as error:
        raise StackError(f"locust wrote no report of {stack.label}: {error}\n{ended.stderr}") from error
    totals = {name: sum(route[name] for route in found["routes"].values()) for name in ("requests", "failures")}
    return {"verdict": found["verdict"], **totals}


def columns(variants: dict[str, Variant]) -> dict[str, str]:
    """Return the names of the columns, each different."""
    names = {column: variant.name for column, variant in variants.items()}
    if len(set(names.values())) < len(names):
        names = {column: f"{name} ({column})" for column, name in names.items()}
    return names | {f"{column} bare": f"{name}, bare" for column, name in names.items()}


def bottlenecks(results: list[Result], names: dict[str, str]) -> list[str]:
    """Return a sentence for each column whose app was not the bottleneck at saturation."""
    [used] = [result for result in results if result.metric == measurements.USED]
    return [
        f"{name}: the app used {share:.0f} % of its CPU at saturation, so nginx, wrk or other work was the bottleneck."
        for column, name in names.items()
        if (share := used.middle(column)) is not None and share < measurements.ENOUGH_PERCENT
    ]


def conditions(stacks: dict[str, Stack], plan: Plan, given: Options, seconds: float) -> list[str]:
    """Return the conditions of the comparison, in sentences."""
    through = "Docker's proxy" if "127.0.0.1" in stacks["A"].url else "nginx's container, not Docker's proxy"
    return [
        f"Medians (lowest to highest) of {2 * plan.rounds} measurements of {plan.path}, {plan.seconds} s each.",
        f"Measured on {time.strftime('%Y-%m-%d')} on {machine.describe()};",
        f"{resources(stacks)}.",
        "wrk measures saturation. An open-model client measures latency, from the time at which a request is due.",
        "The ratio is B / A, the median of all pairs of measurements of a round. Failed requests count as the slowest.",
        "The bare columns are a callable that answers a few bytes, on the same server.",
        f"Another release was deployed by {given.deploy or 'docker compose up, which stops the previous one first'}.",
        f"Requests went to {through}. The comparison took {seconds / 60:.0f} minutes.",
    ]


def resources(stacks: dict[str, Stack]) -> str:
    """Return the limits of each app."""
    limits = {column: f"{stacks[column].cpus:g} CPU and {stacks[column].environ['APP_MEMORY']}" for column in "AB"}
    if limits["A"] == limits["B"]:
        return f"each app had {limits['A']}"
    return f"A's app had {limits['A']}, B's {limits['B']}"


if __name__ == "__main__":
    main()
