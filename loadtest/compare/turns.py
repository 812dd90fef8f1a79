"""What is measured of a stack when it is its turn, in the order in which the table has it."""

from dataclasses import dataclass

from loadtest.compare.generators import AtRate, at_rate, saturate
from loadtest.compare.results import Metric
from loadtest.compare.stack import Stack, StackError

SHARES = (0.25, 0.5, 0.75)  # of what the slower side does at saturation: the fixed rates
# A route that takes seconds, and how many requests to it are always under way: of eight threads, two stay free.
SLOW = ("/stream", 6)
CPU_PERCENT = 90  # of the generator: beyond it, a latency is not the server's

THROUGHPUT = Metric("requests a second at saturation", "/s", more_is_better=True)
CPU_APP = Metric("CPU a request, app", "ms")
CPU_NGINX = Metric("CPU a request, nginx", "ms")
MEMORY = Metric("memory of the app after it", "MB")
COLD_START = Metric("cold start to the first answer", "s")
DEPLOY = Metric("deploy to the first answer", "s")
IMAGE = Metric("image of the app", "MB")


@dataclass(frozen=True)
class Plan:
    """How a comparison goes."""

    path: str
    seconds: int  # of each measurement
    rounds: int
    rates: tuple[int, ...] = ()


def latency(rate: int, percentile: str, beside: str = "") -> Metric:
    """Return the metric of a latency at this rate."""
    return Metric(f"{percentile} at {rate}/s{beside}", "ms")


def metrics(plan: Plan) -> list[Metric]:
    """Return what is measured, in the order of the table."""
    slow = f", {SLOW[1]} slow requests beside"
    at = [latency(rate, percentile) for rate in plan.rates for percentile in ("p50", "p99")]
    mixed = [latency(plan.rates[0], percentile, slow) for percentile in ("p50", "p99")]
    return [THROUGHPUT, *at, *mixed, CPU_APP, CPU_NGINX, MEMORY, COLD_START, DEPLOY, IMAGE]


def busy(stack: Stack, plan: Plan) -> dict[Metric, float]:
    """Measure throughput at saturation, and what it costs."""
    before = {service: stack.usage(service)[0] for service in ("app", "nginx")}
    found = saturate(stack.url, plan.path, plan.seconds)
    if not found.requests or found.failures:
        raise StackError(f"{stack.label}: {found.failures} of {found.requests} requests to {plan.path} failed")
    after = {service: stack.usage(service) for service in ("app", "nginx")}
    cpu = {service: (after[service][0] - before[service]) / found.requests * 1000 for service in before}
    return {
        THROUGHPUT: found.requests / found.seconds,
        CPU_APP: cpu["app"],
        CPU_NGINX: cpu["nginx"],
        MEMORY: after["app"][1],
    }


def steady(stack: Stack, plan: Plan, rate: int, beside: str = "") -> dict[Metric, float]:
    """Measure latency at a fixed rate; nothing where the generator did not keep up, or the side refused some."""
    found: AtRate = at_rate(stack.url, plan.path, rate, plan.seconds, SLOW if beside else ("", 0))
    if found.answers.failures:
        refused = f"{found.answers.failures} of {found.answers.requests} requests failed"
        print(f"compare: {stack.label} at {rate}/s: {refused}, not measured")
        return {}
    if found.cpu_percent > CPU_PERCENT:
        print(f"compare: {stack.label} at {rate}/s: the generator's CPU is {found.cpu_percent:.0f} %, not measured")
        return {}
    shares = {"p50": 0.50, "p99": 0.99}
    return {latency(rate, name, beside): found.answers.percentile(share) or 0 for name, share in shares.items()}


def turn(stack: Stack, plan: Plan) -> dict[Metric, float]:
    """Measure everything of a side."""
    found = busy(stack, plan)
    for rate in plan.rates:
        found |= steady(stack, plan, rate)
    found |= steady(stack, plan, plan.rates[0], f", {SLOW[1]} slow requests beside")
    return found | {COLD_START: stack.cold_start(), DEPLOY: stack.deploy(), IMAGE: stack.image_size()}


def bare_turn(stack: Stack, plan: Plan) -> dict[Metric, float]:
    """Measure what the app has to do with, of the bare callable."""
    return busy(stack, plan) | steady(stack, plan, plan.rates[1])
