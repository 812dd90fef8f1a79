"""The user classes and their requests. To test your own route, add a line to PAGES or CALLS.

Each request to a path with `{name}` replaces it by one of VALUES; the statistics count them under that path.
"""

import json
import random
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any

import gevent
from locust import FastHttpUser, TaskSet, between

from loadtest.assets import assets
from loadtest.checks import Expected, check

HTML, JSON, PROBLEM, TEXT = "text/html", "application/json", "application/problem+json", "text/plain"
BODY = {"text": "Zoë", "numbers": [1, 2.5, -3], "nested": {"none": None, "true": True}}
LARGE = {"text": "x" * 900_000}  # bytes; MAX_BODY_BYTES is 1,048,576
UNREAD_BYTES = [3_000, 30_000, 300_000, 1_000_000]
TOO_LARGE = {"text": "x" * 1_048_576}
VALUES = ["locust", "mantis", "42"]  # for {name}
TYPES: dict[str, str | tuple[str, ...]] = {  # Content-Type of an asset by suffix; others may have any
    ".css": "text/css",
    ".js": ("text/javascript", "application/javascript"),  # an older nginx sends the second
    ".svg": "image/svg+xml",
}
ASSET = "/static/*"  # all assets in the statistics: their names change with each release


@dataclass(frozen=True)
class Page:
    """A page that visitors open, with its assets."""

    weight: int
    path: str
    shows: str  # text on the page; `{name}` is replaced as in the path


@dataclass(frozen=True)
class Call:
    """A request of a program, and the expected response."""

    weight: int
    method: str
    path: str
    expected: Expected
    sends: Any = None  # bytes; a list of bytes, of which each request sends one; or a value for JSON
    type: str = "application/json"  # of the body
    seconds: float = 0  # to send the body
    name: str = ""  # in the statistics, instead of the path


def unread(method: str, path: str, status: HTTPStatus) -> Call:
    """Return a call whose body the app does not read."""
    bodies = [b"x" * size for size in UNREAD_BYTES]
    return Call(1, method, path, Expected(status, PROBLEM), bodies, "text/plain", name=f"{path}, unread body")


PAGES = [
    Page(6, "/", "It serves."),
    Page(2, "/about", "Where to begin"),
    Page(2, "/hello/{name}", "Hello, {name}!"),
]

CALLS = [
    Call(4, "POST", "/echo", Expected(type=JSON, json=lambda value: value == BODY), sends=BODY),
    Call(3, "GET", "/version", Expected(type=JSON, json=lambda value: {"release", "backend"} <= value.keys())),
    Call(1, "GET", "/readyz", Expected(type=JSON, json=lambda value: value["status"] == "ok")),
]

# Responses and requests that take seconds.
SLOW = [
    Call(1, "GET", "/stream", Expected(type=TEXT, ends="chunk 7 of 7\n")),
    Call(1, "POST", "/echo", Expected(json=lambda it: it == BODY), sends=BODY, seconds=2, name="/echo, sent slowly"),
]

# Large requests, and requests that the site refuses.
STRESS = [
    Call(1, "POST", "/echo", Expected(json=lambda value: value == LARGE), sends=LARGE, name="/echo, large"),
    Call(1, "POST", "/echo", Expected(HTTPStatus.REQUEST_ENTITY_TOO_LARGE), sends=TOO_LARGE, name="/echo, too large"),
    Call(1, "POST", "/echo", Expected(HTTPStatus.BAD_REQUEST, PROBLEM), sends=b"{", name="/echo, not JSON"),
    Call(1, "DELETE", "/about", Expected(HTTPStatus.METHOD_NOT_ALLOWED, PROBLEM, header="Allow")),
    Call(1, "GET", "/nowhere", Expected(HTTPStatus.NOT_FOUND, PROBLEM)),
    # The app answers these without reading the body. nginx must not lose the response.
    unread("POST", "/about", HTTPStatus.METHOD_NOT_ALLOWED),
    unread("PUT", "/about", HTTPStatus.METHOD_NOT_ALLOWED),
    unread("DELETE", "/about", HTTPStatus.METHOD_NOT_ALLOWED),
    unread("POST", "/nowhere", HTTPStatus.NOT_FOUND),
    unread("POST", "/echo", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
]

TIMEOUT = 10  # seconds for a request; the slowest takes 3

# For each class: its share of the users, and the seconds that a user waits between two tasks.
SHARES = {"Visitor": 6, "ApiClient": 3, "SlowClient": 1, "Stress": 1}
WAITS = {"Visitor": (0.5, 1.5), "ApiClient": (0.1, 0.5), "SlowClient": (0.1, 0.5), "Stress": (0.1, 0.5)}


def send(user: FastHttpUser, method: str, path: str, expected: Expected, **given: Any) -> str:  # noqa: ANN401
    """Send one request; return the text of a response that passed."""
    began = time.perf_counter()
    try:
        with user.client.request(method, path, catch_response=True, **given) as response:
            return check(response, expected)
    except gevent.GreenletExit:  # locust stops the user; a request that is late has failed
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


class User(FastHttpUser):
    """A user whose requests time out; locust's default of a minute is longer than many runs."""

    abstract = True
    connection_timeout = network_timeout = TIMEOUT


class Visitor(User):
    """Opens pages, each with its assets."""

    weight = SHARES["Visitor"]
    wait_time = between(*WAITS["Visitor"])
    tasks: Any = {open_page(page): page.weight for page in PAGES}


class ApiClient(User):
    """Sends and receives JSON."""

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

    weight = SHARES["SlowClient"]
    wait_time = between(*WAITS["SlowClient"])
    tasks: Any = cycle(SLOW)


class Stress(User):
    """Sends large requests and requests that the site refuses."""

    weight = SHARES["Stress"]
    wait_time = between(*WAITS["Stress"])
    tasks: Any = cycle(STRESS)


def names(classes: Collection[str] = SHARES.keys()) -> set[str]:
    """Return the routes that these user classes request, as the objectives name them."""
    calls = {"ApiClient": CALLS, "SlowClient": SLOW, "Stress": STRESS}
    names = {f"{call.method} {call.name or call.path}" for each in classes for call in calls.get(each, [])}
    return names | ({f"GET {ASSET}", *(f"GET {page.path}" for page in PAGES)} if "Visitor" in classes else set())
