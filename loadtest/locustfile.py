"""The file that locust loads: the user classes, the load shape, and the listeners of run.py."""

from loadtest import run
from loadtest.shapes import Shape
from loadtest.users import ApiClient, SlowClient, Stress, Visitor

__all__ = ["ApiClient", "Shape", "SlowClient", "Stress", "Visitor", "run"]
