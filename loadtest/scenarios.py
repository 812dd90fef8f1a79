"""Who comes and what they do. A fork adds its own route in one line of PAGES or CALLS; what is below stays as it is.

`{name}` in a path is filled in anew for each request, and stands for all of them in the statistics.
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any

import gevent
from locust import FastHttpUser, between

from loadtest.assets import assets
from loadtest.checks import Expected, check

HTML, JSON, PROBLEM, TEXT = "text/html", "application/json", "application/problem+json", "text/plain"
BODY = {"text": "Zoë", "numbers": [1, 2.5, -3], "nested": {"none": None, "true": True}}
LARGE = {"text": "x" * 900_000}  # bytes; MAX_BODY_BYTES is 1,048,576
TOO_LARGE = {"text": "x" * 1_048_576}
VALUES = ["locust", "mantis", "42"]  # for {name}
TYPES: dict[str, str | tuple[str, ...]] = {  # of assets; those with other names may have any
    ".css": "text/css",
    ".js": ("text/javascript", "application/javascript"),  # the second by an older nginx
    ".svg": "image/svg+xml",
}
ASSET = "/static/*"  # all assets together, in the statistics: their names change with each release


@dataclass(frozen=True)
class Page:
    """A page that visitors open, with the assets that it names."""

    weight: int
    path: str
    shows: str  # `{name}` here is what stands in the path


@dataclass(frozen=True)
class Call:
    """One request of a program, and what must come back."""

    weight: int
    method: str
    path: str
    answers: Expected
    sends: Any = None  # as JSON; or bytes, as they are
    seconds: float = 0  # that it takes to send it
    name: str = ""  # in the statistics, if not the path


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

# What a busy site also gets: long answers, slow and large requests, and requests that are refused, rightly.
STRESS = [
    Call(2, "GET", "/stream", Expected(type=TEXT, ends="chunk 7 of 7\n")),
    Call(2, "POST", "/echo", Expected(json=lambda it: it == BODY), sends=BODY, seconds=2, name="/echo, sent slowly"),
    Call(1, "POST", "/echo", Expected(json=lambda value: value == LARGE), sends=LARGE, name="/echo, large"),
    Call(1, "POST", "/echo", Expected(HTTPStatus.REQUEST_ENTITY_TOO_LARGE), sends=TOO_LARGE, name="/echo, too large"),
    Call(1, "POST", "/echo", Expected(HTTPStatus.BAD_REQUEST, PROBLEM), sends=b"{", name="/echo, not JSON"),
    Call(1, "DELETE", "/about", Expected(HTTPStatus.METHOD_NOT_ALLOWED, PROBLEM, header="Allow")),
    Call(2, "GET", "/nowhere", Expected(HTTPStatus.NOT_FOUND, PROBLEM)),
]

# Seconds after which a request that has no answer has failed: longer than the longest of these is meant to take.
PATIENCE = 10

# Of each class: its share of the users, and seconds between what one of them does.
SHARES = {"Visitor": 6, "ApiClient": 3, "Stress": 1}
THINKS = {"Visitor": (0.5, 1.5), "ApiClient": (0.1, 0.5), "Stress": (0.5, 1.5)}


def ask(user: FastHttpUser, method: str, path: str, expected: Expected, **given: Any) -> str:  # noqa: ANN401
    """Send one request, and return the text of an answer that passed; count one that is long in coming as failed."""
    began = time.perf_counter()
    try:
        with user.client.request(method, path, catch_response=True, **given) as response:
            return check(response, expected)
    except gevent.GreenletExit:  # the user is told to go: at the end of the run, or where the load becomes less
        if (waited := time.perf_counter() - began) >= PATIENCE:
            user.environment.events.request.fire(
                request_type=method,
                name=given["name"],
                response_time=waited * 1000,
                response_length=0,
                exception=TimeoutError(f"no whole answer in {PATIENCE} s"),
                context={},
            )
        raise


def open_page(page: Page) -> Callable[[FastHttpUser], None]:
    """Return the task of opening the page as a browser without a cache does: then everything that it names."""

    def task(user: FastHttpUser) -> None:
        value = random.choice(VALUES)  # noqa: S311 (no secret)
        path, shows = (text.replace("{name}", value) for text in (page.path, page.shows))
        accept = {"Accept": "text/html"}
        text = ask(user, "GET", path, Expected(type=HTML, shows=shows), name=page.path, headers=accept)
        for asset in assets(text):
            expected = Expected(type=TYPES.get(PurePosixPath(asset).suffix, ""), filled=True)
            ask(user, "GET", asset, expected, name=ASSET)

    return task


def make_call(call: Call) -> Callable[[FastHttpUser], None]:
    """Return the task of making the call."""
    body = call.sends if isinstance(call.sends, bytes) else json.dumps(call.sends).encode() if call.sends else b""
    headers = {"Accept": "*/*"} | ({"Content-Type": "application/json"} if body else {})

    def task(user: FastHttpUser) -> None:
        path = call.path.replace("{name}", random.choice(VALUES))  # noqa: S311
        data = slowly(body, call.seconds) if call.seconds else body
        ask(user, call.method, path, call.answers, name=call.name or call.path, data=data, headers=headers)

    return task


def slowly(body: bytes, seconds: float) -> Iterator[bytes]:
    """Yield the body in five pieces, as a client on a bad line sends it."""
    size = -(-len(body) // 5)
    for start in range(0, len(body), size):
        gevent.sleep(seconds / 5)
        yield body[start : start + size]


class User(FastHttpUser):
    """Whoever comes: no more patient than a person is; locust's own would wait a minute, longer than many a run."""

    abstract = True
    connection_timeout = network_timeout = PATIENCE


class Visitor(User):
    """Opens pages, each with its assets, and reads them."""

    weight = SHARES["Visitor"]
    wait_time = between(*THINKS["Visitor"])
    tasks: Any = {open_page(page): page.weight for page in PAGES}


class ApiClient(User):
    """A program: JSON in, JSON out."""

    weight = SHARES["ApiClient"]
    wait_time = between(*THINKS["ApiClient"])
    tasks: Any = {make_call(call): call.weight for call in CALLS}


class Stress(User):
    """What takes long, is large or is refused."""

    weight = SHARES["Stress"]
    wait_time = between(*THINKS["Stress"])
    tasks: Any = {make_call(call): call.weight for call in STRESS}


def names() -> set[str]:
    """Return the name of every route that a run can measure, as the objectives name them."""
    calls = {f"{call.method} {call.name or call.path}" for call in CALLS + STRESS}
    return calls | {f"GET {page.path}" for page in PAGES} | {f"GET {ASSET}"}
