"""Who comes and what they do. A fork adds its own route in one line of PAGES or CALLS; what is below stays as it is.

`{name}` in a path is filled in anew for each request, and stands for all of them in the statistics.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
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
    Call(1, "DELETE", "/about", Expected(HTTPStatus.METHOD_NOT_ALLOWED, PROBLEM)),
    Call(2, "GET", "/nowhere", Expected(HTTPStatus.NOT_FOUND, PROBLEM)),
]

# Of each class: its share of the users, and seconds between what one of them does.
SHARES = {"Visitor": 6, "ApiClient": 3, "Stress": 1}
THINKS = {"Visitor": (0.5, 1.5), "ApiClient": (0.1, 0.5), "Stress": (0.5, 1.5)}


def open_page(page: Page) -> Callable[[FastHttpUser], None]:
    """Return the task of opening the page as a browser without a cache does: then everything that it names."""

    def task(user: FastHttpUser) -> None:
        value = random.choice(VALUES)  # noqa: S311 (no secret)
        path, shows = (text.replace("{name}", value) for text in (page.path, page.shows))
        accept = {"Accept": "text/html"}
        with user.client.get(path, name=page.path, headers=accept, catch_response=True) as response:
            text = check(response, Expected(type=HTML, shows=shows))
        for asset in assets(text):
            with user.client.get(asset, name=ASSET, catch_response=True) as response:
                check(response, Expected())

    return task


def make_call(call: Call) -> Callable[[FastHttpUser], None]:
    """Return the task of making the call."""
    body = call.sends if isinstance(call.sends, bytes) else json.dumps(call.sends).encode() if call.sends else b""
    headers = {"Accept": "*/*"} | ({"Content-Type": "application/json"} if body else {})

    def task(user: FastHttpUser) -> None:
        path = call.path.replace("{name}", random.choice(VALUES))  # noqa: S311
        with user.client.request(
            call.method,
            path,
            name=call.name or call.path,
            data=slowly(body, call.seconds) if call.seconds else body,  # type: ignore[arg-type] # it takes these too
            headers=headers,
            catch_response=True,
        ) as response:
            check(response, call.answers)

    return task


def slowly(body: bytes, seconds: float) -> Iterator[bytes]:
    """Yield the body in five pieces, as a client on a bad line sends it."""
    size = -(-len(body) // 5)
    for start in range(0, len(body), size):
        gevent.sleep(seconds / 5)
        yield body[start : start + size]


class Visitor(FastHttpUser):
    """Opens pages, each with its assets, and reads them."""

    weight = SHARES["Visitor"]
    wait_time = between(*THINKS["Visitor"])
    tasks: Any = {open_page(page): page.weight for page in PAGES}


class ApiClient(FastHttpUser):
    """A program: JSON in, JSON out."""

    weight = SHARES["ApiClient"]
    wait_time = between(*THINKS["ApiClient"])
    tasks: Any = {make_call(call): call.weight for call in CALLS}


class Stress(FastHttpUser):
    """What takes long, is large or is refused."""

    weight = SHARES["Stress"]
    wait_time = between(*THINKS["Stress"])
    tasks: Any = {make_call(call): call.weight for call in STRESS}


def names() -> set[str]:
    """Return the name of every route that a run can measure, as the objectives name them."""
    calls = {f"{call.method} {call.name or call.path}" for call in CALLS + STRESS}
    return calls | {f"GET {page.path}" for page in PAGES} | {f"GET {ASSET}"}
