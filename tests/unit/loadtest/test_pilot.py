"""How a run is held to its shape, by what locust asks once a second."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# In a process of its own: locust replaces parts of the standard library. Each run of ten seconds is asked about thrice.
PROGRAM = """
import json
from types import SimpleNamespace
from loadtest.pilot import Shape

told = []
shape = Shape(lambda users: told.append(users) or True)
options = SimpleNamespace(shape="breakpoint", num_users=100, run_time=10)
shape.runner = SimpleNamespace(environment=SimpleNamespace(parsed_options=options))
for _ in range(2):  # the first is stopped after three steps
    shape.reset_time()
    began = shape.start_time
    for seconds in (0.5, 1.5, 2.5):
        shape.start_time = began - seconds
        shape.tick()
print(json.dumps(told))
"""


def test_a_breakpoint_after_one_that_was_stopped_has_all_its_steps():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    if "No module named 'locust" in ended.stderr:
        pytest.skip("the load test: locust is not installed, `make .venv/loadtest`")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [10, 20, 10, 20]
