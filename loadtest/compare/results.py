"""Medians, ratios and confidence intervals of the measurements.

Each round measures A, B, B, A, and yields four ratios B / A: each of B's two figures by each of A's. The ratio is the
median of the ratios of all rounds. The interval leaves out as many ratios at both ends as it can and still contain the
true ratio in 99 of 100 comparisons. It assumes only that two equal variants could have changed places within a round,
and nothing about the noise. So one wrong measurement changes little, more rounds find smaller differences, and a
machine that becomes slower slows both variants. There is a difference if the interval does not contain 1.

(For two equal variants, every order of a round's four measurements is equally likely, so 0, 1, 2, 3 or 4 of its ratios
are above 1 in 1, 1, 2, 1 and 1 of 6 cases. Three rounds are the minimum. Simulated coverage with and without outliers:
99.1 to 99.5 %; if one variant is far noisier than the other, 97 % after three rounds and 98 % after five.)
"""

from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, product
from math import exp, log
from statistics import median

LEAST_ROUNDS = 3
LEAST_DIFFERENCE = 1.01  # smaller differences do not matter
ABOVE = (1, 1, 2, 1, 1)  # of six cases, those in which 0 to 4 of a round's ratios are above 1


@dataclass(frozen=True)
class Metric:
    """A metric, and which direction is better."""

    name: str
    unit: str
    more_is_better: bool = False
    is_judged: bool = True


@dataclass
class Result:
    """The measurements of one metric: two per round and column, in order, None if not measured, infinite if failed."""

    metric: Metric
    values: dict[str, list[float | None]] = field(default_factory=dict)

    def measured(self, column: str) -> list[float]:
        """Return the measurements of a column that were taken."""
        return [value for value in self.values.get(column, []) if value is not None]

    def middle(self, column: str) -> float | None:
        """Return the median; None without a measurement."""
        return median(values) if (values := self.measured(column)) else None

    def logs(self) -> list[float]:
        """Return the sorted logarithms of B / A: four for each complete round."""
        a, b = self.values["A"], self.values["B"]
        rounds = zip(a[::2], a[1::2], b[::2], b[1::2], strict=True)
        whole = [[value for value in values if value is not None] for values in rounds if None not in values]
        return sorted(difference(*pair) for values in whole for pair in product(values[:2], values[2:]))

    @property
    def ratio(self) -> float | None:
        """Return the median of B / A; None without a complete round."""
        if not (logs := self.logs()):
            return None
        low, high = logs[len(logs) // 2 - 1], logs[len(logs) // 2]
        return exp((low + high) / 2 if low != -high else 0)  # both may be infinite

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 99 % confidence interval of B / A; None after too few rounds."""
        logs = self.logs()
        if len(logs) // 4 < LEAST_ROUNDS:
            return None
        out = left_out(len(logs) // 4)
        return exp(logs[out]), exp(logs[-1 - out])

    @property
    def verdict(self) -> str:
        """Return "A", "B" or "no difference", or why there is no verdict; empty for a metric without a direction."""
        if not self.metric.is_judged:
            return ""
        if self.ratio is None:
            return "not measured"
        if self.interval is None:
            return "too few rounds"
        low, high = self.interval
        if low <= 1 <= high or 1 / LEAST_DIFFERENCE <= self.ratio <= LEAST_DIFFERENCE:
            return "no difference"
        return "B" if (self.ratio > 1) == self.metric.more_is_better else "A"


def difference(a: float, b: float) -> float:
    """Return the logarithm of B / A; 0 if both are infinite."""
    # A figure of 0 becomes a small one, so that there is a ratio.
    return 0.0 if a == b else log(max(b, 1e-6)) - log(max(a, 1e-6))


@cache
def left_out(rounds: int) -> int:
    """Return the number of ratios that a 99 % interval leaves out at each end."""
    cases = [1]  # the number of cases in which 0, 1, 2 ... of the ratios are above 1
    for _ in range(rounds):
        cases = [
            sum(cases[total - above] * times for above, times in enumerate(ABOVE) if 0 <= total - above < len(cases))
            for total in range(len(cases) + 4)
        ]
    return sum(2 * so_far <= sum(cases) / 100 for so_far in accumulate(cases)) - 1
