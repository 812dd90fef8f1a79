"""What the measurements say: medians, ratios, and whether a difference is one.

Each round measures A, B, B, A, and so has four ratios B / A: each of B's two by each of A's. The ratio is the median of
those of all rounds. The interval leaves as many out at both ends as it may and still hold the true ratio in 99 of 100
comparisons, whatever the noise is like: nothing is assumed but that two equal sides could have changed places in a
round. So a measurement that went wrong is one of many, however wrong it went, more rounds find smaller differences, and
a machine that becomes slower all the time has slowed both. There is a difference where the interval does not hold 1.

(Of two equal sides, each order of a round's four measurements is as likely as another, so the number of its ratios
above 1 is 0, 1, 2, 3 or 4 in 1, 1, 2, 1 and 1 of 6 cases. Three rounds are the fewest that can be sure. Simulated, with
outliers and without: 99.1 to 99.5; where one side is far noisier than the other, 97 after three rounds, 98 after five.)
"""

from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, product
from math import exp, log
from statistics import median

LEAST_ROUNDS = 3
LEAST_DIFFERENCE = 1.01  # however sure it is: nobody chooses by less
ABOVE = (1, 1, 2, 1, 1)  # in so many of six cases, 0 to 4 of a round's ratios are above 1


@dataclass(frozen=True)
class Metric:
    """Something that is measured, and which way is better, if any."""

    name: str
    unit: str
    more_is_better: bool = False
    is_judged: bool = True


@dataclass
class Result:
    """All measurements of one metric: for each column two a round, in their order, and None for one that there is not.

    What never came, or took for ever, is infinite: more than any other.
    """

    metric: Metric
    values: dict[str, list[float | None]] = field(default_factory=dict)

    def measured(self, column: str) -> list[float]:
        """Return the measurements that there are."""
        return [value for value in self.values.get(column, []) if value is not None]

    def middle(self, column: str) -> float | None:
        """Return the median, or None where nothing was measured."""
        return median(values) if (values := self.measured(column)) else None

    def logs(self) -> list[float]:
        """Return the logarithms of B / A, sorted: four of each round of which there are all measurements."""
        a, b = self.values["A"], self.values["B"]
        rounds = zip(a[::2], a[1::2], b[::2], b[1::2], strict=True)
        whole = [[value for value in values if value is not None] for values in rounds if None not in values]
        return sorted(difference(*pair) for values in whole for pair in product(values[:2], values[2:]))

    @property
    def ratio(self) -> float | None:
        """Return B / A, the median of all, or None where it cannot be told."""
        if not (logs := self.logs()):
            return None
        low, high = logs[len(logs) // 2 - 1], logs[len(logs) // 2]
        return exp((low + high) / 2 if low != -high else 0)  # of which both may be infinite

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return between what B / A is, which is 99 % sure, or None after too few rounds."""
        logs = self.logs()
        if len(logs) // 4 < LEAST_ROUNDS:
            return None
        out = left_out(len(logs) // 4)
        return exp(logs[out]), exp(logs[-1 - out])

    @property
    def verdict(self) -> str:
        """Return "A", "B", "no difference", or why it cannot be told; nothing of what is neither good nor bad."""
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
    """Return the logarithm of B / A, 0 for two that are infinite."""
    # What is not to be told from nothing is a small number, or there would be no ratio.
    return 0.0 if a == b else log(max(b, 1e-6)) - log(max(a, 1e-6))


@cache
def left_out(rounds: int) -> int:
    """Return how many ratios the interval leaves out at each end: the most that are 99 % sure."""
    cases = [1]  # in how many of all cases 0, 1, 2 ... of the ratios are above 1
    for _ in range(rounds):
        cases = [
            sum(cases[total - above] * times for above, times in enumerate(ABOVE) if 0 <= total - above < len(cases))
            for total in range(len(cases) + 4)
        ]
    return sum(2 * so_far <= sum(cases) / 100 for so_far in accumulate(cases)) - 1
