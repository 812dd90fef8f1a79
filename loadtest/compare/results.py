"""What the measurements say: medians, ratios, and whether a difference is one.

Each round measures A, B, B, A. How far the two measurements of one side in one round differ is noise, by definition:
it was the same thing twice. A difference between A and B that is no larger than the largest of those, over all rounds
and both sides, is "no difference". (Simulated, of two equal sides 4 % seem to differ after 2 rounds, 1.3 % after 3 and
0.1 % after 5, and 22 % after one: so one round decides nothing.)
"""

from dataclasses import dataclass, field
from math import exp, log
from statistics import median

LEAST_ROUNDS = 2
LEAST_DIFFERENCE = 1.01  # whatever the noise: nobody chooses by less


@dataclass(frozen=True)
class Metric:
    """Something that is measured, and which way is better."""

    name: str
    unit: str
    more_is_better: bool = False


@dataclass
class Result:
    """All measurements of one metric: for each column the values, two a round, in the order they were taken."""

    metric: Metric
    values: dict[str, list[float]] = field(default_factory=dict)

    def middle(self, column: str) -> float | None:
        """Return the median, or None where nothing was measured."""
        return median(self.values[column]) if self.values.get(column) else None

    def pairs(self, column: str) -> list[tuple[float, float]]:
        """Return the two logarithms of each round."""
        # What is not to be told from nothing is a small number, or there would be no ratio.
        logs = [log(max(value, 1e-6)) for value in self.values.get(column, [])]
        return list(zip(logs[::2], logs[1::2], strict=False))

    @property
    def ratio(self) -> float | None:
        """Return B / A, the median of the rounds, or None where it cannot be told."""
        rounds = list(zip(self.pairs("A"), self.pairs("B"), strict=False))
        return exp(median((sum(b) - sum(a)) / 2 for a, b in rounds)) if rounds else None

    @property
    def noise(self) -> float | None:
        """Return the largest ratio of a side to itself within a round, 1.07 for 7 %."""
        pairs = self.pairs("A") + self.pairs("B")
        return exp(max(abs(first - second) for first, second in pairs)) if pairs else None

    @property
    def verdict(self) -> str:
        """Return "A", "B", "no difference", or why it cannot be told."""
        if self.ratio is None or self.noise is None:
            return "not measured"
        if len(self.pairs("A")) < LEAST_ROUNDS:
            return "too few rounds"
        if abs(log(self.ratio)) <= log(max(self.noise, LEAST_DIFFERENCE)):
            return "no difference"
        return "B" if (self.ratio > 1) == self.metric.more_is_better else "A"
