"""The shapes: curves through points, from the first moment to the last."""

import pytest

from loadtest.shapes import PLANS, STEPS, Plan


def test_a_curve_runs_straight_between_its_points_and_jumps_where_two_are_at_one_time():
    plan = Plan(10, 10, ((0, 0), (0.5, 1), (0.5, 0.2), (1, 0.2)))
    assert [plan.at(share) for share in (0, 0.25, 0.5, 0.75, 1, 2)] == [0, 0.5, 0.2, 0.2, 0.2, 0.2]


@pytest.mark.parametrize("name", PLANS)
def test_a_shape_reaches_its_users_within_its_time(name):
    plan = PLANS[name]
    assert (plan.points[0][0], plan.points[-1][0]) == (0, 1)
    assert max(plan.at(number / 1000) for number in range(1001)) == 1


def test_a_breakpoint_is_raised_by_the_same_step_each_time():
    assert [PLANS["breakpoint"].at((step + 0.5) / STEPS) for step in range(STEPS)] == [
        pytest.approx((step + 1) / STEPS) for step in range(STEPS)
    ]
    assert PLANS["breakpoint"].at(3 / STEPS) == 4 / STEPS
