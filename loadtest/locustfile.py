"""The load: what one user does, and what each answer must be. A wrong answer counts as a failure, however fast it came.

https://docs.locust.io/
"""

import json
import re
from collections.abc import Callable
from http import HTTPStatus

from locust import FastHttpUser, between, task
from locust.contrib.fasthttp import ResponseContextManager

BODY = {"text": "Zoë", "numbers": [1, 2.5, -3], "nested": {"none": None, "true": True}}


def check(response: ResponseContextManager, expected: str, holds: Callable[[str], bool]) -> None:
    """Count the response as failed unless it is a 200 with a request id, and `holds` of its text."""
    text = response.text or ""
    if response.status_code != HTTPStatus.OK or not holds(text):
        response.failure(f"expected {expected}; came {response.status_code}, {text[:80]!r}")
    elif "X-Request-ID" not in (response.headers or {}):
        response.failure("no X-Request-ID")


class Visitor(FastHttpUser):
    """Reads the pages and, now and then, asks the API."""

    wait_time = between(0.1, 0.5)  # seconds

    def page(self, path: str, text: str, name: str | None = None) -> None:
        """Load one page and check that it holds `text`."""
        with self.client.get(path, name=name, headers={"Accept": "text/html"}, catch_response=True) as response:
            check(response, f"a page with {text!r}", lambda page: text in page)

    @task(6)
    def home(self) -> None:
        self.page("/", "It serves.")
        with self.client.get("/", catch_response=True, headers={"Accept": "text/html"}) as response:
            style = re.search(r'"(/static/style[^"]+)"', response.text or "")
        self.page(style[1] if style else "/static/style.css", "color-scheme", name="/static/style.css")

    @task(2)
    def about(self) -> None:
        self.page("/about", "Where to begin")

    @task(2)
    def hello(self) -> None:
        self.page("/hello/locust", "Hello, locust!", name="/hello/{name}")

    @task(2)
    def echo(self) -> None:
        with self.client.post("/echo", json=BODY, catch_response=True) as response:
            check(response, "the JSON that was sent", lambda text: bool(json.loads(text) == BODY))

    @task(1)
    def stream(self) -> None:
        with self.client.get("/stream", catch_response=True) as response:
            check(response, "every chunk", lambda text: text.endswith("chunk 7 of 7\n"))
