"""What is measured of a stack when it is its turn, in the order in which the table has it."""

import os
import time
from dataclasses import dataclass

from loadtest.compare.generators import AtRate, Saturation, at_rate, saturate
from loadtest.compare.results import Metric
from loadtest.compare.stack import Stack, StackError

SHARES = (0.25, 0.5, 0.75)  # of what the slower side does at saturation: the fixed rates
SLOW = "/stream"  # a route that takes seconds
WARM = 1  # seconds of load that are not measured: each turn begins with new processes
# Of the generator: beyond these, a latency is not the server's. What holds its loop up is in every latency.
CPU_PERCENT, LATE_MS = 90, 5
FAILED_PERCENT = 10  # of the requests at saturation: beyond it, there is nothing to compare
ENOUGH_PERCENT = 90  # of its CPU that the app has to use at saturation, or something else was the limit

THROUGHPUT = Metric("requests a second at saturation", "/s", more_is_better=True)
USED = Metric("CPU of the app at saturation", "% of its limit", is_judged=False)
CPU_APP = Metric("CPU a request, app", "ms")
CPU_NGINX = Metric("CPU a request, nginx", "ms")
MEMORY = Metric("memory of the app after it", "MB")
COLD_START = Metric("cold start to the first answer", "s")
DEPLOY = Metric(
    f"another release by {'DEPLOY' if os.environ.get('DEPLOY') else 'docker compose up'}, to its first answer", "s"
)
IMAGE = Metric("image of the app", "MB")
OWN_IMAGE = Metric("of it our own, on top of the base image", "MB")

Found = dict[Metric, float | None]


@dataclass(frozen=True)
class Plan:
    """How a comparison goes."""

    path: str
    seconds: int  # of each measurement
    rounds: int
    rates: tuple[int, ...] = ()
    slow: int = 0  # requests to SLOW that are always under way in the last measurement of latency

    @property
    def beside(self) -> str:
        """Return how the table names them."""
        return f", {self.slow} slow request{'s' if self.slow > 1 else ''} beside"


def latency(rate: int, percentile: str, beside: str = "") -> Metric:
    """Return the metric of a latency at this rate."""
    return Metric(f"{percentile} at {rate}/s{beside}", "ms")


def metrics(plan: Plan) -> list[Metric]:
    """Return what is measured, in the order of the table."""
    at = [latency(rate, percentile) for rate in plan.rates for percentile in ("p50", "p99")]
    mixed = [latency(plan.rates[0], percentile, plan.beside) for percentile in ("p50", "p99")] if plan.slow else []
    costs = [USED, CPU_APP, CPU_NGINX, MEMORY]
    return [THROUGHPUT, *at, *mixed, *costs, COLD_START, DEPLOY, IMAGE, OWN_IMAGE]


def saturated(stack: Stack, plan: Plan, seconds: int) -> Saturation:
    """Keep the stack busy, and count what failed; raise StackError where that was much of it, or all."""
    found = saturate(stack.url, plan.path, seconds)
    stack.requests, stack.failures = stack.requests + found.requests, stack.failures + found.failures
    if not found.requests or found.failures > found.requests * FAILED_PERCENT / 100:
        raise StackError(f"{stack.label}: {found.failures} of {found.requests} requests to {plan.path} failed")
    return found


def busy(stack: Stack, plan: Plan) -> Found:
    """Measure throughput at saturation, and what it costs."""
    before = {service: stack.usage(service)[0] for service in ("app", "nginx")}
    found = saturated(stack, plan, plan.seconds)
    after = {service: stack.usage(service) for service in ("app", "nginx")}
    cpu = {service: after[service][0] - before[service] for service in before}
    return {
        THROUGHPUT: (found.requests - found.failures) / found.seconds,
        USED: cpu["app"] / found.seconds / stack.cpus * 100,
        CPU_APP: cpu["app"] / found.requests * 1000,
        CPU_NGINX: cpu["nginx"] / found.requests * 1000,
        MEMORY: after["app"][1],
    }


def steady(stack: Stack, plan: Plan, rate: int, slow: int = 0) -> Found:
    """Measure latency at a fixed rate; None where the generator did not keep up."""
    found: AtRate = at_rate(stack.url, plan.path, rate, plan.seconds, (SLOW, slow))
    beside = plan.beside if slow else ""
    metrics = {latency(rate, name, beside): share for name, share in {"p50": 0.50, "p99": 0.99}.items()}
    if found.cpu_percent > CPU_PERCENT or found.late_p95_ms > LATE_MS:
        why = f"the generator's CPU is {found.cpu_percent:.0f} %, its loop {found.late_p95_ms:.0f} ms late"
        print(f"compare: {stack.label} at {rate}/s{beside}: {why}, not measured")
        return dict.fromkeys(metrics)
    stack.requests, stack.failures = stack.requests + found.answers.requests, stack.failures + found.answers.failures
    return {metric: found.answers.percentile(share) for metric, share in metrics.items()}


def turn(stack: Stack, plan: Plan) -> Found:
    """Measure everything of a side."""
    found: Found = {COLD_START: stack.cold_start()}
    saturated(stack, plan, WARM)
    found |= busy(stack, plan)
    for rate in plan.rates:
        found |= steady(stack, plan, rate)
    if plan.slow:
        found |= steady(stack, plan, plan.rates[0], plan.slow)
        time.sleep(1)  # what nobody reads any more ends at its next chunk; the deploy would have to wait for it
    found[DEPLOY] = stack.deploy()
    found[IMAGE], found[OWN_IMAGE] = stack.image_sizes()
    stack.rest()
    return found


def bare_turn(stack: Stack, plan: Plan) -> Found:
    """Measure what the app has to do with, of the bare callable."""
    stack.cold_start()
    saturated(stack, plan, WARM)
    found = busy(stack, plan) | steady(stack, plan, plan.rates[1])
    stack.rest()
    return found
