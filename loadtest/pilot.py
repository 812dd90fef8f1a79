"""Holds a run to its shape: locust asks once a second how many users there should be."""

from argparse import Namespace
from collections.abc import Callable

from locust import LoadTestShape

from loadtest.shapes import PLANS, STEPS


class Shape(LoadTestShape):
    """The plan that --shape names, with the users and the time that the options name."""

    use_common_options = True
    step = 0

    def __init__(self, holds: Callable[[int], bool] = lambda _: True) -> None:
        super().__init__()
        self.holds = holds  # told the users of each step of a breakpoint when it ends: whether to go on

    def reset_time(self) -> None:
        """Begin anew, also where the last run was stopped in mid-breakpoint."""
        super().reset_time()
        self.step = 0

    def tick(self) -> tuple[int, float] | None:
        """Return the users that there should be now, and how many may start in a second; or None at the end."""
        assert self.runner  # noqa: S101
        options = self.runner.environment.parsed_options
        assert options  # noqa: S101
        share = self.get_run_time() / options.run_time
        if options.shape == "breakpoint" and int(share * STEPS) > self.step:
            asked, self.step = users_at(options, self.step / STEPS), int(share * STEPS)
            if not self.holds(asked):
                share = 1
        if share >= 1:
            return None
        users = users_at(options, share)
        return users, max(users, options.num_users / 10)


def users_at(options: Namespace, share: float) -> int:
    """Return the users at this share of the time: one at least."""
    users: int = options.num_users
    return max(1, round(PLANS[options.shape].at(share) * users))
