"""The load: what one user does, and what each answer must be. A wrong answer counts as a failure, however fast it came.

https://docs.locust.io/
"""

import json

from locust import FastHttpUser, between, task
from locust.contrib.fasthttp import ResponseContextManager

BODY = {"text": "Zoë", "numbers": [1, 2.5, -3], "nested": {"none": None, "true": True}}


def check(response: ResponseContextManager, *, holds: bool, expected: str) -> None:
    """Count the response as failed where it is not what was expected, or has lost its request id."""
    if response.status_code == 0:
        response.failure(response.error)
    elif not holds:
        response.failure(f"expected {expected}, not {response.status_code} and {response.text[:80]!r}")
    elif not response.headers.get("X-Request-ID"):
        response.failure("no X-Request-ID")


class Visitor(FastHttpUser):
    """Reads the pages and, now and then, asks the API."""

    wait_time = between(0.1, 0.5)  # seconds

    def page(self, path: str, text: str, name: str | None = None) -> None:
        """Load one page and check that it holds `text`."""
        with self.client.get(path, name=name, headers={"Accept": "text/html"}, catch_response=True) as response:
            check(response, holds=response.status_code == 200 and text in response.text, expected=f"a page with {text!r}")

    @task(6)
    def home(self) -> None:
        self.page("/", "It serves.")
        self.page("/static/style.css", "color-scheme")

    @task(2)
    def about(self) -> None:
        self.page("/about", "Where to begin")

    @task(2)
    def hello(self) -> None:
        self.page("/hello/locust", "Hello, locust!", name="/hello/{name}")

    @task(2)
    def echo(self) -> None:
        with self.client.post("/echo", json=BODY, catch_response=True) as response:
            holds = response.status_code == 200 and json.loads(response.text) == BODY
            check(response, holds=holds, expected="the JSON that was sent")

    @task(1)
    def stream(self) -> None:
        with self.client.get("/stream", catch_response=True) as response:
            check(response, holds=response.status_code == 200 and "chunk 7 of 7" in response.text, expected="every chunk")
