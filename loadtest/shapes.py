"""How the load runs over time: a fork adds a shape in one line of PLANS, and USERS and RUN_TIME change its numbers."""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Plan:
    """A curve through points, each a share of the time and a share of the users."""

    users: int
    seconds: int
    points: tuple[tuple[float, float], ...]

    def at(self, share: float) -> float:
        """Return the share of the users at this share of the time, on straight lines between the points."""
        for (begin, low), (end, high) in pairwise(self.points):
            if share < end:
                return low + (high - low) * (share - begin) / (end - begin)
        return self.points[-1][1]


STEPS = 10  # of the breakpoint
PLANS = {
    "smoke": Plan(20, 20, ((0, 1), (1, 1))),
    "ramp": Plan(100, 120, ((0, 0), (0.8, 1), (1, 1))),
    "spike": Plan(200, 90, ((0, 0.1), (0.4, 0.1), (0.4, 1), (0.6, 1), (0.6, 0.1), (1, 0.1))),
    "soak": Plan(50, 3600, ((0, 1), (1, 1))),
    # Raised in steps until an objective fails.
    "breakpoint": Plan(
        1000, 300, tuple(((step + high) / STEPS, (step + 1) / STEPS) for step in range(STEPS) for high in (0, 1))
    ),
}
