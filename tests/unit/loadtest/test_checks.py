"""Checks of responses: a wrong one is a failure with a reason, and each is counted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# In a process of its own: locust patches the standard library.
PROGRAM = """
import json
from http import HTTPStatus
from loadtest.checks import Expected, check
from loadtest.scenarios import CALLS, SLOW, STRESS, TYPES

class Response:
    def __init__(self, status=200, text="", content=None, **headers):
        self.status_code, self.text, self.content = status, text, text.encode() if content is None else content
        self.headers = {"X-Request-ID": "1"} | {name.replace("_", "-"): value for name, value in headers.items()}
        self.reason = "not counted"

    def success(self):
        self.reason = ""

    def failure(self, reason):
        self.reason = reason

class Unreadable(Response):
    text = property(lambda self: 1 / 0, lambda self, _: None)

def reason(response, expected):
    check(response, expected)
    return response.reason

calls = {f"{call.method} {call.name or call.path}": call.expected for call in CALLS + SLOW + STRESS}
version, style = calls["GET /version"], Expected(type=TYPES[".css"], filled=True)
print(json.dumps({
    "good": reason(Response(text='{"release": "", "backend": ""}', Content_Type="application/json"), version),
    "a list for an object": reason(Response(text="[]", Content_Type="application/json"), version),
    "no JSON": reason(Response(text="<p>", Content_Type="application/json"), version),
    "unreadable": reason(Unreadable(content=b"x", Content_Type="application/json"), version),
    "good style": reason(Response(text="p {}", Content_Type="text/css"), style),
    "a page for a style": reason(Response(text="<p>", Content_Type="text/html"), style),
    "empty style": reason(Response(Content_Type="text/css"), style),
    "refused": reason(Response(405, Allow="GET", Content_Type="application/problem+json"), calls["DELETE /about"]),
    "no Allow": reason(Response(405, Content_Type="application/problem+json"), calls["DELETE /about"]),
}))
"""


@pytest.fixture(scope="module")
def reasons():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    if "No module named 'locust" in ended.stderr:
        pytest.skip("the load test: locust is not installed, `make .venv/loadtest`")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("name", ["good", "good style", "refused"])
def test_right_response_passes(name, reasons):
    assert reasons[name] == ""


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("a list for an object", "AttributeError("),
        ("no JSON", "JSONDecodeError("),
        ("unreadable", "ZeroDivisionError("),
    ],
)
def test_response_that_breaks_the_check_has_failed(name, begins, reasons):
    assert reasons[name].startswith(begins)


def test_asset_of_another_type_or_without_a_body_has_failed(reasons):
    assert reasons["a page for a style"] == "expected text/css; got 'text/html'"
    assert reasons["empty style"] == "the body is empty"


def test_405_without_allow_has_failed(reasons):
    assert reasons["no Allow"] == "Allow is missing"
