"""Checks of a response: status, type, body and request id. A wrong response counts as failed."""

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
    """What a response must have; an empty field is not checked."""

    status: HTTPStatus = HTTPStatus.OK
    type: str | tuple[str, ...] = ""  # the beginning of Content-Type, or several allowed ones
    shows: str = ""  # text in the body
    ends: str = ""  # text at the end of the body: a stream that was cut lacks it
    json: Callable[[Any], bool] | None = None  # a condition on the body's JSON
    filled: bool = False  # whether there must be a body
    header: str = ""  # the name of a header


def check(response: ResponseContextManager, expected: Expected) -> str:
    """Count the response as passed, or as failed with the reason; return the text of one that passed."""
    try:
        reason = fault(response, expected)
    except Exception as error:  # noqa: BLE001 (a response that breaks the check must not count as passed)
        reason = f"{error!r}: {(response.content or b'')[:80]!r}"
    if reason:
        response.failure(reason)
        return ""
    response.success()
    return response.text or ""


def fault(response: ResponseContextManager, expected: Expected) -> str:
    """Return what is wrong with the response, or an empty string."""
    if response.status_code != expected.status:
        reason = response.error if response.status_code == 0 and hasattr(response, "error") else response.status_code
        return f"expected {expected.status:d}; got {reason!r}"
    headers: Mapping[str, Any] = response.headers or {}
    if not REQUEST_ID.fullmatch(headers.get("X-Request-ID", "")):
        return f"X-Request-ID is {headers.get('X-Request-ID')!r}"
    if not headers.get("Content-Type", "").startswith(expected.type):
        return f"expected {expected.type}; got {headers.get('Content-Type')!r}"
    if expected.header and expected.header not in headers:
        return f"{expected.header} is missing"
    if expected.filled and not response.content:
        return "the body is empty"
    return body_fault(response.text or "", expected)


def body_fault(text: str, expected: Expected) -> str:
    """Return what is wrong with the body, or an empty string."""
    if expected.shows not in text:
        return f"{expected.shows!r} is not in the body: {text[:80]!r}"
    if not text.endswith(expected.ends):
        return f"the body does not end with {expected.ends!r}: {text[-80:]!r}"
    if expected.json and not expected.json(json.loads(text)):
        return f"not the expected JSON: {text[:80]!r}"
    return ""
