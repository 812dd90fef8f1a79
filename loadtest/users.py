"""The user classes: they send the requests of loadtest/scenarios.py and check the responses.

A class without requests is abstract: locust does not start it.
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import gevent
from locust import FastHttpUser, TaskSet, between

from loadtest.assets import assets
from loadtest.calls import HTML, Call, Page
from loadtest.checks import Expected, check
from loadtest.scenarios import CALLS, PAGES, SHARES, SLOW, STRESS, VALUES, WAITS

TYPES: dict[str, str | tuple[str, ...]] = {  # Content-Type of an asset by suffix; others may have any
    ".css": "text/css",
    ".js": ("text/javascript", "application/javascript"),  # an older nginx sends the second
    ".svg": "image/svg+xml",
}
ASSET = "/static/*"  # all assets in the statistics: their names change with each release
TIMEOUT = 10  # seconds for a request; the slowest takes 3


def send(user: FastHttpUser, method: str, path: str, expected: Expected, **given: Any) -> str:  # noqa: ANN401
    """Send one request; return the text of a response that passed."""
    began = time.perf_counter()
    try:
        with user.client.request(method, path, catch_response=True, **given) as response:
            return check(response, expected)
    except gevent.GreenletExit:  # locust stops the user; count a request that is too late as failed
        if (waited := time.perf_counter() - began) >= TIMEOUT:
            user.environment.events.request.fire(
                request_type=method,
                name=given["name"],
                response_time=waited * 1000,
                response_length=0,
                exception=TimeoutError(f"no complete response in {TIMEOUT} s"),
                context={},
            )
        raise


def open_page(page: Page) -> Callable[[FastHttpUser], None]:
    """Return the task of opening the page and loading its assets, as a browser without a cache does."""

    def task(user: FastHttpUser) -> None:
        value = random.choice(VALUES)  # noqa: S311 (no secret)
        path, shows = (text.replace("{name}", value) for text in (page.path, page.shows))
        accept = {"Accept": "text/html"}
        text = send(user, "GET", path, Expected(type=HTML, shows=shows), name=page.path, headers=accept)
        for asset in assets(text):
            expected = Expected(type=TYPES.get(PurePosixPath(asset).suffix, ""), filled=True)
            send(user, "GET", asset, expected, name=ASSET)

    return task


def make_call(call: Call) -> Callable[[FastHttpUser], None]:
    """Return the task of sending the call."""
    sends = call.sends if isinstance(call.sends, list) else [call.sends]
    bodies = [each if isinstance(each, bytes) else json.dumps(each).encode() if each else b"" for each in sends]
    headers = {"Accept": "*/*"} | ({"Content-Type": call.type} if bodies[0] else {})

    def task(user: FastHttpUser) -> None:
        path = call.path.replace("{name}", random.choice(VALUES))  # noqa: S311
        body = random.choice(bodies)  # noqa: S311
        data = slowly(body, call.seconds) if call.seconds else body
        send(user, call.method, path, call.expected, name=call.name or call.path, data=data, headers=headers)

    return task


def slowly(body: bytes, seconds: float) -> Iterator[bytes]:
    """Yield the body in five pieces, as a client on a slow line sends it."""
    size = -(-len(body) // 5)
    for start in range(0, len(body), size):
        gevent.sleep(seconds / 5)
        yield body[start : start + size]


def names(calls: list[Call]) -> set[str]:
    """Return the routes of these calls, as the objectives name them."""
    return {f"{call.method} {call.name or call.path}" for call in calls}


class User(FastHttpUser):
    """A user whose requests time out; locust's default of a minute is longer than many runs."""

    abstract = True
    connection_timeout = network_timeout = TIMEOUT
    routes: set[str] = set()  # the routes that the class requests, as the objectives name them
    every_route: set[str] = set()  # those of all classes


class Visitor(User):
    """Opens pages, each with its assets."""

    abstract = not PAGES
    routes = {f"GET {page.path}" for page in PAGES} | ({f"GET {ASSET}"} if PAGES else set())
    weight = SHARES["Visitor"]
    wait_time = between(*WAITS["Visitor"])
    tasks: Any = {open_page(page): page.weight for page in PAGES}


class ApiClient(User):
    """Sends and receives JSON."""

    abstract = not CALLS
    routes = names(CALLS)
    weight = SHARES["ApiClient"]
    wait_time = between(*WAITS["ApiClient"])
    tasks: Any = {make_call(call): call.weight for call in CALLS}


class EveryTask(TaskSet):
    """Runs all its tasks in random order before it repeats one, so that a short run reaches each."""

    left: list[Any] = []

    def get_next_task(self) -> Any:  # noqa: ANN401 (locust's type)
        """Return the next task."""
        first, *self.left = self.left or random.sample(self.tasks, len(self.tasks))
        return first

    def execute_task(self, task: Any) -> None:  # noqa: ANN401
        """Pass the user to the task, as a user class without a task set does."""
        task(self.user)


def cycle(calls: list[Call]) -> list[type[TaskSet]]:
    """Return a task set that sends every call before it repeats one."""
    return [type("Cycle", (EveryTask,), {"tasks": {make_call(call): call.weight for call in calls}})]


class SlowClient(User):
    """Sends a body slowly, or receives a slow response, which occupies a thread of the app."""

    abstract = not SLOW
    routes = names(SLOW)
    weight = SHARES["SlowClient"]
    wait_time = between(*WAITS["SlowClient"])
    tasks: Any = cycle(SLOW)


class Stress(User):
    """Sends large requests and requests that the site refuses."""

    abstract = not STRESS
    routes = names(STRESS)
    weight = SHARES["Stress"]
    wait_time = between(*WAITS["Stress"])
    tasks: Any = cycle(STRESS)


# An objective may name the route of any class, also if SCENARIO leaves the class out.
User.every_route = {route for each in (Visitor, ApiClient, SlowClient, Stress) for route in each.routes}
