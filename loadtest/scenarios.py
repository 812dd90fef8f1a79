"""The requests of each user class. To test your own route, add a line to PAGES or CALLS.

In a path, one of VALUES replaces `{name}`. The statistics count these requests under the path with `{name}`.
"""

from http import HTTPStatus

from loadtest.calls import (
    JSON,
    PROBLEM,
    TEXT,  # only with demo
    Call,
    Page,
    unread,
)
from loadtest.checks import Expected

# begin demo
BODY = {"text": "Zoë", "numbers": [1, 2.5, -3], "nested": {"none": None, "true": True}}
LARGE = {"text": "x" * 900_000}  # bytes; MAX_BODY_BYTES is 1,048,576
TOO_LARGE = {"text": "x" * 1_048_576}
# end demo
VALUES = ["locust", "mantis", "42"]  # for {name}

PAGES = [
    Page(6, "/", "It serves."),
    Page(2, "/about", "Where to begin"),  # only with demo
    Page(2, "/hello/{name}", "Hello, {name}!"),  # only with demo
]

CALLS = [
    # begin demo
    Call(4, "POST", "/echo", Expected(type=JSON, json=lambda value: value == BODY), sends=BODY),
    # end demo
    Call(3, "GET", "/version", Expected(type=JSON, json=lambda value: {"release", "backend"} <= value.keys())),
    Call(1, "GET", "/readyz", Expected(type=JSON, json=lambda value: value["status"] == "ok")),
]

# Responses and requests that take seconds.
SLOW: list[Call] = []
# begin demo
SLOW += [
    Call(1, "GET", "/stream", Expected(type=TEXT, ends="chunk 7 of 7\n")),
    Call(1, "POST", "/echo", Expected(json=lambda it: it == BODY), sends=BODY, seconds=2, name="/echo, sent slowly"),
]
# end demo

# Large requests, and requests that the site refuses.
STRESS = [
    # begin demo
    Call(1, "POST", "/echo", Expected(json=lambda value: value == LARGE), sends=LARGE, name="/echo, large"),
    Call(1, "POST", "/echo", Expected(HTTPStatus.REQUEST_ENTITY_TOO_LARGE), sends=TOO_LARGE, name="/echo, too large"),
    Call(1, "POST", "/echo", Expected(HTTPStatus.BAD_REQUEST, PROBLEM), sends=b"{", name="/echo, not JSON"),
    Call(1, "DELETE", "/about", Expected(HTTPStatus.METHOD_NOT_ALLOWED, PROBLEM, header="Allow")),
    # end demo
    Call(1, "GET", "/nowhere", Expected(HTTPStatus.NOT_FOUND, PROBLEM)),
    # The app answers these without reading the body. nginx must not lose the response.
    # begin demo
    unread("POST", "/about", HTTPStatus.METHOD_NOT_ALLOWED),
    unread("PUT", "/about", HTTPStatus.METHOD_NOT_ALLOWED),
    unread("DELETE", "/about", HTTPStatus.METHOD_NOT_ALLOWED),
    # end demo
    unread("POST", "/nowhere", HTTPStatus.NOT_FOUND),
    unread("POST", "/echo", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),  # only with demo
]

# For each class: its share of the users, and the seconds that a user waits between two tasks.
SHARES = {"Visitor": 6, "ApiClient": 3, "SlowClient": 1, "Stress": 1}
WAITS = {"Visitor": (0.5, 1.5), "ApiClient": (0.1, 0.5), "SlowClient": (0.1, 0.5), "Stress": (0.1, 0.5)}
