"""The measurements of a stack, in the order of the table."""

import time
from dataclasses import dataclass

from loadtest.compare.generators import Saturation, at_rate, saturate
from loadtest.compare.results import Metric
from loadtest.compare.stack import Stack, StackError

SHARES = (0.25, 0.5, 0.75)  # the fixed rates, as shares of the slower variant's rate at saturation
SLOW = "/stream"  # a route that takes seconds
WARM = 1  # seconds of load before the measurements, which start with new processes
CPU_PERCENT, LATE_MS = 90, 5  # the generator's limits: beyond them its latencies are not the server's
FAILED_PERCENT = 10  # of the requests at saturation: beyond it the comparison ends
ENOUGH_PERCENT = 90  # of its CPU that the app uses at saturation, unless something else is the bottleneck

THROUGHPUT = Metric("requests per second at saturation", "/s", more_is_better=True)
USED = Metric("CPU of the app at saturation", "% of its limit", is_judged=False)
CPU_APP = Metric("CPU per request, app", "ms")
CPU_NGINX = Metric("CPU per request, nginx", "ms")
MEMORY = Metric("memory of the app afterwards", "MB")
COLD_START = Metric("cold start to the first response", "s")
DEPLOY = Metric("deploy of another release to its first response", "s")
IMAGE = Metric("image of the app", "MB")
OWN_IMAGE = Metric("image of the app without its base image", "MB")

Found = dict[Metric, float | None]


@dataclass(frozen=True)
class Plan:
    """The parameters of the measurements."""

    path: str
    seconds: int  # of each measurement
    rounds: int
    rates: tuple[int, ...] = ()
    slow: int = 0  # concurrent requests to SLOW in the last measurement of latency

    @property
    def beside(self) -> str:
        """Return the slow requests, as the table names them."""
        return f", beside {self.slow} slow request{'s' if self.slow > 1 else ''}"


def latency(rate: int, percentile: str, beside: str = "") -> Metric:
    """Return the metric for a latency at this rate."""
    return Metric(f"{percentile} at {rate}/s{beside}", "ms")


def metrics(plan: Plan) -> list[Metric]:
    """Return the metrics in the order of the table."""
    at = [latency(rate, percentile) for rate in plan.rates for percentile in ("p50", "p99")]
    mixed = [latency(plan.rates[0], percentile, plan.beside) for percentile in ("p50", "p99")] if plan.slow else []
    return [THROUGHPUT, *at, *mixed, USED, CPU_APP, CPU_NGINX, MEMORY, COLD_START, DEPLOY, IMAGE, OWN_IMAGE]


def saturated(stack: Stack, plan: Plan, seconds: int) -> Saturation:
    """Saturate the stack and count failures; raise StackError if more than FAILED_PERCENT of the requests failed."""
    found = saturate(stack.url, plan.path, seconds)
    stack.requests, stack.failures = stack.requests + found.requests, stack.failures + found.failures
    if not found.requests or found.failures > found.requests * FAILED_PERCENT / 100:
        raise StackError(f"{stack.label}: {found.failures} of {found.requests} requests to {plan.path} failed")
    return found


def at_saturation(stack: Stack, plan: Plan) -> Found:
    """Measure the throughput at saturation, and its CPU and memory."""
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


def at_fixed_rate(stack: Stack, plan: Plan, rate: int, slow: int = 0) -> Found:
    """Measure the latency at a fixed rate; None if the generator did not keep up."""
    found = at_rate(stack.url, plan.path, rate, plan.seconds, (SLOW, slow))
    beside = plan.beside if slow else ""
    metrics = {latency(rate, name, beside): share for name, share in {"p50": 0.50, "p99": 0.99}.items()}
    if found.cpu_percent > CPU_PERCENT or found.late_p95_ms > LATE_MS:
        why = f"the generator used {found.cpu_percent:.0f} % CPU and was {found.late_p95_ms:.0f} ms late"
        print(f"compare: {stack.label} at {rate}/s{beside}: not measured, because {why}")
        return dict.fromkeys(metrics)
    responses = found.responses
    stack.requests, stack.failures = stack.requests + responses.requests, stack.failures + responses.failures
    return {metric: responses.percentile(share) for metric, share in metrics.items()}


def measure(stack: Stack, plan: Plan) -> Found:
    """Take all measurements of a variant."""
    found: Found = {COLD_START: stack.cold_start()}
    saturated(stack, plan, WARM)
    found |= at_saturation(stack, plan)
    for rate in plan.rates:
        found |= at_fixed_rate(stack, plan, rate)
    if plan.slow:
        found |= at_fixed_rate(stack, plan, plan.rates[0], plan.slow)
        time.sleep(1)  # the slow responses end with their next chunk, or the deploy would wait for them
    found[DEPLOY] = stack.deploy()
    found[IMAGE], found[OWN_IMAGE] = stack.image_sizes()
    stack.stop()
    return found


def measure_bare(stack: Stack, plan: Plan) -> Found:
    """Take the measurements of the bare callable."""
    stack.cold_start()
    saturated(stack, plan, WARM)
    found = at_saturation(stack, plan) | at_fixed_rate(stack, plan, plan.rates[1])
    stack.stop()
    return found
