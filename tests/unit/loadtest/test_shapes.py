"""The load shapes, and how locust follows one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# In a process of its own: locust patches the standard library.
PROGRAM = """
import json
from types import SimpleNamespace
from loadtest.shapes import PLANS, STEPS, Plan, Shape

calls = []
shape = Shape(lambda users: calls.append(users) or True)
options = SimpleNamespace(shape="breakpoint", num_users=100, run_time=10)
shape.runner = SimpleNamespace(environment=SimpleNamespace(parsed_options=options))
for _ in range(2):  # the first run is stopped after three steps
    shape.reset_time()
    began = shape.start_time
    for seconds in (0.5, 1.5, 2.5):
        shape.start_time = began - seconds
        shape.tick()

plan = Plan(10, 10, ((0, 0), (0.5, 1), (0.5, 0.2), (1, 0.2)))
steps = [round(PLANS["breakpoint"].at((step + 0.5) / STEPS) * STEPS, 6) for step in range(STEPS)]
print(json.dumps({
    "calls": calls,
    "plan": [plan.at(share) for share in (0, 0.25, 0.5, 0.75, 1, 2)],
    "steps": [*steps, PLANS["breakpoint"].at(3 / STEPS) * STEPS],
    "ends": [[each.points[0][0], each.points[-1][0]] for each in PLANS.values()],
    "peaks": [max(each.at(number / 1000) for number in range(1001)) for each in PLANS.values()],
}))
"""


@pytest.fixture(scope="module")
def found():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    if "No module named 'locust" in ended.stderr:
        pytest.skip("the load test: locust is not installed, `make .venv/loadtest`")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_plan_interpolates_between_its_points(found):
    assert found["plan"] == [0, 0.5, 0.2, 0.2, 0.2, 0.2]


def test_every_plan_reaches_its_users_within_its_time(found):
    assert {tuple(each) for each in found["ends"]} == {(0, 1)}
    assert set(found["peaks"]) == {1}


def test_breakpoint_rises_in_equal_steps(found):
    assert found["steps"] == [*range(1, 11), 4]


def test_breakpoint_starts_at_its_first_step_after_one_that_was_stopped(found):
    assert found["calls"] == [10, 20, 10, 20]
