"""The file that locust loads: the user classes and the load shape. LOCUSTFILE names another one."""

from loadtest.shapes import Shape
from loadtest.users import ApiClient, SlowClient, Stress, Visitor

__all__ = ["ApiClient", "Shape", "SlowClient", "Stress", "Visitor"]
