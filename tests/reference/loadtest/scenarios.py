"""The requests of the load test's own tests, to the routes of tests/reference/app/wsgi.py."""

from http import HTTPStatus

from loadtest.calls import JSON, PROBLEM, TEXT, Call, Page, unread
from loadtest.checks import Expected

BODY = {"text": "Zoë"}
LARGE = {"text": "x" * 900_000}
TOO_LARGE = {"text": "x" * 1_048_576}
VALUES = ["locust", "mantis"]

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
SLOW = [
    Call(1, "GET", "/stream", Expected(type=TEXT, ends="chunk 7 of 7\n")),
    Call(1, "POST", "/echo", Expected(json=lambda it: it == BODY), sends=BODY, seconds=2, name="/echo, sent slowly"),
]
STRESS = [
    Call(1, "POST", "/echo", Expected(json=lambda value: value == LARGE), sends=LARGE, name="/echo, large"),
    Call(1, "POST", "/echo", Expected(HTTPStatus.REQUEST_ENTITY_TOO_LARGE), sends=TOO_LARGE, name="/echo, too large"),
    Call(1, "DELETE", "/about", Expected(HTTPStatus.METHOD_NOT_ALLOWED, PROBLEM, header="Allow")),
    unread("POST", "/about", HTTPStatus.METHOD_NOT_ALLOWED),
    unread("DELETE", "/about", HTTPStatus.METHOD_NOT_ALLOWED),
    unread("POST", "/nowhere", HTTPStatus.NOT_FOUND),
    unread("POST", "/echo", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
]

SHARES = {"Visitor": 6, "ApiClient": 3, "SlowClient": 1, "Stress": 1}
WAITS = {"Visitor": (0.5, 1.5), "ApiClient": (0.1, 0.5), "SlowClient": (0.1, 0.5), "Stress": (0.1, 0.5)}
