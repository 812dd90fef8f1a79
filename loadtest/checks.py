"""What an answer must be: status, type, body and request id. A wrong answer is a failure, however fast it came."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from locust.contrib.fasthttp import ResponseContextManager

REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,128}")


@dataclass(frozen=True)
class Expected:
    """What one answer must be; what is left empty is not looked at."""

    status: HTTPStatus = HTTPStatus.OK
    type: str | tuple[str, ...] = ""  # how Content-Type begins, or may
    shows: str = ""  # text that the body must hold
    ends: str = ""  # text that it must end with: a stream that was cut has another end
    json: Callable[[Any], bool] | None = None  # what must be true of the body's JSON
    filled: bool = False  # whether there must be a body, whatever is in it
    header: str = ""  # one that must be there


def check(response: ResponseContextManager, expected: Expected) -> str:
    """Count the response as passed or, with the reason, as failed; return the text of one that passed."""
    try:
        reason = wrong(response, expected)
    except Exception as error:  # noqa: BLE001 (whatever an answer can be: one that is not counted as failed has passed)
        reason = f"{error!r}: {(response.content or b'')[:80]!r}"
    if reason:
        response.failure(reason)
        return ""
    response.success()
    return response.text or ""


def wrong(response: ResponseContextManager, expected: Expected) -> str:
    """Return what is wrong with the response, in words, or nothing."""
    if response.status_code != expected.status:
        reason = response.error if response.status_code == 0 and hasattr(response, "error") else response.status_code
        return f"expected {expected.status:d}; came {reason!r}"
    headers: Mapping[str, Any] = response.headers or {}
    if not REQUEST_ID.fullmatch(headers.get("X-Request-ID", "")):
        return f"X-Request-ID is {headers.get('X-Request-ID')!r}"
    if not headers.get("Content-Type", "").startswith(expected.type):
        return f"expected {expected.type}; came {headers.get('Content-Type')!r}"
    if expected.header and expected.header not in headers:
        return f"{expected.header} is missing"
    if expected.filled and not response.content:
        return "the body is empty"
    return wrong_body(response.text or "", expected)


def wrong_body(text: str, expected: Expected) -> str:
    """Return what is wrong with the body, in words, or nothing."""
    if expected.shows not in text:
        return f"{expected.shows!r} is not in the body: {text[:80]!r}"
    if not text.endswith(expected.ends):
        return f"the body does not end with {expected.ends!r}: {text[-80:]!r}"
    if expected.json and not expected.json(json.loads(text)):
        return f"not the JSON that was expected: {text[:80]!r}"
    return ""
