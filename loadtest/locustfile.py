"""The file that locust loads: the user classes, the load shape, and the listeners of run.py."""

from loadtest import run
from loadtest.scenarios import ApiClient, SlowClient, Stress, Visitor
from loadtest.shapes import Shape

__all__ = ["ApiClient", "Shape", "SlowClient", "Stress", "Visitor", "run"]
