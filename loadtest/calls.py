"""Descriptions of requests and expected responses, of which loadtest/scenarios.py consists."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from loadtest.checks import Expected

HTML, JSON, PROBLEM, TEXT = "text/html", "application/json", "application/problem+json", "text/plain"
UNREAD_BYTES = [3_000, 30_000, 300_000, 1_000_000]


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
