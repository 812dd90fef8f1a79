"""`make compare`: from the variables to the page. A and B are backends, settings or releases: sides.py has the form."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from loadtest.compare import output, turns
from loadtest.compare.generators import tool
from loadtest.compare.results import Result
from loadtest.compare.sides import Side, SideError, parse, settings
from loadtest.compare.stack import Stack, StackError, run
from loadtest.compare.turns import WARM, Plan

ROOT = Path(__file__).parents[2]
REPORT = Path(os.environ.get("REPORT") or ROOT / "loadtest" / "report")


def number(name: str, default: int) -> int:
    """Return the variable, a whole number from 1 on; exit with a sentence for another."""
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not int(text):
        sys.exit(f"compare: {name} is {text!r}: it must be a whole number, 1 or more")
    return int(text)


def main() -> None:
    """Bring the stacks up, measure them in turns, leave the report, and remove them again, whatever happens."""
    quick = bool(os.environ.get("QUICK"))
    plan = Plan(
        os.environ.get("ROUTE") or "/", number("SECONDS", 1 if quick else 3), number("ROUNDS", 1 if quick else 5)
    )
    limits = {"APP_CPUS": os.environ.get("APP_CPUS") or "1", "APP_MEMORY": os.environ.get("APP_MEMORY") or "512m"}
    allowed = settings((ROOT / ".env.example").read_text())
    began = time.monotonic()
    # Otherwise a comparison that is told to end would leave its stacks behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if (load := os.getloadavg()[0]) > (cores := os.cpu_count() or 1):
        print(f"compare: other work runs on this machine, {load:.0f} processes on {cores} cores: expect much noise")
    with ExitStack() as cleanup:
        try:
            sides = {
                column: parse(column, os.environ.get(column) or default, allowed)
                for column, default in {"A": "gunicorn", "B": "uwsgi"}.items()
            }
            stacks = bring_up(sides, limits, cleanup)
            plan = warm(stacks, plan)
            # First, as it may fail.
            behaviour = {column: behave(stacks[column], 3 if quick else 20) for column in sides}
            results = measure(stacks, plan)
        except (SideError, StackError) as error:
            sys.exit(f"compare: {error}")
        names = columns(sides)
        told = facts(stacks, plan, time.monotonic() - began) + limited(results, names)
    counts = {label: (stack.failures, stack.requests) for label, stack in stacks.items()}
    comparison = output.Comparison(names, told, results, counts, behaviour)
    output.write(comparison, REPORT)
    if os.environ.get("README"):
        output.paste(comparison, ROOT / "README.md")
        shutil.copyfile(REPORT / "compare.svg", ROOT / "loadtest" / "compare.svg")
    print(f"\n{output.text(comparison)}\n\n{' '.join(told)}\ncompare: {REPORT / 'compare.html'}, and .md to paste")


def bring_up(sides: dict[str, Side], limits: dict[str, str], cleanup: ExitStack) -> dict[str, Stack]:
    """Return the four stacks, running: each side, and the bare callable on the server of each."""
    stacks = {}
    for column, side in sides.items():
        tree = checked_out(column, side.ref, cleanup) if side.ref else ROOT
        for label, is_bare in ((column, False), (f"{column} bare", True)):
            print(f"compare: {label}, {side.name}, is built and started", flush=True)
            stacks[label] = Stack(label, side, tree, limits, is_bare=is_bare)
            cleanup.callback(stacks[label].down)
            stacks[label].up()
            stacks[label].rest()
    return stacks


def checked_out(column: str, ref: str, cleanup: ExitStack) -> Path:
    """Return a folder with the tree of this commit, which is removed in the end."""
    try:
        run(["git", "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"], cwd=ROOT)
    except StackError as error:
        raise SideError(f"{column} is a release, {ref!r}: git knows no such commit") from error
    folder = Path(mkdtemp(), "tree")
    run(["git", "worktree", "add", "--detach", str(folder), ref], cwd=ROOT)
    cleanup.callback(run, ["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT)
    return folder


def warm(stacks: dict[str, Stack], plan: Plan) -> Plan:
    """Have each stack work for a while; return the plan with its rates, by what the slower side does."""
    most, slow = {}, {}
    for label, stack in stacks.items():
        stack.cold_start()
        runs = [turns.saturated(stack, plan, plan.seconds) for _ in range(2)]
        most[label] = max(found.requests / found.seconds for found in runs)
        if label in {"A", "B"}:
            slow[label] = slow_requests(stack)
        stack.rest()
        print(f"compare: {label} is warm, {most[label]:.0f} requests/s, by {tool()}", flush=True)
    # A side has five measurements and, on two idle cores, six seconds of starts and stops; a bare one two, and two.
    turns_of_a_round = 2 * (5 * plan.seconds + WARM + 6) + 2 * (2 * plan.seconds + WARM + 2)
    print(f"compare: {plan.rounds} rounds, about {2 * turns_of_a_round * plan.rounds / 60:.0f} minutes", flush=True)
    slower = min(most["A"], most["B"])
    rates = tuple(max(1, int(float(f"{slower * share:.2g}"))) for share in turns.SHARES)
    return replace(plan, rates=rates, slow=min(slow.values()))


def slow_requests(stack: Stack) -> int:
    """Return how many slow requests may run beside: they take fewer than half of the threads, and have to be there."""
    threads = stack.threads()
    why = f"{threads} threads are too few" if threads <= 2 else ""  # noqa: PLR2004 (one of two is half of them)
    if not stack.answers(turns.SLOW):
        why = f"{turns.SLOW} does not answer 200"
    if why:
        print(f"compare: {stack.label}: {why}, so no latency with slow requests beside", flush=True)
    return 0 if why else (threads - 1) // 2


def measure(stacks: dict[str, Stack], plan: Plan) -> list[Result]:
    """Measure in turns, A B B A with the bare ones between, and return the results."""
    results = {metric: Result(metric, {label: [] for label in stacks}) for metric in turns.metrics(plan)}
    there = ["A", "A bare", "B bare", "B"]
    for number in range(1, plan.rounds + 1):
        began = time.monotonic()
        for label in there + there[::-1]:
            found = (turns.bare_turn if "bare" in label else turns.turn)(stacks[label], plan)
            for metric, value in found.items():
                results[metric].values[label].append(value)
        print(f"compare: round {number} of {plan.rounds}, {time.monotonic() - began:.0f} s", flush=True)
    return list(results.values())


def behave(stack: Stack, seconds: int) -> dict[str, Any]:
    """Return what locust finds of the stack, each answer checked: how many requests, how many failed."""
    folder = REPORT / stack.label
    environ = os.environ | {
        "LOCUST_HOST": stack.url,
        "LOCUST_REPORT": str(folder),
        "LOCUST_RUN_TIME": f"{seconds}s",
        "LOCUST_SHAPE": "smoke",
    }
    report = folder / "report.json"
    report.unlink(missing_ok=True)  # of an earlier run
    stack.cold_start()
    line = [sys.executable, "-m", "loadtest", "--config", "loadtest/headless.conf"]
    ended = subprocess.run(
        line, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=seconds + 120
    )
    stack.rest()
    try:
        found = json.loads(report.read_text())
    except OSError as error:
        raise StackError(f"locust left no report of {stack.label}: {error}\n{ended.stderr}") from error
    routes = found["routes"].values()
    totals = {name: sum(route[name] for route in routes) for name in ("requests", "failures")}
    return {"verdict": found["verdict"], **totals}


def columns(sides: dict[str, Side]) -> dict[str, str]:
    """Return the names of the columns, of which no two are one."""
    names = {column: side.name for column, side in sides.items()}
    if len(set(names.values())) < len(names):
        names = {column: f"{name} ({column})" for column, name in names.items()}
    return names | {f"{column} bare": f"{name}, bare" for column, name in names.items()}


def limited(results: list[Result], names: dict[str, str]) -> list[str]:
    """Return a sentence for each column whose app was not what set the limit at saturation."""
    [used] = [result for result in results if result.metric == turns.USED]
    return [
        f"{name}: at saturation the app used {share:.0f} % of its CPU: nginx, the generator or other work is the limit."
        for column, name in names.items()
        if (share := used.middle(column)) is not None and share < turns.ENOUGH_PERCENT
    ]


def facts(stacks: dict[str, Stack], plan: Plan, seconds: float) -> list[str]:
    """Return what has to be known to read the table."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())  # fmt: skip
    deployed = os.environ.get("DEPLOY") or "docker compose up, which stops the old one first"
    through = "Docker's proxy" if "127.0.0.1" in stacks["A"].url else "nginx's container, past Docker's proxy"
    return [
        f"Medians (lowest to highest) of {2 * plan.rounds} measurements, {plan.seconds} s each, of {plan.path}.",
        f"Measured {time.strftime('%Y-%m-%d')} on {os.cpu_count()} cores ({model}), {memory:.0f} GB,",
        f"{each_with(stacks)};",
        f"saturation by {tool()}, latency at fixed rates by our own open-model client, from when each was to be sent.",
        "The ratio is B / A, the median of all pairs of measurements of one round, and beside it between what it is.",
        "A request that failed took longer than any. Bare is a callable that answers a few bytes, on the same server.",
        f"Another release comes by {deployed}. Requests went to {through}.",
        f"All of it took {seconds / 60:.0f} minutes.",
    ]


def each_with(stacks: dict[str, Stack]) -> str:
    """Return what each app may use, in words."""
    limits = {column: f"{stacks[column].cpus:g} CPU and {stacks[column].environ['APP_MEMORY']}" for column in "AB"}
    if limits["A"] == limits["B"]:
        return f"each app with {limits['A']}"
    return f"A's app with {limits['A']}, B's with {limits['B']}"


if __name__ == "__main__":
    main()
