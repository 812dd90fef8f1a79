"""Where locust enters: who comes (scenarios.py), how many and when (shapes.py), what becomes of it (run.py)."""

from loadtest import run
from loadtest.pilot import Shape
from loadtest.scenarios import ApiClient, SlowClient, Stress, Visitor

__all__ = ["ApiClient", "Shape", "SlowClient", "Stress", "Visitor", "run"]
