"""Functions that read a request: the body with its limit, and the media type."""

import pytest

from app.request import DEPTH, body, media_type
from app.settings import settings
from tests.reference.app.wsgi import echo
from tests.wsgi import call


def test_body_up_to_the_limit_is_read():
    text = b'"' + b"x" * (settings().max_body_bytes - 2) + b'"'
    assert call(echo, "/", "POST", text, CONTENT_TYPE="application/json").body == text
    assert call(echo, "/", "POST", text + b" ", CONTENT_TYPE="application/json").status == 413


def test_request_without_a_body_has_an_empty_one():
    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [repr(body(environ)).encode()]

    assert call(handler).text == "b''"


def nested(depth):
    """Return JSON with so many arrays and objects inside each other."""
    return '[{"]":' * (depth // 2) + "[" * (depth % 2) + "0" + "]" * (depth % 2) + "}]" * (depth // 2)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (nested(DEPTH), 200),
        (nested(DEPTH + 1), 400),
        (nested(66_000), 400),
        ("[" * 1_000_000, 400),
        ('["' + r"\"" * 500_000, 400),
        ("[" + ",".join(["[]"] * 1000) + "]", 200),
        (r'["[[[[\"[[[[' + "[" * DEPTH + '"]', 200),
        ('"' + "[{" * DEPTH, 400),
        ("NaN", 400),
    ],
    ids=lambda value: str(value)[:12],
)
def test_json_is_refused_beyond_a_depth_of_ours(text, status):
    assert call(echo, "/", "POST", text.encode(), CONTENT_TYPE="application/json").status == status


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [("", ""), ("text/plain", "text/plain"), ("Application/JSON; charset=utf-8", "application/json")],
)
def test_media_type_has_no_parameters_and_is_in_lower_case(content_type, expected):
    assert media_type({"CONTENT_TYPE": content_type}) == expected
