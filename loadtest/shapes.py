"""Load shapes: the number of users over time. To add one, add a line to PLANS; USERS and RUN_TIME scale it."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from locust import LoadTestShape

STEPS = 10  # of a breakpoint


@dataclass(frozen=True)
class Plan:
    """A curve through points, each a share of the time and a share of the users."""

    users: int
    seconds: int
    points: tuple[tuple[float, float], ...]

    def at(self, share: float) -> float:
        """Return the share of the users at this share of the time, interpolated between the points."""
        for (begin, low), (end, high) in pairwise(self.points):
            if share < end:
                return low + (high - low) * (share - begin) / (end - begin)
        return self.points[-1][1]


PLANS = {
    "smoke": Plan(20, 20, ((0, 1), (1, 1))),
    "ramp": Plan(100, 120, ((0, 0), (0.8, 1), (1, 1))),
    "spike": Plan(200, 90, ((0, 0.1), (0.4, 0.1), (0.4, 1), (0.6, 1), (0.6, 0.1), (1, 0.1))),
    "soak": Plan(50, 3600, ((0, 1), (1, 1))),
    # Ends with the first step that misses an objective.
    "breakpoint": Plan(
        1000, 300, tuple(((step + high) / STEPS, (step + 1) / STEPS) for step in range(STEPS) for high in (0, 1))
    ),
}


class Shape(LoadTestShape):
    """The plan that --shape names, scaled to the options --users and --run-time."""

    use_common_options = True
    step = 0

    def __init__(self, meets_objectives: Callable[[int], bool] = lambda _: True) -> None:
        super().__init__()
        self.meets_objectives = meets_objectives  # called with the users of each step of a breakpoint, at its end

    def reset_time(self) -> None:
        """Start a run at its first step."""
        super().reset_time()
        self.step = 0

    def tick(self) -> tuple[int, float] | None:
        """Return the number of users and the spawn rate now, or None at the end. locust calls this once a second."""
        assert self.runner  # noqa: S101
        options = self.runner.environment.parsed_options
        assert options  # noqa: S101
        share = self.get_run_time() / options.run_time
        if options.shape == "breakpoint" and int(share * STEPS) > self.step:
            users, self.step = users_at(options, self.step / STEPS), int(share * STEPS)
            if not self.meets_objectives(users):
                return None
        if share >= 1:
            return None
        users = users_at(options, share)
        return users, max(users, options.num_users / 10)


def users_at(options: Namespace, share: float) -> int:
    """Return the number of users at this share of the time, at least 1."""
    users: int = options.num_users
    return max(1, round(PLANS[options.shape].at(share) * users))
